"""Control: every key inhibits itself, and no other.

`circuits.softmax.none` with the weights w_ij = -alpha*delta_ij: a key's spike comes back to it a step later::

    u_i(t) = u_i(t-1) + gain*exp(z_i - max z) - (1 + alpha)*s_i(t-1),     s_i(t) = [u_i(t) >= 1]

which is a reset of 1 + alpha thresholds. Keys fire at gain*exp(z_i - max z)/(1 + alpha): the shares are softmax as
without inhibition, at 1 + alpha times fewer spikes, and the rates are as little normalised. A suggestion that stands in
none of the sources of the theory, tested because it was made.

Assumptions: those of `circuits.softmax.none`; the first charge is drawn from the stationary state, from -alpha to 1,
or every key would be early by its first spike.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, rows_of_keys
from biospike.parameters import number
from biospike.random import uniform
from circuits.softmax.none import HUB, NoInhibition

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEYS = """
u                              : 1
s                              : 1               # spike of the previous step
drive                          : 1 (constant)    # gain*exp(z_i - max z)
alpha                          : 1 (shared, constant)
"""
STEP = """
u = u + drive - (1 + alpha)*s
s = 0
"""


@attrs.frozen(kw_only=True)
class SelfInhibition(NoInhibition):
    """Perfect integrators that inhibit themselves.

    Parameters
    ----------
    alpha
        Inhibition of a key by its own spike, in thresholds.
    """

    name: ClassVar[str] = "self_inhibition"
    alpha: float = number(1.0, minimum=0)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS, hub=HUB, on_spike="", threshold="u >= 1", reset="s = 1", each_step=STEP, shape=shape
        )  # fmt: skip

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Unmasked keys start at a uniform phase of the interval, masked ones at 0."""
        phase = 1 - (1 + self.alpha) * uniform(*batch.address, -1)
        return super().state(batch, dt) | {
            "keys.u": np.where(np.isnan(batch.logits), 0.0, phase),
            "keys.alpha": self.alpha,
        }

    def rates(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spikes a step of every key, shape (rows, keys): its drive over 1 + alpha."""
        return super().rates(logits) / (1 + self.alpha)
