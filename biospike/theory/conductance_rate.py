"""Rate of a leaky integrate-and-fire neuron whose excitatory and inhibitory conductances fluctuate.

::

    C dv/dt = g_leak*(v_leak - v) + g_e*(v_e - v) + g_i*(v_i - v) + current,    v > v_threshold: v = v_reset for t_ref
    tau_e dg_e/dt = mean_e - g_e + deviation_e*sqrt(2*tau_e)*xi,    and so for g_i

The stationary density of (v, g_e, g_i) is found without random numbers. The conductances take values at the nodes of a
Gauss-Hermite rule each, between which the generator of the Ornstein-Uhlenbeck process, exact on polynomials, moves
them; given the conductances v goes one way, so that it is carried by a discontinuous Galerkin scheme of third order,
upwind. What crosses the threshold starts at the reset after the refractory period, in which its conductances relax
exactly. The error is that of few nodes, 1 to 3 % of a rate and of either sign from one drive to the next; `smooth`
takes that out of a curve.

References
----------
A. Destexhe, M. Rudolph, J.-M. Fellous, T. J. Sejnowski (2001), Neuroscience 107, 13,
doi:10.1016/S0306-4522(01)00344-X (the neuron).
H. Risken, *The Fokker-Planck Equation*, Springer (1989), chapter 9 (expansion in Hermite functions).
"""

from __future__ import annotations

import itertools
import math

import attrs
import numpy as np
from numpy.polynomial import Chebyshev, Legendre
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.linalg import lu_factor, lu_solve

from biospike.errors import InputError

Array = NDArray[np.float64]

NODES = 8
"""Of each conductance."""
CELL = 1e-3
"""Largest cell of the voltage, volt."""
ORDER = 3
"""Polynomials in a cell."""
DEGREE = 3
"""Of the polynomial of ln(rate) that `smooth` fits."""


@attrs.frozen(kw_only=True)
class ConductanceCell:
    """A membrane and its synapses; farad, siemens, volt, second."""

    capacitance: float
    g_leak: float
    v_leak: float
    v_e: float
    v_i: float
    tau_e: float
    tau_i: float
    v_threshold: float
    v_reset: float
    refractory: float


@attrs.frozen(kw_only=True)
class Background:
    """Mean and standard deviation of both conductances, siemens."""

    mean_e: float
    deviation_e: float
    mean_i: float
    deviation_i: float


def free_membrane(cell: ConductanceCell, background: Background, current: float) -> tuple[float, float]:
    """Mean and standard deviation, volt, of a membrane without threshold, to first order in the fluctuations."""
    total = cell.g_leak + background.mean_e + background.mean_i
    charge = cell.g_leak * cell.v_leak + background.mean_e * cell.v_e + background.mean_i * cell.v_i + current
    mean, tau = charge / total, cell.capacitance / total
    variance = sum(
        (deviation * (reversal - mean) / total) ** 2 * lag / (lag + tau)
        for deviation, reversal, lag in (
            (background.deviation_e, cell.v_e, cell.tau_e),
            (background.deviation_i, cell.v_i, cell.tau_i),
        )
    )
    return mean, math.sqrt(variance)


def conductance_rate(cell: ConductanceCell, background: Background, current: float, nodes: int = NODES) -> float:
    """Rate, Hz, at a constant current, ampere; see the module.

    Raises
    ------
    InputError
        If some fluctuation leaves no positive conductance in all: there the equations mean nothing.
    """
    x, weight, modes = _rule(nodes)
    g_e = (background.mean_e + background.deviation_e * x)[:, None]
    g_i = (background.mean_i + background.deviation_i * x)[None, :]
    total = (cell.g_leak + g_e + g_i).ravel()
    if total.min() <= 0:
        raise InputError(f"conductances must stay above 0 within 4 standard deviations, got {background}")
    pull = total / cell.capacitance
    push = ((cell.g_leak * cell.v_leak + g_e * cell.v_e + g_i * cell.v_i + current) / cell.capacitance).ravel()
    decay = np.arange(nodes)
    one_e, one_i = ((weight[:, None] * modes) @ np.diag(-decay / tau) @ modes.T for tau in (cell.tau_e, cell.tau_i))
    generator = np.kron(one_e, np.eye(nodes)) + np.kron(np.eye(nodes), one_i)
    low = min(cell.v_reset - CELL, float((push / pull).min()))  # no membrane goes below where all nodes pull it up
    below = math.ceil((cell.v_reset - low) / CELL)
    above = math.ceil((cell.v_threshold - cell.v_reset) / CELL)
    edges = np.append(
        np.linspace(low, cell.v_reset, below + 1), np.linspace(cell.v_reset, cell.v_threshold, above + 1)[1:]
    )
    carried = _Carried(push, pull, generator, edges)
    hold = np.exp(-(decay[:, None] / cell.tau_e + decay / cell.tau_i) * cell.refractory)
    back = np.outer(weight, weight)
    for _ in range(200):
        time, flux = carried.solve(back.ravel() / back.sum(), below)
        relaxed = modes.T @ flux.reshape(nodes, nodes) @ modes * hold
        after = (weight[:, None] * modes) @ relaxed @ (weight[:, None] * modes).T
        change, back = np.abs(after - back).sum(), after
        if change < 1e-9:
            break
    return float(1 / (time + cell.refractory))


