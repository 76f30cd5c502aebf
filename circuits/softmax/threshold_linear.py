"""Discrete integrate-and-fire keys whose inhibition is subtracted from the membrane: a threshold-linear response.

    u_i(t) = beta*u_i(t-1) + gain*exp(z_i - max z) - s_i(t-1) - inhibition_i(t),     s_i(t) = [u_i(t) >= 1]

The circuits of this kind differ in the inhibition alone: the mean of the row (`circuits.softmax.subtractive`), the
key's own spike (`circuits.softmax.self_inhibition`), or none (`circuits.softmax.none`). Membranes are counted in
thresholds.

For beta = 1 a membrane is a running sum, u_i(T) = u_i(0) + sum of the drive - inhibition - spikes. It is below 1 after
the reset and has no lower bound, so a key spikes at the mean of its net drive, if that is above 0 and at most 1, and
else not at all: the rates depend on a drive that varies in time through its *mean* alone. With a leak the response is
that of a leaky neuron with a rheobase of 1 - beta, and depends on more.

Assumptions: a drive of at most a threshold a step, or the key saturates at a spike a step and owes the rest.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape, Source, relative_exponential
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.parameters import number, quantity
from biospike.random import uniform
from biospike.theory.regularity import regular_tv
from biospike.wiring import rows_of_keys

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

DRIVE = "drive : 1 (constant)   # gain*exp(z_i - max z)"
KEYS = """
u                              : 1
s                              : 1               # spike of the previous step
beta                           : 1 (shared, constant)
"""

# Iterations of the map that measure a leaky response; the rate is exact to about one in this many.
RESPONSE_STEPS = 4096


@attrs.frozen(kw_only=True)
class ThresholdLinear(Circuit):
    """Base of these circuits: their ``drive`` may come from any `biospike.circuit.Source`, in thresholds a step.

    Parameters
    ----------
    beta
        Membrane decay a step, in (0, 1].
    gain
        Drive a step of the key with the largest logit, in thresholds.
    dt
        Length of a timestep.
    """

    threshold: ClassVar[float] = 1.0
    membrane: ClassVar[str] = "u"
    keys: ClassVar[str] = ""
    """Further equations of the keys."""
    hub: ClassVar[str] = ""
    hub_step: ClassVar[str] = ""
    on_spike: ClassVar[str] = ""
    linked: ClassVar[tuple[str, ...]] = ()
    after_spike: ClassVar[str] = "s"
    """What a spike takes off the key's own membrane a step later."""
    inhibited: ClassVar[str] = ""
    """What the inhibition by others adds to the membrane in a step."""
    beta: float = number(1.0, above=0, maximum=1)
    gain: float = number(1.0, above=0, maximum=1)
    dt: Quantity = quantity(1 * b2.ms, above=0 * b2.ms)

    @property
    def reset(self) -> float:
        """The value of `after_spike`, in thresholds."""
        return 1.0

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        given = shape.source == Source()
        return rows_of_keys(
            f"{KEYS}{self.keys}",
            hub=self.hub,
            on_spike=self.on_spike,
            threshold="u >= 1",
            reset="s = 1",
            linked=self.linked,
            each_step=f"u = beta*u + drive - {self.after_spike}{self.inhibited}\ns = 0",
            hub_each_step=self.hub_step,
            shape=attrs.evolve(shape, source=Source(keys=DRIVE)) if given else shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Membranes of unmasked keys start at a uniform phase, masked ones at 0 and are at most inhibited."""
        unmasked = ~np.isnan(batch.logits)
        return {
            "keys.u": np.where(unmasked, uniform(*batch.address, -1), 0.0),
            "keys.s": 0.0,
            "keys.drive": self.gain * batch.drive,
            "keys.beta": self.beta,
        }

    def limit(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares of the rates of `rates`."""
        rates = self.rates(check_logits(logits))
        return rates / rates.sum(axis=-1, keepdims=True)

    def rates(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spikes a step of every key at the fixed point, shape (rows, keys).

        Raises
        ------
        InputError
            If every key of a row stays below rheobase, so that there are no shares.
        """
        logits = np.asarray(logits, dtype=float)
        rates = self.settled(self.gain * relative_exponential(logits), (~np.isnan(logits)).sum(axis=-1))
        if np.any(rates.sum(axis=-1) == 0):
            raise InputError(
                f"{self.name}: no key of a row fires with beta = {self.beta}, gain = {self.gain}: the largest drive "
                f"{self.gain} stays below the rheobase {1 - self.beta:.3g}"
            )
        return rates

    @abc.abstractmethod
    def settled(self, drive: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
        """Spikes a step at the fixed point.

        Parameters
        ----------
        drive : ndarray (..., keys)
            Thresholds a step, 0 for masked keys; for beta = 1 the mean over time of a drive that varies.
        n : ndarray (...)
            Unmasked keys of each row.
        """

    def pinned_tv(self, p: NDArray[np.float64], spikes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Regular keys at random phases, about their own limit: what one inhibits in another is left out."""
        return regular_tv(p, spikes)

    def response(self, current: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spikes a step of u <- beta*u + current - reset*s under constant current: with a leak, the map iterated."""
        if self.beta == 1:
            return np.clip(current / self.reset, 0.0, 1.0)
        u = np.zeros_like(current)
        s = np.zeros_like(current)
        count = np.zeros_like(current)
        for step in range(2 * RESPONSE_STEPS):
            u = self.beta * u + current - self.reset * s
            s = (u >= 1).astype(float)
            if step >= RESPONSE_STEPS:
                count += s
        return count / RESPONSE_STEPS
