"""Tables of a result of `biospike.simulate`: one row a window, and the order of convergence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.metrics import mean_of_known, pooled_floor

FEW_SPIKES = 100
"""Output spikes a row below which a row of a table says so."""
FEW_TRIALS = 8
"""Trials below which a row of a table says so."""
BLOCK = 2**22
"""Counts that are looked at together: about ten arrays of 32 MB."""
Measure = Callable[[NDArray[np.int32], slice], dict[str, NDArray[np.float64]]]
MOST_NAMED = 5
"""Rows that are named in a diagnosis."""
SUMMARY = [
    "circuit",
    "window_ms",
    "timesteps",
    "rows",
    "trials",
    "spikes_per_row",
    "tv",
    "tv_low",
    "tv_high",
    "tv_expected",
    "limit_tv",
    "bias_tv",
    "bias_floor",
    "kl",
    "kl_floor",
    "silent_fraction",
    "isi_cv",
    "diagnostics",
]
CONVERGENCE = ["circuit", "order", "order_low", "order_high", "r_squared", "floor_tv", "limit_tv", "verdict", "reason"]
WIDE = 0.5
"""An interval of the order that is wider holds the orders of two laws, or of none."""
UNDECIDED, NOT_RUN = "undecided", "not run"
SATURATED = 1e-6
"""Share that all keys but the largest have together in a row that is said to be saturated."""
NO_ERROR = 1e-6
"""TV below which an error is that of rounding, or of a spike that may never come: it has no law."""


def summarise(data: xr.Dataset, circuit: Circuit) -> pd.DataFrame:
    """One row a window of a result of `biospike.simulate`, made by `circuit`, with the columns of ``summary.csv``."""
    p, limit = softmax(data["logits"].values), data["limit"].values
    counts = data["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    unmasked = ~np.isnan(data["logits"].values)
    found = by_blocks(counts, lambda some, rows: _measure(some, p[rows], limit[rows], unmasked[rows], circuit))
    by_trial = trial_means(found["tv"])
    low, high = metrics.bca_interval(by_trial)
    table = pd.DataFrame(
        {
            "circuit": circuit.name,
            "window_ms": data["window_ms"].values,
            "timesteps": data["timesteps"].values,
            "rows": counts.shape[2],
            "trials": counts.shape[1],
            "spikes_per_row": found["spikes"].mean(axis=(1, 2)),
            "tv": by_trial.mean(axis=-1),
            "tv_low": low,
            "tv_high": high,
            "tv_expected": trial_means(found["expected"]).mean(axis=-1),
            "limit_tv": metrics.total_variation(limit, p).mean(),
            "bias_tv": mean_of_known(found["pooled_tv"], axis=-1),
            "bias_floor": mean_of_known(found["floor"], axis=-1),
            "kl": mean_of_known(found["kl"], axis=(1, 2)),
            "kl_floor": mean_of_known(found["kl_floor"], axis=(1, 2)),
            "silent_fraction": (found["spikes"] == 0).mean(axis=(1, 2)),
            "isi_cv": float(isi_cv(data)),
        }
    )
    table["diagnostics"] = [_diagnose(row) for row in table.itertuples()]
    names = data["row_name"].values if "row_name" in data.coords else np.arange(counts.shape[2])
    left_out = pd.Series([_left_out(names[never]) for never in (found["spikes"] == 0).all(axis=1)], index=table.index)
    table["diagnostics"] = (table["diagnostics"] + "; " + left_out).str.strip("; ")
    return table[SUMMARY]


def by_blocks(counts: NDArray[np.int32], measure: Measure) -> dict[str, NDArray[np.float64]]:
    """Measure spike counts a block at a time, so that memory does not grow with rows and windows.

    Parameters
    ----------
    counts : ndarray (checkpoint, trial, row, key)
    measure
        Takes the counts of a block and the slice of its rows; returns arrays (checkpoint, ..., row) by name.

    Returns
    -------
    dict of ndarray (checkpoint, ..., row)
    """
    checkpoints, trials, rows, keys = counts.shape
    # Rows first: whole rows are summed in the same order whatever the blocks.
    width = max(1, BLOCK // (checkpoints * trials * keys))
    height = checkpoints if width > 1 else max(1, BLOCK // (trials * keys))
    strips = []
    for first in range(0, checkpoints, height):
        parts = [
            measure(counts[first : first + height, :, row : row + width], slice(row, row + width))
            for row in range(0, rows, width)
        ]
        strips.append({name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]})
    return {name: np.concatenate([strip[name] for strip in strips]) for name in strips[0]}


def _measure(
    counts: NDArray[np.int32],
    p: NDArray[np.float64],
    limit: NDArray[np.float64],
    unmasked: NDArray[np.bool_],
    circuit: Circuit,
) -> dict[str, NDArray[np.float64]]:
    spikes = counts.sum(axis=-1)
    shares = metrics.shares(counts)
    expected = circuit.expected_tv(limit, spikes.astype(float), p)
    return {
        "spikes": spikes,
        "tv": metrics.total_variation(shares, p),
        "expected": np.full(spikes.shape, np.nan) if expected is None else expected,
        "pooled_tv": metrics.total_variation(metrics.shares(counts.sum(axis=1)), p),
        "floor": pooled_floor(shares),
        "kl": metrics.kl_divergence(p, metrics.smoothed_shares(counts, unmasked)),
        # What smoothing alone makes of a perfect code, N*p_i spikes of every key.
        "kl_floor": metrics.kl_divergence(p, metrics.smoothed_shares(spikes[..., None] * p, unmasked)),
    }


def trial_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the rows that fired, for every window and trial: (checkpoint, trial, row) -> (checkpoint, trial)."""
    return mean_of_known(values, axis=-1)


