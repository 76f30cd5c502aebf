"""Linear read-out by least squares, and its sup-norm error: over samples, with an interval, and over the whole box."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

RIDGES = (0.0, *np.logspace(-10, 0, 21))
"""Penalties tried, in units of the largest squared singular value."""
SINGULAR = 1e-12
"""Least eigenvalue of what a left-out sample leaves undetermined; the smallest penalty gives at least 1e-10."""
EQUAL = 1e-5
"""Relative difference of errors within which penalties do equally well; the smallest leaves 1e-6 to rounding."""
TOP = 10
"""Largest samples from which the tail is estimated."""
PIVOT = (-3.56, 2.25)
"""2.5 and 97.5 % points of (maximum - its mean)/scale for an exponential tail, the scale estimated from `TOP` spacings.

Of two million simulated maxima; a test repeats it with fewer.
"""
CLIMB_STEPS = 150
WIDEST, NARROWEST = 0.5, 0.01
"""Radii of the first and the last step of the search, in widths of the box."""


@attrs.frozen(eq=False)
class Readout:
    """Linear read-outs, one a column.

    Attributes
    ----------
    weights : ndarray (features, outputs)
    offset : ndarray (outputs,)
    ridge : ndarray (outputs,)
        Penalty that was chosen, in units of the largest squared singular value.
    """

    weights: Array
    offset: Array
    ridge: Array

    def __call__(self, features: Array) -> Array:
        """Values (..., outputs) of features (..., features)."""
        return np.asarray(features @ self.weights + self.offset)


def fit_readout(features: Array, values: Array) -> Readout:
    """Fit ridge regression with an intercept, the penalty chosen by leaving out one sample after the other.

    Tokens and trials of a sample are not independent, so they are left out together: the residuals of a left-out sample
    are (I - H_gg)^-1 r_g, H_gg the block of the hat matrix.

    Parameters
    ----------
    features : array (samples, rows, features)
    values : array (samples, rows, outputs)
    """
    samples, rows, _ = features.shape
    x, y = features.reshape(samples * rows, -1), values.reshape(samples * rows, -1)
    mean, level = x.mean(axis=0), y.mean(axis=0)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    known = s > max(x.shape) * np.finfo(float).eps * s.max(initial=0.0)
    u, s, vt = u[:, known], s[known], vt[known]
    of_sample, seen = u.reshape(samples, rows, -1), u.T @ (y - level)
    found = []
    for ridge in RIDGES:
        if ridge == 0 and len(s) + 1 > (samples - 1) * rows:
            continue  # without a penalty the left-out sample would not be determined
        gain = s**2 / (s**2 + ridge * s[:1] ** 2)
        residual = (y - level - u @ (gain[:, None] * seen)).reshape(samples, rows, -1)
        hat = (of_sample * gain) @ of_sample.transpose(0, 2, 1) + 1 / (samples * rows)
        rest = np.eye(rows) - hat
        if np.linalg.eigvalsh(rest).min() < SINGULAR:
            continue  # a sample alone determines a weight: its residual would be rounding over rounding
        left_out = np.linalg.solve(rest, residual)
        found.append(((left_out**2).mean(axis=(0, 1)), ridge, vt.T @ ((gain / s)[:, None] * seen)))
    errors, ridges, weights = (np.array(part) for part in zip(*found, strict=True))
    # The largest of penalties that do equally well: rounding, which differs between machines, is not to choose.
    best = len(errors) - 1 - (errors <= errors.min(axis=0) * (1 + EQUAL))[::-1].argmax(axis=0)
    chosen = weights[best, :, np.arange(y.shape[1])].T
    return Readout(chosen, level - mean @ chosen, ridges[best])


def sup_interval(errors: ArrayLike) -> tuple[Array, Array]:
    """95 % interval of the maximum that so many samples have on average.

    The tail is taken as exponential, its scale as the mean of the `TOP` normalised spacings of the largest samples
    (Weissman, J. Am. Stat. Assoc. 73, 812, 1978), and the deviation of a maximum as Gumbel's. It covers the truth in
    95 % of cases if the tail is exponential, 97 to 98 % if it is normal, 100 % if it ends, and 88 % for Student's t
    with 5 degrees of freedom. The bootstrap does worse: no resample exceeds the maximum, and even reflected about it
    its percentiles cover 70 to 80 % (Bickel and Freedman, Ann. Stat. 9, 1196, 1981, on why).

    Parameters
    ----------
    errors : array (..., samples)

    Returns
    -------
    low, high : arrays (...)
        NaN for `TOP` samples or fewer.
    """
    values = np.asarray(errors, dtype=float)
    if values.shape[-1] <= TOP:
        return np.full(values.shape[:-1], np.nan), np.full(values.shape[:-1], np.nan)
    largest = -np.sort(-values, axis=-1)[..., : TOP + 1]
    scale = (-np.diff(largest, axis=-1) * np.arange(1, TOP + 1)).mean(axis=-1)
    # No maximum of absolute errors is below the typical one.
    low = np.maximum(largest[..., 0] - PIVOT[1] * scale, np.median(values, axis=-1))
    return low, np.asarray(largest[..., 0] - PIVOT[0] * scale)


def climb(errors: Callable[[Array], Array], starts: Array, rng: np.random.Generator) -> Array:
    """Largest error that a random search of the box finds, from good starts on, with ever smaller steps.

    A lower bound of the supremum.

    Parameters
    ----------
    errors
        From points (cases, starts, tokens, features) to absolute errors (cases, starts).
    starts : array (cases, starts, tokens, features)

    Returns
    -------
    array (cases,)
    """
    x, best = starts.copy(), errors(starts)
    for radius in np.geomspace(WIDEST, NARROWEST, CLIMB_STEPS):
        moves = rng.normal(0.0, radius, x.shape) * (rng.uniform(size=x.shape) < 0.5)
        tried = np.clip(x + moves, 0.0, 1.0)
        found = errors(tried)
        better = found > best
        x[better], best[better] = tried[better], found[better]
    return np.asarray(best.max(axis=1))
