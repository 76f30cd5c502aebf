"""Populations of noisy leaky integrate-and-fire neurons under spiking interneurons, which subtract from them.

`circuits.softmax.populations` with cells in the place of the integral of a hub: N_I interneurons hear the row through
AMPA synapses and inhibit all of it through GABA_A synapses, whose current does not depend on the membrane::

    tau_m dv_ij/dt = v_rest + b + kappa*(z_i - max z) - I - v_ij + noise,   j = 1 ... M
    tau_gaba dI/dt = -I,    I += J_IE/tau_gaba, `delay` after every spike of an interneuron of the row

The interneurons and what closes the loop are those of `circuits.softmax.interneuron_pool`. Of a key alone in its row
every neuron fires at R under the mean inhibition I_0 = J_IE*N_I*r_I, from which J_IE and b follow; kappa is the inverse
slope of ln(rate) at the rate e^-2*R, as of `diffusive`.

Mean field, `limit`: r_i = Phi_E(mu_i - J_IE*N_I*r_I), r_I = Phi_I(b_I + J_EI*M*sum_i r_i), one root a row. Its bias is
that of the curvature of the f-I curve, not of spiking: it is the one of `populations` where the row's rate is the same.
It leaves out that the input of interneurons is shot noise, which lets them fire 3 % more, and the common fluctuation of
I, which the loop amplifies near its frequency.

Error law, `expected_tv`: renewal processes whose row is divided by its own count; what their common inhibition does to
all of them at once is left out: 3 to 8 % too little.

Ties: neurons that cross in one step all spike and are all heard; so do interneurons. Masked keys have no neurons, and a
row without keys no interneuron that spikes. Valid range: R*refractory <= 1/2, dt <= tau/20 of the membranes.

References: Brunel (2000), doi:10.1023/A:1008925309027; Wang (2002), doi:10.1016/S0896-6273(02)01092-9 (decision by
two populations and interneurons; tau_gaba = 5 ms there, 8 ms here, for the mean of fast synapses of the cortex).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, check_multiple
from biospike.errors import InputError
from biospike.parameters import quantity
from biospike.random import uniform
from biospike.theory.linear_response import FREQUENCIES, Complex, low_pass
from biospike.theory.noisy_lif import draw_membrane, on_grid, response_table
from biospike.theory.regularity import renewal_shares_tv
from biospike.wiring import rows_of_keys
from circuits.softmax.diffusive import KAPPA_SHARE, NoisyLIF
from circuits.softmax.diffusive import KEYS as NOISY_KEYS
from circuits.softmax.interneuron_pool import EXCITATION, EXCITES, InterneuronPool, noisy_response, whole_mean

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

HUB = (
    EXCITATION
    + """
