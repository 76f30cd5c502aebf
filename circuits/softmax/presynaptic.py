"""Presynaptic inhibition: spiking interneurons divide the release of the inputs, and every release is a spike.

Neuron j of key i hears a Poisson train of the rate l_i, exponential in the logit; an input spike is released with the
probability 1/(1 + X), and a release makes the neuron spike unless it is refractory::

    hazard of a spike: l_i/(1 + X),   l_i = l*exp(z_i - max z),      t_ref after every spike none
    tau_gaba dX/dt = -X,    X += x/tau_gaba, `delay` after every spike of an interneuron of the row

The interneurons and what closes the loop are those of `circuits.softmax.interneuron_pool`. Of a key alone in its row
every neuron fires at R under the inhibition X_0 = x*N_I*r_I, from which l and x follow.

Closed form, `limit`: f_i = l_i h/(1 + l_i h t), h = 1/(1 + X), with t = t_ref - dt on the grid, since a refractory
period of Brian2's is one step shorter. Release is divided before the neuron's threshold and not behind it: h is a
common factor, a gate, but for refractoriness, so that the bias grows with R only: TV .0007, .0028, .0056, .0144 on real
attention rows at R = 5, 20, 40, 100 Hz. It needs a release that makes a spike: many small quanta would be integrated by
the f-I curve of the membrane, as if inhibition subtracted. The row is not pinned; what varies with X is left out.

Error law, `expected_tv`: a Poisson process with dead time has the CV 1 - f_i t; the row is divided by its own count.

Ties: neurons that spike in one step all count and are all heard; so do interneurons. Masked keys have no neurons.
Valid range: l*dt <= 0.1, R*t_ref <= 1/2.

Sources of the defaults: tau_gaba = 100 ms, of GABA_B receptors; X_0 = 3, a release that falls to a quarter, and both
from Olsen and Wilson, *Lateral presynaptic inhibition mediates gain control in an olfactory circuit*, Nature 452 (2008)
956, doi:10.1038/nature06864. Reference: Carandini and Heeger (2012), doi:10.1038/nrn3136 (normalisation).
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import MOST_MEMBERS, Batch, Shape, check_multiple, check_rate, relative_exponential
from biospike.parameters import number, quantity, whole
from biospike.theory.linear_response import FREQUENCIES, Complex, low_pass
from biospike.theory.regularity import renewal_shares_tv
from biospike.wiring import rows_of_keys
from circuits.softmax.interneuron_pool import EXCITATION, EXCITES, InterneuronPool, whole_mean

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KEYS = """
v                                                           : 1                           # releases of the step
hazard                                                      : Hz (constant)               # l*exp(z_i - max z)
release                                                     : 1 (linked)
t_ref                                                       : second (shared, constant)
"""
STEP = """
v = bernoulli(hazard*release*dt, seed, trial, index, t_in_timesteps)
"""
HUB = (
    EXCITATION
    + """
dX/dt = -X/tau_gaba                                         : 1
release                                                     : 1                           # 1/(1 + X), once a step
x                                                           : second (shared, constant)
tau_gaba                                                    : second (shared, constant)
"""
)


@attrs.frozen(kw_only=True)
class Presynaptic(InterneuronPool):
    """Populations whose inputs are divided by the spikes of interneurons.

    Parameters
    ----------
    members, interneurons, rate, interneuron_rate, gain, unstable, tau_ampa, delay, v_threshold, refractory
        As of `circuits.softmax.interneuron_pool.InterneuronPool`, and so are the constants of the interneurons.
    inhibition_level
        X_0, by which the release of a key alone in its row is divided, beyond 1.
    tau_gaba
        Time constant of X.
    dt
        Grid.
    """

    name: ClassVar[str] = "presynaptic"
    references: ClassVar[tuple[str, ...]] = (*InterneuronPool.references, "olsen2008", "carandini2012")
    inhibition: ClassVar[str] = "X"
    acts: ClassVar[str] = "X_post += x_post/tau_gaba_post"
    members: int = whole(16, minimum=1, maximum=MOST_MEMBERS)
    rate: Quantity = quantity(40 * b2.Hz, above=0 * b2.Hz)
    gain: float = number(5.0, above=0)
    inhibition_level: float = number(3.0, above=0)
    tau_gaba: Quantity = quantity(100 * b2.ms, above=0 * b2.ms)

    def check(self, dt: Quantity) -> None:
        """As of the base; refractory on the grid, and at most a tenth of an input spike a step."""
        check_multiple(self.name, "refractory", self.refractory, dt)
        check_rate(self.name, self._hazard(float(dt)) * b2.Hz, dt)
        InterneuronPool.check(self, dt)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike=EXCITES,
            threshold="v >= 1",
            reset="",
            linked=("release",),
            each_step=STEP,
            hub_each_step="release = 1/(1 + X)",
            refractory="t_ref",
            delay=self.delay,
            interneurons=self.population(),
            members=self.interneurons,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Rows start in their closed form; a Poisson process has no phase, and its dead time none to speak of."""
        rates, interneuron_rate = self.mean_field(batch.logits, dt)
        return self.pool_state(batch, dt, rates, interneuron_rate) | {
            "keys.hazard": self._hazard(float(dt)) * batch.drive,
            "keys.t_ref": float(self.refractory),
            "hub.X": self._per_hz * interneuron_rate,
            # X is read before it decays.
            "hub.x": self._per_hz / self.interneurons * whole_mean(-self.tau_gaba, dt),
            "hub.tau_gaba": float(self.tau_gaba),
        }

    @property
    def _per_hz(self) -> float:
        """x*N_I, X for 1 Hz of every interneuron, second."""
        return self.inhibition_level / float(self.interneuron_rate)

    def _dead(self, dt: float) -> float:
        """Dead time on the grid, second."""
        return max(float(self.refractory) - dt, 0.0)

    def _hazard(self, dt: float) -> float:
        """l, rate of the inputs of the largest key, Hz."""
        return (1 + self.inhibition_level) * float(self.rate) / (1 - float(self.rate) * self._dead(dt))

    def rates(self, logits: Array, interneuron_rate: Array, dt: float) -> Array:
        """See the base: the closed form."""
        hazard = self._hazard(dt) * relative_exponential(logits) / (1 + self._per_hz * interneuron_rate[:, None])
        return np.asarray(hazard / (1 + hazard * self._dead(dt)))

    def sensitivities(self, logits: Array, interneuron_rate: Array, dt: float) -> Array:
        """See the base."""
        rates = self.rates(logits, interneuron_rate, dt)
        divided = self._per_hz / (1 + self._per_hz * interneuron_rate[:, None])
        return np.asarray(rates * (1 - rates * self._dead(dt)) * divided)

    def key_response(self, rates: Array, dt: float) -> Complex:
        """See the base. The hazard acts at once; that a dead time of rate*t_ref << 1 delays nothing is approximate."""
        return np.repeat(low_pass(FREQUENCIES, float(self.tau_gaba))[:, None], len(rates), axis=1)

    def expected_tv(self, p: Array, spikes: Array, target: Array | None = None) -> Array:
        """Law of the module's docstring, for rates that share M*R in the proportion p."""
        cv = 1 - np.asarray(p, dtype=float) * float(self.rate) * self._dead(float(self.dt))
        return renewal_shares_tv(p, spikes, cv**2, p, target)
