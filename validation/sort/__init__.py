"""The study of sorting by score and Schur complement: everything behind ``validation/sort_circuits.py``."""
