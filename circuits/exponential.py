"""Exponential of a logit, two ways: a Taylor series of coincidences (the paper's Lemma 2), and survival of a veto.

`TaylorExponential`. z in [-M, M] nats becomes the rate r = (z + M)/(2M). J copy neurons a value spike with
probability r a step, and detector j spikes if copies 1..j all did: r^j if they are independent, r if they are
identical. Since z = 2*M*r - M,

    e^z = e^-M * sum_{j>=0} (2M)^j/j! * r^j,  read as  e^-M * (1 + sum_{j=1..J} (2M)^j/j! * count_j/T).

`VetoExponential`. z in [-M, 0] nats below a reference, in a row its maximum. A candidate spike closes every window of
K steps; an inhibitory train of mean count c = -z a window vetoes it, and it survives with probability e^-c:

    e^z = survivors/windows.

One is the other averaged: Poisson(2M) inhibitory spikes of which each vetoes with probability 1 - r are a train of mean
M - z, and the series is e^M times their probability to veto nothing. Averaging never adds variance (Rao-Blackwell): for
the same reference M and the same steps the series is the quieter one, at most e^2M*q*(1 - q)/T, q = e^(z-M), which is a
veto with K = 1. It pays in neurons, 2*J a value instead of 3. Relative to e^z both explode with the distance to their
reference. The standard deviation of the series tends to sqrt(3/2)*pi^(-1/4)*M^(-1/4)*e^(M/2)/sqrt(T) at its worst,
z = -M/2 (Laplace's method); that of the veto is sqrt((e^c - 1)*K/T). But the reference of the veto is the row's own
maximum, where it has no noise; that of the series is a bound fixed in advance, however far above.

Assumptions: inputs are Bernoulli on the grid, independent from step to step and between values; the probability of
inhibition a step is 1 - e^(-c/K), so that survival is e^-c on the grid and not (1 - c/K)^K.
Latency: one synaptic layer, one step. T steps of input give T products of each detector, or floor(T/K) candidates.
Ties: inhibition in the step of the candidate belongs to its window and vetoes it; the next step opens a new one.

References: Lemma 2 of arXiv:2604.15769. Blackwell, *Conditional expectation and unbiased sequential estimation*, Ann.
Math. Statist. 18 (1947) 105-110. Kingman, *Poisson Processes* (1993), for thinning.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from biospike import execution, runtime
from biospike.arrays import float_array
from biospike.circuit import KEY_STRIDE, MOST_KEYS, check_indices, check_rows
from biospike.encoding import Bernoulli
from biospike.errors import InputError
from biospike.parameters import choice, number
from biospike.random import MOST_STEPS
from biospike.session import assemble

import brian2 as b2

Array = NDArray[np.float64]

LATENCY = 1
"""Steps from an input spike to the output spike it causes."""

DETECTOR = """
coincident     : 1                           # copies that spiked in the last step: a membrane without memory
arrived        : 1                           # synaptic input, until the next step
needed         : integer (constant)          # j
spike_count    : integer
"""
DETECT = """
coincident = arrived
arrived = 0
"""
SURVIVOR = """
v              : 1                           # the candidate, unless vetoed
excitation     : 1                           # candidates that arrived in the last step
inhibition     : 1                           # inhibitory spikes of this window
spike_count    : integer
"""
SURVIVE = """
v = excitation*int(inhibition == 0)
inhibition = inhibition*(1 - excitation)     # the candidate closes its window
excitation = 0
"""


def _at_least_one(circuit: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= MOST_KEYS:
        raise InputError(f"{circuit.name}: {attribute.name} must be a whole number in [1, {MOST_KEYS}], got {value!r}")


@attrs.frozen(kw_only=True)
class Exponential(abc.ABC):
    """Base of the exponential circuits: inputs of given rates, outputs that are counted. `bound` is M, in nats."""

    name: ClassVar[str]
    bound: float = number(4.0, above=0, maximum=100)

    @property
    def period(self) -> int:
        """Steps from one reading of the outputs to the next."""
        return 1

    @property
    def highest(self) -> float:
        """Largest logit; the smallest is -M."""
        return self.bound

    def check(self, z: ArrayLike) -> Array:
        """Return z as an array; raise `InputError` naming the first logit that is out of range or not a number."""
        values = float_array(z, "logits")
        outside = ~((values >= -self.bound) & (values <= self.highest))
        if outside.any():
            limits = f"[{-self.bound:g}, {self.highest:g}]"
            raise InputError(f"{self.name}: z must be in {limits} nats, got {values[outside].flat[0]}")
        return values

    def readings(self, steps: ArrayLike) -> Array:
        """Times the outputs are read in `steps` steps; `InputError` if there are too few for one."""
        if np.min(steps) < self.period:
            raise InputError(f"{self.name}: a reading takes at least {self.period} steps, got {np.min(steps)}")
        return np.asarray(np.asarray(steps) // self.period, dtype=float)

    @property
    def fan(self) -> int:
        """Synapses of a value in the largest projection, at least as many as it has neurons in a group."""
        return 1

    @abc.abstractmethod
    def build(self, values: int) -> b2.Network:
        """Network for so many values, with groups ``inputs`` and ``outputs``; runs nothing."""

    @abc.abstractmethod
    def state(self, z: Array, address: tuple[int, Any, Any]) -> dict[str, Any]:
        """Initial ``group.variable`` values, given z (values,) and the (seed, trial, value) that address the draws."""

    @abc.abstractmethod
    def estimate(self, counts: Array, steps: int) -> Array:
        """e^z (values,) from the counts of all ``outputs`` after `steps` steps of input."""

    @abc.abstractmethod
    def mean(self, z: ArrayLike) -> Array:
        """Expectation of the estimate, whatever the number of steps."""

    @abc.abstractmethod
    def variance(self, z: ArrayLike, steps: ArrayLike) -> Array:
        """Variance of the estimate after `steps` steps of input; broadcasts over both."""

    def relative_sd(self, z: ArrayLike, steps: ArrayLike) -> Array:
        """Standard deviation of the estimate over e^z; broadcasts over both."""
        return np.asarray(np.sqrt(self.variance(z, steps)) / np.exp(z))


@attrs.frozen(kw_only=True)
class TaylorExponential(Exponential):
    """Coincidences of 1..J copies of z in [-M, M], weighted by the Taylor series about -M.

    J = `order` is the number of copies, and of detectors, a value. Copies are ``independent``, or ``identical``: then
    all draw the same random numbers, and every r^j becomes r. With a truncation error of 0.001, the largest
    `relative_sd` of T = 1000 steps is 0.025, 0.050, 0.138, 0.908 for M = 1, 2, 4, 8 (J = 8, 11, 18, 30).
    """

    name: ClassVar[str] = "taylor"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "blackwell1947")
    order: int = attrs.field(default=20, validator=_at_least_one)
    copies: str = choice("independent", "independent", "identical")

    @property
    def powers(self) -> NDArray[np.int64]:
        """Orders j = 1..J."""
        return np.arange(1, self.order + 1)

    @property
    def weights(self) -> Array:
        """e^-M*(2M)^j/j!, which is e^M times a Poisson probability."""
        return np.asarray(np.exp(self.bound) * scipy.stats.poisson.pmf(self.powers, 2 * self.bound))

    @property
    def fan(self) -> int:
        """Copy j excites detectors j..J."""
        return self.order * (self.order + 1) // 2

    def rate(self, z: ArrayLike) -> Array:
        """r, spikes of a copy a step."""
        return np.asarray((self.check(z) + self.bound) / (2 * self.bound))

    def products(self, z: ArrayLike) -> Array:
        """Spikes of detectors 1..J a step, along a new last axis: r^j, or r if the copies are identical."""
        exponents = self.powers if self.copies == "independent" else np.ones(self.order)
        return np.asarray(self.rate(z)[..., None] ** exponents)

    def build(self, values: int) -> b2.Network:
        """See `Exponential.build`; copy and detector j of a value are neurons value*J + j - 1."""
        inputs = Bernoulli().build(values * self.order, name="inputs")
        outputs = b2.NeuronGroup(
            inputs.N, DETECTOR, threshold="coincident >= needed", reset="spike_count += 1", namespace={}, name="outputs"
        )
        outputs.run_regularly(DETECT, when="before_thresholds", name="detect")
        synapses = b2.Synapses(inputs, outputs, on_pre="arrived_post += 1", namespace={}, name="coincidence")
        # Copy j excites detectors j..J of its value.
        first, (copy, detector) = self.order * np.arange(values)[:, None], np.triu_indices(self.order)
        synapses.connect(i=(first + copy).ravel(), j=(first + detector).ravel())
        return assemble(inputs, outputs, synapses)

    def state(self, z: Array, address: tuple[int, Any, Any]) -> dict[str, Any]:
        """Identical copies all have the address of the first."""
        seed, trial, value = address
        return {
            "inputs.x": np.repeat(self.rate(z), self.order),
            "inputs.seed": seed,
            "inputs.trial": np.repeat(trial, self.order),
            "inputs.index": np.add.outer(value * KEY_STRIDE, (self.powers - 1) * int(self.copies == "independent")),
            "outputs.needed": np.tile(self.powers, z.size),
        }

    def estimate(self, counts: Array, steps: int) -> Array:
        """e^-M*(1 + sum_j (2M)^j/j!*count_j/T)."""
        return np.asarray(np.exp(-self.bound) + counts.reshape(-1, self.order) / self.readings(steps) @ self.weights)

    def mean(self, z: ArrayLike) -> Array:
        """e^-M*(1 + sum_j (2M)^j/j!*r^j), with r instead of r^j if the copies are identical."""
        return np.asarray(np.exp(-self.bound) + self.products(z) @ self.weights)

    def variance(self, z: ArrayLike, steps: ArrayLike) -> Array:
        """sum_{j,k} w_j*w_k*cov(j, k)/T: the larger product implies the smaller, cov = P(larger)*(1 - P(smaller))."""
        p, j = self.products(z), self.powers - 1
        covariance = p[..., np.maximum.outer(j, j)] * (1 - p[..., np.minimum.outer(j, j)])
        return np.asarray(covariance @ self.weights @ self.weights / self.readings(steps))

    def truncation_error(self, z: ArrayLike) -> Array:
        """Fraction of e^z in the terms above J (independent copies): P(k > J), k Poisson of mean M + z."""
        return np.asarray(scipy.stats.poisson.sf(self.order, self.check(z) + self.bound))


@attrs.frozen(kw_only=True)
class VetoExponential(Exponential):
    """A candidate a window of K = `window` steps, vetoed by any inhibitory spike in it.

    z in [-M, 0] is relative to a reference, z - max z in a row; M only limits the input. K = 1 is a neuron that is told
    the probability 1 - e^z itself; where inhibition is to be linear in c, c/K must be small.
    """

    name: ClassVar[str] = "veto"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "kingman1993")
    window: int = attrs.field(default=10, validator=_at_least_one)

    @property
    def period(self) -> int:
        """K."""
        return self.window

    @property
    def highest(self) -> float:
        """The reference: a logit above it would need less inhibition than none."""
        return 0.0

    def build(self, values: int) -> b2.Network:
        """See `Exponential.build`; there are also ``candidates``, one a value as in the other groups."""
        inputs = Bernoulli().build(values, name="inputs")
        candidates = b2.NeuronGroup(
            values,
            "window : integer (shared, constant)",
            threshold="(t_in_timesteps + 1) % window == 0",
            reset="",
            namespace={},
            name="candidates",
        )
        outputs = b2.NeuronGroup(
            values, SURVIVOR, threshold="v >= 1", reset="spike_count += 1", namespace={}, name="outputs"
        )
        outputs.run_regularly(SURVIVE, when="before_thresholds", name="survive")
        veto = b2.Synapses(inputs, outputs, on_pre="inhibition_post += 1", namespace={}, name="veto")
        excite = b2.Synapses(candidates, outputs, on_pre="excitation_post += 1", namespace={}, name="excite")
        for synapses in (veto, excite):
            synapses.connect(i=np.arange(values), j=np.arange(values))
        return assemble(inputs, candidates, outputs, veto, excite)

    def state(self, z: Array, address: tuple[int, Any, Any]) -> dict[str, Any]:
        """The first window opens with the first step."""
        seed, trial, value = address
        numbers = {"inputs.seed": seed, "inputs.trial": trial, "inputs.index": value * KEY_STRIDE}
        return numbers | {"inputs.x": -np.expm1(z / self.window), "candidates.window": self.window}

    def estimate(self, counts: Array, steps: int) -> Array:
        """Survivors over windows."""
        return np.asarray(counts / self.readings(steps))

    def mean(self, z: ArrayLike) -> Array:
        """e^z, exactly."""
        return np.asarray(np.exp(self.check(z)))

    def variance(self, z: ArrayLike, steps: ArrayLike) -> Array:
        """e^-c*(1 - e^-c)/floor(T/K), binomial."""
        return np.asarray(self.mean(z) * np.abs(np.expm1(z)) / self.readings(steps))


def exponentiate(
    circuit: Exponential,
    z: ArrayLike,
    checkpoints: Sequence[int],
    *,
    trials: int = 1,
    seed: int = 0,
    target: str = "numpy",
) -> Array:
    """Estimates of e^z, run as Brian2 neurons.

    Parameters
    ----------
    circuit
        A `TaylorExponential` or `VetoExponential`.
    z
        Logits (values,) in nats, within the range of the circuit.
    checkpoints
        Increasing numbers of steps of input after which the outputs are read, the first at least `circuit.period`.
    trials
        Independent repetitions.
    seed
        Integer in [0, 2**32).
    target
        ``numpy`` or ``cython``.

    Returns
    -------
    ndarray (trials, values, checkpoints)
        Estimates, of expectation `circuit.mean` and variance `circuit.variance`.

    Raises
    ------
    InputError
        If an argument is not as above, naming it, before anything is built.
    """
    values, marks = circuit.check(z), np.asarray(checkpoints)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"z must be one list of values, got the shape {values.shape}")
    listed = marks.ndim == 1 and marks.size > 0 and np.issubdtype(marks.dtype, np.integer)
    if not listed or np.any(np.diff(marks.astype(np.int64), prepend=0) < 1) or marks[-1] > MOST_STEPS - LATENCY:
        raise InputError(
            f"checkpoints must be whole numbers that increase from at least 1 to at most {MOST_STEPS - LATENCY}, "
            f"got {checkpoints!r}"
        )
    circuit.readings(marks)
    execution.check_counts(trials, seed)
    check_rows(values.size, 1)
    check_indices(trials * values.size * circuit.fan, f"{circuit.name}: synapses")
    if target not in ("numpy", "cython"):
        raise InputError(f"target must be 'numpy' or 'cython', got {target!r}")
    trial, value = (grid.ravel() for grid in np.meshgrid(np.arange(trials), np.arange(values.size), indexing="ij"))
    dt = 1e-3
    estimates = []
    with runtime.preferences(target, dt):
        network = circuit.build(trials * values.size)
        runtime.assign(network, circuit.state(np.tile(values, trials), (seed, trial, value)), circuit.name)
        # The outputs lag: LATENCY further steps finish what the first `mark` steps of input began.
        for mark, steps in zip(marks, np.diff(marks + LATENCY, prepend=0), strict=True):
            network.run(steps * dt * b2.second, namespace={})
            estimates.append(circuit.estimate(network["outputs"].spike_count[:], mark))
    return np.stack(estimates, axis=-1).reshape(trials, values.size, marks.size)
