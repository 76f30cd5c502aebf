"""Bounds and predictions that the circuits are held against."""
