"""The table of the audit: one row a knob value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from validation.assumptions.sweep import Sweep

COLUMNS = [
    "assumption",
    "knob",
    "value",
    "unit",
    "circuit",
    "metric",
    "bias",
    "bias_low",
    "bias_high",
    "predicted",
    "exceeds_0_01_at",
    "verdict",
]


def tabulate(sweeps: Sequence[Sweep]) -> pd.DataFrame:
    """Rows of ``assumptions.csv``; `exceeds_0_01_at` and `verdict` are those of the whole sweep."""
    rows = []
    for sweep in sweeps:
        exceeds = sweep.exceeds_at
        for point in sweep.points:
            rows.append(
                {
                    "assumption": sweep.assumption,
                    "knob": sweep.knob,
                    "value": point.value,
                    "unit": sweep.unit,
                    "circuit": sweep.circuit,
                    "metric": sweep.metric,
                    "bias": point.bias,
                    "bias_low": point.low,
                    "bias_high": point.high,
                    "predicted": point.predicted,
                    "exceeds_0_01_at": "" if isinstance(exceeds, float) and math.isnan(exceeds) else exceeds,
                    "verdict": sweep.verdict,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)
