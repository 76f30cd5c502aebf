"""Depressing synapses: the drive of a key comes through a synapse that its own spikes wear out. No inhibition.

What it relaxes: that a synapse passes on every spike alike. It is the one candidate of the ladder for dividing without
an inhibitory cell, and it does not normalise: it equalises keys::

    input spikes of rate l_i = R0*exp(z_i - max z), Poisson;    each adds D_i to v_i, and then D_i = f*D_i
    tau_d dD_i/dt = 1 - D_i,                                    v_i >= 1: v_i -= 1

Steady state, `limit`: a Poisson spike meets the mean of D, so that d<D>/dt = (1 - <D>)/tau_d - l*(1 - f)*<D> = 0, and
the key fires at l/(1 + l*(1 - f)*tau_d): ever more alike, up to 1/((1 - f)*tau_d), the stronger the drive. On the grid,
where at most one spike arrives a step, with the probability q = l*dt::

    <D> = (1 - e)/(1 - e*(1 - q*(1 - f))),    e = exp(-dt/tau_d)

No inhibition acts: the hub counts, and the row's rate is what its logits make it. Counts are those of a sum of
correlated quanta; no error law is given. Ties: keys that cross in one step all spike. Masked keys never spike. Valid
range: R0*dt at most 0.1.

Reference: Abbott, Varela, Sen and Nelson, *Synaptic depression and cortical gain control*, Science 275 (1997) 220,
doi:10.1126/science.275.5297.221, for the model and, to the order of magnitude, for f and tau_d.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape, check_rate, relative_exponential
from biospike.ideal.softmax import check_logits
from biospike.parameters import number, quantity
from biospike.random import uniform
from biospike.wiring import rows_of_keys

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KEYS = """
v          : 1
D          : 1                         # what is left of the synapse's strength
arrival    : 1 (constant)              # probability of an input spike in a step
unmasked   : boolean (constant)
kept       : 1 (shared, constant)      # exp(-dt/tau_d)
f          : 1 (shared, constant)
"""
STEP = """
D = 1 - (1 - D)*kept
arrived = int(uniform(seed, trial, index, t_in_timesteps, 0) < arrival)
v += arrived*D
D *= 1 - arrived*(1 - f)
"""


@attrs.frozen(kw_only=True)
class Depressing(Circuit):
    """Perfect integrators behind depressing synapses, without inhibition.

    Parameters
    ----------
    rate
        R0, input rate of the key with the largest logit.
    f
        What a spike leaves of the synapse's strength.
    tau_d
        Time constant of the recovery.
    dt
        Grid.
    """

    name: ClassVar[str] = "depressing"
    group: ClassVar[str] = "microcircuit"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "abbott1997")
    inhibition: ClassVar[str] = "none"
    threshold: ClassVar[float] = 1.0
    rate: Quantity = quantity(40 * b2.Hz, above=0 * b2.Hz)
    f: float = number(0.75, minimum=0.0, maximum=1.0)
    tau_d: Quantity = quantity(300 * b2.ms, above=0 * b2.ms)

    def check(self, dt: Quantity) -> None:
        """Require at most one input spike in ten steps."""
        check_rate(self.name, self.rate, dt)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub="none : 1",
            on_spike="",
            threshold="v >= 1 and unmasked",
            reset="v -= 1",
            each_step=STEP,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Synapses start at their mean, membranes at any charge below the threshold."""
        arrival = float(self.rate * dt) * batch.drive
        return {
            "keys.arrival": arrival,
            "keys.unmasked": ~np.isnan(batch.logits),
            "keys.v": uniform(*batch.address, -1),
            "keys.D": self._strength(arrival, dt),
            "keys.kept": math.exp(-float(dt / self.tau_d)),
            "keys.f": self.f,
        }

    def _strength(self, arrival: Array, dt: Quantity) -> Array:
        """Mean of D that a spike meets; see the module."""
        recovered = -math.expm1(-float(dt / self.tau_d))
        return np.asarray(recovered / (recovered + (1 - recovered) * arrival * (1 - self.f)))

    def key_rates(self, logits: Array) -> Array:
        """Rates of the keys, Hz (rows, keys), on the circuit's grid; 0 for masked keys."""
        drive = relative_exponential(check_logits(logits))
        return float(self.rate) * drive * self._strength(float(self.rate * self.dt) * drive, self.dt)

    def limit(self, logits: Array) -> Array:
        """Shares of the steady state."""
        rates = self.key_rates(logits)
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))
