"""Adaptive exponential integrate-and-fire keys under one subtracted inhibition a row.

What it relaxes: a spike begins where the membrane runs away, not at a fixed threshold, and each spike makes the next
one later. Drive, noise and inhibition are those of `diffusive`::

    tau_m dv_i/dt = v_rest + b + kappa*(z_i - max z) - I - v_i + delta*exp((v_i - v_soft)/delta) - w_i/g_leak + noise
    tau_w dw_i/dt = a*(v_i - v_rest) - w_i,       v_i > v_cut: v_i = v_reset for t_ref, w_i += jump

Constants are those of Brette and Gerstner (2005), table 1; the spike is cut at v_soft + 5*delta, where what is left of
the upswing takes less than 0.1 ms. The refractory period is 2 ms as in `diffusive`, and so is the noise.

Mean field, `limit`: the rates f(mean_i - I) sum to R. Without adaptation (a = jump = 0) f is computed by threshold
integration (`biospike.theory.exponential_if`); with it f is a stored table, measured by running these very equations,
which belongs to the parameters written beside it. Of other parameters the limit is not known, and the row starts from
the curve of the mean adaptation a*(mean v - v_rest) + jump*tau_w*rate.

Valid range: dt at most 0.1 ms and tau_m/50, for the upswing is integrated by Euler's method; w below the stability
limit. Ties: keys that cross in one step all spike and all inhibit. Masked keys never spike. No error law.

References: Brette and Gerstner, *Adaptive exponential integrate-and-fire model as an effective description of neuronal
activity*, J. Neurophysiol. 94 (2005) 3637, doi:10.1152/jn.00686.2005; Richardson (2007),
doi:10.1103/PhysRevE.76.021919.
"""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, check_multiple
from biospike.errors import InputError
from biospike.parameters import quantity
from biospike.random import normal
from biospike.theory.exponential_if import ExponentialIF
from biospike.wiring import rows_of_keys
from circuits.softmax.diffusive import HUB
from circuits.softmax.stored_curves import stored_curve
from circuits.softmax.subtracted import Curve, Subtracted

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KEYS = """
dv/dt = (mean - I + upswing - adaptation/g_leak + noise - v)/tau_m : volt (unless refractory)
dadaptation/dt = (a*(v - v_rest) - adaptation)/tau_w               : amp
upswing = delta*exp((v - v_soft)/delta)                            : volt
noise = kick*normal(seed, trial, index, t_in_timesteps, 0)         : volt (constant over dt)
mean                                                               : volt (constant)  # v_rest + b + kappa*(z - max z)
unmasked                                                           : boolean (constant)
I                                                                  : volt (linked)
kick                                                               : volt (shared, constant)
tau_m                                                              : second (shared, constant)
tau_w                                                              : second (shared, constant)
a                                                                  : siemens (shared, constant)
jump                                                               : amp (shared, constant)
g_leak                                                             : siemens (shared, constant)
delta                                                              : volt (shared, constant)
v_soft                                                             : volt (shared, constant)
v_rest                                                             : volt (shared, constant)
v_reset                                                            : volt (shared, constant)
v_cut                                                              : volt (shared, constant)
t_ref                                                              : second (shared, constant)
"""

CUT = 5
"""Widths above v_soft at which a spike is cut."""
RESOLUTION = 20
"""Points a sigma of the computed curve."""


