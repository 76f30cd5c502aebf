"""Thresholds that several studies decide by, each stated once."""

LATER = 2.0
"""A bias is resolved above this many times what sampling leaves of it."""

CLOSE = 0.05
"""A law holds if the measurement is within this fraction of it."""

SMALL = 0.01
"""Total variation below which a circuit is said to compute what it is held against."""
