"""Codes of known truth through the function that decides order, floor and bias."""
