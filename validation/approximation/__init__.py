"""The approximation of functions: everything behind ``validation/approximate_function.py``."""
