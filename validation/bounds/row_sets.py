"""Softmax circuits on the study's rows with their logits doubled, and with a quarter of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.metrics import t_interval
from validation.bounds.curves import REAL, SIMPLEX, Curve, curves_of_rows
from validation.bounds.tables import fit, judge
from validation.study.row_kinds import FACTORS, GIVEN, MEANING

Array = NDArray[np.float64]

ROW_SETS = {
    "rows_kind": MEANING,
    "code": "circuit",
    "rows": "how many",
    "trials": "repetitions",
    "spikes": "of a row in the longest window",
    "tv": "total variation from softmax there; `tv_low`, `tv_high` its 95 % interval (Student's t over trials)",
    "margin": "largest ratio of an error to the n/sqrt(T) that Lemma 3 promises; `margin_low`, `margin_high`: with the "
    "widest interval of the curve",
    "enough": "what follows for the bound, as in bounds.csv",
    "verdict": "on the order, as in fits.csv; `reason` why it is undecided",
    "ratio_observed_theoretical": "spikes over n^2/eps^2 where the order is 1/sqrt(N); `ratio_low`, `ratio_high`: over "
    "the windows",
}
"""Columns of ``row_sets.csv`` that need words."""
COLUMNS = [
    "rows_kind", "code", "rows", "trials", "spikes", "tv", "tv_low", "tv_high", "margin", "margin_low", "margin_high",
    "enough", "verdict", "reason", "ratio_observed_theoretical", "ratio_low", "ratio_high",
]  # fmt: skip


def rows_of(circuit: Circuit, real: Array, uniform: Array) -> dict[str, Array]:
    """Sets of rows of a circuit, by name: real and uniform ones, and the real ones of other kinds that it takes."""
    found = {REAL: real, SIMPLEX: uniform}
    for kind, factor in FACTORS.items():
        try:
            circuit.check_rows(factor * real, circuit.dt)
        except InputError:
            continue
        if kind != GIVEN:
            found[kind] = factor * real
    return found


def interval_of_ratios(error: Array, low: Array, high: Array) -> tuple[float, float]:
    """Least and largest end of the intervals of errors, in units of the errors; NaN if one is not known."""
    some = error > 0
    ends = low[some] / error[some], high[some] / error[some]
    return (float(ends[0].min()), float(ends[1].max())) if some.any() and np.isfinite(ends).all() else (np.nan, np.nan)


def tabulate_row_sets(raw: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Rows of ``row_sets.csv``, the study's own first."""
    rows = [
        _row(kind, curve, int((data["prior"] == prior).sum()))
        for kind, prior in ((kind, REAL if kind == GIVEN else kind) for kind in FACTORS)
        for name, data in raw.items() if name.startswith("softmax")
        for curve in curves_of_rows(data, prior)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(kind: str, curve: Curve, rows: int) -> dict[str, object]:
    fits = fit([curve])
    bound = judge([curve], fits).set_index("bound").loc["Lemma 3"]
    low, high = t_interval(curve.errors.T)
    least, most = interval_of_ratios(curve.error, low, high)
    return fits.iloc[0].to_dict() | {
        "rows_kind": kind, "rows": rows, "trials": len(curve.errors), "spikes": curve.spikes[-1],
        "tv": curve.error[-1], "tv_low": low[-1], "tv_high": high[-1], "margin": bound["margin"],
        "margin_low": bound["margin"] * least, "margin_high": bound["margin"] * most, "enough": bound["verdict"],
    }  # fmt: skip
