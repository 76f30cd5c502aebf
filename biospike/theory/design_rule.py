"""The design rule T = C d_eff / eps^2, its inverse, and what C would have to be.

The rule is how biospike reads the "design rules" of D. Guo, J. Wu, S. M. Yiu, *Closing the Theory-Practice Gap in
Spiking Transformers via Effective Dimension*, arXiv:2604.15769 (2026). Its abstract has their constant, C = 2.3 with
the 95 % interval [1.9, 2.7]; no source at hand has the formula.

Where it can come from. Values x in [0, 1] are sent as T independent Bernoulli coins each and read as spike rates, which
have the variances x(1 - x)/T. The expected squared error of a sample, summed over its features, is then
`error_without_projection`: it grows with the number of features, not with d_eff. A read-out that projects the rates on
a principal subspace keeps the noise inside that subspace only, `error_with_projection`, at most d/(4T) for d axes; this
is the rule with eps^2 the summed squared error and C the mean variance of a coin inside the subspace,
`constant_of_read_out`, at most 1/4. The projection also drops what of the sample lies outside, `projection_loss`, which
no T removes: below it the rule cannot hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.theory import paper

Array = NDArray[np.float64]


def timesteps(d_eff: ArrayLike, eps: ArrayLike, C: ArrayLike = paper.C) -> Array:
    """Timesteps of the design rule, ``T = C d_eff / eps^2``, as arXiv:2604.15769 is read here.

    At C = 2.3 and d_eff = 47, T = 4 stands for eps = 5.2; eps = 0.1 asks for 10 810 steps.

    Parameters
    ----------
    d_eff
        Effective dimension, above 0.
    eps
        Error, above 0, in the units in which C was found.
    C
        Constant of the rule, above 0.

    Returns
    -------
    array
        Not rounded.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    return np.asarray(_positive("C", C) * _positive("d_eff", d_eff) / _positive("eps", eps) ** 2)


def eps(d_eff: ArrayLike, timesteps: ArrayLike, C: ArrayLike = paper.C) -> Array:
    """Error that the design rule grants to T timesteps, ``sqrt(C d_eff / T)``: the inverse of `timesteps`.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    return np.asarray(np.sqrt(_positive("C", C) * _positive("d_eff", d_eff) / _positive("timesteps", timesteps)))


def constant_of_read_out(x: ArrayLike, basis: ArrayLike | None = None, lipschitz: ArrayLike = 1.0) -> Array:
    """Constant C that a projecting read-out of Bernoulli rates gives the rule, at most ``L_f^2 / 4``.

    ``C = L_f^2 tr(P diag(x(1 - x))) / d`` for the projection P on the d columns of `basis`; without a basis, its mean
    over all directions, ``L_f^2 mean x(1 - x)``, to which it is equal when the axes spread evenly over the features.
    Real axes do not: the first ones of images load on the features that vary most, whose x(1 - x) differ from the mean.

    Parameters
    ----------
    x
        Values in [0, 1], (..., features); averaged over the leading axes.
    basis
        Orthonormal columns (features, d), see `biospike.theory.effective_dimension.principal_subspace`.
    lipschitz
        L_f of what is computed from the read-out, above 0; 1 for the values themselves.

    Raises
    ------
    InputError
        If a value is not in [0, 1], the basis does not match or is not orthonormal, or L_f is not above 0.
    """
    variance = _coin_variance(x)
    scale = _positive("lipschitz", lipschitz) ** 2
    if basis is None:
        return np.asarray(scale * variance.mean())
    axes = _check_basis(basis, variance.shape[-1])
    return np.asarray(scale * (variance @ (axes**2).mean(axis=1)).mean())


def error_without_projection(x: ArrayLike, timesteps: ArrayLike) -> Array:
    """Expected squared error of Bernoulli rates, ``E abs(X_hat - X)^2 = sum x(1 - x) / T``, exact.

    Parameters
    ----------
    x
        Values in [0, 1], (..., features): one error for each sample, summed over its features.
    timesteps
        T, above 0; broadcasts against the leading axes of x.

    Raises
    ------
    InputError
        If a value is not in [0, 1], or T not above 0.
    """
    return np.asarray(_coin_variance(x).sum(axis=-1) / _positive("timesteps", timesteps))


def error_with_projection(x: ArrayLike, basis: ArrayLike, timesteps: ArrayLike) -> Array:
    """Expected squared error inside the subspace on which the rates are projected, ``tr(P diag(x(1 - x))) / T``, exact.

    Add `projection_loss` for the whole error of a read-out that projects.

    Parameters
    ----------
    x
        Values in [0, 1], (..., features).
    basis
        Orthonormal columns (features, d).
    timesteps
        T, above 0; broadcasts against the leading axes of x.

    Raises
    ------
    InputError
        If a value is not in [0, 1], the basis does not match or is not orthonormal, or T is not above 0.
    """
    variance = _coin_variance(x)
    axes = _check_basis(basis, variance.shape[-1])
    return np.asarray(variance @ (axes**2).sum(axis=1) / _positive("timesteps", timesteps))


def projection_loss(x: ArrayLike, mean: ArrayLike, basis: ArrayLike) -> Array:
    """Squared distance of x from the subspace through `mean`, which a projecting read-out loses at every T.

    ``abs((1 - P)(x - mean))^2``; over the samples of which mean and axes were computed its mean is the variance that
    the axes leave out, 5 % of the total where they hold 95 %.

    Parameters
    ----------
    x
        (..., features).
    mean, basis
        Of `biospike.theory.effective_dimension.principal_subspace`.

    Raises
    ------
    InputError
        If the basis does not match or is not orthonormal.
    """
    away = np.asarray(x, dtype=float) - np.asarray(mean, dtype=float)
    axes = _check_basis(basis, away.shape[-1])
    return np.asarray(((away - away @ axes @ axes.T) ** 2).sum(axis=-1))


def _coin_variance(x: ArrayLike) -> Array:
    values = np.asarray(x, dtype=float)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise InputError(f"x must be values in [0, 1], got {values[wrong][0]}")
    if values.ndim == 0:
        raise InputError(f"x must have the shape (..., features), got the single number {values}")
    return np.asarray(values * (1 - values))


def _check_basis(basis: ArrayLike, features: int) -> Array:
    axes = np.asarray(basis, dtype=float)
    if axes.ndim != 2 or axes.shape[0] != features:
        raise InputError(f"basis must have the shape ({features}, dimensions), got {axes.shape}")
    if not np.allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-6):
        raise InputError("the columns of basis must be orthonormal")
    return axes


def _positive(name: str, value: ArrayLike) -> Array:
    values = np.asarray(value, dtype=float)
    if not (values > 0).all():
        raise InputError(f"{name} must be above 0, got {values[~(values > 0)][0]}")
    return values
