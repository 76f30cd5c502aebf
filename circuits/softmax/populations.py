"""Populations of noisy leaky integrate-and-fire neurons in the place of single keys, under one subtractive hub a row.

`circuits.softmax.diffusive` with M neurons a key, whose logits and inhibition are the same and whose noise is not::

    tau_m dv_ij/dt = v_rest + b + kappa*(z_i - max z) - I - v_ij + noise,   j = 1 ... M
    dI/dt          = w*(a/M - R),     tau_inh da/dt = -a,    a += 1/tau_inh, `delay` after every spike of the row

R is the rate that a neuron would have alone in its row: the integral pins the row to M*R. So the number of spikes is
that of the population while the bias is that of R, which falls with it: TV .115, .079, .056, .042, .030, .025, .018 on
real attention rows at R = 40, 20, 10, 5, 2, 1, .2 Hz. It relaxes that a key is one neuron, nothing else.

Mean field, `limit`, error law and valid range are those of `diffusive` at the rate R, for M*R spikes a second: the
neurons of a key are independent renewal processes, and inhibition takes back from all of them alike. The fluctuation
of I, which the mean field neglects, has the variance w*kappa/(2*M).

Ties: neurons that cross in one step all spike and all inhibit. Masked keys have no neurons.

References: Brunel (2000), doi:10.1023/A:1008925309027 (populations of noisy LIF neurons under global inhibition);
Siegert (1951), doi:10.1103/PhysRev.81.617.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

from biospike.circuit import MOST_MEMBERS, Batch
from biospike.parameters import quantity, whole
from biospike.random import uniform
from biospike.theory.noisy_lif import draw_membrane, on_grid
from circuits.softmax.diffusive import Diffusive

import brian2 as b2
from brian2.units.fundamentalunits import Quantity


@attrs.frozen(kw_only=True)
class Populations(Diffusive):
    """Noisy LIF populations under subtractive, integrated inhibition.

    Parameters
    ----------
    members
        M, neurons of a key.
    rate
        R, the rate that a neuron would have alone in its row.
    w
        Inhibition that one spike of every neuron of a key adds, in the end.
    kappa, sigma, tau_inh, delay, tau_m, v_rest, v_threshold, refractory, dt
        As of `circuits.softmax.Diffusive`, whose values they have.
    """

    name: ClassVar[str] = "populations"
    group: ClassVar[str] = "microcircuit"
    members: int = whole(64, minimum=1, maximum=MOST_MEMBERS)
    rate: Quantity = quantity(5 * b2.Hz, above=0 * b2.Hz)
    w: Quantity = quantity(2 * b2.mV, above=0 * b2.mV)

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """As of `Diffusive`, with a membrane of its own for every neuron."""
        state = super().state(batch, dt)
        cell, sigma = on_grid(self.cell, self.siegert_sigma, dt), self.siegert_sigma
        drive = state["keys.mean"] - state["hub.I"][:, None]
        u = uniform(*batch.member_address(self.members), -1)
        v = draw_membrane(cell, np.broadcast_to(drive[..., None], u.shape), sigma, u)
        return state | {
            "keys.v": np.minimum(v, float(self.v_threshold)),
            # The hub adds up the spikes of all neurons.
            "hub.activity": self.members * float(self.rate),
            "hub.R0": self.members * float(self.rate),
            "hub.w": float(self.w) / self.members,
        }
