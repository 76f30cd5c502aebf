"""The study of bounds: everything behind ``validation/spike_bounds.py``."""