@attrs.frozen(kw_only=True)
class AdEx(Subtracted):
    """Adaptive exponential keys under subtractive, integrated inhibition.

    Parameters
    ----------
    members, rate, kappa, w, tau_inh, delay
        As of `circuits.softmax.subtracted.Subtracted`.
    sigma
        Standard deviation of a membrane without spikes and adaptation.
    capacitance, g_leak, v_rest, v_soft, delta
        Membrane, and the potential and width of the onset of the spike.
    tau_w, a, jump
        Adaptation: time constant, coupling to the membrane, and what a spike adds.
    v_reset, refractory
        Membrane after a spike, and for how long.
    dt
        Grid.
    """

    name: ClassVar[str] = "adex"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "brette2005", "richardson2007")
    threshold: ClassVar[float] = -40.4
    sigma: Quantity = quantity(5 * b2.mV, above=0 * b2.mV)
    capacitance: Quantity = quantity(281 * b2.pF, above=0 * b2.pF)
    g_leak: Quantity = quantity(30 * b2.nS, above=0 * b2.nS)
    v_rest: Quantity = quantity(-70.6 * b2.mV)
    v_soft: Quantity = quantity(-50.4 * b2.mV)
    delta: Quantity = quantity(2 * b2.mV, above=0 * b2.mV)
    tau_w: Quantity = quantity(144 * b2.ms, above=0 * b2.ms)
    a: Quantity = quantity(4 * b2.nS, minimum=0 * b2.nS)
    jump: Quantity = quantity(80.5 * b2.pA, minimum=0 * b2.pA)
    v_reset: Quantity = quantity(-70.6 * b2.mV)
    refractory: Quantity = quantity(2 * b2.ms, minimum=0 * b2.ms)

    def __attrs_post_init__(self) -> None:
        if not self.v_soft > self.v_reset:
            raise InputError(f"AdEx: v_soft must be above v_reset = {self.v_reset}, got {self.v_soft}")

    @property
    def tau_m(self) -> Quantity:
        """Membrane time constant."""
        return self.capacitance / self.g_leak

    @property
    def lag(self) -> Quantity:
        """The membrane's time constant."""
        return self.tau_m

    @property
    def v_cut(self) -> Quantity:
        """Where a spike is cut."""
        return self.v_soft + CUT * self.delta

    @property
    def cell(self) -> ExponentialIF:
        """A key without adaptation, as a neuron with a computed rate.

        Brian2's refractory period is counted from the start of the step of the spike: the hold lasts one step less.
        """
        return ExponentialIF(
            tau_m=float(self.tau_m),
            v_soft=float(self.v_soft),
            delta=float(self.delta),
            v_cut=float(self.v_cut),
            v_reset=float(self.v_reset),
            refractory=max(float(self.refractory - self.dt), 0.0),
            sigma=float(self.sigma),
        )

    def check(self, dt: Quantity) -> None:
        """Require a step that resolves the upswing, refractory on the grid, and a stable loop."""
        check_multiple(self.name, "refractory", self.refractory, dt)
        coarsest = min(0.1 * b2.ms, self.tau_m / 50)
        if dt > coarsest * (1 + 1e-9):
            raise InputError(
                f"{self.name}: dt = {dt} must be at most {coarsest.in_best_unit()}, 0.1 ms and tau_m/50, to resolve "
                "the upswing of a spike"
            )
        super().check(dt)

    def known(self) -> bool:
        """Whether there is no adaptation, or a stored table of these parameters."""
        return not (float(self.a) or float(self.jump)) or stored_curve(self) is not None

    def curve(self) -> Curve:
        """Stored or computed f-I curve; see the module."""
        found = stored_curve(self) if float(self.a) or float(self.jump) else None
        return _computed(self) if found is None else found

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="activity_post += 1/tau_inh_post",
            threshold="v > v_cut and unmasked",
            reset="v = v_reset\nadaptation += jump",
            linked=("I",),
            method="euler",
            hub_method="rk4",
            refractory="t_ref",
            delay=self.delay,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Inhibition and mean adaptation start in balance, membranes with the noise about where their drive holds them.

        A membrane drawn above v_soft - delta starts there, so that no key spikes at once.
        """
        mean, inhibition, rates = self.mean_field(batch.logits)
        shift = float(self.used_kappa()) * np.broadcast_to(batch.shift, inhibition.shape)
        adaptation = float(self.jump * self.tau_w) * rates
        level = mean - inhibition[:, None] - adaptation / float(self.g_leak)
        v = level[..., None] + float(self.sigma) * normal(*batch.member_address(self.members), -1)
        x = float(dt / self.tau_m)
        return {
            "keys.mean": mean + shift[:, None],
            "keys.unmasked": ~np.isnan(batch.logits),
            "keys.v": np.minimum(v, float(self.v_soft - self.delta)),
            "keys.adaptation": adaptation,
            # Euler's recursion with this amplitude has the standard deviation sigma at any step.
            "keys.kick": float(self.sigma) * math.sqrt((2 - x) / x),
            "keys.tau_m": float(self.tau_m),
            "keys.tau_w": float(self.tau_w),
            "keys.a": float(self.a),
            "keys.jump": float(self.jump),
            "keys.g_leak": float(self.g_leak),
            "keys.delta": float(self.delta),
            "keys.v_soft": float(self.v_soft),
            "keys.v_rest": float(self.v_rest),
            "keys.v_reset": float(self.v_reset),
            "keys.v_cut": float(self.v_cut),
            "keys.t_ref": float(self.refractory),
        } | self.hub_state(inhibition + shift)


@functools.lru_cache(maxsize=16)
def _computed(circuit: AdEx) -> Curve:
    """Curve of threshold integration, as a function of the drive that mean adaptation is taken from."""
    sigma = float(circuit.sigma)
    low, high = float(circuit.v_soft) - 12 * sigma, float(circuit.v_soft) + 8 * sigma
    mu = np.linspace(low, high, math.ceil((high - low) / sigma * RESOLUTION))
    rate, mean = circuit.cell.rate_and_mean(mu)
    current = float(circuit.a) * (mean - float(circuit.v_rest)) + float(circuit.jump * circuit.tau_w) * rate
    return Curve(mu + current / float(circuit.g_leak), np.log(rate))
