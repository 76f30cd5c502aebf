"""Every figure of the theory under test that this project compares itself with, and where it is stated.

The theory is D. Guo, J. Wu, S. M. Yiu, *Closing the Theory-Practice Gap in Spiking Transformers via Effective
Dimension*, arXiv:2604.15769 (2026). Its abstract states the design rules' constant, R squared, the range of effective
dimensions and of the energy ratio; the figures of single data sets, the interval of the constant and the ratio of
spikes are those of a third-party digest (Theory Digest, 28 April 2026).
"""

from __future__ import annotations

PAPER = "arXiv:2604.15769"

R_SQUARED = 0.97
"""Of the predictions (abstract)."""
SPIKE_RATIO = (2.08, 2.63)
"""Observed over theoretical spikes (digest)."""
C = 2.3
"""Constant of the design rules (abstract)."""
C_INTERVAL = (1.9, 2.7)
"""Its 95 % interval (abstract)."""
ENERGY_RATIO = (38.0, 57.0)
"""Times less energy than conventional transformers on neuromorphic hardware (abstract)."""
DIMENSIONS = {"CIFAR-10": (47, 3), "CIFAR-100": (68, 4), "ImageNet": (89, 7)}
"""Principal components for 95 % of the variance, and the standard deviation over subsamples (digest; the range in the
abstract)."""
FEW_STEPS = 4
"""Timesteps that suffice (abstract)."""
