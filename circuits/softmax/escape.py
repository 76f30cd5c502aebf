"""Hazard-charged neurons under integral inhibition: escape noise at one end, a clock at the other.

Each key's membrane charges with its hazard, spikes at a threshold theta and subtracts it::

    dv_i/dt = R0*exp(z_i - max z)*exp(-I),      v_i >= theta_i:  v_i -= theta_i,  theta_i ~ Gamma(k, 1/k)

By time rescaling, k = 1 (an exponential threshold) *is* the escape-noise neuron of hazard R0*exp(u_i - I), without
a random number a step and without saturation on the grid, since the surplus charge carries over. Larger k gives
more regular intervals, CV = k**-1/2, and k = infinity the deterministic circuit of `circuits.softmax.integrate`.

Inhibition is integral and log-domain: every spike of the row adds w to I, and I decays linearly at w*R0, so that the
row's rate is pinned to R0 whatever the logits. It multiplies all intensities of the row by one factor exp(-I), the
common gate, which makes E[N_i] proportional to exp(z_i) exactly, for any w and any delay.

Assumptions: the charge is Euler's, the gate constant within a step, so one neuron must not gain more than one
threshold a step (R0*dt <= 0.1 is required; a spike a step is the most a neuron can emit). Ties: keys that cross in
the same step all spike and all inhibit.

References: Gerstner, Kistler, Naud, Paninski, *Neuronal Dynamics* (2014), sections 7.6 and 9.1 (time rescaling and
escape noise); Lemma 3 of arXiv:2604.15769 for the normalisation it replaces.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, check_rate
from biospike.errors import InputError
from biospike.parameters import number, quantity, real
from biospike.random import MOST_DRAWS, gamma, uniform
from biospike.theory.concentration import multinomial_tv, renewal_tv
from biospike.theory.regularity import regular_tv
from biospike.wiring import rows_of_keys
from circuits.softmax.gate import NEVER_REACHED, CommonGate, check_fall

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEYS = """
dv/dt = drive*gate             : 1            # the hazard R0*exp(z_i - max z)*exp(-I)
gate                           : 1 (linked)
theta                          : 1
regularity                     : integer (shared, constant)   # k; 0 stands for infinity
"""
RESET = """
v -= theta
theta = gamma(seed, trial, index, t_in_timesteps, regularity)
"""
HUB = """
dI/dt = -w*R0                  : 1
gate                           : 1            # exp(-I), once a step for the whole row
w                              : 1 (shared, constant)
R0                             : Hz (shared, constant)
"""


def check_regularity(instance: Any, attribute: Any, value: float) -> None:
    """Accept k = 1, 2, 3, ..., `MOST_DRAWS` and infinity."""
    if not (value == np.inf or (1 <= value <= MOST_DRAWS and value == int(value))):
        raise InputError(
            f"{type(instance).__name__}: regularity must be a whole number from 1 to {MOST_DRAWS}, or inf, got {value}"
        )


@attrs.frozen(kw_only=True)
class Escape(CommonGate):
    """Hazard-charged keys with Gamma(k) thresholds and integral inhibition.

    Parameters
    ----------
    rate
        R0, the rate to which inhibition pins the row.
    w
        Inhibition added by one spike of the row, in nats.
    regularity
        k of the thresholds' Gamma distribution; 1 is escape noise, ``inf`` deterministic.
    dt
        Grid.
    """

    name: ClassVar[str] = "escape"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "gerstner2014")
    fused: ClassVar[str | None] = "pinned"
    inhibition: ClassVar[str] = "I"
    rate: Quantity = quantity(500 * b2.Hz, above=0 * b2.Hz)
    w: float = number(0.1, above=0)
    regularity: float = attrs.field(default=1.0, converter=real, validator=check_regularity)

    def check(self, dt: Quantity) -> None:
        """Require R0*dt <= 0.1: once the row is in balance a key gains at most a tenth of a threshold a step.

        On the way there the gate may rise by a factor of two a step.
        """
        check_rate(self.name, self.rate, dt)
        check_fall(self.name, self.w, self.rate, dt)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="I_post += w_post",
            threshold="v >= theta",
            reset=RESET,
            linked=("gate",),
            hub_method="euler",  # exact for a constant slope
            hub_each_step="gate = exp(-I)",
            shape=shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Thresholds are drawn; the charge starts at a uniform phase of the first threshold."""
        shape = 0 if self.regularity == np.inf else int(self.regularity)
        theta = gamma(*batch.address, -1, shape)
        return {
            "keys.drive": float(self.rate) * batch.drive,
            "keys.v": initial_charge(batch, shape, theta),
            "keys.theta": theta,
            "keys.regularity": shape,
            "hub.I": np.where(batch.padding, NEVER_REACHED, 0.0),
            "hub.w": self.w,
            "hub.R0": float(self.rate),
        }

    def expected_tv(
        self, p: NDArray[np.float64], spikes: NDArray[np.float64], target: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Multinomial for k = 1; CV times its asymptote for larger k, down to the law of random phases."""
        if self.regularity == 1:
            return multinomial_tv(p, spikes)
        floor = regular_tv(p, spikes)
        if self.regularity == np.inf:
            return floor
        return np.hypot(renewal_tv(p, spikes, self.regularity**-0.5), floor)


def initial_charge(batch: Batch, shape: int, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Charge at the start of the window.

    An exponential threshold has no memory, so the count from zero charge is already stationary; a regular one would
    start every key in phase, and a uniform phase makes the first count unbiased.
    """
    if shape == 1:
        return np.zeros_like(theta)
    return theta * uniform(*batch.address, -2)
