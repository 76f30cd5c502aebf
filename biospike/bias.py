"""Constant bias of a code, told from the scatter of its trials: estimate, test by sign flips, and what would be seen.

A deviation d_ra is a vector: of the shares of row r in trial a from their limit, or of any other read-out. Deviations
of two trials are independent, so that their product has the squared bias as its mean, whatever the scatter:

    B = 2 / (T (T - 1) R) sum_r sum_{a<b} <d_ra, d_rb>

B estimates the mean over rows of sum_i bias_i^2 without bias, and is negative in half of the runs of a code that has
none. Its root is the *rms L2 bias of a row*, never a total variation.
"""

from __future__ import annotations

import functools

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtri

from biospike.distributions import student_quantile

Array = NDArray[np.float64]

LEVEL = 0.025
"""Chance of a bias being found where there is none."""
FEWEST_COUNTS = 5.0
"""Expected spikes, of all trials together, of the least of the bins that a row is pooled into: below, the deviations of
a share are too skew for sign flips."""
FLIPS, EXACT = 1999, 4096
"""Flips that are drawn; and number up to which all are counted instead."""
FEWEST_TRIALS = 7
"""Trials from which whole trials are flipped: 2^6 flips resolve 1/64."""
FEWEST_SIGNS = 6
"""Free signs that a test by rows and trials needs."""
STEPS = 60
"""Of a fixed point that at most halves its distance in a step."""
POWER = 0.95
"""Chance with which the bias that counts as resolvable is found."""


def pool(deviations: Array, p: Array, spikes: Array) -> tuple[Array, NDArray[np.int64]]:
    """Add up the deviations of keys that have too few spikes for sign flips.

    Keys with fewer than `FEWEST_COUNTS` expected spikes in all trials together form one bin; a bin that is still below
    is merged with the smallest key that is kept.

    Parameters
    ----------
    deviations : ndarray (..., row, key)
        Of shares; 0 at masked keys.
    p : ndarray (row, key)
        Shares expected.
    spikes : ndarray (row,)
        Of all trials together.

    Returns
    -------
    pooled : ndarray (..., row, bin)
        The bin first, then the keys that are kept, 0 elsewhere. All 0 in a row of a single bin.
    bins : ndarray (row,)
        Bins of each row.
    """
    expected = spikes[:, None] * p
    small = expected < FEWEST_COUNTS
    # Where what is left over is too little, it takes the smallest of the rest in.
    short = (np.where(small, expected, 0.0).sum(axis=1) > 0) & (
        np.where(small, expected, 0.0).sum(axis=1) < FEWEST_COUNTS
    )
    least = np.argmin(np.where(small, np.inf, expected), axis=1)
    small[np.flatnonzero(short), least[short]] = True
    bins = (~small).sum(axis=1) + (small & (p > 0)).any(axis=1)
    kept = np.where(small, 0.0, deviations)
    left = np.where(small, deviations, 0.0).sum(axis=-1, keepdims=True)
    return np.concatenate([left, kept], axis=-1) * (bins > 1)[:, None], bins


def why_untestable(trials: int, rows: int, independent: bool) -> str:
    """Why flips could not tell a bias of so many rows; empty if they can.

    Whole trials are flipped from `FEWEST_TRIALS` on, which is right whatever rows share; rows of a trial one by one in
    fewer trials, if they are independent.
    """
    flipped = trials >= FEWEST_TRIALS or (independent and trials > 1 and rows * (trials - 1) >= FEWEST_SIGNS)
    return "" if flipped else "few trials"


@attrs.frozen
class Bias:
    """Constant bias of a code; see `measure_bias`.

    Attributes
    ----------
    squared : float
        B, mean over rows of the squared L2 length of the bias; below 0 by chance.
    low, high : float
        95 % interval of its root, by jackknife over trials with Student's t; NaN for fewer than 3 trials.
    resolvable : float
        Root of the B of a constant bias that `POWER` of such runs would have found; NaN where flips are refused, and
        where fewer than 4 trials found one.
    p_value : float
        Chance of a B as large without any bias, by sign flips; NaN where they are refused.
    lasting, fading : float
        Chance, without any bias, of a bias that falls as little, or as much, between the windows as this one: a
        constant one lasts, one of the start fades. NaN where flips are refused.
    error : float
        Root of the mean square of a deviation.
    """

    squared: float
    low: float
    high: float
    resolvable: float
    p_value: float
    lasting: float
    fading: float
    error: float

    @property
    def found(self) -> bool:
        """Whether there is a bias, constant or not."""
        return bool(self.p_value <= LEVEL)


def measure_bias(deviations: Array, earlier: Array | None = None, ratio: float = 4.0, *, independent: bool) -> Bias:
    """Bias of a window, and whether it lasts.

    A constant bias makes ``D = U(N, N) - ratio^-1/2 U(N/ratio, N)`` positive, one that falls as 1/N negative, U being
    the mean product of the deviations of different trials in two windows.

    Parameters
    ----------
    deviations : ndarray (trial, row, entry)
        In the window; those of shares after `pool`.
    earlier : ndarray (trial, row, entry), optional
        The same in the window with `ratio` times fewer spikes; without it nothing is said of what lasts.
    ratio
        About 4.
    independent
        Whether rows of a trial are independent: otherwise whole trials are flipped.

    Returns
    -------
    Bias
    """
    rows = deviations.shape[1]
    here = products(deviations, deviations)
    across = None if earlier is None else products(earlier, deviations)
    return bias_of_products(here, across, ratio, rows, independent=independent)


