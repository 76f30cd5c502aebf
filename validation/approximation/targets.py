"""Functions of token sets that spiking heads are to approximate, and what such a function must obey.

A target maps tokens in [0, 1], array (samples, tokens, features), to one number a token, array (samples, tokens). It
must be permutation-equivariant: tokens in another order give the same numbers in that order. The three shipped ones
have values in [0, 1], so that their errors compare.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.ideal.softmax import softmax

Array = NDArray[np.float64]
Target = Callable[[Array], Array]

TEACHER_SEED = 99
TEACHER_GAIN = 3.0
"""Standard deviation of the teacher's query and key weights: scores reach several nats, a sharp attention."""
TEACHER_WIDTH = 2
PROBES = 16
"""Random samples on which a function is examined."""
TOLERANCE = 1e-8
"""Relative difference that rounding may leave between orders of summation."""


def softmax_attention(x: Array) -> Array:
    """Softmax attention with fixed random weights of its own: ``f_i = sum_j softmax_j(q_i.k_j / sqrt(2)) mean(x_j)``.

    Queries and keys are normal combinations of the features, of width 2; the value of a token is the mean of its
    features.
    """
    rng = np.random.default_rng(TEACHER_SEED)
    q, k = ((x - 0.5) @ rng.normal(0.0, TEACHER_GAIN, (x.shape[-1], TEACHER_WIDTH)) for _ in range(2))
    scores = np.einsum("sie,sje->sij", q, k) / np.sqrt(TEACHER_WIDTH)
    attention = softmax(scores.reshape(-1, x.shape[1])).reshape(scores.shape)
    return np.einsum("sij,sj->si", attention, x.mean(axis=-1))


def pairwise_maximum(x: Array) -> Array:
    """Mean of the maxima of the first feature: ``f_i = mean_j max(x_i1, x_j1)``. Not smooth where tokens agree."""
    first = x[..., 0]
    return np.maximum(first[:, :, None], first[:, None, :]).mean(axis=-1)


def deepsets_polynomial(x: Array) -> Array:
    """Polynomial of a token and pooled tokens: ``f_i = (x_i1 mean_j x_jd + (mean_j x_j1)^2) / 2``, d the last feature.

    The form of Zaheer et al., *Deep Sets*, NeurIPS 30 (2017): a function of x_i and of means over the set.
    """
    first, last = x[..., 0], x[..., -1]
    return np.asarray((first * last.mean(axis=1, keepdims=True) + first.mean(axis=1, keepdims=True) ** 2) / 2)


TARGETS: dict[str, Target] = {
    function.__name__: function for function in (softmax_attention, pairwise_maximum, deepsets_polynomial)
}


SPAN = (1e-100, 1e100)
"""Least and largest span of a target."""


def check_target(name: str, target: Target, tokens: int, features: int) -> None:
    """Raise `InputError` unless a function can be a target: right shape, finite, equivariant, sample by sample.

    Examined on random samples, so that a function that differs only on a small part of the box may pass. Continuity is
    not examined.
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(PROBES, tokens, features))
    values = evaluate(name, target, x)
    if np.ptp(values) == 0:
        raise InputError(f"target {name!r} is constant: there is nothing to approximate")
    if not SPAN[0] <= np.ptp(values / 2) <= SPAN[1]:
        raise InputError(
            f"target {name!r} spans {2 * np.ptp(values / 2):.3g}, the square of which double precision does not hold; "
            "scale it"
        )
    allowed = TOLERANCE * max(1.0, float(np.abs(values).max()))
    order = rng.permuted(np.tile(np.arange(tokens), (PROBES, 1)), axis=1)
    moved = evaluate(name, target, np.take_along_axis(x, order[:, :, None], axis=1))
    expected = np.take_along_axis(values, order, axis=1)
    if np.abs(moved - expected).max() > allowed:
        sample, token = np.unravel_index(np.abs(moved - expected).argmax(), moved.shape)
        raise InputError(
            f"target {name!r} is not permutation-equivariant: with the tokens of a sample in the order "
            f"{order[sample].tolist()} token {order[sample, token]} has the value {moved[sample, token]:.6g}, in their "
            f"own order {expected[sample, token]:.6g}; attention can only approximate functions where both agree"
        )
    alone = evaluate(name, target, x[:1])
    if np.abs(alone - values[:1]).max() > allowed:
        raise InputError(f"target {name!r} mixes samples: the first of {PROBES} has another value than by itself")


def evaluate(name: str, target: Target, x: Array) -> Array:
    """Values of a target (samples, tokens), after a check of their shape and that they are finite."""
    values = np.asarray(target(x.copy()))
    if values.shape != x.shape[:2] or values.dtype.kind not in "biuf":
        raise InputError(
            f"target {name!r} must return numbers of the shape (samples, tokens) = {x.shape[:2]} for tokens "
            f"{x.shape}, got {values.dtype} {values.shape}"
        )
    if not np.isfinite(values).all():
        raise InputError(f"target {name!r} must be finite on [0, 1], got {values[~np.isfinite(values)][0]}")
    return values.astype(float)
