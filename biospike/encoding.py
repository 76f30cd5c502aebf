"""Values to spikes: Bernoulli, Poisson and regular trains, each with its error law.

A value x in [0, 1] is read back as its spike count over the count that x = 1 would give, T. The law is the expected
absolute error of that estimate, the paper's Lemma 1 made exact.
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
from biospike.circuit import check_indices
from biospike.errors import InputError
from biospike.parameters import number
from biospike.random import BRIAN_FUNCTIONS, MOST_STEPS, exponential, uniform
from biospike.session import assemble
from biospike.wiring import ADDRESS, WIDE, count_spikes

import brian2 as b2

Array = NDArray[np.float64]


@attrs.frozen
class Encoder(abc.ABC):
    """Base of the encoders: an input population whose neurons each emit the train of one value."""

    name: ClassVar[str]
    fused: ClassVar[str | None] = None
    """What the kernel of a block calls the encoder, of this very class and not of those derived from it."""
    equations: ClassVar[str]
    threshold: ClassVar[str]
    reset: ClassVar[str] = ""

    def build(self, values: int, name: str = "encoder", checkpoints: int = 0) -> b2.NeuronGroup:
        """Group of `values` neurons with the parameter `x`; runs nothing."""
        counters, count_spike = count_spikes(checkpoints)
        return b2.NeuronGroup(
            values,
            b2.Equations("\n".join([self.equations, ADDRESS, "x : 1 (constant)", counters])),
            threshold=self.threshold,
            reset=f"{self.reset}\n{count_spike}",
            method="euler",
            dtype=WIDE,
            namespace=BRIAN_FUNCTIONS,
            name=name,
        )

    def state(self, address: tuple[int, Any, Any]) -> dict[str, Any]:
        """Initial values of the group's variables, given (seed, trial, index)."""
        return {}

    def full_count(self, steps: ArrayLike) -> Array:
        """Spikes that stand for x = 1 after `steps` steps."""
        return np.asarray(steps, dtype=float)

    @abc.abstractmethod
    def expected_error(self, x: ArrayLike, steps: ArrayLike) -> Array:
        """E abs(estimate - x) after `steps` steps; broadcasts over both."""


@attrs.frozen
class Bernoulli(Encoder):
    """One coin a step: a spike with probability x, independently. The paper's input.

    The count is binomial, and de Moivre's formula gives its mean absolute deviation exactly; Hoeffding's bound
    2*exp(-2*T*delta^2) of Lemma 1 is about 1.5 times too wide at x = 0.3.
    """

    name: ClassVar[str] = "bernoulli"
    fused: ClassVar[str | None] = "bernoulli"
    equations: ClassVar[str] = ""
    threshold: ClassVar[str] = "bernoulli(x, seed, trial, index, t_in_timesteps) > 0"

    def expected_error(self, x: ArrayLike, steps: ArrayLike) -> Array:
        """E abs(K/T - x) = 2*v*(1 - x)*P(K = v)/T, v = floor(T*x) + 1 (de Moivre); about sqrt(2*x*(1-x)/(pi*T))."""
        x, steps = np.asarray(x, dtype=float), np.asarray(steps, dtype=float)
        v = np.floor(steps * x) + 1
        return np.asarray(2 * v * (1 - x) * scipy.stats.binom.pmf(v, steps, x) / steps)


@attrs.frozen
class Poisson(Encoder):
    """A Poisson train of rate x*rate_per_step: exponential intervals, without saturation.

    The charge x*rate_per_step is integrated up to exponential thresholds (time rescaling), so counts are Poisson and
    not binomial on the grid; a neuron spikes at most once a step, and what is due beyond that waits. With
    rate_per_step = 0.1 a fraction of about 0.005 of a spike is waiting at any time.
    """

    name: ClassVar[str] = "poisson"
    fused: ClassVar[str | None] = "poisson"
    rate_per_step: float = number(0.1, above=0, maximum=0.1)
    equations: ClassVar[str] = """
    dv/dt = x*rate_per_step/dt     : 1
    theta                          : 1
    rate_per_step                  : 1 (shared, constant)
    """
    threshold: ClassVar[str] = "v >= theta"
    reset: ClassVar[str] = "v -= theta\ntheta = exponential(seed, trial, index, t_in_timesteps, 0)"

    def state(self, address: tuple[int, Any, Any]) -> dict[str, Any]:
        """Waiting times have no memory: zero charge is stationary."""
        return {"theta": exponential(*address, -1), "rate_per_step": self.rate_per_step}

    def full_count(self, steps: ArrayLike) -> Array:
        """Mean count of x = 1."""
        return self.rate_per_step * np.asarray(steps, dtype=float)

    def expected_error(self, x: ArrayLike, steps: ArrayLike) -> Array:
        """E abs(K - m)/T = 2*m*P(K = floor(m))/T for K Poisson of mean m (Crow 1958), T = `full_count`."""
        mean = np.asarray(x, dtype=float) * self.full_count(steps)
        return np.asarray(2 * mean * scipy.stats.poisson.pmf(np.floor(mean), mean) / self.full_count(steps))


