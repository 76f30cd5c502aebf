"""Stationary firing rate of discrete leaky integrate-and-fire neurons that weigh independent Bernoulli spikes.

The membrane is a Markov chain. Its stationary distribution is computed on a grid, for every neuron and input, by the
Chapman-Kolmogorov equation of a step; the part that fires in a step is the rate. It is the limit of long windows for
populations of LIF neurons that carry queries, keys and values.

References
----------
D. Guo, J. Wu, S. M. Yiu (2026), arXiv:2604.15769, section 3 (the discrete LIF neuron).
W. Fang et al. (2023), Sci. Adv. 9, eadi1480, doi:10.1126/sciadv.adi1480 (SpikingJelly; its soft reset).
A. Sidi (2003), Practical Extrapolation Methods, Cambridge University Press (reduced rank extrapolation).
S. Das, Y. Saiki, E. Sander, J. A. Yorke (2017), Nonlinearity 30, 4111 (smooth windows for averages over an orbit).
"""

from __future__ import annotations

import warnings

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, sparse

from biospike.errors import InputError

Array = NDArray[np.float64]

FEWEST_BINS, ROUGH_BINS = 16, 256
"""Cells of a threshold on the first grid, if the distribution is smooth and if not; every further grid halves them."""
MOST_CELLS = 2**18
"""Cells of a neuron on the last grid, at most."""
CHUNK_CELLS = 2**14
"""Cells of the neurons that are solved together: few enough for the cache."""
CYCLE, MOST_CYCLES = 9, 1000
"""Steps of the chain that one extrapolation combines, and how often it may."""
ORBIT = 4096
"""Steps that are averaged where nothing is random."""


def leaky_lif_rate(weights: ArrayLike, x: ArrayLike, beta: float, tolerance: float = 1e-4) -> Array:
    """Spikes per step of leaky integrate-and-fire neurons with subtractive reset.

    ``u_t = beta*v_{t-1} + I_t`` spikes if ``u_t >= 1``, and leaves ``v_t = u_t - 1`` after a spike and ``v_t = u_t``
    otherwise; surplus stays. The input is ``I_t = sum_f W_f s_f(t)``, where s_f(t) is 1 with probability x_f,
    independently. This is SpikingJelly's soft reset (``decay_input=False``, ``beta = 1 - 1/tau``). Where the threshold
    is subtracted after the decay, as by `biospike.ideal.lif.Paper`, a spike costs 1/beta and the rate is lower.

    In the mean ``rate = E I - (1 - beta) E v``. For beta = 1 the rate is therefore ``clip(E I, 0, 1)``. For beta = 0
    surplus is lost with the membrane, and the rate is P(I >= 1).

    Parameters
    ----------
    weights
        W (features, units), of any sign, in thresholds.
    x
        Probabilities (inputs, features) of the input spikes, in [0, 1].
    beta
        What a step leaves of the membrane, in [0, 1]; ``exp(-dt/tau_m)``.
    tolerance
        Absolute. The grid is refined, for each neuron, until halving its cells moves the rate by at most this, and by
        at most four times this before; the two last rates are extrapolated. The error is of second order in the cells
        where many inputs are random, and then below the tolerance. Where few are, or they spike rarely, the
        distribution is rough and the order about one: of 300 neurons with one to eight such inputs 98 % were within
        the tolerance, and the worst off by five times as much. A rate below a hundredth of it may be returned as 0.

    Returns
    -------
    array
        Rates (inputs, units), in spikes per step.

    Raises
    ------
    InputError
        If the shapes do not fit, a number is not finite or outside its range, or a membrane spreads over more than 4096
        thresholds (down to 256 if its distribution is rough), as it does for large weights with beta near 1.
    RuntimeError
        If the distribution does not become stationary.

    Warns
    -----
    RuntimeWarning
        If the rates on the finest grids differ by more. An example is a neuron that often meets the threshold exactly,
        with weights that are no multiples of a power of two: the grid cannot tell whether it fires.

    Notes
    -----
    On one core 4224 neurons (inputs times units) with 11 features take 4, 10 and 25 s at beta = 0.5, 0.9 and 0.99.
    Nearer to 1 the time grows at least as 1/(1 - beta).
    """
    W, X = np.asarray(weights, dtype=float), np.asarray(x, dtype=float)
    if W.ndim != 2 or X.ndim != 2 or X.shape[1] != W.shape[0]:
        raise InputError(
            f"weights have to be of shape (features, units) and x of (inputs, features), got {W.shape} and {X.shape}"
        )
    if not np.isfinite(W).all():
        raise InputError(f"weights have to be finite, got {W[~np.isfinite(W)][0]}")
    if not ((X >= 0) & (X <= 1)).all():
        raise InputError(f"x has to be in [0, 1], got {X[~((X >= 0) & (X <= 1))][0]}")
    if not 0 <= beta <= 1:
        raise InputError(f"beta has to be in [0, 1], got {beta}")
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance has to be in (0, 1), got {tolerance}")
    if beta == 1:
        return np.clip(X @ W, 0.0, 1.0)
    rates, errors = np.zeros((2, len(X), W.shape[1]))
    for i, row in enumerate(X):
        drawn = (row > 0) & (row < 1)
        # Inputs that spike in every step are one input.
        merged = np.vstack([W[drawn], W[row == 1].sum(axis=0)])
        rates[i], errors[i] = _rates(merged, np.append(row[drawn], 1.0), beta, tolerance)
    if (errors > 0).any():
        warnings.warn(
            f"{(errors > 0).sum()} of {errors.size} rates are known to {errors.max():.1e} only", RuntimeWarning, 2
        )
    return np.clip(rates, 0.0, 1.0)


