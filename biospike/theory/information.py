"""Information that spikes carry about a value, in bits."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, gammaln

from biospike.errors import InputError

Array = NDArray[np.float64]
Code = Literal["bernoulli", "regular", "random_phase"]
CODES: tuple[Code, ...] = ("bernoulli", "regular", "random_phase")


def count_information(code: Code, timesteps: ArrayLike) -> Array:
    """Mutual information in bits between a value x, uniform on [0, 1], and its spike count in T steps, exact.

    * ``bernoulli``: T coins of probability x. The count is uniform on 0..T, and the mean entropy of a coin of uniform
      x is 1/2 nat, so ``I = ln(T + 1) - T/2 + mean_k ln binom(T, k)`` nats. For large T this is
      ``1/2 ln(T/(2 pi e)) + 1`` nats (Clarke and Barron, IEEE Trans. Inf. Theory 36, 453, 1990).
    * ``regular``: the count is the index of x among T + 1 equal intervals, ``log2(T + 1)``: the most that any count of
      T steps can carry.
    * ``random_phase``: floor(T x + phase) with a uniform phase that the reader does not know, as of
      `biospike.encoding.Regular`: ``log2(T) + 1/T - 1/(2 ln 2)``, 0.72 bits below the regular code.

    Each counts what an ideal reader of the *count* learns; the times of the spikes can tell more.

    Parameters
    ----------
    code
        ``bernoulli``, ``regular`` or ``random_phase``.
    timesteps
        T, whole numbers of at least 1. Rounding of the Bernoulli formula is below 1e-8 bits up to T = 10^6.

    Raises
    ------
    InputError
        If the code is unknown or T is not a whole number of at least 1.
    """
    if code not in CODES:
        raise InputError(f"code must be one of {', '.join(CODES)}, got {code!r}")
    steps = np.asarray(timesteps, dtype=float)
    wrong = ~((steps >= 1) & (steps == np.floor(steps)) & np.isfinite(steps))
    if wrong.any():
        raise InputError(f"timesteps must be a whole number of at least 1, got {steps[wrong][0]:g}")
    if code == "regular":
        return np.asarray(np.log2(steps + 1))
    if code == "random_phase":
        return np.asarray(np.log2(steps) + 1 / steps - 0.5 / np.log(2))
    different, where = np.unique(steps, return_inverse=True)
    nats = [np.log(T + 1) - T / 2 + _log_binomials(int(T)).mean() for T in different]
    return np.asarray((np.array(nats) / np.log(2))[where].reshape(steps.shape))


def _log_binomials(steps: int) -> Array:
    k = np.arange(steps + 1)
    return np.asarray(gammaln(steps + 1) - gammaln(k + 1) - gammaln(steps - k + 1))


def binary_entropy(p: ArrayLike) -> Array:
    """Entropy of a coin in bits, ``h(p) = -p log2 p - (1 - p) log2(1 - p)`` (Shannon 1948); 0 at p = 0 and 1.

    Raises
    ------
    InputError
        If p is not in [0, 1].
    """
    values = np.asarray(p, dtype=float)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise InputError(f"p must be in [0, 1], got {values[wrong][0]}")
    return np.asarray((entr(values) + entr(1 - values)) / np.log(2))


def bits_per_spike(p: ArrayLike) -> Array:
    """Entropy of a Bernoulli train per spike, ``h(p)/p`` bits: the most that a spike can carry in bins of one step.

    About ``log2(e/p)`` for rare spikes, hence without bound (Rieke, Warland, de Ruyter van Steveninck, Bialek,
    *Spikes*, MIT Press 1997, section 3.1.2); 2 at p = 1/2, and below 1 only for p above 0.773. "A spike carries at most
    one bit" is therefore wrong by any factor for sparse codes whose spike times are read.

    Parameters
    ----------
    p
        Probability of a spike in a step, above 0 and at most 1.

    Raises
    ------
    InputError
        If p is not in (0, 1].
    """
    values = np.asarray(p, dtype=float)
    if (values == 0).any():
        raise InputError("p must be above 0 and at most 1, got 0: a silent train has no spike to share bits among")
    return np.asarray(binary_entropy(values) / values)
