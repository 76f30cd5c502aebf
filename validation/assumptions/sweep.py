"""What the audit measures: a knob, its values from ideal to realistic, and the bias at each of them."""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.metrics import t_interval

Array = NDArray[np.float64]
Verdict = Literal["breaks", "costs spikes", "does not matter", "unresolved"]

LIMIT = 0.01
"""Bias at which an assumption is said to break what is computed."""
COSTLY = 1.25
"""Spikes for an error of `LIMIT` in units of those at the ideal end, from which a knob is said to cost spikes."""


@attrs.frozen
class Point:
    """One value of a knob.

    Attributes
    ----------
    value
        Of the knob; text for a choice.
    bias, low, high
        Deviation that more trials do not remove, with its 95 % interval over trials.
    predicted
        By a closed form; NaN where there is none.
    scatter
        Sampling error of one trial about the mean of all, in the same metric.
    spikes
        Output spikes of a row in a trial.
    """

    value: float | str
    bias: float
    low: float
    high: float
    predicted: float = math.nan
    scatter: float = math.nan
    spikes: float = math.nan


@attrs.frozen
class Sweep:
    """A knob turned from ideal to realistic on one circuit.

    Attributes
    ----------
    assumption, knob, unit, circuit, metric
        Columns of the table.
    label
        The circuit in a few words, for the legend of a panel.
    points
        In the order from ideal to realistic.
    order
        Sampling error falls as spikes**-order: 1/2, or 1 for regular codes.
    law
        What `predicted` is, in words; empty where nothing is predicted.
    """

    assumption: str
    knob: str
    unit: str
    circuit: str
    metric: str
    label: str
    points: tuple[Point, ...]
    order: float = 0.5
    law: str = ""

    @property
    def exceeds_at(self) -> float | str:
        """Value of the knob at which the bias exceeds `LIMIT`, interpolated; NaN if that is never resolved.

        It lies between the first value at which the whole interval is above `LIMIT` and the last one before it whose
        bias is not; if there is none before, it is the ideal end.
        """
        resolved = [k for k, point in enumerate(self.points) if point.low > LIMIT]
        if not resolved:
            return math.nan
        below = [k for k in range(resolved[0]) if self.points[k].bias <= LIMIT]
        return crossing(self.points[below[-1]], self.points[below[-1] + 1]) if below else self.points[0].value

    @property
    def worst(self) -> Point:
        """Point of the largest bias."""
        return max(self.points, key=lambda point: point.bias)

    @property
    def needed(self) -> Array:
        """Output spikes of a row for a sampling error of `LIMIT`, one for each point."""
        scatter, spikes = (np.array([getattr(point, name) for point in self.points]) for name in ("scatter", "spikes"))
        return np.asarray(spikes * (scatter / LIMIT) ** (1 / self.order))

    @property
    def cost(self) -> float:
        """Largest of the `needed` spikes in units of those at the ideal end; NaN where nothing was counted."""
        needed = self.needed
        known = needed[np.isfinite(needed)]
        return float(known.max() / needed[0]) if known.size and needed[0] > 0 else math.nan

    @property
    def verdict(self) -> Verdict:
        """What the knob does, decided by the intervals: breaks if a lower bound exceeds `LIMIT`."""
        if any(point.low > LIMIT for point in self.points):
            return "breaks"
        if any(point.high > LIMIT for point in self.points):
            return "unresolved"
        return "costs spikes" if self.cost > COSTLY else "does not matter"


def crossing(before: Point, after: Point) -> float | str:
    """Value at which the bias crosses `LIMIT` between two points: linear in the bias.

    In the knob it is logarithmic between positive values, linear next to 0, and linear in the inverse next to infinity.
    A choice has no values in between.
    """
    if isinstance(before.value, str) or isinstance(after.value, str):
        return after.value
    part = (LIMIT - before.bias) / (after.bias - before.bias)
    a, b = before.value, after.value
    if math.isinf(a) or math.isinf(b):
        return 1 / (1 / a + part * (1 / b - 1 / a))
    if min(a, b) <= 0:
        return a + part * (b - a)
    return math.exp(math.log(a) + part * math.log(b / a))