@attrs.frozen(eq=False)
class _Neurons:
    """Neurons that share their input and a grid from -low thresholds on; `smooth` says how weights are split on it."""

    W: Array
    x: Array
    beta: float
    tolerance: float
    low: int
    smooth: bool


def _rates(W: Array, x: Array, beta: float, tolerance: float) -> tuple[Array, Array]:
    """Rates of all units for one input, and their errors where these exceed the tolerance."""
    mean, variance = x @ W, (x * (1 - x)) @ W**2
    lower, upper, far = _ranges(W, x, beta, tolerance)
    # Farther below the threshold a neuron does not fire, and farther above it does not fail to.
    silent, saturated = 1 - mean / (1 - beta) >= far, (mean - 1) / (1 - beta) >= far
    rates, errors = np.where(saturated, 1.0, 0.0), np.zeros(len(mean))
    regular, pending = (np.flatnonzero(((variance > 0) == random) & ~silent & ~saturated) for random in (False, True))
    rates[regular] = _orbit_rates(mean[regular], beta)

    # Smooth is a leaky sum of the input with a correlation dimension, log(prod(x^2 + (1 - x)^2))/log(beta), above 4.
    smooth = bool(np.prod(x**2 + (1 - x) ** 2) <= beta**4)
    resolving = 2.0 ** np.ceil(np.log2(2 / np.sqrt(variance[pending])))
    first = np.clip(resolving, FEWEST_BINS, ROUGH_BINS) if smooth else np.full(len(pending), ROUGH_BINS)
    order = np.lexsort(((lower + upper)[pending], first))
    pending, first = pending[order], first[order].astype(np.int64)
    while len(pending):
        bins = int(first[0])
        cells = (lower + upper)[pending[first == bins]] * bins
        together = max(1, int(np.searchsorted(cells * np.arange(1, len(cells) + 1), CHUNK_CELLS)))
        some, pending, first = pending[:together], pending[together:], first[together:]
        low = int(lower[some].max())
        width = fft.next_fast_len(low + int(upper[some].max()), real=True)
        if 4 * width * bins > MOST_CELLS:
            raise InputError(
                f"a membrane spreads over {width} thresholds at beta = {beta}, at most {MOST_CELLS // (4 * bins)} are "
                f"accepted: use smaller weights, or beta = 1"
            )
        mass, unknown = np.zeros((len(some), width * bins)), np.full(len(some), np.inf)
        mass[:, low * bins] = 1
        neurons = _Neurons(W[:, some], x, beta, tolerance, low, smooth)
        rates[some], errors[some] = _refine(neurons, bins, mass, unknown, unknown)
    return rates, errors


