"""Exponential race: independent Poisson inputs, and the first spike closes the row.

Every key receives Poisson input spikes of rate R0*exp(z_i - max z), each of which would lift it over threshold. A
spike of any key closes the whole row for t_inh: no key can spike, and all membranes are held at reset. When the row
opens again the race starts afresh, and since exponential waiting times have no memory the winner is key i with
probability exp(z_i)/sum_j exp(z_j), independently of the past. Rates are p_i/(t_inh + 1/Lambda), Lambda the total
input rate.

Assumptions: input spikes are Bernoulli on the grid with probability R0*exp(z_i - max z)*dt, linear in the rate, so the
grid does not bias the shares; at most one spike a key and step, hence R0*dt <= 0.1 is required. Ties: keys that spike
in the same step all count, which is the rule that leaves the shares unbiased. They are spikes drawn without
replacement, so the multinomial law is an upper bound, close while Lambda*dt is small.

References: Lemma 3 of arXiv:2604.15769 for the claim; Luce, *Individual Choice Behavior* (1959) for the race.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape, check_multiple, check_rate, rows_of_keys
from biospike.ideal.softmax import check_logits, softmax
from biospike.parameters import quantity
from biospike.theory.concentration import multinomial_tv

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

# One input spike is worth one threshold: the membrane is the input of the step, shunted while the row is closed.
KEYS = """
v                              : 1
open                           : 1 (linked)
"""
STEP = """
v = bernoulli(drive*open*dt, seed, trial, index, t_in_timesteps)
"""
HUB = """
open                           : 1
closed = 1 - open              : 1
opens_at                       : 1               # step at which the row opens again, which may be past any window
closed_steps                   : 1 (shared, constant)
"""


@attrs.frozen(kw_only=True)
class Race(Circuit):
    """Reset-all winner-take-all on Poisson input.

    Parameters
    ----------
    rate
        R0, input rate of the key with the largest logit.
    t_inh
        How long a spike closes the row; a multiple of `dt`.
    dt
        Grid.
    """

    threshold: ClassVar[float] = 1.0
    name: ClassVar[str] = "race"
    common_gate: ClassVar[bool] = True
    inhibition: ClassVar[str] = "closed"
    rate: Quantity = quantity(200 * b2.Hz, above=0 * b2.Hz)
    t_inh: Quantity = quantity(1 * b2.ms, minimum=0 * b2.ms)

    def check(self, dt: Quantity) -> None:
        """Require R0*dt <= 0.1 and t_inh on the grid."""
        check_rate(self.name, self.rate, dt)
        check_multiple(self.name, "t_inh", self.t_inh, dt)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="opens_at_post = t_in_timesteps + 1 + closed_steps_post",
            threshold="v >= 1",
            reset="",
            linked=("open",),
            each_step=STEP,
            hub_each_step="open = int(t_in_timesteps >= opens_at)",
            shape=shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """The row starts open: waiting times have no memory."""
        return {
            "keys.drive": float(self.rate) * batch.drive,
            "hub.opens_at": 0,
            "hub.closed_steps": round(float(self.t_inh / dt)),
        }

    def limit(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Softmax, exactly."""
        return softmax(check_logits(logits))

    def row_rate(self, logits: NDArray[np.float64]) -> Quantity:
        """Output rate of each row in continuous time, 1/(t_inh + 1/Lambda), shape (rows,)."""
        p = softmax(logits)
        total = self.rate / p.max(axis=-1)
        return 1 / (self.t_inh + 1 / total)

    def expected_tv(
        self, p: NDArray[np.float64], spikes: NDArray[np.float64], target: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Multinomial law: the winners are independent draws from p."""
        return multinomial_tv(p, spikes)
