"""Order of causes by Schur complements of the score's information: two theorems, their gap, and spikes.

Of samples x with density p the information is I = E[-Hessian log p] = E[s s^T], s the score. In a linear model with
additive noise, x = B x + e with B_ij the weight of j on i and e of variance s^2 everywhere,

    I = (1 - B)^T (1 - B)/s^2,        I_jj = (1 + sum_i B_ij^2)/s^2,

so that what has no effects, a leaf, has the smallest diagonal. The Schur complement over any node is the information of
the rest (of Gaussians); over a leaf it has the same form again, with the leaf's row and column of B left out. Leaf
after leaf is taken off: the reverse is an order of causes.

With x_2 = f(x_1) + e the Schur complement over x_2 exceeds the information of x_1 by Var f'(x_1)/s^2.

Counts of spikes have no noise of equal variance. Along a chain of Poisson units, each of mean gain times the count
before it, L edges long, the order is found from counts just if gain^L (1 + gain) > 1, and reversed below.

References
----------
Li, Turner, *Gradient estimators for implicit models*, ICLR 2018, arXiv:1705.07107: the kernel estimator of scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from biospike.errors import InputError

Array = NDArray[np.float64]

TOLERANCE, RIDGE = 0.05, 1e-4
"""Of the version by blocks, as reported."""
KERNEL_RIDGE = 0.1
"""Of the kernel estimator, added to a kernel of 1 on the diagonal."""


def information(B: ArrayLike, variance: ArrayLike = 1.0) -> Array:
    """Information of a linear model, (1 - B)^T diag(1/variance) (1 - B), (nodes, nodes).

    Parameters
    ----------
    B
        (nodes, nodes), B_ij the weight of j on i.
    variance
        Of the noise, of all or one a node.
    """
    left = np.eye(len(np.asarray(B))) - np.asarray(B, dtype=float)
    precision = np.broadcast_to(1 / np.asarray(variance, dtype=float), len(left))
    return np.asarray(left.T @ (precision[:, None] * left))


def marginal(info: ArrayLike, nodes: Sequence[int], ridge: float = 0.0) -> Array:
    """Schur complement of an information over nodes: that of the rest, in their order.

    Parameters
    ----------
    ridge
        Added to the diagonal of what is inverted.
    """
    whole = np.asarray(info, dtype=float)
    taken = np.asarray(nodes, dtype=np.int64)
    rest = np.setdiff1d(np.arange(len(whole)), taken)
    inner = whole[np.ix_(taken, taken)] + ridge * np.eye(len(taken))
    across = whole[np.ix_(rest, taken)]
    return np.asarray(whole[np.ix_(rest, rest)] - across @ np.linalg.solve(inner, across.T))


def causal_order(info: ArrayLike, tolerance: float = 0.0, ridge: float = 0.0) -> list[int]:
    """Nodes from causes to effects: leaves, those of the smallest diagonal, are taken off one after the other.

    Parameters
    ----------
    info
        Information (nodes, nodes).
    tolerance
        Diagonals within this fraction of the smallest are taken off together; 0: one at a time.
    ridge
        As of `marginal`.

    Raises
    ------
    InputError
        If `info` is not a square matrix of finite numbers, or an argument is negative.
    """
    left = np.asarray(info, dtype=float)
    if left.ndim != 2 or left.shape[0] != left.shape[1] or not np.isfinite(left).all():
        raise InputError(f"the information must be a finite matrix (nodes, nodes), got shape {left.shape}")
    if tolerance < 0 or ridge < 0:
        raise InputError(f"tolerance and ridge must be at least 0, got {tolerance} and {ridge}")
    names, taken = np.arange(len(left)), list[int]()
    while len(names) > 1:
        diagonal = np.diag(left)
        leaves = np.flatnonzero(diagonal <= (1 + tolerance) * diagonal.min()) if tolerance else [int(diagonal.argmin())]
        leaves = np.asarray(leaves)[np.argsort(diagonal[leaves], kind="stable")]
        taken += [int(name) for name in names[leaves]]
        left = marginal(left, list(leaves), ridge)
        names = np.delete(names, leaves)
    return [*map(int, names), *taken[::-1]]


def variance_order(samples: ArrayLike) -> list[int]:
    """Nodes by their variance, smallest first: the trivial rival."""
    return [int(node) for node in np.argsort(np.asarray(samples, dtype=float).var(axis=0), kind="stable")]


def linear_information(samples: ArrayLike) -> Array:
    """Information by the linear Stein estimator: the linear score with E[s x^T] = -1 has the inverse covariance.

    Parameters
    ----------
    samples
        (samples, nodes), more of them than nodes.

    Raises
    ------
    InputError
        If there are too few, or a node does not vary.
    """
    values = np.asarray(samples, dtype=float)
    if values.ndim != 2 or len(values) <= values.shape[1]:
        raise InputError(f"samples must have the shape (samples, nodes), more of them than nodes, got {values.shape}")
    constant = values.std(axis=0) == 0
    if constant.any():
        raise InputError(f"node {int(constant.argmax())} has the same value in all samples: it has no score")
    return np.linalg.inv(np.atleast_2d(np.cov(values, rowvar=False)))


def kernel_information(samples: ArrayLike, ridge: float = KERNEL_RIDGE) -> Array:
    """Information E[s s^T] by the kernel Stein estimator of the score, a Gaussian kernel of the median distance.

    Parameters
    ----------
    samples
        (samples, nodes).
    ridge
        Of the kernel matrix.
    """
    x = np.asarray(samples, dtype=float)
    differences = x[:, None] - x[None]
    squares = (differences**2).sum(axis=-1)
    width = np.median(squares[np.triu_indices(len(x), 1)])
    kernel = np.exp(-squares / (2 * width))
    gradients = (kernel[..., None] * differences).sum(axis=1) / width
    scores = -np.linalg.solve(kernel + ridge * np.eye(len(x)), gradients)
    return np.asarray(scores.T @ scores / len(x))


def violations(order: Sequence[int], B: ArrayLike) -> int:
    """Edges of which the effect comes before the cause."""
    place = np.empty(len(order), dtype=int)
    place[list(order)] = np.arange(len(order))
    effect, cause = np.nonzero(np.asarray(B))
    return int((place[effect] < place[cause]).sum())


def nonlinear_gap(slopes: ArrayLike, weights: ArrayLike, variance: float = 1.0) -> float:
    """Information of a cause less its Schur complement over an effect f(x) + e: -Var f'(x)/s^2.

    Parameters
    ----------
    slopes, weights
        f' at points of x, and their probabilities.
    variance
        s^2 of the noise.
    """
    values, p = np.asarray(slopes, dtype=float), np.asarray(weights, dtype=float)
    mean = (p * values).sum()
    return float(-(p * (values - mean) ** 2).sum() / variance)


def chain_threshold(edges: int) -> float:
    """Gain above which counts of a chain of Poisson units give its order: the root of gain^edges (1 + gain) = 1."""
    if edges < 1:
        raise InputError(f"a chain has at least 1 edge, got {edges}")
    return float(brentq(lambda gain: gain**edges * (1 + gain) - 1, 0.0, 1.0, xtol=1e-15))
