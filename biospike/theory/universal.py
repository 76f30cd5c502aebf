"""What the universal approximation theorem under test asks for, as numbers with every constant set to 1.

Theorem 7 of D. Guo, J. Wu, S. M. Yiu, *Closing the Theory-Practice Gap in Spiking Transformers via Effective
Dimension*, arXiv:2604.15769 (2026), by the report of a third-party digest (Theory Digest, 28 April 2026): every
continuous permutation-equivariant function on a compact set is approximated to eps in the sup norm by a spiking
transformer with

    L = O(log(1/eps)) layers,    H = O(n^2 d / eps^2) heads,    T = O(n^2 d_k^2 / eps^2) timesteps,

and by Theorem 8 no rate code does with fewer than Omega(L_f^2 n d / eps^2) spikes. These are orders of magnitude: their
constants are not known and stand at 1 here, so that only a slope, or a ratio of many orders, says something about
it. The errors are absolute, in units of the function; the formulas make sense for functions whose values span about 1.

n is the number of tokens, d their width, d_k the width of a head, L_f the Lipschitz constant. In all functions the
arguments broadcast, results are not rounded, and NaN gives NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError

Array = NDArray[np.float64]


def layers(eps: ArrayLike) -> Array:
    """Layers of Theorem 7, ``ln(1/eps)``.

    Parameters
    ----------
    eps
        Sup-norm error, above 0.

    Returns
    -------
    array
        0 for eps of 1 and more, an error that needs no layer if the function spans 1.

    Raises
    ------
    InputError
        If eps is not above 0.
    """
    return np.maximum(-np.log(_positive("eps", eps)), 0.0)


def heads(tokens: ArrayLike, features: ArrayLike, eps: ArrayLike) -> Array:
    """Heads of Theorem 7, ``n^2 d / eps^2``.

    Parameters
    ----------
    tokens, features
        n and d, above 0.
    eps
        Sup-norm error, above 0.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    return np.asarray(
        _positive("tokens", tokens) ** 2 * _positive("features", features) / _positive("eps", eps) ** 2,
    )


def timesteps(tokens: ArrayLike, width: ArrayLike, eps: ArrayLike) -> Array:
    """Timesteps of Theorem 7, ``n^2 d_k^2 / eps^2``.

    Parameters
    ----------
    tokens, width
        n and d_k, above 0.
    eps
        Sup-norm error, above 0.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    return np.asarray((_positive("tokens", tokens) * _positive("width", width) / _positive("eps", eps)) ** 2)


def spikes(tokens: ArrayLike, features: ArrayLike, eps: ArrayLike, lipschitz: ArrayLike = 1.0) -> Array:
    """Spikes below which no rate code gets, by Theorem 8: ``L_f^2 n d / eps^2``.

    The factor 1/eps^2 is that of Bernoulli rate codes; a regular code needs of the order of 1/eps spikes.

    Parameters
    ----------
    tokens, features
        n and d, above 0.
    eps
        Sup-norm error, above 0.
    lipschitz
        L_f, above 0.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    size = _positive("tokens", tokens) * _positive("features", features)
    return np.asarray(size * (_positive("lipschitz", lipschitz) / _positive("eps", eps)) ** 2)


def error_of_heads(tokens: ArrayLike, features: ArrayLike, number: ArrayLike) -> Array:
    """Error that Theorem 7 grants to a number of heads, the inverse of `heads`: ``n sqrt(d / H)``."""
    return np.asarray(np.sqrt(heads(tokens, features, 1.0) / _positive("number", number)))


def error_of_timesteps(tokens: ArrayLike, width: ArrayLike, number: ArrayLike) -> Array:
    """Error that Theorem 7 grants to a number of timesteps, the inverse of `timesteps`: ``n d_k / sqrt(T)``."""
    return np.asarray(np.sqrt(timesteps(tokens, width, 1.0) / _positive("number", number)))


def error_of_spikes(tokens: ArrayLike, features: ArrayLike, number: ArrayLike, lipschitz: ArrayLike = 1.0) -> Array:
    """Error below which Theorem 8 lets no number of spikes get, the inverse of `spikes`: ``L_f sqrt(n d / N)``."""
    return np.asarray(np.sqrt(spikes(tokens, features, 1.0, lipschitz) / _positive("number", number)))


def _positive(name: str, value: ArrayLike) -> Array:
    values = np.asarray(value, dtype=float)
    if (values <= 0).any():
        raise InputError(f"{name} must be above 0, got {values[values <= 0][0]}")
    return values
