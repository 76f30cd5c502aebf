"""The softmax comparison: everything behind ``validation/compare_softmax.py``."""
