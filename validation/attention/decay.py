"""The Lyapunov function of the sources in time: V(r) = sum_i (r_i - p_i)^2 of rows whose inhibition is subtracted.

A digest of the paper has V decay exponentially and does not say what the rates r are while neurons spike. Two readings:
the shares of all spikes since the attention neurons were let go, and the shares in the time since the window before,
pooled over trials, which are the rates at that time. Both are held against a decay to a floor, exponential and as a
power of time, under a drive that is constant, as fitted logits give it and scores of ever longer stages do, and under
that of streaming scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike import metrics, simulate
from biospike.errors import InputError
from biospike.theory.lyapunov import Decay, V, fit_rate, jackknife_half, sampling_floor
from circuits.presentation import present

import brian2 as b2

if TYPE_CHECKING:
    from validation.attention.study import Study

Array = NDArray[np.float64]

DECAY = {
    "drive": "fitted: constant, of the fitted logits; scores: of the streaming score membranes",
    "timesteps": "since the attention neurons were let go",
    "trials": "presentations",
    "V": "mean over rows and trials of V of the shares of all spikes so far",
    "low": "lower end of its 95 % interval, Student's t over trials",
    "high": "upper end",
    "V_rate": "mean over rows of V of the shares since the row of the table before, pooled over trials",
    "sampling": "V that as many independent spikes would leave of V_rate",
    "V_limit": "mean over rows of V of the limit of the circuit, its fixed point at the mean drive",
}
FITS = {
    "drive": "as in decay.csv",
    "reading": "V or V_rate",
    "law": "exponential: floor + a*exp(-rate*t); power: floor + a*t^-rate; t in timesteps",
    "rate": "by least squares of ln V",
    "low": "lower end of its 95 % interval, the wider of scatter about the fit and jackknife over trials",
    "high": "upper end",
    "amplitude": "a, fitted",
    "floor": "fitted, at least 0",
    "r_squared": "of ln V",
    "better": "R squared less that of the other law",
    "better_low": "lower end of its 95 % interval, jackknife over trials; empty for a single trial",
    "better_high": "upper end",
}
LAWS = ("exponential", "power")
POINTS = 12
"""As many as a block has windows by default, so that one binary serves both."""
LONGEST = 2000
"""Timesteps after which nothing is recorded: the rates have long settled."""
FEWEST = 5
"""Points that a fit needs."""


def windows_of(steps: int) -> NDArray[np.int64]:
    """Timesteps at which V is read, spaced evenly in the logarithm."""
    return np.unique(np.rint(np.geomspace(1, min(steps, LONGEST), POINTS))).astype(np.int64)


@attrs.frozen(eq=False)
class Curve:
    """Cumulative spikes of rows under one drive.

    Attributes
    ----------
    drive : str
    timesteps : ndarray (points,)
    counts : ndarray (trial, row, key, points)
    p, limit : ndarray (row, key)
        Softmax, and the limit of the circuit.
    """

    drive: str
    timesteps: NDArray[np.int64]
    counts: Array
    p: Array
    limit: Array

    @property
    def V(self) -> Array:  # noqa: N802  (the paper's symbol)
        """Of all spikes so far, mean over rows, (trial, points); NaN where a row of the trial has not spiked."""
        return V(metrics.shares(np.moveaxis(self.counts, -1, 1)), self.p).mean(axis=-1)

    @property
    def pooled(self) -> tuple[Array, Array]:
        """V of the spikes between two points of all trials, and what sampling leaves; means over rows, (points,)."""
        spikes = np.diff(np.moveaxis(self.counts, -1, 0).sum(axis=1), axis=0, prepend=0)
        floor = sampling_floor(self.p, spikes.sum(axis=-1))
        return V(metrics.shares(spikes), self.p).mean(axis=-1), floor.mean(axis=-1)


def curves(study: Study) -> Iterator[Curve]:
    """Simulate the rows of a study from the moment when its attention neurons are let go."""
    config, x, mask = study.config, study.tokens.X, study.tokens.key_mask
    some = next(iter(study.blocks.values()))
    windows = windows_of(int(next(iter(study.plans.values())).marks[-1]))
    ordinary = some.ordinary(x, mask)
    p = ordinary["attention"].values.reshape(-1, ordinary.sizes["key"])
    logits = some.limit(x, mask)["logits"].values.reshape(p.shape)
    times = windows * float(some.dt) * b2.second
    options: dict[str, Any] = {"trials": config.trials, "seed": config.seed, "target": config.target}
    options |= {"progress": not config.quiet, "duration": times[-1]}
    alone = simulate(some.softmax, logits, checkpoints=times, **options)["spike_count"]
    alone = alone.transpose("trial", "row", "key", "checkpoint")
    yield Curve("fitted", windows, alone.values.astype(float), p, some.softmax.limit(logits))
    if "streaming" in study.blocks:
        block = attrs.evolve(study.blocks["streaming"], settle=0)
        data = present(block, x, windows=times, key_mask=mask, **options)
        counts = data["attention_count"].transpose("trial", "sample", "head", "query", "key", "checkpoint").values
        limit = block.limit(x, mask)["attention"].values.reshape(p.shape)
        shape = (len(counts), *p.shape, len(windows))
        yield Curve("scores", windows, counts.astype(float).reshape(shape), p, limit)


def tabulate(found: list[Curve]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables ``decay.csv`` and ``decay_fit.csv``."""
    rows, fits = [], []
    for curve in found:
        every, (rate, sampling) = curve.V, curve.pooled
        limit = float(V(curve.limit, curve.p).mean())
        for k, steps in enumerate(curve.timesteps):
            values = (
                curve.drive,
                int(steps),
                len(every),
                every[:, k].mean(),
                *map(float, metrics.t_interval(every[:, k])),
                rate[k],
                sampling[k],
                limit,
            )
            rows.append(dict(zip(DECAY, values, strict=True)))
        for reading, values_of in (("V", every), ("V_rate", rate[None])):
            by_law = {law: fit(curve.timesteps, values_of, law) for law in LAWS}
            for law, other in zip(LAWS, reversed(LAWS), strict=True):
                names: dict[str, Any] = {"drive": curve.drive, "reading": reading, "law": law}
                fits.append(names | _columns(by_law[law]) | _better(by_law[law], by_law[other]))
    return pd.DataFrame(rows, columns=list(DECAY)), pd.DataFrame(fits, columns=list(FITS))


