"""Every figure of the theory under test that this project compares itself with, and where it is stated.

The theory is D. Guo, J. Wu, S. M. Yiu, *Closing the Theory-Practice Gap in Spiking Transformers via Effective
Dimension*, arXiv:2604.15769 (2026). At hand are its abstract, with the contributions as listed beside it, and a
third-party digest. The abstract states the design rules' constant with its interval, R squared, the range of effective
dimensions and of the energy ratio; numbers of lemmas and theorems, the figures of single data sets and the ratio of
spikes are the digest's. In neither are the formula of the design rules, here read as T = C d_eff/eps^2, and the law
behind R squared, here read as eps = alpha/sqrt(N).
"""

from __future__ import annotations

PAPER = "arXiv:2604.15769"
DIGEST = "a third-party digest (Theory Digest, 28 April 2026)"
RANK, SORT = "arXiv:2604.23681", "arXiv:2604.25295"
"""Two more works that the digest tells of: on the rank of tokens and heads, and on the order of causes. Their numbers
were found by search; nothing but the digest is at hand."""

R_SQUARED = 0.97
"""Of the predictions (abstract)."""
P_VALUE = 0.001
"""Below which the predictions are said to be significant (abstract)."""
TIMESTEPS_OFF = (0.02, 0.18)
"""Fractions by which predicted timesteps miss the optimum (digest)."""
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
FEW_STEPS, WORST_STEPS = 4, 10_000
"""Timesteps that suffice, and those that the worst case asks for (abstract)."""