def persistent(deviation: ArrayLike, weight: float = 0.5) -> Array:
    """Size of the part of a deviation that is common to all trials, without the part that is sampling.

    The absolute value of a mean over trials is never 0: sampling alone gives it a floor. Here the sign of each
    component is taken from one half of the trials and its size from the other, so that independent noise adds nothing::

        b_r = weight * sum_i sign(sum_{q in the first half} d_qi) * d_ri,      r in the second half

    Given the signs the b_r are independent, so that Student's t holds for their mean. It is unbiased where there is
    no bias, and where its signs are resolved. In between it is low, per component by at most a fifth of the
    standard error of the mean of half of the trials: max of x*2*Phi(-x) = 0.34, times the chance that x is there.

    Parameters
    ----------
    deviation : array (trials, ..., components)
        Deviations from the target; at least 4 trials.
    weight
        1/2 makes the total variation of shares.

    Returns
    -------
    ndarray (trials in the second half,)
        b_r, averaged over what lies between trials and components.
    """
    d = np.asarray(deviation, dtype=float)
    signs = np.sign(d[::2].sum(axis=0))
    by_row = weight * (signs * d[1::2]).sum(axis=-1)
    return np.asarray(by_row.reshape(len(by_row), -1).mean(axis=1))


def bias_interval(deviation: ArrayLike, weight: float = 0.5) -> tuple[float, float, float]:
    """Bias without its sampling floor, and a 95 % interval that holds it whether or not its signs are resolved.

    The mean over all trials has the size a, of which sampling alone leaves the floor f, that of normal means with the
    measured scatter. They add in quadrature where the bias is spread as the noise is: the bias is sqrt(a^2 - f^2), or
    -sqrt(f^2 - a^2) where a is below its floor. On multinomial counts it is right to a tenth of the floor for biases
    from the floor up, and high by a fifth of it where there is none.

    The lower bound is that of `persistent`, which on average is at most the true size. The upper bound is that of a,
    which on average is at least the true size. Both by Student's t over trials.

    Returns
    -------
    bias, low, high : float
    """
    d = np.asarray(deviation, dtype=float)
    mean = d.mean(axis=0)
    size = float(weight * np.abs(mean).sum(axis=-1).mean())
    floor = float(weight * (np.sqrt(2 / (np.pi * len(d))) * d.std(axis=0, ddof=1)).sum(axis=-1).mean())
    square = size**2 - floor**2
    bias = math.copysign(math.sqrt(abs(square)), square)
    lower = persistent(d, weight)
    pooled = (weight * (np.sign(mean) * d).sum(axis=-1)).reshape(len(d), -1).mean(axis=1)
    return bias, min(float(t_interval(lower)[0]), bias), max(float(t_interval(pooled)[1]), bias)


def share_point(
    value: float | str, shares: ArrayLike, target: ArrayLike, *, predicted: float = math.nan, spikes: float = math.nan
) -> Point:
    """Bias of shares (trials, rows, keys) from `target` (rows, keys), as the total variation, and their scatter.

    Raises
    ------
    InputError
        If a row was silent in a trial, so that it has no shares.
    """
    shares = np.asarray(shares, dtype=float)
    if not np.all(np.isfinite(shares)):
        raise InputError(f"a row was silent at knob value {value}: it has no shares; choose a longer window")
    bias, low, high = bias_interval(shares - np.asarray(target))
    trials = len(shares)
    about = np.abs(shares - shares.mean(axis=0)).sum(axis=-1).mean() / 2
    scatter = float(about * np.sqrt(trials / (trials - 1)))
    return Point(value, bias, low, high, float(predicted), scatter, float(spikes))


def number_point(
    value: float | str, errors: ArrayLike, *, predicted: float = math.nan, spikes: float = math.nan
) -> Point:
    """Bias of numbers from their errors (trials, numbers): mean absolute error that trials share, and their scatter."""
    errors = np.asarray(errors, dtype=float)
    bias, low, high = bias_interval(errors[..., None], weight=1.0)
    scatter = float(np.abs(errors - errors.mean(axis=0)).mean() * np.sqrt(len(errors) / (len(errors) - 1)))
    return Point(value, bias, low, high, float(predicted), scatter, float(spikes))


def to_plain(sweep: Sweep) -> dict[str, Any]:
    """Plain values for JSON."""
    return attrs.asdict(sweep)


def from_plain(plain: dict[str, Any]) -> Sweep:
    """Read what `to_plain` wrote."""
    return Sweep(**(plain | {"points": tuple(Point(**point) for point in plain["points"])}))
