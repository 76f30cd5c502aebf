"""Numbers in words."""

from __future__ import annotations

import numpy as np


def between(low: float, high: float) -> str:
    """Interval in words; empty if it is not known."""
    return f"{low:.3g} to {high:.3g}" if np.isfinite([low, high]).all() else ""
