"""What errors of attention rows do to the output of a whole model: the first-order law, with no fitted constant.

Let E be a scalar function of the output, o_hi = sum_j p_hij v_hj what head h gives to query i before the projection
W_O, and g_hi = dE/do_hi its gradient through all that comes later (`biospike.ideal.transformer`). To first order
dE = sum g_hi.do_hi, and with

    a_ij = p_ij (g_i.v_j - g_i.o_i),        w(x) = c |x| - x^2,        c = largest / RATE,

w the variance of one step of a train whose ON or OFF neuron spikes with the probability abs(x)/c, the variance of dE is

    sum_i (S_a + S_v)_i E[1/N_i] + (S_vx + S_s)/T,

    S_a  = sum_j p_ij (g_i.v_j - g_i.o_i)^2                                        spikes of the attention row
    S_v  = sum_j p_ij sum_c g_ic^2 w(v_jc)                                         spikes of the values that they read
    S_vx = sum_j sum_c w(v_jc) [(sum_i p_ij g_ic)^2 - sum_i p_ij^2 g_ic^2]         two queries read one value spike
    S_s  = 1/d_k sum_c {sum_i w(q_ic) (sum_j a_ij k_jc)^2 + sum_j w(k_jc) (sum_i a_ij q_ic)^2
                        + sum_ij a_ij^2 w(q_ic) w(k_jc)}                           scores from one train a neuron

summed over layers and heads. For the normalised output e = z/abs(z), 1 - cos = abs(de)^2/2 exactly, and E = r.e with
r of unit covariance (`probes`) has the mean square abs(de)^2: half of the variance above, averaged over r.

Assumed: row spikes are independent of one another and of the value trains; queries, keys and values have separate
trains; a query spikes at most once a step; errors are small (first order). Arrays have the axes (..., heads, tokens,
...) of `biospike.ideal.transformer.Heads`; p is 0 at masked keys, g is 0 at queries that nothing reads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError

Array = NDArray[Any]

RATE = 0.5
"""Spike probability a step of the largest value of a scale."""
WITHIN = 0.05
"""Predicted 1 - cos above which the first order is not enough."""


def probes(width: int, number: int, rng: np.random.Generator) -> Array:
    """Directions r (number, width) whose mean of r r^T is 1: orthogonal ones, all of them if `number` is the width.

    Raises
    ------
    InputError
        If there are none, or more than the width has.
    """
    if not 1 <= number <= width:
        raise InputError(f"probes must be 1 to {width}, the width of the output, got {number}")
    if number == width:
        return np.sqrt(width) * np.eye(width)
    directions, upper = np.linalg.qr(rng.normal(size=(width, number)))
    return np.asarray(np.sqrt(width) * (directions * np.sign(np.diag(upper))).T)


def cosine_gradient(z: ArrayLike, r: ArrayLike) -> Array:
    """Gradient of r.e with respect to z, e = z/abs(z): (r - (r.e) e)/abs(z).

    Parameters
    ----------
    z
        Outputs (..., width).
    r
        Directions (..., width), broadcast against z: (probes, 1, width), or (probes, batch, width) of each its own.

    Returns
    -------
    array (..., width)
    """
    z, r = np.asarray(z), np.asarray(r)
    size = np.linalg.norm(z, axis=-1, keepdims=True)
    e = z / size
    return np.asarray((r - (r * e).sum(axis=-1, keepdims=True) * e) / size)


def train_variance(x: ArrayLike, scale: ArrayLike) -> Array:
    """Variance w(x) = c abs(x) - x^2 of one step of the train of x, c = scale/RATE.

    Parameters
    ----------
    x
        Mean of the train; beyond c it is clipped there, where every step spikes.
    scale
        Value that spikes with the probability `RATE`, above 0, broadcast against x.
    """
    c = np.asarray(scale) / RATE
    size = np.minimum(np.abs(x), c)
    return np.asarray(size * (c - size))


def _gain(p: Array, v: Array, g: Array) -> Array:
    """g_i.v_j - g_i.o_i, (..., queries, keys)."""
    along = g @ v.swapaxes(-1, -2)
    return np.asarray(along - (p * along).sum(axis=-1, keepdims=True))


def attention_term(p: ArrayLike, v: ArrayLike, g: ArrayLike) -> Array:
    """S_a of every row, (..., heads, queries): variance of dE times its spikes.

    Parameters
    ----------
    p
        Attention (..., heads, queries, keys), rows that sum to one; 0 at masked keys.
    v
        Values (..., heads, keys, d_k).
    g
        Gradients of E (..., heads, queries, d_k) with respect to sum_j p_ij v_j.
    """
    p, v, g = np.asarray(p), np.asarray(v), np.asarray(g)
    return np.asarray((p * _gain(p, v, g) ** 2).sum(axis=-1))


def regular_term(p: ArrayLike, v: ArrayLike, g: ArrayLike, spikes: ArrayLike) -> Array:
    """Variance of dE from every row of a regular code, (..., heads, queries).

    Counts are floor(N p + u), u uniform and independent from key to key, so that each errs by f(1 - f), f the
    fractional part of N p, and shares of a row by (d_j - p_j sum d)/N::

        sum_j f (1 - f) (g_i.v_j - g_i.o_i)^2 / N^2

    Parameters
    ----------
    p, v, g
        As of `attention_term`.
    spikes
        N of every row, (..., heads, queries), above 0.
    """
    p, v, g = np.asarray(p), np.asarray(v), np.asarray(g)
    n = np.asarray(spikes, dtype=float)[..., None]
    f = np.mod(n * p, 1.0)
    return np.asarray((f * (1 - f) * _gain(p, v, g) ** 2 / n**2).sum(axis=-1))


def value_term(p: ArrayLike, v: ArrayLike, g: ArrayLike, scale: ArrayLike) -> Array:
    """S_v of every row, (..., heads, queries): variance of dE times its spikes, which read one step of a value each.

    Parameters
    ----------
    scale
        Of `train_variance`, broadcast against v.
    """
    p, g = np.asarray(p), np.asarray(g)
    return np.asarray(((p @ train_variance(v, scale)) * g**2).sum(axis=-1))


def shared_value_term(p: ArrayLike, v: ArrayLike, g: ArrayLike, scale: ArrayLike) -> Array:
    """S_vx of every head, (..., heads): covariance of queries that read the same value spike, times the steps.

    Negative where queries pull the output apart.
    """
    p, g = np.asarray(p), np.asarray(g)
    turned = p.swapaxes(-1, -2)
    common = (turned @ g) ** 2 - turned**2 @ g**2
    return np.asarray((train_variance(v, scale) * common).sum(axis=(-1, -2)))


def score_term(
    p: ArrayLike, q: ArrayLike, k: ArrayLike, v: ArrayLike, g: ArrayLike, q_scale: ArrayLike, k_scale: ArrayLike
) -> Array:
    """S_s of every head, (..., heads): variance of dE from scores counted over T steps, times T.

    Parameters
    ----------
    q, k
        Queries and keys (..., heads, tokens, d_k); logits are q.k/sqrt(d_k).
    q_scale, k_scale
        Of `train_variance`, broadcast against q and k.
    """
    p, q, k, v, g = (np.asarray(given) for given in (p, q, k, v, g))
    a = p * _gain(p, v, g)
    w_q, w_k = train_variance(q, q_scale), train_variance(k, k_scale)
    turned = a.swapaxes(-1, -2)
    each = (w_q * ((a @ k) ** 2 + a**2 @ w_k)).sum(axis=(-1, -2)) + (w_k * (turned @ q) ** 2).sum(axis=(-1, -2))
    return np.asarray(each / q.shape[-1])


def score_variance(q: ArrayLike, k: ArrayLike, q_scale: ArrayLike, k_scale: ArrayLike) -> Array:
    """Variance of one step of every logit, (..., heads, queries, keys), from the trains of `score_term`."""
    q, k = np.asarray(q), np.asarray(k)
    w_q, w_k = train_variance(q, q_scale), train_variance(k, k_scale)
    return np.asarray((w_q @ (k**2 + w_k).swapaxes(-1, -2) + q**2 @ w_k.swapaxes(-1, -2)) / q.shape[-1])


def jensen_shares(p: ArrayLike, variance: ArrayLike, tau: float) -> Array:
    """Shares of a streaming block whose gate is slow: p exp(Var z/(4 tau)), normalised.

    Scores are filtered with a time constant of tau steps, which leaves them the variance Var z/(2 tau); the mean of
    their exponential is then higher by half of it (to leading order in 1/tau, scores nearly normal).

    Parameters
    ----------
    p
        Attention (..., queries, keys).
    variance
        Of one step, of `score_variance`.
    tau
        In steps, above 0.

    Raises
    ------
    InputError
        If tau is not above 0.
    """
    if not tau > 0:
        raise InputError(f"tau must be above 0 steps, got {tau}")
    raised = np.asarray(variance) / (4 * tau)
    weights = np.asarray(p) * np.exp(raised - raised.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def bias_term(limit: ArrayLike, p: ArrayLike, v: ArrayLike, g: ArrayLike) -> Array:
    """First-order change of E of every head, (..., heads), where shares settle at `limit` instead of p.

    sum_i g_i.sum_j (limit_ij - p_ij) v_j. Sum it over layers and heads before it is squared: half of the mean square
    over probes is the floor of 1 - cos.
    """
    p, v, g = np.asarray(p), np.asarray(v), np.asarray(g)
    return np.asarray((((np.asarray(limit) - p) @ v) * g).sum(axis=(-1, -2)))
