"""Order of a code by reference to exact laws: 1/2 for independent spikes, 1 for regular ones, in the same windows.

The slope of log error on log N of a finite window is not the order: the exact law of independent spikes itself has
slope -0.494 on the shipped rows, and a regular code -0.96. So the slope is held against those of both laws on the same
rows and windows, ``alpha = 1/2 + (s - s_half)/(2 (s_one - s_half))``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.distributions import student_quantile
from biospike.theory.concentration import multinomial_tv
from biospike.theory.regularity import regular_tv

Array = NDArray[np.float64]

CONFIDENCE = 0.975
"""Of the interval of an order. With 95 % and the biases that are found where there is none, 6 % of the verdicts were
false where they are told most often: 72 rows of 14 keys, 1000 spikes, 4 and 8 trials."""
FEWEST_WINDOWS = 5
NEAR_HALF, NEAR_ONE = 0.02, 0.1
"""Distances of the local slopes of the laws from -1/2 and from -1 up to which a window is used. The second is wider
since that law jumps where a key is expected to spike first; an order is held against the laws' own slopes anyway."""

BLOCK = 2**18
"""Shares whose laws are computed together: about ten arrays of 2 MB."""


class Laws(NamedTuple):
    """Expected errors of a code of independent spikes and of a regular one, in the same windows.

    Attributes
    ----------
    half, one : ndarray (windows,)
        Of orders 1/2 and 1; mean over rows, as the error that is held against them.
    """

    half: Array
    one: Array


class Order(NamedTuple):
    """Order of a code, with its interval; see `order_of_law`."""

    alpha: float
    low: float
    high: float


def laws_of_rows(p: Array, spikes: Array) -> Laws:
    """Laws of the total variation of shares.

    Parameters
    ----------
    p : ndarray (row, key)
        Shares, 0 at masked keys.
    spikes : ndarray (window, row)
        Mean spikes of each row.
    """
    width = max(1, BLOCK // p.shape[-1])
    half, one = np.zeros(len(spikes)), np.zeros(len(spikes))
    for first in range(0, len(p), width):
        some = slice(first, first + width)
        for window, n in enumerate(spikes[:, some]):
            half[window] += multinomial_tv(p[some], n).sum()
            one[window] += regular_tv(p[some], n).sum()
    return Laws(half / len(p), one / len(p))


def usable_windows(n: Array, laws: Laws) -> NDArray[np.bool_]:
    """Windows in which both laws have come near their order, (windows,).

    Both local slopes, of the mean over rows, are within `NEAR_HALF` and `NEAR_ONE` of -1/2 and -1.
    """
    known = np.isfinite(laws.half) & np.isfinite(laws.one) & (laws.half > 0) & (laws.one > 0) & (n > 0)
    _, first = np.unique(n, return_index=True)
    known &= np.isin(np.arange(len(n)), first)
    usable = np.zeros(len(n), dtype=bool)
    if known.sum() < 2:
        return usable
    half, one = (np.gradient(np.log(law[known]), np.log(n[known])) for law in laws)
    usable[known] = (np.abs(half + 0.5) <= NEAR_HALF) & (np.abs(one + 1) <= NEAR_ONE)
    return usable


def order_of_law(n: Array, errors: Array, laws: Laws) -> Order:
    """Order alpha with its interval of level `CONFIDENCE`, by jackknife over trials with Student's t.

    For regular codes the interval covers the alpha *at these ends of windows*: a row's error jumps with N.

    Parameters
    ----------
    n : ndarray (windows,)
        Spikes or timesteps.
    errors : ndarray (trials, windows)
        Above 0.
    laws
        In the same windows.
    """
    trials, logarithm = len(errors), np.log(n)
    centred = logarithm - logarithm.mean()
    weights = centred / (centred**2).sum()
    half, one = (float(weights @ np.log(law)) for law in laws)

    def alpha(mean: Array) -> Array:
        return np.asarray(0.5 + (np.log(mean) @ weights - half) / (2 * (one - half)))

    found = float(alpha(errors.mean(axis=0)))
    if trials < 2:
        return Order(found, np.nan, np.nan)
    without = alpha((errors.sum(axis=0) - errors) / (trials - 1))
    width = float(student_quantile(trials - 1, CONFIDENCE) * np.sqrt((trials - 1) * without.var()))
    return Order(found, found - width, found + width)
