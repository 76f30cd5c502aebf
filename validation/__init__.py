"""Validation studies: one question a script."""
