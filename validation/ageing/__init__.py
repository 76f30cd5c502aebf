"""The study of attention that ages: everything behind ``validation/compare_ageing.py``."""
