"""Tables of a result of `biospike.simulate`: one row a window, and the order of convergence."""

from __future__ import annotations

import contextlib
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
from biospike.share_verdicts import decide_rows, window_biases
from biospike.verdicts import Decision

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
    "bias_low",
    "bias_high",
    "bias_resolvable",
    "kl",
    "kl_floor",
    "silent_fraction",
    "isi_cv",
    "diagnostics",
]
CONVERGENCE = [
    *("circuit", "order", "order_low", "order_high", "r_squared", "floor_tv", "floor_low", "floor_high", "limit_tv"),
    *("order_of_law", "order_of_law_low", "order_of_law_high", "bias_resolvable", "trials_needed", "verdict", "reason"),
]
SUMMARY_MEANINGS = {
    "tv": "mean over trials and rows of the total variation between a row's shares and its softmax",
    "tv_low": "lower end of the 95 % interval of its expectation over trials, for these rows (Student's t over trials)",
    "tv_high": "upper end of it",
    "tv_expected": "the circuit's own error law at the measured spike counts",
    "limit_tv": "the bias that the circuit's limit predicts",
    "bias_tv": "TV of the shares pooled over trials",
    "bias_floor": "what sampling alone would leave of that",
    "bias_low": "lower end of the 95 % interval of the rms L2 bias of a row, by products of different trials "
    "(jackknife over trials, Student's t); no total variation",
    "bias_high": "upper end of it",
    "bias_resolvable": "the constant rms L2 bias of a row that 95 % of such runs would have found",
    "kl": "mean KL divergence, half a spike added to every key, nats",
    "kl_floor": "what the added halves alone make of a perfect code of the same spikes, nats",
    "silent_fraction": "fraction of rows and trials without a spike",
    "isi_cv": "regularity of the code, 1 for Poisson",
}
"""Columns of ``summary.csv`` that need words, and what they are; all without unit but `kl` and `kl_floor`."""
CONVERGENCE_MEANINGS = {
    "order": "slope of log TV on log N in all windows of at least 30 spikes a row, a local slope; `order_low` and "
    "`order_high` its 95 % interval (jackknife over trials, or scatter about the line)",
    "floor_tv": "TV left in an infinite window by a fit of tv^2 = floor^2 + c/N or tv = floor + c/N; `floor_low` and "
    "`floor_high` its 95 % interval, without the error of the form",
    "order_of_law": "order by reference: where the slope lies between those of the exact laws of independent spikes, "
    "1/2, and of regular ones, 1, on the same rows and windows; `order_of_law_low` and `order_of_law_high` its 97.5 % "
    "interval (jackknife over trials, Student's t), for regular codes of the order at these ends of the windows",
    "bias_resolvable": "the constant rms L2 bias of a row that 95 % of such runs would have found",
    "trials_needed": "trials that would probably decide, where more would",
    "verdict": "floor: a bias that is found by sign flips and lasts; otherwise the law whose band holds the whole "
    "interval of `order_of_law`; undecided if none does",
    "reason": "why a verdict is undecided; beside an order, transient bias: one was found that falls as 1/N",
}
"""The same of ``convergence.csv``."""
NOT_RUN = "not run"
FEWEST_OF_A_ROW = 4
"""Keys that a single row needs for its interval to have a level."""
NO_LEVEL = f"one row of fewer than {FEWEST_OF_A_ROW} keys: no interval"


def summarise(data: xr.Dataset, circuit: Circuit) -> pd.DataFrame:
    """One row a window of a result of `biospike.simulate`, made by `circuit`, with the columns of ``summary.csv``.

    Raises
    ------
    InputError
        If another circuit made it, whose error law is another.
    """
    if (made := data.attrs.get("circuit", circuit.name)) != circuit.name:
        raise InputError(f"the counts are those of the circuit {made!r}, and not of {circuit.name!r}")
    p, limit = softmax(data["logits"].values), data["limit"].values
    counts = data["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    unmasked = ~np.isnan(data["logits"].values)
    found = by_blocks(counts, lambda some, rows: _measure(some, p[rows], limit[rows], unmasked[rows], circuit))
    by_trial = trial_means(found["tv"])
    low, high = metrics.t_interval(by_trial)
    few = has_no_level(unmasked)
    if few:
        low, high = low * np.nan, high * np.nan
    biases = window_biases(counts, p, independent=True)
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
            "bias_low": [bias.low for bias in biases],
            "bias_high": [bias.high for bias in biases],
            "bias_resolvable": [bias.resolvable for bias in biases],
            "kl": mean_of_known(found["kl"], axis=(1, 2)),
            "kl_floor": mean_of_known(found["kl_floor"], axis=(1, 2)),
            "silent_fraction": (found["spikes"] == 0).mean(axis=(1, 2)),
            "isi_cv": float(isi_cv(data)),
        }
    )
    table["diagnostics"] = [_diagnose(row) for row in table.itertuples()]
    if np.isnan(limit).all():
        table["diagnostics"] = (table["diagnostics"] + "; no limit").str.strip("; ")
    names = data["row_name"].values if "row_name" in data.coords else np.arange(counts.shape[2])
    left_out = pd.Series([_left_out(names[never]) for never in (found["spikes"] == 0).all(axis=1)], index=table.index)
    table["diagnostics"] = (table["diagnostics"] + "; " + left_out).str.strip("; ")
    if few:
        table["diagnostics"] = (table["diagnostics"] + f"; {NO_LEVEL}").str.strip("; ")
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
    expected = None if np.isnan(limit).all() else circuit.expected_tv(limit, spikes.astype(float), p)
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


def has_no_level(unmasked: NDArray[np.bool_]) -> bool:
    """Whether these rows (row, key) are one of so few keys that the interval of its error has no known level."""
    return len(unmasked) == 1 and int(unmasked.sum()) < FEWEST_OF_A_ROW


def converge(data: xr.Dataset, summary: pd.DataFrame) -> dict[str, object]:
    """Row of ``convergence.csv`` of a circuit, from its counts and its summary.

    Where there is no error that could follow a law, too few windows or a single trial, the numbers of the fit are None;
    where no law can be told the verdict is undecided, and `reason` says why.
    """
    p = softmax(data["logits"].values)
    counts = data["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    found = decide_rows(counts, p, independent=True, keys=(~np.isnan(data["logits"].values)).sum(axis=1))
    row: dict[str, object] = {"circuit": summary["circuit"].iloc[-1], "limit_tv": summary["limit_tv"].iloc[-1]}
    row |= columns_of(found)
    fit = None
    if found.reason not in NO_LAW_TO_FIT and counts.shape[1] > 1:
        tv = by_blocks(counts, lambda some, rows: {"tv": metrics.total_variation(metrics.shares(some), p[rows])})["tv"]
        with contextlib.suppress(InputError):
            fit = metrics.fit_order(summary["spikes_per_row"].to_numpy(), trial_means(tv).T)
    return row | {column: getattr(fit, column, None) for column in CONVERGENCE if column not in row}


NO_LAW_TO_FIT = ("silent", "few keys", "saturated", "error below 1e-6")
"""Reasons without any error whose slope could be told."""


def columns_of(found: Decision) -> dict[str, object]:
    """Columns of a decision that every ``convergence.csv`` has; None where there is no number."""
    numbers = {
        "order_of_law": found.order.alpha, "order_of_law_low": found.order.low, "order_of_law_high": found.order.high,
        "bias_resolvable": found.bias_resolvable, "trials_needed": found.trials_needed,
    }  # fmt: skip
    known = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return known | {"verdict": found.verdict, "reason": found.reason}
