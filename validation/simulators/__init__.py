"""The comparison of simulators: everything behind ``validation/compare_simulators.py``."""
