"""Distributions by special functions: `scipy.stats` has them too, and takes a third of a second to import."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, stdtr, stdtrit, xlog1py, xlogy

Array = NDArray[np.float64]


def student_quantile(freedom: ArrayLike, confidence: float = 0.95) -> Array:
    """Student's t of a two-sided interval."""
    return np.asarray(stdtrit(freedom, (1 + confidence) / 2))


def student_tail(t: ArrayLike, freedom: ArrayLike) -> Array:
    """Chance of a larger Student's t."""
    return np.asarray(stdtr(freedom, -np.asarray(t)))


def binomial_pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Array:
    """Chance of k out of n, whole numbers; 0 for k beyond n. To 1e-9 of itself up to a million draws."""
    k, n, p = (np.asarray(values, dtype=float) for values in (k, n, p))
    rest = np.maximum(n - k, 0.0)
    chance = np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(rest + 1) + xlogy(k, p) + xlog1py(rest, -p))
    return np.asarray(np.where((k >= 0) & (k <= n), chance, 0.0))
