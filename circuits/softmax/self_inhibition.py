"""Control: every key inhibits itself, and no other.

`circuits.softmax.none` with the weights w_ij = -alpha*delta_ij: a key's spike comes back to it a step later::

    u_i(t) = beta*u_i(t-1) + gain*exp(z_i - max z) - (1 + alpha)*s_i(t-1),     s_i(t) = [u_i(t) >= 1]

which is a reset of 1 + alpha thresholds. For beta = 1 keys fire at gain*exp(z_i - max z)/(1 + alpha): the shares are
softmax as without inhibition, at 1 + alpha times fewer spikes, and the rates are as little normalised. A suggestion
that stands in none of the sources of the theory, tested because it was made.

Assumptions: those of `circuits.softmax.none`; the first charge is drawn from the stationary state, from -alpha to 1,
or every key would be early by its first spike.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

from biospike.circuit import Batch
from biospike.parameters import number
from biospike.random import uniform
from circuits.softmax.none import NoInhibition

from brian2.units.fundamentalunits import Quantity


@attrs.frozen(kw_only=True)
class SelfInhibition(NoInhibition):
    """Integrators that inhibit themselves.

    Parameters
    ----------
    alpha
        Inhibition of a key by its own spike, in thresholds.
    """

    name: ClassVar[str] = "self_inhibition"
    keys: ClassVar[str] = "alpha : 1 (shared, constant)"
    after_spike: ClassVar[str] = "(1 + alpha)*s"
    alpha: float = number(1.0, minimum=0)

    @property
    def reset(self) -> float:
        """See `ThresholdLinear.reset`."""
        return 1.0 + self.alpha

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Unmasked keys start at a uniform phase of the interval, masked ones at 0."""
        phase = 1 - (1 + self.alpha) * uniform(*batch.address, -1)
        return NoInhibition.state(self, batch, dt) | {
            "keys.u": np.where(np.isnan(batch.logits), 0.0, phase),
            "keys.alpha": self.alpha,
        }