def smooth(drive: Array, rate: Array) -> Chebyshev:
    """Fit the polynomial of ln(rate) in the drive: the curve of a rate that is analytic, without the nodes' error."""
    return Chebyshev.fit(drive, np.log(rate), DEGREE)


def _rule(nodes: int) -> tuple[Array, Array, Array]:
    """Nodes and weights for a normal number, and the normalised Hermite polynomials there, (node, order)."""
    x, weight = hermegauss(nodes)
    modes = np.ones((nodes, nodes))
    modes[:, 1] = x
    for k in range(2, nodes):
        modes[:, k] = (x * modes[:, k - 1] - math.sqrt(k - 1) * modes[:, k - 2]) / math.sqrt(k)
    return x, weight / weight.sum(), modes


class _Carried:
    """The stationary density that a source at the reset keeps up, by block elimination from the lowest cell.

    Unknowns of a cell are (polynomial, node). Cells are coupled by what crosses their edges, one number a node, so
    that of every elimination only the part that the edge sees is kept.
    """

    def __init__(self, push: Array, pull: Array, generator: Array, edges: Array) -> None:
        self.edges, self.nodes = edges, len(push)
        self.right, self.left = np.ones(ORDER), (-1.0) ** np.arange(ORDER)
        points, weights = leggauss(ORDER + 2)
        phi = np.array([Legendre.basis(a)(points) for a in range(ORDER)])
        slope = np.array([Legendre.basis(a).deriv()(points) for a in range(ORDER)])
        norm = 1 / (2 * np.arange(ORDER) + 1)
        self.drifts = push - pull * edges[:, None]
        self.factors, self.seen = [], []
        kept = np.zeros((self.nodes, self.nodes))  # density at a cell's right edge for one at the next one's left edge
        diagonal = np.arange(self.nodes)
        for number, (low, high) in enumerate(itertools.pairwise(edges)):
            first, last = number == 0, number == len(edges) - 2
            drift = push - pull * ((low + high) / 2 + points * (high - low) / 2)[:, None]
            matrix = np.zeros((ORDER, self.nodes, ORDER, self.nodes))
            carried = -np.einsum("aq,bq,q,qn->abn", slope, phi, weights, drift)
            carried += np.einsum("a,b,n->abn", self.right, self.right, np.maximum(self.drifts[number + 1], 0))
            if not first:
                carried -= np.einsum("a,b,n->abn", self.left, self.left, np.minimum(self.drifts[number], 0))
            for a in range(ORDER):
                matrix[a, :, a, :] -= generator * (high - low) * norm[a]
                for b in range(ORDER):
                    matrix[a, diagonal, b, diagonal] += carried[a, b]
            if not first:
                inflow = np.maximum(self.drifts[number], 0)[:, None] * kept
                matrix += np.einsum("a,mn,b->ambn", self.left, inflow, self.left)
            factor = lu_factor(matrix.reshape(ORDER * self.nodes, -1), overwrite_a=True, check_finite=False)
            self.factors.append(factor)
            if not last:
                outflow = self.right[:, None, None] * np.diag(np.minimum(self.drifts[number + 1], 0))
                found = lu_solve(factor, outflow.reshape(-1, self.nodes), check_finite=False)
                self.seen.append(found)
                kept = self.right @ found.reshape(ORDER, -1).reshape(ORDER, self.nodes * self.nodes)
                kept = kept.reshape(self.nodes, self.nodes)

    def solve(self, source: Array, reset: int) -> tuple[float, Array]:
        """Time spent below the threshold, and flux over it, for a source (nodes,) at the edge number `reset`."""
        cells = len(self.factors)
        forced = np.zeros((cells, ORDER, self.nodes))
        up = self.drifts[reset] > 0
        forced[reset] += self.left[:, None] * np.where(up, source, 0)
        forced[reset - 1] += self.right[:, None] * np.where(up, 0, source)
        found: list[Array] = []
        for number, factor in enumerate(self.factors):
            if number:
                inflow = np.maximum(self.drifts[number], 0) * (self.right @ found[-1])
                forced[number] += self.left[:, None] * inflow
            found.append(lu_solve(factor, forced[number].ravel(), check_finite=False).reshape(ORDER, self.nodes))
        for number in range(cells - 2, -1, -1):
            edge = self.left @ found[number + 1]
            found[number] = found[number] - (self.seen[number] @ edge).reshape(ORDER, self.nodes)
        time = sum(float(one[0].sum()) * width for one, width in zip(found, np.diff(self.edges), strict=True))
        flux = np.maximum(self.drifts[-1], 0) * (self.right @ found[-1])
        return time, flux