@attrs.frozen
class Regular(Encoder):
    """A perfect integrator with subtractive reset: sigma-delta modulation of a constant.

    The count after T steps is floor(T*x + phase), so it never strays from T*x by a spike, and the error is at most
    1/T. The phase is uniform, which makes the estimate unbiased.
    """

    name: ClassVar[str] = "regular"
    fused: ClassVar[str | None] = "regular"
    equations: ClassVar[str] = "dv/dt = x/dt : 1"
    threshold: ClassVar[str] = "v >= 1"
    reset: ClassVar[str] = "v -= 1"

    def state(self, address: tuple[int, Any, Any]) -> dict[str, Any]:
        """Uniform phases."""
        return {"v": uniform(*address, -1)}

    def expected_error(self, x: ArrayLike, steps: ArrayLike) -> Array:
        """2*f*(1 - f)/T, f the fractional part of T*x: 1/(3*T) on average over x."""
        steps = np.asarray(steps, dtype=float)
        f = np.mod(np.asarray(x, dtype=float) * steps, 1.0)
        return np.asarray(2 * f * (1 - f) / steps)


ENCODERS: dict[str, type[Encoder]] = {kind.name: kind for kind in (Bernoulli, Poisson, Regular)}


def encode(
    encoder: Encoder, x: ArrayLike, checkpoints: Sequence[int], *, trials: int = 1, seed: int = 0
) -> NDArray[np.int64]:
    """Spike counts of values, run as Brian2 neurons on the numpy target.

    Parameters
    ----------
    encoder
        One of `ENCODERS`.
    x
        Values (values,) in [0, 1].
    checkpoints
        Increasing numbers of steps after which the counts are read.
    trials
        Independent repetitions.
    seed
        Integer in [0, 2**32).

    Returns
    -------
    ndarray (trials, values, checkpoints)
        Cumulative counts.

    Raises
    ------
    InputError
        If a value is outside [0, 1] or not finite, the checkpoints do not increase from at least 1, or trials or seed
        are out of range.
    """
    x = float_array(x, "x")
    outside = ~((x >= 0) & (x <= 1))
    if x.ndim != 1 or outside.any():
        raise InputError(f"x must be one list of values in [0, 1], got {x[outside][0] if outside.any() else x.shape}")
    marks = np.asarray(checkpoints)
    if marks.size == 0 or np.any(np.diff(marks.astype(float), prepend=0) < 1) or marks[-1] > MOST_STEPS:
        raise InputError(f"checkpoints must increase from at least 1 to at most {MOST_STEPS}, got {list(checkpoints)}")
    execution.check_counts(trials, seed)
    check_indices(trials * x.size, "neurons of all trials")
    trial, index = (grid.ravel() for grid in np.meshgrid(np.arange(trials), np.arange(x.size), indexing="ij"))
    dt = 1e-3
    with runtime.preferences("numpy", dt):
        group = encoder.build(trials * x.size)
        network = assemble(group)
        state = {"x": np.tile(x, trials), "seed": seed, "trial": trial, "index": index}
        state |= encoder.state((seed, trial, index))
        runtime.assign(network, {f"{group.name}.{name}": value for name, value in state.items()}, encoder.name)
        counts = []
        for steps in np.diff(marks, prepend=0):
            network.run(steps * dt * b2.second, namespace={})
            counts.append(np.array(group.spike_count[:]))
    return np.stack(counts, axis=-1).reshape(trials, x.size, marks.size)