dI/dt = -I/tau_gaba                                         : volt
J_IE                                                        : volt*second (shared, constant)
tau_gaba                                                    : second (shared, constant)
"""
)


@attrs.frozen(kw_only=True)
class Interneurons(NoisyLIF, InterneuronPool):
    """Noisy LIF populations under spiking interneurons.

    Parameters
    ----------
    members, interneurons, rate, interneuron_rate, gain, unstable, tau_ampa, delay, v_threshold, refractory
        As of `circuits.softmax.interneuron_pool.InterneuronPool`, and so are the constants of the interneurons.
    inhibition_level
        I_0, the mean inhibition of a key alone in its row.
    tau_gaba
        Time constant of inhibition.
    sigma
        Standard deviation of a membrane without threshold.
    tau_m, v_rest
        Constants of the neurons of a key; v_rest is the reset too.
    dt
        Grid.
    """

    name: ClassVar[str] = "interneurons"
    inhibition: ClassVar[str] = "I"
    acts: ClassVar[str] = "I_post += J_IE_post/tau_gaba_post"
    inhibition_level: Quantity = quantity(10 * b2.mV, above=0 * b2.mV)
    tau_gaba: Quantity = quantity(8 * b2.ms, above=0 * b2.ms)
    sigma: Quantity = quantity(5 * b2.mV, above=0 * b2.mV)
    tau_m: Quantity = quantity(20 * b2.ms, above=0 * b2.ms)
    v_rest: Quantity = quantity(-70 * b2.mV)

    def __attrs_post_init__(self) -> None:
        InterneuronPool.__attrs_post_init__(self)
        if not self.v_threshold > self.v_rest:
            raise InputError(f"{self.name}: v_threshold must be above v_rest = {self.v_rest}, got {self.v_threshold}")

    def check(self, dt: Quantity) -> None:
        """As of the base; dt <= tau_m/20 and tau_gaba/4 too."""
        check_multiple(self.name, "refractory", self.refractory, dt)
        for name, steps in (("tau_m", 20), ("tau_gaba", 4)):
            most = getattr(self, name) / steps
            if dt > most * (1 + 1e-9):
                raise InputError(
                    f"{self.name}: dt = {dt} is too coarse: it must be at most {name}/{steps} = {most.in_best_unit()}"
                )
        InterneuronPool.check(self, dt)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            NOISY_KEYS,
            hub=HUB,
            on_spike=EXCITES,
            threshold="v > v_threshold and unmasked",
            reset="v = v_reset",
            linked=("I",),
            method="exact",
            refractory="t_ref",
            delay=self.delay,
            interneurons=self.population(),
            members=self.interneurons,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Rows start in their mean field and membranes in their stationary state, so that there is no onset."""
        step = float(dt)
        rates, interneuron_rate = self.mean_field(batch.logits, dt)
        mean, inhibition = self._drive(batch.logits, step), self._per_hz * interneuron_rate
        cell, sigma = on_grid(self.cell, self.siegert_sigma, dt), self.siegert_sigma
        u = uniform(*batch.member_address(self.members), -1)
        v = draw_membrane(cell, np.broadcast_to((mean - inhibition[:, None])[..., None], u.shape), sigma, u)
        return self.pool_state(batch, dt, rates, interneuron_rate) | {
            "keys.mean": mean,
            "keys.unmasked": ~np.isnan(batch.logits),
            "keys.v": np.minimum(v, float(self.v_threshold)),
            "keys.kick": float(self.sigma) / math.sqrt(math.tanh(step / float(self.tau_m) / 2)),
            "keys.tau_m": float(self.tau_m),
            "keys.v_reset": float(self.v_rest),
            "keys.v_threshold": float(self.v_threshold),
            "keys.t_ref": float(self.refractory),
            "hub.I": inhibition,
            "hub.J_IE": self._per_hz / self.interneurons * whole_mean(self.tau_gaba, dt),
            "hub.tau_gaba": float(self.tau_gaba),
        }

    @property
    def _per_hz(self) -> float:
        """J_IE*N_I, mean inhibition for 1 Hz of every interneuron, volt second."""
        return float(self.inhibition_level) / float(self.interneuron_rate)

    def response(self, dt: float) -> tuple[Array, Array, Array, Array]:
        """f-I curve of the neurons, as `biospike.theory.noisy_lif.response_table`."""
        return response_table(self.cell, float(self.sigma), float(self.rate), dt)

    def used_kappa(self, dt: Quantity | None = None) -> Quantity:
        """Input per nat of logit: the inverse slope of ln(rate) at e^-2*R, on the grid `dt`, default the circuit's."""
        _, log_rate, slope, _ = self.response(float(self.dt if dt is None else dt))
        return b2.volt / np.interp(math.log(float(self.rate) * KAPPA_SHARE), log_rate, slope)

    def _drive(self, logits: Array, dt: float) -> Array:
        """Drive of the neurons without inhibition (rows, keys), volt; that of the largest key where masked."""
        mu, log_rate, _, _ = self.response(dt)
        live = ~np.isnan(logits)
        top = np.where(live, logits, -np.inf).max(axis=1, keepdims=True)
        below = np.where(live, logits - np.where(np.isfinite(top), top, 0), 0)
        alone = float(np.interp(math.log(float(self.rate)), log_rate, mu)) + float(self.inhibition_level)
        return np.asarray(alone + float(self.used_kappa(dt * b2.second)) * below)

    def rates(self, logits: Array, interneuron_rate: Array, dt: float) -> Array:
        """See the base."""
        mu, log_rate, _, _ = self.response(dt)
        drive = self._drive(logits, dt) - self._per_hz * interneuron_rate[:, None]
        return np.where(np.isnan(logits), 0, np.exp(np.interp(drive, mu, log_rate)))

    def sensitivities(self, logits: Array, interneuron_rate: Array, dt: float) -> Array:
        """See the base."""
        mu, _, slope, _ = self.response(dt)
        drive = self._drive(logits, dt) - self._per_hz * interneuron_rate[:, None]
        return np.asarray(self._per_hz * self.rates(logits, interneuron_rate, dt) * np.interp(drive, mu, slope))

    def key_response(self, rates: Array, dt: float) -> Complex:
        """See the base."""
        own = noisy_response(rates, self.cell, float(self.sigma), 2 * float(self.rate), dt)
        return np.asarray(own * low_pass(FREQUENCIES, float(self.tau_gaba))[:, None])

    def expected_tv(self, p: Array, spikes: Array, target: Array | None = None) -> Array:
        """Law of the module's docstring, for rates that share M*R in the proportion p."""
        mu, log_rate, _, cv = self.response(float(self.dt))
        p = np.asarray(p, dtype=float)
        with np.errstate(divide="ignore"):
            drive = np.interp(np.log(p * float(self.rate)), log_rate, mu)
        return renewal_shares_tv(p, spikes, np.interp(drive, mu, cv) ** 2, p, target)
