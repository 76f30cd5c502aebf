"""Where a knob's bias passes the limit, by root finding on the closed form, over rates of the row and sets of rows.

A crossing read off simulated points depends on which points there are; one of the closed form does not, and can be had
at any rate and on any rows. It depends on both: no such threshold is a number without them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.lab import audit_rows
from validation.assumptions.sweep import LIMIT
from validation.data import attention_rows

import brian2 as b2

Array = NDArray[np.float64]
Law = Callable[[float, Array], Array]

STEP = 1e-3 * b2.ms
"""Grid of the closed forms that count in whole steps: so fine that it does not show."""
RESAMPLES = 200
POINTS, SPAN = 13, 1.2
"""Values of a knob, evenly in its logarithm so far on either side of the crossing, for the bootstrap over rows."""
SEED = 1

COLUMNS = {
    "assumption": "as in assumptions.csv",
    "knob, unit": "what is turned, and its unit",
    "rate_hz": "spikes of a row a second",
    "rows_kind": "natural: the shipped attention rows; peaked: their logits doubled; flat: a quarter of them; audit: "
    "the ten narrow rows that the sweeps are measured on",
    "rows": "how many",
    "value": f"of the knob where the mean TV of the closed form is {LIMIT:g}; empty if it is not in the range",
    "low, high": "95 % percentile interval of that over rows drawn again, as if others of their kind had been taken; "
    "empty where some of these do not cross near it",
}
"""Columns of ``crossings.csv``."""


def row_sets() -> dict[str, Array]:
    """Rows on which the closed forms are read, nats."""
    natural = attention_rows()
    return {"natural": natural, "peaked": 2 * natural, "flat": natural / 4, "audit": audit_rows()}


def _of_keys(**fixed: object) -> Callable[[str, float], Law]:
    """Error of rows under a knob of `HazardKeys`, in the unit of its sweep."""

    def at(knob: str, rate: float) -> Law:
        def law(value: float, rows: Array) -> Array:
            own = {"tau_m": {"tau_m": value / 1e3}, "t_ref": {"refractory": value * b2.ms, "dt": STEP}}[knob]
            keys = HazardKeys(rate=rate * b2.Hz, **fixed, **own)  # type: ignore[arg-type]
            return total_variation(keys.limit(rows), softmax(rows))

        return law

    return at


KNOBS: dict[tuple[str, str, str], tuple[Callable[[str, float], Law], tuple[float, ...], float, float]] = {
    ("membrane leak", "tau_m", "ms"): (_of_keys(regularity=np.inf, w=0.02), (200.0, 500.0), 1.0, 1e5),
    ("refractory period", "t_ref", "ms"): (_of_keys(w=0.02), (50.0, 200.0), 1e-2, 1e3),
}
"""Law, rates of the row in hertz, and range, by assumption, knob and unit."""


def crossing(law: Law, rows: Array, lowest: float, highest: float) -> tuple[float, float, float]:
    """Value at which the mean error of rows is the limit, and its interval over rows; NaN if it is not in the range."""

    def excess(log_value: float) -> float:
        return float(np.mean(law(float(np.exp(log_value)), rows)) - LIMIT)

    ends = np.log([lowest, highest])
    if excess(ends[0]) * excess(ends[1]) > 0:
        return np.nan, np.nan, np.nan
    value = float(np.exp(brentq(excess, *ends, xtol=1e-6)))
    grid = np.log(value) + np.linspace(-SPAN, SPAN, POINTS)
    errors = np.stack([law(float(np.exp(point)), rows) for point in grid])  # (point, row)
    drawn = np.random.default_rng(SEED).integers(len(rows), size=(RESAMPLES, len(rows)))
    found = [_root(grid, errors[:, some].mean(axis=1)) for some in drawn]
    low, high = np.quantile(found, [0.025, 0.975]) if np.isfinite(found).all() else (np.nan, np.nan)
    return value, float(low), float(high)


def _root(log_values: Array, mean: Array) -> float:
    """Value at which a mean error on a grid passes the limit, linear in the logarithms of both."""
    above = mean > LIMIT
    turns = np.flatnonzero(above[1:] != above[:-1])
    if not turns.size:
        return np.nan
    k = turns[0]
    a, b = np.log(mean[k : k + 2] / LIMIT)
    return float(np.exp(log_values[k] + a / (a - b) * (log_values[k + 1] - log_values[k])))


def crossing_table(assumptions: Collection[str]) -> pd.DataFrame:
    """Rows of ``crossings.csv`` of those of the assumptions that have a closed form here; none may."""
    return pd.DataFrame(_rows(assumptions))


def _rows(assumptions: Collection[str]) -> Iterator[dict[str, object]]:
    for (assumption, knob, unit), (law_of, rates, lowest, highest) in KNOBS.items():
        if assumption not in assumptions:
            continue
        for rate in rates:
            for kind, rows in row_sets().items():
                value, low, high = crossing(law_of(knob, rate), rows, lowest, highest)
                yield {
                    "assumption": assumption, "knob": knob, "unit": unit, "rate_hz": rate, "rows_kind": kind,
                    "rows": len(rows), "value": value, "low": low, "high": high,
                }  # fmt: skip
