"""Whether the circuit normalises, which shares cannot tell, and Lemma 3's floor as a curve of its free weight.

Shares N_i/N divide by the row's own count: neurons without any inhibition have them right. What a normalising circuit
has and they have not is a rate of the row that does not depend on the row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.packing import Plan
from biospike.simulation import plan
from biospike.tables import by_blocks, trial_means
from circuits.softmax import Subtractive

from brian2.units.fundamentalunits import Quantity

MOST_ROWS, TRIALS = 8, 8
"""Rows, spread evenly over those of the study, that are run with shifted and with scaled logits, and trials of each."""
MOST_FLOOR_ROWS, FLOOR_TRIALS = 72, 8
"""Rows and trials of a point of the floor curve."""
LOWERED = 1.0
"""Nats by which the logits are lowered against the reference of the drive. Raising them would saturate keys."""
SCALED = 0.5
"""Factor of the logits: they fall to a half, so that rows become flatter."""
WEIGHTS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Inhibition of Lemma 3 in thresholds, which is free in the sources."""
FEEDBACKS = ("mean", "sum")

NORMALISATION = {
    "tv_fixed": "1/2 sum abs(N_i/c - p_i), c one constant for all rows, the mean count of a row in this window; mean "
    "over rows and trials. The error of rates that no read-out divides by the row's count",
    "rate_spread": "coefficient of variation, over rows, of the row's rate in the second half of the longest window, "
    "less in quadrature what the scatter over trials leaves in it; 0 if the circuit holds it",
    "rate_shift": f"nats by which the row's rate falls when all logits fall by {LOWERED:g} nat against the reference "
    "of the drive, over that nat; 0 if the circuit holds it, 1 if nothing does",
    "rate_scale": f"nats by which the row's rate rises when the logits are scaled by {SCALED:g}; 0 if the circuit "
    "holds it",
}
"""Columns of ``summary.csv`` that say how well the circuit normalises; the rates are one number a circuit."""
FLOOR_CURVE = {
    "feedback": "inhibition by the mean or by the sum of the row's spikes",
    "w": "inhibition, thresholds",
    "tv_law": "mean TV from softmax of the fixed point, closed form",
    "tv, tv_low, tv_high": "simulated, mean over rows and trials, 95 % Student interval over trials",
    "spikes_per_row": "in the window",
}
"""Columns of ``floor_curve.csv``."""


def late_window(marks: NDArray[np.float64]) -> int:
    """Index of the checkpoint nearest to half of the last one: rates are read after it, past the onset."""
    return int(np.argmin(np.abs(marks[:-1] - marks[-1] / 2)))


def chosen_rows(rows: int, most: int = MOST_ROWS) -> NDArray[np.int64]:
    """Numbers of at most so many rows, spread evenly over all of them."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(int))


def perturbed(circuit: Circuit, logits: NDArray[np.float64], windows: Quantity, seed: int) -> Plan | None:
    """Plan of the chosen rows, first with their logits lowered, then scaled; None if the circuit refuses them."""
    some = logits[chosen_rows(len(logits))]
    late = windows[[late_window(np.asarray(windows)), -1]]
    try:
        both = plan(
            circuit, np.concatenate([some, SCALED * some]), duration=windows[-1], trials=TRIALS, seed=seed,
            checkpoints=late,
        )  # fmt: skip
    except InputError:
        return None
    return attrs.evolve(both, shift=np.repeat([-LOWERED, 0.0], len(some)))


def late_spikes(again: xr.Dataset | None, rows: int) -> dict[str, tuple[str, NDArray[np.float64]]]:
    """Variables that a result of `perturbed` adds to that of the study's own rows; NaN where there is none.

    Output spikes of the chosen rows in the second half of the longest window, mean over trials.
    """
    chosen = chosen_rows(rows)
    lowered = scaled = np.full(len(chosen), np.nan)
    if again is not None:
        counts = again["spike_count"].transpose("checkpoint", "trial", "row", "key").values
        lowered, scaled = np.split((counts[-1] - counts[0]).sum(axis=-1).mean(axis=0), 2)
    return {"late_spikes_lowered": ("row_again", lowered), "late_spikes_scaled": ("row_again", scaled)}


def normalisation(data: xr.Dataset) -> dict[str, Any]:
    """Columns `NORMALISATION` of the windows of a circuit, from its result with `late_spikes`.

    Returns
    -------
    dict
        ``tv_fixed`` (checkpoints,), the others one number; NaN where a row is silent or there is but one.
    """
    counts = data["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    p = softmax(data["logits"].values)
    at = late_window(data["timesteps"].values.astype(float))
    by_trial = (counts[-1] - counts[at]).sum(axis=-1)  # (trial, row)
    late = by_trial.mean(axis=0)
    before = late[chosen_rows(len(late))]
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.log(before / data["late_spikes_lowered"].values) / LOWERED
        rise = np.log(data["late_spikes_scaled"].values / before)
    return {
        "tv_fixed": np.array([_over_one_constant(one, p) for one in counts]),
        "rate_spread": _spread(by_trial),
        "rate_shift": float(fall.mean()) if np.isfinite(fall).all() else np.nan,
        "rate_scale": float(rise.mean()) if np.isfinite(rise).all() else np.nan,
    }


def _spread(spikes: NDArray[np.int64]) -> float:
    """Coefficient of variation over rows of spikes (trial, row), without the scatter over trials if there are some."""
    trials, rows = spikes.shape
    if rows < 2 or not spikes.any():
        return np.nan
    variance = spikes.mean(axis=0).var(ddof=1)
    if trials > 1:
        variance -= spikes.var(axis=0, ddof=1).mean() / trials
    return float(np.sqrt(max(variance, 0.0)) / spikes.mean())


def _over_one_constant(counts: NDArray[np.int32], p: NDArray[np.float64]) -> float:
    """Error of the rates of one window, counts (trial, row, key), over the mean count of a row."""
    constant = counts.sum(axis=-1, dtype=float).mean()
    if constant == 0:
        return np.nan
    found = by_blocks(
        counts[None], lambda some, rows: {"error": np.abs(some / constant - p[rows]).sum(axis=-1) / 2}
    )  # fmt: skip
    return float(found["error"].mean())


def floor_plans(logits: NDArray[np.float64], duration: Quantity, seed: int) -> list[Plan]:
    """Of Lemma 3 at every weight and feedback of the curve, on at most `MOST_FLOOR_ROWS` rows."""
    rows = chosen_rows(len(logits), MOST_FLOOR_ROWS)
    return [
        plan(Subtractive(w=w, feedback=feedback), logits[rows], duration=duration, trials=FLOOR_TRIALS, seed=seed,
             checkpoints=1)
        for feedback in FEEDBACKS for w in WEIGHTS
    ]  # fmt: skip


def floor_curve(results: Iterable[xr.Dataset]) -> pd.DataFrame:
    """Columns `FLOOR_CURVE`, from the results of `floor_plans` in their order."""
    rows = []
    for (feedback, w), data in zip([(f, w) for f in FEEDBACKS for w in WEIGHTS], results, strict=True):
        p = softmax(data["logits"].values)
        counts = data["spike_count"].isel(checkpoint=-1).transpose("trial", "row", "key").values
        tv = trial_means(metrics.total_variation(metrics.shares(counts), p))
        low, high = map(float, metrics.t_interval(tv))
        rows.append({
            "feedback": feedback, "w": w, "tv_law": float(metrics.total_variation(data["limit"].values, p).mean()),
            "tv": tv.mean(), "tv_low": low, "tv_high": high, "spikes_per_row": counts.sum(axis=-1).mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)
