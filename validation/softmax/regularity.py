"""Where the error is the CV of the intervals times the multinomial law, and where not: a family of known regularity.

`escape` with thresholds of Gamma(k): k = 1 is a Poisson code, k = infinity a counter. Nothing but the CV, k^-1/2,
differs between its members, so that the law can fail here, which circuits of CV near 1 do not let it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.ideal.softmax import softmax
from biospike.packing import Plan
from biospike.simulation import plan
from biospike.tables import isi_cv, trial_means
from biospike.theory.concentration import multinomial_tv
from biospike.verdicts import NO_ERROR
from circuits.softmax import Escape
from validation.softmax.controls import chosen_rows
from validation.study.thresholds import CLOSE
from validation.study.verdict import UNDECIDED, Case

from brian2.units.fundamentalunits import Quantity

REGULARITIES = (1, 2, 4, 16, 64, np.inf)
WINDOWS = 6
SHORTEST = 1 / 32
"""Of the windows, in units of the longest; every one is twice the one before."""
MOST_ROWS, TRIALS = 72, 8
"""Enough for an interval of about 3 % of the error."""

REGULARITY = {
    "k": "of the thresholds' Gamma distribution; inf is a counter",
    "cv": "of the intervals, k^-1/2 by construction",
    "isi_cv": "measured over the longest window, `biospike.metrics.interval_cv`: gaps in whole spikes read high",
    "window_ms, spikes_per_row": "window, and output spikes of a row in it",
    "tv, tv_low, tv_high": "mean over rows and trials, 95 % Student interval over trials",
    "cv_law": "cv times the multinomial law at the same spike counts",
    "family_law": "the circuit's own law, which adds that of whole spikes at random phases in the mean square",
    "verdict": f"of cv_law: holds if the whole interval is within {CLOSE:.0%} of it, does not hold if none of it is",
}
"""Columns of ``regularity.csv``."""


def regularity_plans(logits: NDArray[np.float64], duration: Quantity, seed: int) -> list[Plan]:
    """Of every member of the family, on at most `MOST_ROWS` rows."""
    rows = chosen_rows(len(logits), MOST_ROWS)
    windows = np.geomspace(SHORTEST, 1, WINDOWS) * duration
    return [
        plan(Escape(regularity=k), logits[rows], duration=duration, trials=TRIALS, seed=seed, checkpoints=windows)
        for k in REGULARITIES
    ]


def regularity_table(plans: Iterable[Plan], results: Iterable[xr.Dataset]) -> pd.DataFrame:
    """Columns `REGULARITY`, from the results of the plans, in their order."""
    rows = []
    for work, data in zip(plans, results, strict=True):
        assert isinstance(work.circuit, Escape)
        p, measured, cv = softmax(data["logits"].values), float(isi_cv(data)), work.circuit.regularity**-0.5
        for at, window in enumerate(data["window_ms"].values):
            counts = data["spike_count"].isel(checkpoint=at).transpose("trial", "row", "key").values
            spikes = counts.sum(axis=-1).astype(float)
            tv = trial_means(metrics.total_variation(metrics.shares(counts), p))
            low, high = map(float, metrics.t_interval(tv))
            law = cv * float(np.nanmean(multinomial_tv(p, spikes)))
            rows.append({
                "k": work.circuit.regularity, "cv": cv, "isi_cv": measured, "window_ms": float(window),
                "spikes_per_row": spikes.mean(), "tv": tv.mean(), "tv_low": low, "tv_high": high, "cv_law": law,
                "family_law": float(np.nanmean(work.circuit.expected_tv(p, spikes))),
                "verdict": verdict(low, high, law),
            })  # fmt: skip
    return pd.DataFrame(rows)


def verdict(low: float, high: float, law: float) -> str:
    """What the interval of an error says of a law."""
    if max(high, law) < NO_ERROR:
        return UNDECIDED
    return Case(low=low, high=high, least=law * (1 - CLOSE), most=law * (1 + CLOSE)).verdict
