"""Welch's t: the difference of two means whose samples scatter differently."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.distributions import student_quantile, student_tail

NO_SPREAD = 1e-9
"""Samples whose means scatter by less differ by rounding only."""


class Welch(NamedTuple):
    """95 % interval of a difference of means, and the chance of one at least as large if there is none."""

    low: float
    high: float
    p: float


def welch(a: NDArray[np.float64], b: NDArray[np.float64]) -> Welch:
    """Return the interval of mean(a) - mean(b) by Welch's t (Biometrika 34, 28, 1947).

    Parameters
    ----------
    a, b : ndarray (samples,)

    Returns
    -------
    Welch
        NaN for fewer than two samples of either, where one is NaN, and where nothing scatters.
    """
    if min(a.size, b.size) < 2:
        return Welch(np.nan, np.nan, np.nan)
    parts = np.array([one.var(ddof=1) / one.size for one in (a, b)])
    error = float(np.sqrt(parts.sum()))
    if not error >= NO_SPREAD:  # nor NaN
        return Welch(np.nan, np.nan, np.nan)
    freedom = parts.sum() ** 2 / (parts**2 / [a.size - 1, b.size - 1]).sum()
    difference, half = float(a.mean() - b.mean()), float(student_quantile(freedom)) * error
    return Welch(difference - half, difference + half, float(2 * student_tail(abs(difference) / error, freedom)))