def fit(timesteps: NDArray[np.int64], values: Array, law: str) -> Decay | None:
    """Fit a decay of V (trials, points) to a floor; None if there is none.

    Points at which a row of some trial has not spiked are left out. A power of time is an exponential of its logarithm.
    """
    known = np.isfinite(values).all(axis=0) & (values.mean(axis=0) > 0)
    times = timesteps[known].astype(float)
    if known.sum() < FEWEST:
        return None
    try:
        return fit_rate(np.log(times) if law == "power" else times, values[:, known])
    except InputError:
        return None


def _columns(found: Decay | None) -> dict[str, float]:
    """Columns of one law; empty without a fit."""
    if found is None:
        return {}
    return {
        "rate": found.rate,
        "low": found.rate_low,
        "high": found.rate_high,
        "amplitude": found.amplitude,
        "floor": found.floor,
        "r_squared": found.r_squared,
    }


def _better(one: Decay | None, other: Decay | None) -> dict[str, float]:
    """How much better one law fits than the other, with its interval; empty without both."""
    if one is None or other is None:
        return {}
    more = one.r_squared - other.r_squared
    if not one.r_squared_without:
        return {"better": more}
    half = jackknife_half(np.subtract(one.r_squared_without, other.r_squared_without))
    return {"better": more, "better_low": more - half, "better_high": more + half}
