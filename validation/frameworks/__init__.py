"""The comparison of published models and frameworks: everything behind ``validation/compare_frameworks.py``."""
