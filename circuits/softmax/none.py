"""Control: no inhibition at all.

The neurons of `circuits.softmax.subtractive` without their inhibition::

    u_i(t) = beta*u_i(t-1) + gain*exp(z_i - max z) - s_i(t-1),     s_i(t) = [u_i(t) >= 1]

A perfect integrator, beta = 1, fires at its drive, so the *shares* N_i/N are softmax with the order 1/N of a regular
code: the read-out divides by the row's count, and whatever shares alone show, this circuit shows too. The *rates* are
not normalised: a row fires gain*sum_i exp(z_i - max z) times a step, which differs from row to row and follows every
shift of the logits.

Assumptions: gain <= 1, or the largest key would saturate at a spike a step. One step is one timestep of the paper; the
time step in ms only labels the axis. Keys never meet, so ties are no matter.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch
from circuits.softmax.threshold_linear import ThresholdLinear

from brian2.units.fundamentalunits import Quantity


@attrs.frozen(kw_only=True)
class NoInhibition(ThresholdLinear):
    """Integrators side by side."""

    name: ClassVar[str] = "none"
    group: ClassVar[str] = "control"
    inhibition: ClassVar[str] = "inhibition"
    hub: ClassVar[str] = "inhibition : 1    # none: nothing writes it"

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """See `ThresholdLinear.state`."""
        return ThresholdLinear.state(self, batch, dt) | {"hub.inhibition": 0.0}

    def settled(self, drive: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `ThresholdLinear.settled`: for beta = 1 the drive, over what a spike takes off the membrane."""
        return self.response(drive)

    def expected_tv(
        self, p: NDArray[np.float64], spikes: NDArray[np.float64], target: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Law of regular keys at random phases, for beta = 1."""
        return self.pinned_tv(p, spikes)
