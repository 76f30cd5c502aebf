"""The study of microcircuits: everything behind ``validation/compare_microcircuits.py``."""
