"""The table of the audit: one row a knob value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import pandas as pd

from validation.assumptions.sweep import Sweep
from validation.study.row_kinds import MEANING

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


ROW_SETS = {
    "rows_kind": MEANING,
    "value": "of the knob: the realistic end of its sweep",
    "bias, bias_low, bias_high": "as in assumptions.csv",
    "predicted": "by the closed form, as there",
}
"""Columns of ``row_sets.csv`` that need words."""
OF_ROW_SETS = ["rows_kind", *(name for name in COLUMNS if name not in ("exceeds_0_01_at", "verdict"))]


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


def tabulate_row_sets(by_kind: Mapping[str, Sequence[Sweep]]) -> pd.DataFrame:
    """Rows of ``row_sets.csv``: the last value of every sweep, by the kind of the rows."""
    ends = [
        tabulate([attrs.evolve(sweep, points=sweep.points[-1:]) for sweep in sweeps]).assign(rows_kind=kind)
        for kind, sweeps in by_kind.items()
    ]
    return pd.concat([pd.DataFrame(columns=OF_ROW_SETS), *ends], ignore_index=True)[OF_ROW_SETS]
