"""Control: no inhibition at all.

The neurons of `circuits.softmax.subtractive` for beta = 1 and without their inhibition::

    u_i(t) = u_i(t-1) + gain*exp(z_i - max z) - s_i(t-1),     s_i(t) = [u_i(t) >= 1]

A perfect integrator fires at its drive, so the *shares* N_i/N are softmax with the order 1/N of a regular code: the
read-out divides by the row's count, and whatever shares alone show, this circuit shows too. The *rates* are not
normalised: a row fires gain*sum_i exp(z_i - max z) times a step, which differs from row to row and follows every shift
of the logits.

Assumptions: gain <= 1, or the largest key would saturate at a spike a step. One step is one timestep of the paper; the
time step in ms only labels the axis. Keys never meet, so ties are no matter.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape, relative_exponential, rows_of_keys
from biospike.ideal.softmax import check_logits, softmax
from biospike.parameters import number, quantity
from biospike.random import uniform
from biospike.theory.regularity import regular_tv

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEYS = """
u                              : 1
s                              : 1               # spike of the previous step
drive                          : 1 (constant)    # gain*exp(z_i - max z)
"""
STEP = """
u = u + drive - s
s = 0
"""
HUB = """
inhibition                     : 1               # none: nothing writes it
"""


@attrs.frozen(kw_only=True)
class NoInhibition(Circuit):
    """Perfect integrators side by side.

    Parameters
    ----------
    gain
        Drive a step of the key with the largest logit, in thresholds.
    dt
        Length of a timestep.
    """

    threshold: ClassVar[float] = 1.0
    name: ClassVar[str] = "none"
    group: ClassVar[str] = "control"
    membrane: ClassVar[str] = "u"
    inhibition: ClassVar[str] = "inhibition"
    gain: float = number(1.0, above=0, maximum=1)
    dt: Quantity = quantity(1 * b2.ms, above=0 * b2.ms)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS, hub=HUB, on_spike="", threshold="u >= 1", reset="s = 1", each_step=STEP, shape=shape
        )  # fmt: skip

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Unmasked keys start at a uniform phase, masked ones at 0."""
        return {
            "keys.u": np.where(np.isnan(batch.logits), 0.0, uniform(*batch.address, -1)),
            "keys.s": 0.0,
            "keys.drive": self.gain * batch.drive,
            "hub.inhibition": 0.0,
        }

    def limit(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Softmax: of the read-out, not of the circuit."""
        return softmax(check_logits(logits))

    def rates(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spikes a step of every key, shape (rows, keys): its drive."""
        return self.gain * relative_exponential(check_logits(logits))

    def expected_tv(
        self, p: NDArray[np.float64], spikes: NDArray[np.float64], target: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Law of regular keys at random phases."""
        return regular_tv(p, spikes)
