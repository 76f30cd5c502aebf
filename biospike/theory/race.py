"""Theory of a race on the grid, where several keys may spike in one step and all of them count.

A row is *open* until a step in which at least one key spikes, then closed for some steps, then open again. In an open
step key i spikes with chance a_i, independently of the others; L is the sum of the a_i and q = 1 - prod(1 - a_i) the
chance that the step closes the row. The spikes X of an *opening* are those of the first step that has any: independent
Bernoulli numbers conditioned on at least one. How long the row was open says nothing about them, and openings are
independent of each other.

Moments. An empty step contributes nothing to a sum, so conditioning only divides by q::

    E[X_i] = a_i/q,      E[X_i*X_j] = a_i*a_j/q,  i != j,      E[X_i^2] = a_i/q

E[X_i] is proportional to a_i: keeping ties leaves the shares without bias, p_i = a_i/L.

Rate. An opening yields L/q spikes in 1/q + c steps, the geometric wait and the c steps that the row is closed: the row
spikes L/(1 + q*c) times a step.

Shares. After K openings the share of key i strays from p_i by the mean over openings of D_i = X_i - p_i*S, S = sum X,
over that of S, which is L/q. D_i has mean 0 with or without the empty steps, so with s_i = a_i*(1 - a_i)::

    Var D_i = ((1 - p_i)^2*s_i + p_i^2*sum_{j != i} s_j)/q

and with N = K*L/q spikes the variance of the share is v_i/N, v_i = q/L*Var D_i. As the a_i go to 0 at fixed p this is
p_i*(1 - p_i), the multinomial law; ties draw without replacement, and make it smaller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.theory.concentration import multinomial_tv

Array = NDArray[np.float64]


def closing_chance(chance: ArrayLike) -> Array:
    """Chance q that at least one key spikes in an open step.

    Parameters
    ----------
    chance : array (..., keys)
        Chance a_i of every key to spike in an open step; 0 for masked keys.

    Returns
    -------
    ndarray (...)
    """
    with np.errstate(divide="ignore"):  # a key that spikes for certain
        return np.asarray(-np.expm1(np.log1p(-np.asarray(chance, dtype=float)).sum(axis=-1)))


def race_rate(chance: ArrayLike, closed: ArrayLike) -> Array:
    """Spikes of the row a step, L/(1 + q*closed), shape (...).

    Parameters
    ----------
    chance : array (..., keys)
        As of `closing_chance`.
    closed : array (...)
        Steps for which a spike closes the row.
    """
    return np.asarray(np.sum(chance, axis=-1) / (1 + closing_chance(chance) * np.asarray(closed, dtype=float)))


def share_variance(chance: ArrayLike) -> Array:
    """Variance v_i of the share of every key, times the spikes of the row, (..., keys)."""
    a = np.asarray(chance, dtype=float)
    total = a.sum(axis=-1, keepdims=True)
    p, s = a / total, a * (1 - a)
    others = np.maximum(s.sum(axis=-1, keepdims=True) - s, 0.0)
    return np.asarray(((1 - p) ** 2 * s + p**2 * others) / total)


def race_tv(chance: ArrayLike, n: ArrayLike) -> Array:
    """Mean TV between the shares of n spikes of a race and its limit a_i/L.

    The exact mean deviation of a multinomial count, which knows that counts are whole, times the ratio of the two
    standard deviations. Ties matter to large keys, whose counts are nearly normal: the ratio is right for them, and 1
    for the rare ones. Within 1 % of simulation from n = 100 on, for chances up to 0.1.

    Parameters
    ----------
    chance : array (..., keys)
        As of `closing_chance`; rows may be scaled as the limit is, but not normalised: ties depend on the size.
    n : array (...)
        Spikes of the row, as of `biospike.theory.concentration.multinomial_tv`.

    Returns
    -------
    ndarray
        Expected TV, one for each row and n; NaN where n is 0.

    Raises
    ------
    InputError
        If the chances of a row add up to nothing, or n is negative or infinite.
    """
    a = np.asarray(chance, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = a / a.sum(axis=-1, keepdims=True)
        spread = p * (1 - p)
        ratio = np.sqrt(np.where(spread > 0, share_variance(a) / np.where(spread > 0, spread, 1.0), 1.0))
    return multinomial_tv(p, n, ratio)
