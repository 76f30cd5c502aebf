"""Rows whose inhibition is subtracted: how far their attention is from softmax, and from their own fixed point.

Both tables are about `--softmax subtractive`, `none` and `self_inhibition`. ``fixed_point.csv`` has a row a mode and
window; ``steps.csv``, of the toy alone, a row a mode, feedback and accuracy.
"""

from __future__ import annotations

import attrs
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import metrics
from biospike.metrics import mean_of_known
from circuits.attention import SpikingAttention
from circuits.presentation import present
from circuits.softmax import Subtractive
from validation.attention.measures import measure

import brian2 as b2

Array = NDArray[np.float64]

COLUMNS = {
    "mode": "staged or streaming",
    "window_ms": "window, ms",
    "timesteps": "T",
    "trials": "presentations",
    "softmax_tv": "mean over rows and trials of the TV of the attention from ordinary softmax attention",
    "softmax_low": "lower end of its 95 % interval, Student's t over trials",
    "softmax_high": "upper end",
    "limit_tv": "mean over rows of the TV of the limit, the fixed point at the mean drive, from ordinary attention",
    "fixed_tv": "mean over rows and trials of the TV of the attention from the fixed point at its measured mean drive",
    "spikes_off": "largest distance of a count from T times that fixed point, spikes, over keys, rows and trials",
    "share_off": "largest distance of a share, mean over trials, from the limit, in standard errors of that mean",
    "share_se": "largest of these standard errors",
    "rate_off": "as share_off, of the rates in spikes a timestep",
}
STEPS = {
    "mode": "staged or streaming",
    "feedback": "mean: w times the mean of the row's spikes; sum: w times their sum; own: as the circuit is",
    "eps": "accuracy, TV, mean over rows and trials",
    "bound": "n^2/eps^2 timesteps, n tokens",
    "trials": "presentations",
    "steps": "T from which the TV from ordinary softmax attention stays at eps or below; empty: in no window",
    "steps_to_limit": "the same of the TV from the limit of the circuit",
    "tv": "TV from ordinary softmax attention after `bound` timesteps",
    "low": "lower end of its 95 % interval, Student's t over trials",
    "high": "upper end",
    "limit_tv": "TV of the limit from ordinary softmax attention",
}
ACCURACIES = (0.1, 0.05)
WINDOWS = 12
"""As many as a block has by default, so that one binary serves both."""
FIRST = 8
"""Timesteps of the shortest window of ``steps.csv``; the longest is n^2/eps^2 of the smallest accuracy."""


