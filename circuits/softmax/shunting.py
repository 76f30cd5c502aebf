"""Shunting inhibition: the row's spikes open a conductance at rest in every membrane.

The exponential is given, as the input current; inhibition should only normalise. It does not::

    g_leak*tau_m dv_i/dt = g_leak*(v_rest - v_i) + g*(v_inh - v_i) + offset + current*exp(z_i - max z)
    v_i > v_threshold: v_i = v_rest for the refractory period;     tau_inh dg/dt = -g,   g += w per spike of the row

A conductance divides the membrane potential, but not the firing rate: between spikes the membrane is on average at a
potential that the threshold fixes, so that the shunt draws a current which the rate does not change. Inhibition
raises the rheobase to (g_leak + g)*(v_threshold - v_rest) and leaves the slope of the f-I curve as it is: it subtracts.
Keys with less current than that fall silent, as in sparsemax, and no strength of inhibition gives softmax. The default
strength is the best for real rows: TV 0.13, against 0.29 without inhibition and 0.23 with four times as much.

Mean field, `limit`: rates f(current_i, g) with g = w*tau_inh*sum_i f(current_i, g), f closed for a constant g::

    1/f = refractory - dt/2 + tau*ln((v_inf - v_rest)/(v_inf - v_threshold)),    tau = g_leak*tau_m/(g_leak + g)

v_inf the steady potential; half a step is what the grid adds to an interval on average, after the step that Brian2's
refractory period loses. It neglects the fluctuation of g, which falls with tau_inh: on real rows the simulated shares
stray from it by TV 0.015, 0.005, 0.003 at tau_inh = 10, 50, 100 ms, through keys at the rheobase. Counts are those of
regular neurons, but their error law would be hidden by that, so none is given.

Assumptions: the conductance is constant within a step, for which the membrane is integrated exactly. Ties: keys that
cross in the same step all spike and all inhibit, from the next step on. A refractory key feels no conductance.

References: Holt and Koch, *Shunting inhibition does not have a divisive effect on firing rates*, Neural Comput. 9
(1997) 1001, doi:10.1162/neco.1997.9.5.1001; Capogna and Pearce, *GABA_A,slow*, Trends Neurosci. 34 (2011) 101, for
tau_inh.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape, check_multiple, check_rate, relative_exponential
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.parameters import quantity
from biospike.random import uniform
from biospike.roots import row_roots
from biospike.wiring import rows_of_keys

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KEYS = """
v              : volt
current        : amp (constant)               # offset + current*exp(z_i - max z)
unmasked       : boolean (constant)
g              : siemens (linked)
relaxed        : 1 (linked)
g_leak         : siemens (shared, constant)
v_rest         : volt (shared, constant)
v_inh          : volt (shared, constant)
v_threshold    : volt (shared, constant)
t_ref          : second (shared, constant)
"""
# The solution of the membrane equation over a step in which g is constant.
STEP = """
v += ((g_leak*v_rest + g*v_inh + current)/(g_leak + g) - v)*relaxed*int(not_refractory)
"""
HUB = """
g              : siemens
relaxed        : 1                            # fraction of the way to the steady potential covered in a step
g_leak         : siemens (shared, constant)
tau_m          : second (shared, constant)
w              : siemens (shared, constant)
tau_inh        : second (shared, constant)
"""
HUB_STEP = """
g *= exp(-dt/tau_inh)
relaxed = 1 - exp(-(g_leak + g)*dt/(g_leak*tau_m))
"""


@attrs.frozen(kw_only=True)
class Shunting(Circuit):
    """Conductance-based LIF keys under shunting inhibition.

    Parameters
    ----------
    current
        Input of the key with the largest logit, beyond the offset.
    offset
        Input of every key; by default the rheobase without inhibition.
    w
        Conductance that a spike of the row opens.
    tau_inh
        Time constant of the conductance; the default is that of the slow GABA_A synapse.
    v_inh
        Its reversal potential; shunting if it is v_rest.
    g_leak, tau_m, v_rest, v_threshold, refractory
        Constants of the keys, 200 pF by default; v_rest is the reset too.
    dt
        Grid.
    """

    name: ClassVar[str] = "shunting"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "holt1997", "capogna2011")
    inhibition: ClassVar[str] = "g"
    threshold: ClassVar[float] = -50.0
    current: Quantity = quantity(500 * b2.pA, above=0 * b2.pA)
    offset: Quantity = quantity(200 * b2.pA, minimum=0 * b2.pA)
    w: Quantity = quantity(0.1 * b2.nS, minimum=0 * b2.nS)
    tau_inh: Quantity = quantity(50 * b2.ms, above=0 * b2.ms)
    v_inh: Quantity = quantity(-70 * b2.mV)
    g_leak: Quantity = quantity(10 * b2.nS, above=0 * b2.nS)
    tau_m: Quantity = quantity(20 * b2.ms, above=0 * b2.ms)
    v_rest: Quantity = quantity(-70 * b2.mV)
    v_threshold: Quantity = quantity(-50 * b2.mV)
    refractory: Quantity = quantity(2 * b2.ms, minimum=0 * b2.ms)

    def __attrs_post_init__(self) -> None:
        for name, bound in (("v_rest", self.v_rest), ("v_inh", self.v_inh)):
            if not self.v_threshold > bound:
                raise InputError(f"Shunting: v_threshold must be above {name} = {bound}, got {self.v_threshold}")
        rheobase = self.g_leak * (self.v_threshold - self.v_rest)
        if not self.current + self.offset > rheobase:
            raise InputError(
                f"Shunting: current + offset must be above the rheobase g_leak*(v_threshold - v_rest) = "
                f"{rheobase.in_best_unit()} or nothing fires, got {(self.current + self.offset).in_best_unit()}"
            )

    def check(self, dt: Quantity) -> None:
        """Require refractory on the grid, and ten steps an interval of the fastest key."""
        check_multiple(self.name, "refractory", self.refractory, dt)
        fastest = self.key_rate(np.array([float(self.current + self.offset)]), np.zeros(1), dt)
        check_rate(self.name, float(fastest[0]) * b2.Hz, dt)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="g_post += w_post",
            threshold="v > v_threshold and unmasked",
            reset="v = v_rest",
            linked=("g", "relaxed"),
            each_step=STEP,
            hub_each_step=HUB_STEP,
            refractory="t_ref",
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """The conductance starts at its mean field, every key at a uniform phase of its interval."""
        current = float(self.offset) + float(self.current) * batch.drive
        g, rates = self._mean_field(current, np.isnan(batch.logits), dt)
        tau, v_inf = self._membrane(current, g[:, None])
        rest, threshold = float(self.v_rest), float(self.v_threshold)
        with np.errstate(divide="ignore"):
            hold = max(float(self.refractory - dt), 0.0)
            since_reset = np.maximum(uniform(*batch.address, -1) / rates - hold, 0)
        charging = v_inf + (rest - v_inf) * np.exp(-since_reset / tau)
        return {
            "keys.current": current,
            "keys.unmasked": ~np.isnan(batch.logits),
            "keys.v": np.minimum(np.where(rates > 0, charging, v_inf), threshold),
            "keys.g_leak": float(self.g_leak),
            "keys.v_rest": rest,
            "keys.v_inh": float(self.v_inh),
            "keys.v_threshold": threshold,
            "keys.t_ref": float(self.refractory),
            "hub.g": g,
            "hub.g_leak": float(self.g_leak),
            "hub.tau_m": float(self.tau_m),
            "hub.w": float(self.w),
            "hub.tau_inh": float(self.tau_inh),
        }

    def input_current(self, logits: Array) -> Array:
        """Input of the keys, ampere."""
        return float(self.offset) + float(self.current) * relative_exponential(logits)

    def _membrane(self, current: Array, g: Array) -> tuple[Array, Array]:
        """Time constant, second, and steady potential, volt, under a constant conductance."""
        leak = float(self.g_leak)
        v_inf = (leak * float(self.v_rest) + g * float(self.v_inh) + current) / (leak + g)
        return leak * float(self.tau_m) / (leak + g), v_inf

    def key_rate(self, current: Array, g: Array, dt: Quantity | None = None) -> Array:
        """f-I curve under a constant conductance, averaged over phases of the grid `dt`, default the circuit's.

        Parameters
        ----------
        current, g
            Ampere and siemens, broadcast against each other.

        Returns
        -------
        ndarray
            Rate, Hz; 0 at and below the rheobase.
        """
        step = float(self.dt if dt is None else dt)
        tau, v_inf = self._membrane(current, g)
        above = np.maximum(v_inf - float(self.v_threshold), 0)
        with np.errstate(divide="ignore"):
            charging = tau * np.log1p(float(self.v_threshold - self.v_rest) / above)
        return 1 / (max(float(self.refractory) - step, 0.0) + charging + step / 2)

    def mean_field(self, logits: Array, dt: Quantity | None = None) -> tuple[Array, Array]:
        """Self-consistent conductance (rows,), siemens, and rates (rows, keys), Hz, on the grid `dt`."""
        return self._mean_field(self.input_current(logits), np.isnan(logits), dt)

    def _mean_field(self, current: Array, masked: NDArray[np.bool_], dt: Quantity | None) -> tuple[Array, Array]:
        weight = np.where(masked, 0.0, 1.0)
        opened = float(self.w * self.tau_inh)

        def rates(g: Array, row: Any) -> Array:
            return weight[row] * self.key_rate(current[row], g[:, None], dt)

        # Rates fall with g, so the fixed point is unique, and the feed-forward rates are above it.
        low = np.zeros(len(current))
        high = opened * rates(low, slice(None)).sum(axis=1)
        g = row_roots(lambda g, row: opened * rates(g, row).sum(axis=1) - g, low, high)
        found = rates(g, slice(None))
        if np.any((found.sum(axis=1) == 0) & ~masked.all(axis=1)):
            raise InputError(
                f"{self.name}: w*tau_inh = {(self.w * self.tau_inh).in_best_unit()} opens so much conductance a spike "
                "that no key of a row fires"
            )
        return g, found

    def limit(self, logits: Array) -> Array:
        """Shares of the mean field on the circuit's own grid; not softmax."""
        _, rates = self.mean_field(check_logits(logits))
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))
