"""Numbers from spike counts: shares, distances with their intervals, regularity, order of convergence.

Plain NumPy. Keys are the last axis; masked keys have count 0 and ideal share 0. A silent row has no shares: NaN, never
uniform.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, rel_entr

from biospike.arrays import bool_array, float_array
from biospike.distributions import student_quantile
from biospike.errors import InputError

Array = NDArray[np.float64]


def shares(counts: ArrayLike) -> Array:
    """Share of each key in the spikes of its row, ``N_i / N``: `smoothed_shares` of `counts` without smoothing."""
    return smoothed_shares(counts, smoothing=0.0)


def smoothed_shares(counts: ArrayLike, unmasked: ArrayLike | None = None, smoothing: float = 0.5) -> Array:
    """Shares with a fraction of a spike added to every unmasked key, ``(N_i + s) / (N + s keys)``.

    For the KL divergence, which is infinite as soon as one key has not fired. s = 1/2 is the estimate of Krichevsky and
    Trofimov (IEEE Trans. Inf. Theory 27, 199, 1981), the mean under Jeffreys' prior.

    Parameters
    ----------
    counts
        Spikes (..., keys).
    unmasked
        True where a key takes part, broadcast against `counts`; all keys by default.
    smoothing
        Spikes s added to each unmasked key, at least 0.

    Returns
    -------
    array (..., keys)
        Shares that sum to one; 0 at masked keys; NaN where the row is silent, whatever the smoothing.

    Raises
    ------
    InputError
        If a count is negative or NaN, as that of a masked entry, the smoothing is negative, or a masked key has fired.
    """
    spikes = float_array(counts, "spike counts")
    part = True if unmasked is None else bool_array(unmasked, "unmasked", "True is a key that takes part")
    takes_part = np.broadcast_to(part, spikes.shape)
    if not (spikes >= 0).all():
        raise InputError(f"spike counts must be at least 0, got {spikes[~(spikes >= 0)][0]:g}")
    if not smoothing >= 0:
        raise InputError(f"smoothing must be at least 0 spikes, got {smoothing}")
    if (spikes[~takes_part] > 0).any():
        raise InputError(f"a masked key has {spikes[~takes_part].max():g} spikes, expected 0")
    fired = spikes.sum(axis=-1, keepdims=True) > 0
    smoothed = np.where(fired, spikes + smoothing * takes_part, np.nan)
    return np.asarray(smoothed / smoothed.sum(axis=-1, keepdims=True))


def total_variation(a: ArrayLike, b: ArrayLike) -> Array:
    """Total variation ``1/2 sum_i abs(a_i - b_i)`` of shares (..., keys), between 0 and 1.

    NaN where either row is NaN, which is how `shares` marks a silent row.
    """
    return np.asarray(np.abs(float_array(a, "shares") - float_array(b, "shares")).sum(axis=-1) / 2)


def kl_divergence(p: ArrayLike, q: ArrayLike) -> Array:
    """Kullback-Leibler divergence ``KL(p || q) = sum_i p_i ln(p_i / q_i)`` over the last axis, in nats.

    Parameters
    ----------
    p
        Ideal shares (..., keys). Keys with p = 0 contribute nothing.
    q
        Estimated shares, broadcast against p: pass `smoothed_shares`, since a key with p > 0 and q = 0 makes the
        divergence infinite. Smoothing shrinks towards the uniform row by about ``s keys / N``.

    Returns
    -------
    array (...)
        Infinite where q misses a key, NaN where either row is NaN.
    """
    return np.asarray(rel_entr(float_array(p, "shares"), float_array(q, "shares")).sum(axis=-1))


def t_interval(samples: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
    """Interval of the expectation of the mean over the last axis, by Student's t.

    What it holds is the expectation over trials of a mean over *these* rows, not over other rows. Its 95 % interval of
    the TV of rows of 14 keys and more holds it in 94 to 95 % of cases at 2 to 64 trials, multinomial or regular; that
    of one row of fewer than four keys in 54 to 99 %, so that no level can be named there.

    Parameters
    ----------
    samples
        Array (..., samples), exchangeable along the last axis: trials, not rows, whose logits differ.
    confidence
        Level of the interval, between 0 and 1.

    Returns
    -------
    low, high : arrays (...)
        NaN for fewer than two samples, and where a sample is NaN.

    Raises
    ------
    InputError
        If `confidence` is not between 0 and 1.
    """
    values = np.atleast_1d(float_array(samples, "samples"))
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, got {confidence}")
    number = values.shape[-1]
    if number < 2:
        nothing = np.full(values.shape[:-1], np.nan)
        return nothing, nothing.copy()
    mean, error = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(number)
    half = student_quantile(number - 1, confidence) * error
    return np.asarray(mean - half), np.asarray(mean + half)


def interval_cv(
    gap_sum: ArrayLike,
    gap_square_sum: ArrayLike,
    gap_count: ArrayLike,
    *,
    pool: int | tuple[int, ...] = 0,
    over: int | tuple[int, ...] = -1,
    minimum_gaps: float = 5.0,
) -> Array:
    """Coefficient of variation of the intervals between the spikes of a key, counted in the spikes of its row.

    Counting in row spikes removes what all keys share, such as inhibition that waxes and wanes. In a Poisson code the
    gaps of a key of share p are then geometric, with mean 1/p and variance (1 - p)/p^2. The CV of every key is
    therefore divided by sqrt(1 - p), p being 1 / mean gap, and averaged with the weight sqrt(p (1 - p)) with which the
    key enters the law of the total variation, `biospike.theory.concentration.renewal_tv`. A Poisson code reads 1.

    Gaps are whole numbers, so regular codes read high: Gamma(k) thresholds with k = 4, 16, inf read 0.54, 0.33, 0.18
    instead of 0.5, 0.25, 0 (14 keys, logits of standard deviation 2). Two kinds of key carry no weight:

    * keys above p = 1/2, whose gaps are nearly all 1 or 2: even a perfectly regular one reads sqrt(2 p - 1);
    * keys with few gaps a train, where long gaps are cut off by the end of the window: a Poisson code of 100 spikes on
      14 keys reads 0.90 when they count.

    Parameters
    ----------
    gap_sum, gap_square_sum, gap_count
        Sum, sum of squares and number of the gaps of each spike train; any leading axes, such as (trial, row, key).
    pool
        Axes whose sums are added first: trials.
    over
        Axes averaged over, of the pooled array: -1 gives one value a row, (-2, -1) one value for all rows.
    minimum_gaps
        A key counts if its trains have at least this many gaps on average; in all it needs at least 2.

    Returns
    -------
    array
        NaN where no key qualifies.
    """
    if not np.shape(gap_sum) == np.shape(gap_square_sum) == np.shape(gap_count):
        raise InputError(f"gap sums differ in shape: {[np.shape(a) for a in (gap_sum, gap_square_sum, gap_count)]}")
    total, square, count = (float_array(a, "gap sums").sum(axis=pool) for a in (gap_sum, gap_square_sum, gap_count))
    trains = np.size(gap_count) / max(count.size, 1)

    enough = (count >= 2) & (count >= minimum_gaps * trains)
    mean = np.where(enough, total, 2.0) / np.where(enough, count, 1.0)
    variance = np.maximum(square - count * mean**2, 0.0) / np.where(enough, count - 1, 1.0)
    weight = np.where(enough & (mean >= 2), np.sqrt(np.maximum(mean - 1, 0.0)) / mean, 0.0)  # sqrt(p (1 - p))
    cv = np.sqrt(variance / np.maximum(mean * (mean - 1), 1.0))  # variance p^2 / (1 - p)
    weights = weight.sum(axis=over)
    return np.asarray((weight * cv).sum(axis=over) / np.where(weights > 0, weights, np.nan))


@attrs.frozen
class OrderFit:
    """How the total variation of a circuit falls with the spikes of a row, with 95 % intervals; see `fit_order`."""

    order: float
    order_low: float
    order_high: float
    r_squared: float
    floor_tv: float
    floor_low: float
    floor_high: float


def fit_order(spikes: ArrayLike, tv_trials: ArrayLike, *, minimum_spikes: float = 30.0) -> OrderFit:
    """Fit order and floor of the total variation, ``tv ~ N^order`` and tv for an infinite window.

    All fits are weighted least squares of the mean over trials. The order is the slope of log(tv) on log(N). The floor
    is fitted in two forms: ``tv^2 = floor^2 + c/N``, since bias and zero-mean sampling noise add in the mean square,
    and ``tv = floor + c/N``, since the leftover charges of a deterministic code shift each share by a fixed sign.

    `floor_tv` is of the first form, whose floor is the smaller, unless that makes up at least half of the tv at the
    last checkpoint and the second leaves the smaller residual. Its interval misses the error of the form: 3 % high
    where the floor of a stochastic circuit is 0.95 of the last tv, 20 % where it is 0.6; up to 8 % low for integrators
    that start empty. Whether there is a floor, and which law an order is of, is not told from these fits: see
    `biospike.verdicts`.

    An interval is the wider of two: the spread over trials (jackknife, t quantile), which is right for the checkpoints
    of a run, correlated because counts add up; and the scatter about the fit, for deterministic circuits. The second
    alone, as for a single trial of a stochastic circuit, is too narrow: it covers about 70 %.

    Parameters
    ----------
    spikes
        Mean output spikes of a row at each checkpoint (checkpoints,), not decreasing.
    tv_trials
        Total variation (trials, checkpoints), averaged over rows.
    minimum_spikes
        Checkpoints with fewer spikes are left out: there the law is not yet asymptotic. So are those whose tv is 0 up
        to rounding, or NaN in any trial.

    Raises
    ------
    InputError
        If the shapes do not match, the spikes decrease, or fewer than 3 different spike counts are left.
    """
    spikes, trials = float_array(spikes, "spikes"), float_array(tv_trials, "tv_trials")
    if spikes.ndim != 1 or trials.ndim != 2 or trials.shape[1] != spikes.size or not trials.size:
        raise InputError(f"expected (checkpoints,) and (trials, checkpoints), got {spikes.shape} and {trials.shape}")
    if (np.diff(spikes) < 0).any():
        raise InputError(f"spikes must not decrease from checkpoint to checkpoint, got {spikes.tolist()}")
    # Means without one trial, the replicates of the jackknife; with a single trial the mean itself.
    count = len(trials)
    without_one = (trials.sum(axis=0) - trials) / (count - 1) if count > 1 else trials
    usable = (spikes >= minimum_spikes) & (without_one > 1e-12).all(axis=0)
    if np.unique(spikes[usable]).size < 3:
        raise InputError(
            f"an order needs 3 checkpoints with at least {minimum_spikes:g} spikes a row and tv above 0, "
            f"got {np.unique(spikes[usable]).size} (spikes {spikes.tolist()})"
        )
    n, tv, without_one = spikes[usable], trials[:, usable].mean(axis=0), without_one[:, usable]

    # Relative standard error. No checkpoint is trusted more than the typical one, since with few trials a small error
    # is luck, and none more than 1 %, to which the laws themselves hold.
    error = np.sqrt((count - 1) * without_one.var(axis=0)) / tv
    error = np.maximum(error, max(float(np.median(error)), 0.01))

    line, _, r_squared = _fit_line(np.log(n), np.log(tv), error, np.log(without_one))
    power_law = np.exp(line[0, 0] + line[1, 0] * np.log(n))  # smooth, so that a dip in tv gains no weight
    squared, squared_residual, _ = _fit_line(1 / n, tv**2, 2 * error * power_law**2, without_one**2)
    added, added_residual, _ = _fit_line(1 / n, tv, error * power_law, without_one)

    floor = np.sqrt(np.maximum(squared[0], 0.0))
    has_floor = floor[1] > 0 and floor[0] >= tv[-1] / 2
    if added_residual < squared_residual:
        # Without a floor the added form still finds one while keys have yet to spike: only its upper bound holds.
        floor = np.maximum(added[0], 0.0) if has_floor else np.maximum(floor, [0.0, 0.0, added[0, 2]])
    order, order_low, order_high = line[1].tolist()
    floor_tv, floor_low, floor_high = floor.tolist()
    return OrderFit(order, order_low, order_high, r_squared, floor_tv, floor_low, floor_high)


def _fit_line(x: Array, y: Array, error: Array, replicates: Array) -> tuple[Array, float, float]:
    """Weighted line through y (points,), with jackknife replicates of y (trials, points).

    Returns ((intercept, low, high), (slope, low, high)), the weighted sum of squares of the residuals, and R squared.
    """
    trials, points = replicates.shape
    inverse = np.linalg.pinv(np.stack([np.ones(points), x], axis=1) / error[:, np.newaxis])
    estimator = inverse / error
    estimate = estimator @ y
    residual = float((((y - estimate[0] - estimate[1] * x) / error) ** 2).sum())
    half = student_quantile(points - 2) * np.sqrt(residual / (points - 2) * (inverse**2).sum(axis=1))
    if trials > 1:
        spread = np.sqrt((trials - 1) * (replicates @ estimator.T).var(axis=0))
        half = np.maximum(half, student_quantile(trials - 1) * spread)
    total = float((((y - np.average(y, weights=error**-2)) / error) ** 2).sum())
    return (
        np.stack([estimate, estimate - half, estimate + half], axis=1),
        residual,
        1 - residual / total if total > 0 else np.nan,
    )


def mean_of_known(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Mean of the values that are not NaN; NaN where there are none, as for a silent row."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis))


def pooled_floor(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """TV that sampling alone leaves in shares pooled over trials, from their measured scatter.

    Parameters
    ----------
    shares : ndarray (checkpoint, trial, row, key)

    Returns
    -------
    ndarray (checkpoint, row)
        ``1/2 sum_i sqrt(2/(pi*R)) sd_i`` as for normal means, sd_i over the R trials, corrected for the bias of a
        standard deviation of few samples; NaN for a single trial.
    """
    known = np.isfinite(shares).all(axis=-1, keepdims=True)
    trials = known.sum(axis=1).astype(float)
    filled = np.where(known, shares, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=1) / trials
        variance = (np.where(known, filled - mean[:, None], 0.0) ** 2).sum(axis=1) / (trials - 1)
        unbiased = np.sqrt(2 / (trials - 1)) * np.exp(gammaln(trials / 2) - gammaln((trials - 1) / 2))
        sd = np.sqrt(variance) / unbiased
        return np.asarray((np.sqrt(2 / (np.pi * trials)) * sd).sum(axis=-1) / 2)
