"""The benchmark: everything behind ``validation/benchmark.py``."""
