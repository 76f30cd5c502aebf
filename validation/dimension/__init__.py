"""The study of effective dimension: everything behind ``validation/effective_dimension.py``."""
