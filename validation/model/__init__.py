"""Whole trained models whose attention is done by circuits: `validation.compare_model`."""