def products(a: Array, b: Array) -> Array:
    """Products of the deviations (trial, row, entry) of all pairs of trials.

    By row, (row, trial, trial), where rows are flipped one by one; else their sum over rows, (1, trial, trial).
    """
    trials = len(a)
    if trials < FEWEST_TRIALS:
        return np.asarray(a.transpose(1, 0, 2) @ b.transpose(1, 2, 0))
    return np.asarray(a.reshape(trials, -1) @ b.reshape(trials, -1).T)[None]


def bias_of_products(here: Array, across: Array | None, ratio: float, rows: int, *, independent: bool) -> Bias:
    """`measure_bias` of what `products` made of deviations, which may be added up, or joined, over blocks of rows."""
    trials = here.shape[-1]
    whole = here.sum(axis=0)
    pairs = trials * (trials - 1) * rows
    off_diagonal = float(whole.sum() - np.trace(whole))
    squared = off_diagonal / pairs if pairs else np.nan
    low = high = resolvable = p_value = lasting = fading = np.nan
    if trials > 2:
        without = (off_diagonal - 2 * (whole.sum(axis=0) - np.diag(whole))) / ((trials - 1) * (trials - 2) * rows)
        half = student_quantile(trials - 1) * np.sqrt((trials - 1) * without.var())
        low, high = (float(np.sqrt(max(squared + sign * half, 0.0))) for sign in (-1, 1))
    if not why_untestable(trials, rows, independent):
        tested = [here] if across is None else [here, here - (across + across.transpose(0, 2, 1)) / 2 / ratio**0.5]
        flipped = _flip(np.stack(tested))
        p_value = _tail(flipped[0])
        if across is not None:
            lasting, fading = _tail(flipped[1]), _tail(-flipped[1])
        # Of fewer than 4 trials the scatter cannot be told from a bias that is there.
        resolvable = _resolvable(here, rows) if trials > 3 or p_value > LEVEL else np.nan
    error = float(np.sqrt(np.trace(whole) / (trials * rows))) if rows else np.nan
    return Bias(squared, low, high, resolvable, p_value, lasting, fading, error)


def _flip(tested: Array) -> Array:
    """Sums over pairs of trials of products (test, row, trial, trial) under every flip, (test, flip); first no flip.

    The sign of a row's first trial stands, since only products count.
    """
    number, rows, trials, _ = tested.shape
    signs = _signs(trials)
    trace = np.trace(tested, axis1=2, axis2=3)[..., None]
    by_row = (((signs @ tested) * signs).sum(axis=-1) - trace) / 2
    if rows == 1:
        return np.asarray(by_row[:, 0])
    if len(signs) ** rows <= EXACT:
        sums = by_row[:, 0]
        for row in range(1, rows):
            sums = (sums[:, :, None] + by_row[:, row, None]).reshape(number, -1)
        return np.asarray(sums)
    sums, rng = np.zeros((number, FLIPS + 1)), np.random.default_rng(0)
    for row in range(rows):
        chosen = rng.integers(0, len(signs), FLIPS + 1)
        chosen[0] = 0
        sums += by_row[:, row, chosen]
    return sums


@functools.lru_cache
def _signs(trials: int) -> Array:
    """Signs (flip, trial): all of them, or `FLIPS` drawn ones after the first, none."""
    if 2 ** (trials - 1) <= EXACT:
        bits = (np.arange(2 ** (trials - 1))[:, None] >> np.arange(trials - 1)) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, (FLIPS + 1, trials - 1))
        bits[0] = 0
    return np.concatenate([np.ones((len(bits), 1)), 1.0 - 2.0 * bits], axis=1)


def _tail(flipped: Array) -> float:
    """Fraction of flips at least as large as none, up to rounding."""
    rounding = 1e-9 * np.abs(flipped).max()
    return float(1 - (flipped < flipped[0] - rounding).mean())


def _resolvable(by_row: Array, rows: int) -> float:
    """Root of the B of a constant bias that is found in `POWER` of the runs, from the scatter about the bias there is.

    Without a bias B has the variance ``2 v/(T (T - 1) R^2)``, v the mean square of the products of two trials, and is
    distributed as chi squared with (mean square of a deviation)^2/v degrees of freedom. A bias adds ``4 B w/(T R)``,
    w the variance of a deviation along it: that of its directions, weighted with themselves. Flips, against which B is
    held, see the bias as well: their variance grows by ``(2 B^2/F + 4 B w/R)/(T (T - 1))``, F the rows that are flipped
    one by one, or 1.
    """
    whole, trials = by_row.sum(axis=0), by_row.shape[-1]
    apart = ~np.eye(trials, dtype=bool)
    if trials > 3:
        # Products of the deviations from the bias, whose mean square is unbiased (Szekely and Rizzo, Ann. Stat. 42,
        # 2382, 2014, section 3).
        edge = np.where(apart, by_row, 0.0).sum(axis=1)
        centred = by_row - (edge[:, :, None] + edge[:, None]) / (trials - 2)
        centred = centred + edge.sum(axis=1)[:, None, None] / ((trials - 1) * (trials - 2))
        v = float((centred[:, apart] ** 2).sum()) / (trials * (trials - 3))
    else:
        v = float((by_row[:, apart] ** 2).sum()) / (trials * (trials - 1))
    size = float(np.trace(whole) / trials - whole[apart].mean())
    if not (v > 0 and size > 0):
        return np.nan
    freedom, sd = size**2 / v, np.sqrt(2 * v / (trials * (trials - 1))) / rows
    critical = float(chdtri(freedom, LEVEL) - freedom) / np.sqrt(2 * freedom)
    along, quantile, pairs = v / size / rows, float(ndtri(POWER)), trials * (trials - 1)
    found = 0.0
    for _ in range(STEPS):
        flips = np.sqrt(sd**2 + (2 * found**2 / len(by_row) + 4 * found * along) / pairs)
        found = critical * flips + quantile * np.sqrt(sd**2 + 4 * found * along / trials)
    return float(np.sqrt(found))
