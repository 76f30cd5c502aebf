"""Hodgkin-Huxley keys of the Traub-Miles kind under one subtracted inhibition a row.

What it relaxes: the spike itself, which sodium and potassium currents make. Drive, noise and inhibition are those of
`diffusive`, as voltages over the leak::

    C dv_i/dt = g_leak*(v_leak + b + kappa*(z_i - max z) - I - v_i + noise)
                - g_na*m^3*h*(v_i - v_na) - g_k*n^4*(v_i - v_k),     dx/dt = alpha_x*(1 - x) - beta_x*x, x = m, n, h

alpha and beta are those of Traub and Miles (1991) as Brian2's example of COBAHH states them, with its constants for a
cell of 20000 um^2. A spike is a crossing of -20 mV; another one is counted 3 ms after it at the earliest, when the
membrane is down again.

Mean field, `limit`: the rates f(mean_i - I) sum to R, f a stored table, measured by running these very equations,
which belongs to the parameters written beside it. For other parameters there is none: they are refused.

Valid range: dt at most 0.05 ms (exponential Euler); w below the stability limit. Ties: keys that cross in one step all
spike and all inhibit. Masked keys never spike. No error law.

References: Traub and Miles, *Neuronal Networks of the Hippocampus*, Cambridge University Press (1991); Brette et al.,
*Simulation of networks of spiking neurons*, J. Comput. Neurosci. 23 (2007) 349, doi:10.1007/s10827-007-0038-6.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import MOST_MEMBERS, Batch, Shape
from biospike.errors import InputError
from biospike.parameters import quantity, whole
from biospike.random import normal
from biospike.wiring import rows_of_keys
from circuits.softmax.diffusive import HUB
from circuits.softmax.stored_curves import differing, stored_curve
from circuits.softmax.subtracted import Curve, Subtracted

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KEYS = """
dv/dt = (mean - I + noise - v)*g_leak/C - sodium - potassium                 : volt
sodium = g_na/C*m**3*h*(v - v_na)                                            : volt/second
potassium = g_k/C*n**4*(v - v_k)                                             : volt/second
dm/dt = alpha_m*(1 - m) - beta_m*m                                           : 1
dn/dt = alpha_n*(1 - n) - beta_n*n                                           : 1
dh/dt = alpha_h*(1 - h) - beta_h*h                                           : 1
alpha_m = 0.32*4/mV/exprel((13*mV - v + v_onset)/(4*mV))*mV/ms               : Hz
beta_m = 0.28*5/mV/exprel((v - v_onset - 40*mV)/(5*mV))*mV/ms                : Hz
alpha_h = 0.128*exp((17*mV - v + v_onset)/(18*mV))/ms                        : Hz
beta_h = 4/(1 + exp((40*mV - v + v_onset)/(5*mV)))/ms                        : Hz
alpha_n = 0.032*5/mV/exprel((15*mV - v + v_onset)/(5*mV))*mV/ms              : Hz
beta_n = 0.5*exp((10*mV - v + v_onset)/(40*mV))/ms                           : Hz
noise = kick*normal(seed, trial, index, t_in_timesteps, 0)                   : volt (constant over dt)
mean                                                                         : volt (constant)
unmasked                                                                     : boolean (constant)
I                                                                            : volt (linked)
kick                                                                         : volt (shared, constant)
C                                                                            : farad (shared, constant)
g_leak                                                                       : siemens (shared, constant)
g_na                                                                         : siemens (shared, constant)
g_k                                                                          : siemens (shared, constant)
v_na                                                                         : volt (shared, constant)
v_k                                                                          : volt (shared, constant)
v_onset                                                                      : volt (shared, constant)
v_spike                                                                      : volt (shared, constant)
t_ref                                                                        : second (shared, constant)
"""


@attrs.frozen(kw_only=True)
class HodgkinHuxley(Subtracted):
    """Traub-Miles keys under subtractive, integrated inhibition.

    Parameters
    ----------
    members, rate, kappa, w, tau_inh, delay
        As of `circuits.softmax.subtracted.Subtracted`.
    sigma
        Standard deviation of a membrane without sodium and potassium.
    capacitance, g_leak, v_leak
        Membrane.
    g_na, v_na, g_k, v_k, v_onset
        Conductances and reversal potentials of sodium and potassium, and the potential that their kinetics are told
        from.
    refractory
        Time after a crossing in which none is counted.
    dt
        Grid.
    """

    name: ClassVar[str] = "hodgkin_huxley"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "traub1991", "brette2007")
    threshold: ClassVar[float] = -20.0
    members: int = whole(4, minimum=1, maximum=MOST_MEMBERS)
    rate: Quantity = quantity(10 * b2.Hz, above=0 * b2.Hz)
    sigma: Quantity = quantity(5 * b2.mV, above=0 * b2.mV)
    capacitance: Quantity = quantity(200 * b2.pF, above=0 * b2.pF)
    g_leak: Quantity = quantity(10 * b2.nS, above=0 * b2.nS)
    v_leak: Quantity = quantity(-60 * b2.mV)
    g_na: Quantity = quantity(20 * b2.usiemens, minimum=0 * b2.nS)
    v_na: Quantity = quantity(50 * b2.mV)
    g_k: Quantity = quantity(6 * b2.usiemens, minimum=0 * b2.nS)
    v_k: Quantity = quantity(-90 * b2.mV)
    v_onset: Quantity = quantity(-63 * b2.mV)
    refractory: Quantity = quantity(3 * b2.ms, minimum=0 * b2.ms)
    dt: Quantity = quantity(0.05 * b2.ms, above=0 * b2.ms)

    @property
    def lag(self) -> Quantity:
        """The membrane's time constant."""
        return self.capacitance / self.g_leak

    def check(self, dt: Quantity) -> None:
        """Require a table of these parameters, a step that resolves the spike, and a stable loop."""
        if dt > 0.05 * b2.ms * (1 + 1e-9):
            raise InputError(f"{self.name}: dt = {dt} must be at most 0.05 ms to resolve a spike")
        super().check(dt)

    def known(self) -> bool:
        """Whether a table of these parameters is stored."""
        return stored_curve(self) is not None

    def curve(self) -> Curve:
        """Stored f-I curve."""
        found = stored_curve(self)
        if found is None:
            raise InputError(f"{self.name}: the stored f-I curve belongs to other parameters: {differing(self)}")
        return found

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="activity_post += 1/tau_inh_post",
            threshold="v > v_spike and unmasked",
            reset="",
            linked=("I",),
            method="exponential_euler",
            hub_method="rk4",
            refractory="t_ref",
            delay=self.delay,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Inhibition starts in balance, membranes with half of the noise, gates in balance with them."""
        mean, inhibition, _ = self.mean_field(batch.logits)
        shift = float(self.used_kappa()) * np.broadcast_to(batch.shift, inhibition.shape)
        level = np.minimum(mean - inhibition[:, None], float(self.v_onset))
        v = level[..., None] + float(self.sigma) / 2 * normal(*batch.member_address(self.members), -1)
        v = np.minimum(v, float(self.v_onset))
        return {
            "keys.mean": mean + shift[:, None],
            "keys.unmasked": ~np.isnan(batch.logits),
            "keys.v": v,
            **self.constants(v, dt),
        } | self.hub_state(inhibition + shift)

    def constants(self, v: Array, dt: Quantity) -> dict[str, Any]:
        """State that no logits enter: gates in balance with membranes `v`, volt, and the constants."""
        m, n, h = steady_gates((v - float(self.v_onset)) * 1e3)
        x = math.exp(-float(dt / self.lag))
        return {
            "keys.m": m,
            "keys.n": n,
            "keys.h": h,
            "keys.kick": float(self.sigma) * math.sqrt((1 + x) / (1 - x)),
            "keys.C": float(self.capacitance),
            "keys.g_leak": float(self.g_leak),
            "keys.g_na": float(self.g_na),
            "keys.g_k": float(self.g_k),
            "keys.v_na": float(self.v_na),
            "keys.v_k": float(self.v_k),
            "keys.v_onset": float(self.v_onset),
            "keys.v_spike": self.threshold * 1e-3,
            "keys.t_ref": float(self.refractory),
        }


def gate_rates(u: Array) -> dict[str, tuple[Array, Array]]:
    """Alpha and beta of m, n and h, per ms, at u = v - v_onset, mV."""

    def quotient(slope: float, scale: float, x: Array) -> Array:
        return slope * scale / np.where(np.abs(x) > 1e-9, np.expm1(x) / np.where(x == 0, 1, x), 1.0)

    return {
        "m": (quotient(0.32, 4, (13 - u) / 4), quotient(0.28, 5, (u - 40) / 5)),
        "n": (quotient(0.032, 5, (15 - u) / 5), 0.5 * np.exp((10 - u) / 40)),
        "h": (0.128 * np.exp((17 - u) / 18), 4 / (1 + np.exp((40 - u) / 5))),
    }


def steady_gates(u: Array) -> tuple[Array, Array, Array]:
    """m, n and h of a membrane held at u = v - v_onset, mV."""
    m, n, h = (alpha / (alpha + beta) for alpha, beta in gate_rates(u).values())
    return m, n, h
