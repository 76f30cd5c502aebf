"""Numbers in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

CONDITIONS = {
    "rows": "{:.0f} rows",
    "tokens": "{:.0f} tokens",
    "samples": "{:.0f} samples",
    "trials": "{:.0f} trials",
    "window_ms": "window {:g} ms",
    "timesteps": "T = {:.0f}",
    "heads": "{:.0f} heads",
    "spikes_per_row": "{:.3g} spikes a row",
}
"""Columns that say under which conditions a row was measured."""


def between(low: float, high: float) -> str:
    """Interval in words; empty if it is not known."""
    return f"{low:.3g} to {high:.3g}" if np.isfinite([low, high]).all() else ""


def conditions(row: Mapping[str, Any], *more: str) -> str:
    """Conditions under which a row of a table was measured, by the columns it has, and what is not in the table."""
    told = [words.format(row[name]) for name, words in CONDITIONS.items() if name in row and np.isfinite(row[name])]
    return ", ".join([*told, *filter(None, more)])