def _standard_errors(values: Array, limit: Array) -> tuple[float, float]:
    """Largest distance of a mean over trials (trial, ...) from its limit in standard errors, and the largest of these.

    Values that are the same in every trial have no such error, and are left out.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full(limit.shape, np.nan)
        distance = np.where(error > 0, np.abs(values.mean(axis=0) - limit) / error, np.nan)
    if np.isnan(distance).all():
        return np.nan, np.nan
    return float(np.nanmax(distance)), float(np.nanmax(error))


def fixed_point(data: xr.Dataset) -> pd.DataFrame:
    """One row a mode and window, with the columns of ``fixed_point.csv``."""
    rows = []
    for mode in map(str, data["mode"].values):
        found = measure(data, mode)
        mine = data.sel(mode=mode)
        by_row = ("sample", "head", "query", "key")
        ordinary, rate = (
            mine[name].transpose(*by_row).values.reshape(-1, data.sizes["key"])
            for name in ("ordinary_attention", "limit_rate")
        )
        assert found.settled is not None
        limit_tv = float(metrics.total_variation(found.limit_attention, ordinary).mean())
        for c, steps in enumerate(data["timesteps"].values):
            tv = mean_of_known(metrics.total_variation(found.attention[c], ordinary), axis=-1)
            own = metrics.total_variation(found.attention[c], found.asked[c])
            share, error = _standard_errors(found.attention[c], found.limit_attention)
            values = (
                mode,
                float(data["window_ms"].values[c]),
                int(steps),
                data.sizes["trial"],
                float(mean_of_known(tv, axis=-1)),
                *map(float, metrics.t_interval(tv)),
                limit_tv,
                float(mean_of_known(own, axis=(0, 1))),
                float(np.abs(found.counts[c] - steps * found.settled[c]).max()),
                share,
                error,
                _standard_errors(found.counts[c] / steps, rate)[0],
            )
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def feedbacks(block: SpikingAttention) -> dict[str, SpikingAttention]:
    """The block with every inhibition of ``steps.csv``."""
    circuit = block.softmax
    if not isinstance(circuit, Subtractive):
        return {"own": block}
    return {name: attrs.evolve(block, softmax=attrs.evolve(circuit, feedback=name)) for name in ("mean", "sum")}


def steps_table(
    blocks: dict[str, SpikingAttention], x: ArrayLike, *, trials: int, seed: int, target: str, progress: bool
) -> pd.DataFrame:
    """One row a mode, feedback and accuracy, with the columns of ``steps.csv``; simulates.

    Parameters
    ----------
    blocks
        By mode, their scales fitted.
    x : array (tokens, features)
        One sample without masks.
    trials, seed, target, progress
        As of `circuits.presentation.present`.
    """
    tokens = len(np.asarray(x))
    bounds = [round((tokens / eps) ** 2) for eps in ACCURACIES]
    windows = np.rint(np.geomspace(FIRST, bounds[-1], WINDOWS))
    for bound in bounds[:-1]:  # at which it is read
        windows[np.abs(np.log(windows[:-1] / bound)).argmin()] = bound
    windows = np.unique(windows)
    rows = []
    for mode, block in blocks.items():
        for feedback, one in feedbacks(block).items():
            data = present(
                one, x, duration=bounds[-1] * one.dt, trials=trials, seed=seed, target=target,
                windows=windows * float(one.dt) * b2.second, progress=progress,
            )  # fmt: skip
            share = one.read_out(data)["attention"].transpose("checkpoint", "trial", "sample", "head", "query", "key")
            limit, ordinary = (reference(x)["attention"].values for reference in (one.limit, one.ordinary))
            from_softmax, from_limit = (
                # A row that has not spiked has no share of any key: it is as far as can be.
                np.nan_to_num(metrics.total_variation(share.values, to), nan=1.0).mean(axis=(2, 3, 4))
                for to in (ordinary, limit)
            )
            steps, limit_tv = data["timesteps"].values, float(metrics.total_variation(limit, ordinary).mean())
            for eps, bound in zip(ACCURACIES, bounds, strict=True):
                then = from_softmax[np.flatnonzero(steps == bound)[0]]
                low, high = map(float, metrics.t_interval(then))
                rows.append(
                    {
                        "mode": mode, "feedback": feedback, "eps": eps, "bound": bound, "trials": trials,
                        "steps": reach(steps, from_softmax.mean(axis=1), eps),
                        "steps_to_limit": reach(steps, from_limit.mean(axis=1), eps),
                        "tv": float(then.mean()), "low": low, "high": high, "limit_tv": limit_tv,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(STEPS))


def reach(timesteps: ArrayLike, error: ArrayLike, eps: float) -> float:
    """T from which an error (windows,) stays at eps or below, interpolated in the logarithms; NaN if it does not.

    If it is so small in the shortest window, that window.
    """
    steps, values = np.asarray(timesteps, dtype=float), np.asarray(error, dtype=float)
    above = np.flatnonzero(values > eps)
    if above.size == 0:
        return float(steps[0])
    last = int(above[-1])
    if last == len(values) - 1:
        return np.nan
    start, end = np.log(values[last]), np.log(max(values[last + 1], 1e-300))
    part = (start - np.log(eps)) / (start - end)
    return float(np.exp(np.log(steps[last]) + part * np.log(steps[last + 1] / steps[last])))