def isi_cv(data: xr.Dataset) -> NDArray[np.float64]:
    """Regularity of a circuit's code over the whole window; see `biospike.metrics.interval_cv`."""
    gaps = np.maximum(data["spike_count"].isel(checkpoint=-1).transpose("trial", "row", "key").values - 1, 0)
    sums = [data[name].transpose("trial", "row", "key").values for name in ("gap_sum", "gap_square_sum")]
    return metrics.interval_cv(sums[0], sums[1], gaps, over=(-2, -1))


def _diagnose(row: object) -> str:
    """Reasons not to trust a row of the table, or to read it with care."""
    found = {
        f"N < {FEW_SPIKES}": row.spikes_per_row < FEW_SPIKES,  # type: ignore[attr-defined]
        f"{row.silent_fraction:.1%} silent": row.silent_fraction > 0,  # type: ignore[attr-defined]
        f"trials < {FEW_TRIALS}": row.trials < FEW_TRIALS,  # type: ignore[attr-defined]
        "bias below resolution": row.bias_tv < 2 * row.bias_floor,  # type: ignore[attr-defined]
    }
    return "; ".join(words for words, holds in found.items() if holds)


def _left_out(names: NDArray[Any]) -> str:
    """Rows that have no share in any trial, so that a mean over rows is without them."""
    shown = ", ".join(map(str, names[:MOST_NAMED])) + (
        f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    )
    return f"no spike, hence left out: row{'s' * (len(names) > 1)} {shown}" if len(names) else ""


def converge(data: xr.Dataset, summary: pd.DataFrame) -> dict[str, object]:
    """Row of ``convergence.csv`` of a circuit, from its counts and its summary.

    Where no law can be told the verdict is `UNDECIDED`, the numbers of the fit are None, and `reason` says why.
    """
    z = data["logits"].values
    p = softmax(z)
    counts = data["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    found = by_blocks(counts, lambda some, rows: {"tv": metrics.total_variation(metrics.shares(some), p[rows])})
    tv = trial_means(found["tv"]).T
    row: dict[str, object] = {"circuit": summary["circuit"].iloc[-1], "limit_tv": summary["limit_tv"].iloc[-1]}
    reason = why_undecided(p, (~np.isnan(z)).sum(axis=1), tv[:, -1])
    fit = None
    if not reason:
        try:
            fit = metrics.fit_order(summary["spikes_per_row"].to_numpy(), tv)
        except InputError:
            reason = "few windows"
    if fit is not None and fit.verdict != "floor" and fit.order_high - fit.order_low > WIDE:
        fit, reason = None, "few trials"
    row |= {"verdict": UNDECIDED if fit is None else fit.verdict, "reason": reason}
    return row | {column: getattr(fit, column, None) for column in CONVERGENCE if column not in row}


def why_undecided(p: NDArray[np.float64], keys: NDArray[np.int64], tv: NDArray[np.float64]) -> str:
    """Why rows have no error that could follow a law; empty if they have one.

    Parameters
    ----------
    p : ndarray (rows, keys)
        Softmax.
    keys : ndarray (rows,)
        Unmasked keys.
    tv : ndarray (trials,)
        Error in the longest window, NaN in a trial without spikes.
    """
    reasons = {
        "silent": np.isnan(tv).any(),
        "few keys": keys.max() < 2,
        "saturated": (1 - p.max(axis=1)).max() < SATURATED,
        "error below 1e-6": tv.mean() < NO_ERROR,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
