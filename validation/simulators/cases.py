"""Single neurons that both simulators run: constant input, frozen input spikes, white noise.

Every case is a `biospike.neurons.LIF` with a drive of its own for each neuron. Constant and frozen input leave nothing
to chance, and the spikes must be the same in number and step; under noise the rates must agree, with each other and
with Siegert's formula.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.neurons import LIF

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

SETTLE = 0.2
"""Fraction of a run with noise that is not counted: neurons start from rest, all alike."""

SOURCES, TARGETS = 40, 24
SOURCE_RATE = 25 * b2.Hz
NOISY_NEURONS = 1000


class Spikes(NamedTuple):
    """Step and neuron of every spike, in the order of the steps; a step is counted from 0 and named by its start."""

    step: NDArray[np.int64]
    neuron: NDArray[np.int64]

    def trains(self, n: int) -> list[NDArray[np.int64]]:
        """Steps of each of `n` neurons."""
        return [self.step[self.neuron == neuron] for neuron in range(n)]


class FrozenInput(NamedTuple):
    """Input spikes given once and for all.

    `step` and `source` (spike) are when Brian2 emits them; `weight` (source, neuron) in mV. `tau_syn` is the time
    constant of the current that they start, None if they move the membrane itself.
    """

    step: NDArray[np.int64]
    source: NDArray[np.int64]
    weight: NDArray[np.float64]
    tau_syn: Quantity | None


@attrs.frozen(kw_only=True, eq=False)
class Case:
    """Unconnected neurons of one kind.

    Attributes
    ----------
    name : str
    cell : LIF
    dt : Quantity
        Step.
    steps : int
        Length of the run.
    v_inf : Quantity (neurons,)
        Drive of each neuron, v_rest + R*I.
    frozen : FrozenInput or None
    sigma : Quantity or None
        White noise in Siegert's convention.
    """

    name: str
    cell: LIF
    dt: Quantity
    steps: int
    v_inf: Quantity
    frozen: FrozenInput | None = None
    sigma: Quantity | None = None

    @property
    def kind(self) -> str:
        """One of constant, delta, exponential, noise."""
        if self.sigma is not None:
            return "noise"
        if self.frozen is None:
            return "constant"
        return "delta" if self.frozen.tau_syn is None else "exponential"

    @property
    def settled(self) -> int:
        """First step that counts."""
        return round(SETTLE * self.steps) if self.sigma is not None else 0


def published_cell(refractory: Quantity = 2 * b2.ms) -> LIF:
    """Neuron of NEST's own test of Siegert's formula: 10 ms, 15 mV above rest and reset, 2 ms."""
    return LIF(tau_m=10 * b2.ms, v_rest=0 * b2.mV, v_reset=0 * b2.mV, v_threshold=15 * b2.mV, refractory=refractory)


def constant_cases() -> list[Case]:
    """Constant currents, one below rheobase; steps from 0.02 to 1 ms, with and without refractory period."""
    above_rest = np.array([14.0, 15.2, 16.0, 18.0, 22.5, 30.0, 40.0, 60.0]) * b2.mV
    default = -70 * b2.mV + np.array([19.0, 20.3, 22.0, 25.0, 35.0, 60.0]) * b2.mV
    raised = LIF(
        tau_m=12 * b2.ms,
        v_rest=-65 * b2.mV,
        v_reset=-60 * b2.mV,
        v_threshold=-50 * b2.mV,
        refractory=1.5 * b2.ms,
    )
    fast = LIF(tau_m=5 * b2.ms, refractory=1 * b2.ms)
    return [
        Case(name="2 ms refractory", cell=published_cell(), dt=0.1 * b2.ms, steps=4000, v_inf=above_rest),
        Case(name="no refractory", cell=published_cell(0 * b2.ms), dt=0.1 * b2.ms, steps=4000, v_inf=above_rest),
        Case(name="one step", cell=published_cell(0.5 * b2.ms), dt=0.5 * b2.ms, steps=1000, v_inf=above_rest),
        Case(name="default cell", cell=LIF(), dt=0.1 * b2.ms, steps=5000, v_inf=default),
        Case(name="coarse grid", cell=LIF(refractory=3 * b2.ms), dt=1 * b2.ms, steps=1000, v_inf=default),
        Case(name="fine grid", cell=fast, dt=0.02 * b2.ms, steps=8000, v_inf=default),
        Case(name="reset above rest", cell=raised, dt=0.25 * b2.ms, steps=1600, v_inf=default + 5 * b2.mV),
    ]


def frozen_cases(seed: int) -> list[Case]:
    """One recorded set of Poisson trains with excitatory and inhibitory weights, through both kinds of synapse."""
    return [frozen_case(seed, None), frozen_case(seed, 5 * b2.ms), tie_case()]


def frozen_case(seed: int, tau_syn: Quantity | None, steps: int = 10_000) -> Case:
    """Forty Poisson trains of 25 Hz on 24 neurons, two thirds of the way to threshold without them."""
    dt, cell = 0.1 * b2.ms, LIF(tau_m=20 * b2.ms, refractory=2 * b2.ms)
    random = np.random.default_rng([seed, 1])
    fired = random.random((steps - 2, SOURCES)) < float(SOURCE_RATE * dt)
    step, source = np.nonzero(fired)
    # A jump of 1 mV, or a current of the same charge: 1 mV for tau_m becomes 1 mV*tau_m/tau_syn.
    scale = 1.0 if tau_syn is None else float(cell.tau_m / tau_syn)
    weight = scale * random.normal(0.4, 1.2, (SOURCES, TARGETS))
    v_inf = np.full(TARGETS, float(cell.v_rest + 2 / 3 * (cell.v_threshold - cell.v_rest))) * b2.volt
    name = "frozen spikes, delta" if tau_syn is None else "frozen spikes, exponential"
    frozen = FrozenInput(step + 1, source, weight, tau_syn)
    return Case(name=name, cell=cell, dt=dt, steps=steps, v_inf=v_inf, frozen=frozen)


def tie_case() -> Case:
    """One input spike a neuron: the first half land exactly on the threshold, the others above it.

    From rest at 0 V a jump of the threshold is exact in floating point, in volt and in mV.
    """
    cell = published_cell()
    threshold = float(cell.v_threshold / b2.mV)
    weight = np.array([[threshold] * TARGETS, [threshold + 1] * TARGETS])
    half = np.arange(TARGETS) < TARGETS // 2
    weight[0, ~half] = weight[1, half] = 0.0
    frozen = FrozenInput(np.array([50, 60]), np.array([0, 1]), weight, None)
    v_inf = np.zeros(TARGETS) * b2.volt
    return Case(name="exactly on threshold", cell=cell, dt=0.1 * b2.ms, steps=200, v_inf=v_inf, frozen=frozen)


def noise_cases(neurons: int = NOISY_NEURONS) -> list[Case]:
    """White noise: the published point of NEST's test suite at two steps, and the cell of `diffusive`."""
    one, published = np.ones(neurons), published_cell()
    sigma = np.sqrt(1.5) * b2.mV
    mean, strong = 15 * b2.mV * one, 7 * b2.mV
    return [
        Case(name="published point", cell=published, dt=0.1 * b2.ms, steps=10_000, v_inf=mean, sigma=sigma),
        Case(name="published, finer grid", cell=published, dt=0.05 * b2.ms, steps=20_000, v_inf=mean, sigma=sigma),
        Case(name="strong noise", cell=LIF(), dt=0.1 * b2.ms, steps=10_000, v_inf=-60 * b2.mV * one, sigma=strong),
    ]
