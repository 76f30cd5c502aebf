"""The comparison of the attention block: everything behind ``validation/compare_attention.py``."""