def _ranges(W: Array, x: Array, beta: float, tolerance: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """How far u goes below and above 0, in whole thresholds, and the leaky sum of the input from its mean.

    All but with probability tolerance/100. Bernstein's inequality for the sum, Lundberg's for excursions from 0 and 1.
    """
    mean, variance, tail = x @ W, (x * (1 - x)) @ W**2, np.log(100 / tolerance)
    largest = tail / 3 * np.abs(W[x < 1]).max(axis=0, initial=0.0)
    far = largest + np.sqrt(2 * tail * variance / (1 - beta**2))

    def depth(drift: Array, worst: Array) -> NDArray[np.int64]:
        against = tail * variance / (2 * np.maximum(drift, 1e-300)) + largest
        likely = np.where(drift > 0, np.minimum(far, against), far - drift / (1 - beta))
        return np.ceil(np.minimum(likely, np.maximum(worst, 0) / (1 - beta))).astype(np.int64)

    below, above = -np.minimum(W, 0).sum(axis=0), np.maximum(W, 0).sum(axis=0)
    return depth(mean, below), depth(1 - mean, above - 1) + 2, far


def _refine(neurons: _Neurons, bins: int, mass: Array, coarse: Array, before: Array) -> tuple[Array, Array]:
    """Rates by ever finer grids, and their errors where these exceed the tolerance.

    `coarse` are the rates on the last grid, `before` how much they differ from those on the grid before.
    """
    mass, fine = _stationary(neurons, bins, mass)
    change = np.abs(fine - coarse)
    rates, errors = fine + (fine - coarse) / 3, np.maximum(change, before / 4)
    errors[errors <= neurons.tolerance] = 0
    pending, cells = np.flatnonzero(errors), 2 * mass.shape[1]
    if cells <= MOST_CELLS:
        together = max(1, CHUNK_CELLS // cells)
        for some in (pending[i : i + together] for i in range(0, len(pending), together)):
            start = np.repeat(mass[some] / 2, 2, axis=1)
            these = attrs.evolve(neurons, W=neurons.W[:, some])
            rates[some], errors[some] = _refine(these, 2 * bins, start, fine[some], change[some])
    return rates, errors


def _stationary(neurons: _Neurons, bins: int, mass: Array) -> tuple[Array, Array]:
    """Stationary mass of v in the cells [k, k + 1)/bins, and the rate, from a first guess of the mass.

    The leak spreads the shrunken cells over the cells that they overlap. A weight between two edges of the grid is
    split between them, which keeps the mass positive, or between three, which keeps its variance. All are right to
    second order, and for values on an edge exact, ties with the threshold too.
    """
    beta, cells, zero, one = neurons.beta, mass.shape[1], neurons.low * bins, (neurons.low + 1) * bins
    turns, frequency = np.exp(-2j * np.pi * np.arange(cells) / cells), np.arange(cells // 2 + 1)
    turn, spectrum = turns[frequency], np.ones((len(mass), len(frequency)), dtype=complex)
    for w, probability in zip(neurons.W * bins, neurons.x, strict=True):
        edge = (np.rint(w) if neurons.smooth else np.floor(w))[:, None]
        part = w[:, None] - edge
        split = 1j * part * turn.imag + part**2 * (turn.real - 1) if neurons.smooth else part * (turn - 1)
        spectrum *= probability * (1 + split) * turns[edge.astype(np.int64) * frequency % cells] + (1 - probability)
    start = beta * np.arange(-zero, cells - zero) + zero
    cell = np.floor(start).astype(np.int64)
    over = np.maximum(start + beta - cell - 1, 0) / (beta or 1.0)
    source, following = np.arange(cells), np.minimum(cell + 1, cells - 1)
    leak = sparse.csr_array((np.r_[1 - over, over], (np.r_[source, source], np.r_[cell, following])), (cells, cells))

    def step(v: Array) -> tuple[Array, Array]:
        u = fft.irfft(fft.rfft(v @ leak) * spectrum, cells)
        fired = u[:, one:].copy()
        u[:, one:] = 0
        u[:, zero : cells - bins] += fired
        return u, fired.sum(axis=1)

    states = np.empty((len(mass), CYCLE + 1, cells))
    for _ in range(MOST_CYCLES):
        states[:, 0] = mass
        for k in range(CYCLE):
            states[:, k + 1], rate = step(states[:, k])
        moves = np.diff(states, axis=1)
        if np.abs(moves[:, -1]).sum(axis=1).max() < 0.01 * neurons.tolerance * (1 - beta):
            return states[:, -1], rate
        # The combination of the states that moves least; the last term keeps the system regular.
        gram = moves @ moves.transpose(0, 2, 1)
        gram += (1e-14 * np.trace(gram, axis1=1, axis2=2) + 1e-300)[:, None, None] * np.eye(CYCLE)
        shares = np.linalg.solve(gram, np.ones((len(mass), CYCLE, 1))).transpose(0, 2, 1)
        mass = (shares / shares.sum(axis=2, keepdims=True) @ states[:, 1:])[:, 0]
    raise RuntimeError(f"no stationary distribution after {MOST_CYCLES * CYCLE} steps at beta = {beta}")


def _orbit_rates(drive: Array, beta: float) -> Array:
    """Rates under constant drive: averages over an orbit in a window that fades in and out."""
    phase = (np.arange(ORBIT) + 0.5) / ORBIT
    window = np.exp(-1 / (phase * (1 - phase)))
    v, rates = np.zeros((2, len(drive)))
    for weight in np.append(np.zeros(int(40 / (1 - beta))), window / window.sum()):
        u = beta * v + drive
        spike = u >= 1
        v = u - spike
        rates += weight * spike
    return rates
