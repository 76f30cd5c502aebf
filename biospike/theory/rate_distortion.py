"""Bits, and spikes, that an accuracy costs at least: rate-distortion bounds beside those of the paper.

"The paper" is D. Guo, J. Wu, S. M. Yiu, *Closing the Theory-Practice Gap in Spiking Transformers via Effective
Dimension*, arXiv:2604.15769 (2026); the formulas are those of a third-party digest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from biospike.errors import InputError
from biospike.theory import universal

Array = NDArray[np.float64]

STEEPEST = 1e6
"""Largest slope tried for a target distortion, in nats per range of distortions: beyond it only rounding changes."""
STRIDE = 0.5
"""Step of the logarithm of the slope while a target distortion is bracketed."""


class RateDistortion(NamedTuple):
    """A point of a rate-distortion curve.

    Attributes
    ----------
    rate
        Bits, achieved by the test channel found, hence at least R(distortion).
    distortion
        Expected distortion of that channel.
    gap
        Bits by which `rate` exceeds R(distortion) at most (Blahut's bounds).
    """

    rate: float
    distortion: float
    gap: float


def shannon_lower_bound_uniform(distortion: ArrayLike, width: ArrayLike = 1.0) -> Array:
    """Shannon's lower bound on R(D) in bits, squared error, for a source uniform on an interval.

    ``R(D) >= h(X) - 1/2 log2(2 pi e D) = 1/2 log2(width^2 / (2 pi e D))`` (Shannon 1959; Cover and Thomas, *Elements of
    Information Theory*, problem 10.8). Tight as D goes to 0; 0 from D = 0.0585 width^2 on, while R itself reaches 0 at
    the variance, width^2/12 = 0.0833 width^2. A uniform quantiser with coded indices needs 0.254 bits more at small D.

    Parameters
    ----------
    distortion
        Mean squared error D, above 0.
    width
        Of the interval, above 0.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    ratio = _positive("width", width) ** 2 / _positive("distortion", distortion)
    return np.asarray(np.maximum(0.5 * np.log2(ratio / (2 * np.pi * math.e)), 0.0))


def blahut_arimoto(
    p: ArrayLike,
    distortion: ArrayLike,
    *,
    slope: float | None = None,
    target: float | None = None,
    tolerance: float = 1e-4,
    iterations: int = 100_000,
) -> RateDistortion:
    """Rate-distortion function of a discrete source, by alternating minimisation.

    R. E. Blahut, *Computation of channel capacity and rate-distortion functions*, IEEE Trans. Inf. Theory 18, 460
    (1972); S. Arimoto, same volume, 14. Any finite source and distortion; a continuous source has to be cut into cells
    much smaller than the distortion.

    Parameters
    ----------
    p
        Probabilities of the source (symbols,).
    distortion
        Matrix (symbols, reproductions), finite and at least 0.
    slope
        ``-dR/dD`` in nats per unit of distortion, at least 0: the point of the curve with that slope.
    target
        Or: the distortion wanted, between the smallest, ``sum_i p_i min_j d_ij``, and that of rate 0,
        ``min_j sum_i p_i d_ij``; at or above the latter the rate is 0.
    tolerance
        Largest `gap` in bits.
    iterations
        Steps after which the search is given up.

    Raises
    ------
    InputError
        If the arguments do not fit together, the target cannot be reached, or the tolerance is not met.
    """
    source, cost = _check_source(p, distortion)
    if (slope is None) == (target is None):
        raise InputError("give either a slope or a target distortion")
    if slope is not None:
        if not 0 <= slope < np.inf:
            raise InputError(f"slope must be at least 0 and finite, got {slope}")
        return _minimise(source, cost, slope, tolerance, iterations)
    assert target is not None
    smallest, largest = float(source @ cost.min(axis=1)), float((source @ cost).min())
    if not target > smallest:
        raise InputError(f"target must be above the smallest distortion {smallest:g}, got {target}")
    if target >= largest:
        return RateDistortion(0.0, largest, 0.0)

    def excess(log_slope: float) -> float:
        return _minimise(source, cost, float(np.exp(log_slope)), tolerance, iterations).distortion - target

    # A source whose distortion falls as 2^(-2R), as for squared errors, has the slope 1/(2D). Widened until it holds
    # the target; very shallow slopes converge slowly and are not tried before they are needed.
    low = high = -float(np.log(2 * (target - smallest)))
    while excess(low) < 0:
        low -= STRIDE
    while excess(high) > 0:
        high += STRIDE
        if high > np.log(STEEPEST / (largest - smallest)):
            raise InputError(f"target {target} is too near the smallest distortion {smallest:g} to be resolved")
    return _minimise(source, cost, float(np.exp(brentq(excess, low, high, xtol=1e-9))), tolerance, iterations)


def _minimise(source: Array, cost: Array, slope: float, tolerance: float, iterations: int) -> RateDistortion:
    # A factor per symbol changes nothing: without it, exp underflows for steep slopes.
    kernel = np.exp(-slope * (cost - cost.min(axis=1, keepdims=True)))
    output = np.full(cost.shape[1], 1 / cost.shape[1])
    for _ in range(iterations):
        factor = (source / (kernel @ output)) @ kernel
        used = output > 0
        # Blahut's theorem 6: R lies between the two.
        if np.log2(factor.max()) - output[used] @ np.log2(factor[used]) <= tolerance:
            channel = output * kernel
            channel /= channel.sum(axis=1, keepdims=True)
            joint = source[:, np.newaxis] * channel
            marginal = joint.sum(axis=0)
            there = joint > 0
            rate = float((joint[there] * np.log2((channel / np.where(marginal > 0, marginal, 1.0))[there])).sum())
            reached = float((joint * cost).sum())
            bound = -slope * (reached - source @ cost.min(axis=1)) - source @ np.log(kernel @ output)
            lower = bound / np.log(2) - np.log2(factor.max())
            return RateDistortion(max(rate, 0.0), reached, max(rate - max(float(lower), 0.0), 0.0))
        output = output * factor
        output /= output.sum()
    raise InputError(f"no convergence to {tolerance:g} bits in {iterations} iterations at the slope {slope:g}")


def paper_spikes(lipschitz: ArrayLike, tokens: ArrayLike, features: ArrayLike, eps: ArrayLike) -> Array:
    """Spikes below which no rate code gets according to the paper, ``N_total = L_f^2 n d / eps^2``, constant 1.

    The factor ``1/eps^2`` is that of Bernoulli rate codes: a regular code reaches eps with of the order of 1/eps
    spikes a value. The formula of `biospike.theory.universal.spikes`, in the order of the paper's symbols.

    Parameters
    ----------
    lipschitz, tokens, features, eps
        L_f, n, d and the error, all above 0.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    return universal.spikes(tokens, features, eps, lipschitz)


def information_bound_spikes(
    lipschitz: ArrayLike, tokens: ArrayLike, features: ArrayLike, eps: ArrayLike, bits_per_spike: ArrayLike = 1.0
) -> Array:
    """Spikes that carry the paper's ``R = n d log2(L_f / eps)`` bits; 0 where eps is L_f or more.

    One bit a spike is no bound: a spike of a train of probability p carries up to
    `biospike.theory.information.bits_per_spike`, about log2(e/p), above 1 for p < 0.773. R itself is the paper's, for
    independent uniform values resolved to cells of eps/L_f; for the squared error see `rate_readings`.

    Parameters
    ----------
    lipschitz, tokens, features, eps
        L_f, n, d and the error, all above 0.
    bits_per_spike
        Above 0.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    size = _positive("tokens", tokens) * _positive("features", features)
    bits = np.log2(_positive("lipschitz", lipschitz) / _positive("eps", eps))
    return np.asarray(size * np.maximum(bits, 0.0) / _positive("bits_per_spike", bits_per_spike))


class RateReadings(NamedTuple):
    """Bits of n*d values by the paper's formula, in both readings of its eps, and by Shannon's bound.

    Attributes
    ----------
    per_value : ndarray
        ``n d log2(L_f/e)``, if eps is the root mean square error e of a value, D = (e/L_f)^2.
    frobenius : ndarray
        ``n d log2(L_f/(e sqrt(n d)))``, if eps is the Frobenius norm of the error, as in the paper's objective.
    shannon : ndarray
        ``n d`` times `shannon_lower_bound_uniform` of the mean square error D of a value.
    """

    per_value: Array
    frobenius: Array
    shannon: Array


def rate_readings(lipschitz: ArrayLike, tokens: ArrayLike, features: ArrayLike, error: ArrayLike) -> RateReadings:
    """Bits that values known to a root mean square `error` each ask for; the sources do not say which norm eps is.

    By the value the formula is 1/2 log2(2 pi e) = 2.05 bits a value above R(D) as D goes to 0, and 1.79 at D = 1/12,
    the variance, where R is 0. As a Frobenius norm it is 1/2 log2(n d) - 2.05 bits a value *below* R(D) at small D, so
    that it is a lower bound then for n d >= 18, and far from tight. None is below 0.

    Parameters
    ----------
    lipschitz, tokens, features, error
        L_f, n, d and e, all above 0.

    Raises
    ------
    InputError
        If an argument is not above 0.
    """
    values = _positive("tokens", tokens) * _positive("features", features)
    relative = _positive("error", error) / _positive("lipschitz", lipschitz)
    return RateReadings(
        information_bound_spikes(lipschitz, tokens, features, error),
        information_bound_spikes(lipschitz, tokens, features, np.asarray(error) * np.sqrt(values)),
        np.asarray(values * shannon_lower_bound_uniform(relative**2)),
    )


def _check_source(p: ArrayLike, distortion: ArrayLike) -> tuple[Array, Array]:
    source, cost = np.asarray(p, dtype=float), np.asarray(distortion, dtype=float)
    if source.ndim != 1 or not (source >= 0).all() or abs(source.sum() - 1) > 1e-9:
        raise InputError(f"p must be probabilities (symbols,) that sum to 1, got {source.tolist()}")
    if cost.ndim != 2 or len(cost) != len(source):
        raise InputError(f"distortion must have the shape ({len(source)}, reproductions), got {cost.shape}")
    wrong = ~(np.isfinite(cost) & (cost >= 0))
    if wrong.any():
        raise InputError(f"distortions must be finite and at least 0, got {cost[wrong][0]}")
    possible = source > 0
    return source[possible] / source.sum(), cost[possible]


def _positive(name: str, value: ArrayLike) -> Array:
    values = np.asarray(value, dtype=float)
    if not (values > 0).all():
        raise InputError(f"{name} must be above 0, got {values[~(values > 0)][0]}")
    return values
