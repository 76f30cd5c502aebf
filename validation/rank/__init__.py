"""The study of rank and heads: everything behind ``validation/rank_collapse.py``."""
