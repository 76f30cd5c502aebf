"""Where samples come from: linear models on trees, nonlinear ones, and counts of chains of Poisson units."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.neurons import LIF
from biospike.theory.score_schur import chain_threshold

import brian2 as b2

Array = NDArray[np.float64]

STRONG, WEAK = (0.5, 1.5), (0.3, 0.8)
"""Absolute weights of edges, uniform."""
MARGIN = 0.03
"""By which gains of chains lie below and above their threshold."""
LENGTHS = (1, 2, 3, 5)
GENERATIONS = 2
"""Of nonlinear models: cubes of cubes of cubes are no numbers to estimate from."""
MEAN = 20.0
"""Counts of the first unit of a chain; the threshold does not depend on it."""


class Samples(NamedTuple):
    """Samples (samples, nodes), and B_ij, the weight of j on i or anything but 0 where there is an edge."""

    values: Array
    B: Array


def tree(rng: np.random.Generator, nodes: int, weights: tuple[float, float], deepest: int | None = None) -> Array:
    """Random recursive tree with weights of either sign, its nodes in random order, (nodes, nodes).

    Nodes at depth `deepest` have no effects; None for a tree of any depth.
    """
    B, names, depth = np.zeros((nodes, nodes)), rng.permutation(nodes), np.zeros(nodes)
    for number in range(1, nodes):
        possible = np.flatnonzero(depth[:number] < (np.inf if deepest is None else deepest))
        cause = rng.choice(possible)
        depth[number] = depth[cause] + 1
        B[names[number], names[cause]] = rng.uniform(*weights) * rng.choice([-1, 1])
    return B


def chain(edges: int, gain: float) -> Array:
    """B of a chain 0 -> 1 -> ... of so many edges."""
    return np.diag(np.full(edges, gain), -1)


def linear(rng: np.random.Generator, nodes: int, size: int, weights: tuple[float, float]) -> Samples:
    """Linear model of noise of variance 1 on a random tree."""
    B = tree(rng, nodes, weights)
    return Samples(np.asarray(np.linalg.solve(np.eye(nodes) - B, rng.normal(size=(nodes, size))).T, dtype=float), B)


def nonlinear(rng: np.random.Generator, nodes: int, size: int, curve: Callable[[Array], Array]) -> Samples:
    """Gain times the curve of the cause, and noise of variance 1, on a random tree of two generations."""
    B = tree(rng, nodes, STRONG, deepest=GENERATIONS)
    values = rng.normal(size=(size, nodes))
    left = list(range(nodes))
    while left:  # causes first
        ready = [node for node in left if not np.isin(np.flatnonzero(B[node]), left).any()]
        for node in ready:
            causes = np.flatnonzero(B[node])
            values[:, node] += curve(values[:, causes]) @ B[node, causes]
        left = [node for node in left if node not in ready]
    return Samples(values, B)


def f_i_curve(x: Array) -> Array:
    """f-I curve of a LIF neuron whose mean input is at threshold, in units in which it spans a few deviations."""
    cell = LIF()
    rate = cell.firing_rate(cell.v_threshold + x * 5 * b2.mV)
    return np.asarray(rate / (40 * b2.Hz))


def cube(x: Array) -> Array:
    """x^3/3."""
    return np.asarray(x**3 / 3)


def poisson_chain(rng: np.random.Generator, edges: int, gain: float, size: int) -> Samples:
    """Counts of Poisson units, each of mean gain times the count of the one before."""
    counts = [rng.poisson(MEAN, size)]
    for _ in range(edges):
        counts.append(rng.poisson(gain * counts[-1]))
    return Samples(np.stack(counts, axis=1).astype(float), chain(edges, gain))


def gains(edges: int, margin: float = MARGIN) -> tuple[float, float]:
    """Gains below and above the threshold of a chain."""
    threshold = chain_threshold(edges)
    return threshold - margin, threshold + margin
