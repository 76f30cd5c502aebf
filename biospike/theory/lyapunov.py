"""The Lyapunov function of Lemma 3, and the rate at which it decays.

Lemma 3 of D. Guo, J. Wu, S. M. Yiu, *Closing the Theory-Practice Gap in Spiking Transformers via Effective Dimension*,
arXiv:2604.15769 (2026): lateral inhibition drives the rates r of a row to its softmax p, shown by
``V(r) = sum_i (r_i - p_i)^2``, which is to fall exponentially. Measured from spike counts V cannot reach 0: multinomial
shares of N spikes leave ``V = (1 - sum p^2)/N`` on average, and a biased circuit its squared bias. The fit therefore
has a floor.
"""

from __future__ import annotations

import attrs
import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from biospike.errors import InputError

Array = NDArray[np.float64]


def V(r: ArrayLike, p: ArrayLike) -> Array:  # noqa: N802  (the paper's symbol)
    """Lyapunov function ``sum_i (r_i - p_i)^2`` over the last axis; NaN for a silent row.

    Zero only at r = p, and at most 2 for shares.

    Parameters
    ----------
    r, p : array (..., keys)
        Measured shares and softmax, which broadcast against each other.
    """
    return np.asarray(((np.asarray(r, dtype=float) - np.asarray(p, dtype=float)) ** 2).sum(axis=-1))


def sampling_floor(p: ArrayLike, spikes: ArrayLike) -> Array:
    """Mean V that N independent spikes leave, ``(1 - sum_i p_i^2) / N``: the sum of multinomial variances, exact.

    Parameters
    ----------
    p : array (..., keys)
    spikes : array (...)
        N; NaN comes out where it is 0.
    """
    shares, n = np.asarray(p, dtype=float), np.asarray(spikes, dtype=float)
    return np.asarray((1 - (shares**2).sum(axis=-1)) / np.where(n == 0, np.nan, n))


@attrs.frozen
class Decay:
    """Fit of ``V = floor + amplitude * exp(-rate * time)``; see `fit_rate`.

    `r_squared_without` are those without one trial each, for a jackknife; empty for one trial.
    """

    rate: float
    rate_low: float
    rate_high: float
    amplitude: float
    floor: float
    r_squared: float
    r_squared_without: tuple[float, ...] = ()


def fit_rate(time: ArrayLike, values: ArrayLike) -> Decay:
    """Fit an exponential decay to a floor, by least squares of ln V.

    The logarithm weighs every decade alike. The interval (95 %, t quantile) is the wider of the scatter about the fit
    and, for at least two trials, the jackknife over trials; the former alone is too narrow where successive values are
    correlated, as those of cumulative counts are.

    Parameters
    ----------
    time
        Times (points,), increasing. The rate is in their inverse unit.
    values
        V (points,) or (trials, points), above 0. Trials are averaged before the logarithm.

    Returns
    -------
    Decay
        `r_squared` is that of ln V. A curve that falls as a power, like the sampling floor 1/N, is fitted badly: see
        `r_squared`.

    Raises
    ------
    InputError
        If shapes do not match, times do not increase, there are fewer than 5 points, or a value is not above 0.
    """
    times, trials = np.asarray(time, dtype=float), np.atleast_2d(np.asarray(values, dtype=float))
    if times.ndim != 1 or trials.ndim != 2 or trials.shape[1] != times.size:
        raise InputError(f"expected (points,) and (trials, points), got {times.shape} and {trials.shape}")
    if times.size < 5 or not (np.diff(times) > 0).all():
        raise InputError(f"a decay needs at least 5 increasing times, got {times.tolist()}")
    mean = trials.mean(axis=0)
    if not (mean > 0).all() or not np.isfinite(mean).all():
        raise InputError(f"V must be above 0 and finite, got {mean[~((mean > 0) & np.isfinite(mean))][0]}")
    best, error, r_squared = _fit(times, mean)
    half = float(scipy.stats.t.ppf(0.975, times.size - 3) * error)
    count = len(trials)
    squared: tuple[float, ...] = ()
    if count > 1:
        without_one = (trials.sum(axis=0) - trials) / (count - 1)
        fits = [_fit(times, left, start=best) for left in without_one]
        squared = tuple(fit[2] for fit in fits)
        half = max(half, jackknife_half([fit[0][1] for fit in fits]))
    amplitude, rate, floor = best
    return Decay(rate, rate - half, rate + half, amplitude, floor, r_squared, squared)


def jackknife_half(without_one: ArrayLike) -> float:
    """Half of a 95 % interval (Student's t) of an estimate, from those without one trial each; at least two trials."""
    values = np.asarray(without_one, dtype=float)
    freedom = len(values) - 1
    return float(scipy.stats.t.ppf(0.975, freedom) * np.sqrt(freedom * np.var(values)))


Parameters = tuple[float, float, float]


def _fit(times: Array, values: Array, start: Parameters | None = None) -> tuple[Parameters, float, float]:
    """Amplitude, rate and floor, the standard error of the rate, and R squared of ln V."""
    # In units of the largest value and of the span of the times.
    scale, origin, span = values.max(), times[0], times[-1] - times[0]
    y, x = np.log(values / scale), (times - origin) / span
    low = values.min() / scale

    def residuals(theta: Array) -> Array:
        return np.asarray(np.log(np.exp(theta[0] - theta[1] * x) + theta[2]) - y)

    def jacobian(theta: Array) -> Array:
        decay = np.exp(theta[0] - theta[1] * x)
        return np.stack([decay, -x * decay, np.ones_like(x)], axis=1) / (decay + theta[2])[:, np.newaxis]

    if start is None:
        # From several rates, since a curve with a floor has shallow local minima.
        starts = [[y[0], rate, part * low] for rate in (1.0, 5.0, 25.0, 100.0) for part in (1e-3, 0.7)]
    else:
        amplitude, rate, floor = start
        starts = [[np.log(amplitude / scale) - rate * origin, rate * span, floor / scale]]
    bounds = ([-50.0, -50.0, 0.0], [50.0, 500.0, 1.0])
    best = min(
        (least_squares(residuals, np.clip(s, *bounds), jacobian, bounds, x_scale=[1.0, 1.0, low]) for s in starts),
        key=lambda fit: fit.cost,
    )
    theta = best.x
    free = [0, 1, 2] if theta[2] > 1e-9 * low else [0, 1]  # a floor of nothing is no parameter
    slopes = best.jac[:, free]
    variance = 2 * best.cost / (times.size - len(free))
    error = float(np.sqrt(max(variance * np.linalg.pinv(slopes.T @ slopes)[1, 1], 0.0))) / span
    total = float(((y - y.mean()) ** 2).sum())
    found = (
        float(scale * np.exp(theta[0] + theta[1] * origin / span)),
        float(theta[1] / span),
        float(theta[2] * scale),
    )
    return found, error, float(1 - 2 * best.cost / total) if total > 0 else float("nan")
