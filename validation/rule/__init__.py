"""The calibration of the design rule: everything behind ``validation/calibrate_design_rule.py``."""
