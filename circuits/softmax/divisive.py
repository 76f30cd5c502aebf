"""Divisive gain control: presynaptic inhibition scales the input of perfect integrators.

The row's spikes, filtered with tau_g, divide the input current of every key::

    dv_i/dt = R0*exp(z_i - max z)/(1 + g/g_half),   v_i >= 1: v_i -= 1,    dg/dt = -g/tau_g,  g += 1 per spike

The divisor is one factor common to the row, the common gate, so every count strays from exp(z_i) times the row's common
integral by less than one spike for ever: softmax with order 1/N, whatever tau_g and g_half do to the total rate. The
rate itself is *not* pinned: it solves Lambda = R0*sum_i exp(z_i - max z)/(1 + Lambda*tau_g/g_half).

Assumptions: the membrane does not leak (a leak with constant drive adds a floor), R0*dt <= 0.1. Ties: keys that cross
in the same step all spike and all inhibit.

References: Carandini and Heeger, *Normalization as a canonical neural computation*, Nat. Rev. Neurosci. 13 (2012)
51-62; Lemma 3 of arXiv:2604.15769 for the claim.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, check_rate
from biospike.ideal.softmax import softmax
from biospike.parameters import number, quantity
from biospike.random import uniform
from biospike.theory.regularity import regular_tv
from biospike.wiring import rows_of_keys
from circuits.softmax.gate import CommonGate

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEYS = """
dv/dt = drive*gain             : 1
gain                           : 1 (linked)
"""
HUB = """
dg/dt = -g/tau_g               : 1               # spikes of the row, filtered
gain                           : 1               # 1/(1 + g/g_half)
tau_g                          : second (shared, constant)
g_half                         : 1 (shared, constant)
"""


@attrs.frozen(kw_only=True)
class Divisive(CommonGate):
    """Perfect integrators whose input is divided by the row's filtered spikes.

    Parameters
    ----------
    rate
        R0, rate of the key with the largest logit if nothing inhibited it.
    tau_g
        Time constant of the inhibitory trace.
    g_half
        Trace, in spikes, at which the input is halved.
    dt
        Grid.
    """

    threshold: ClassVar[float] = 1.0
    name: ClassVar[str] = "divisive"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "carandini2012")
    fused: ClassVar[str | None] = "divided"
    inhibition: ClassVar[str] = "g"
    rate: Quantity = quantity(1000 * b2.Hz, above=0 * b2.Hz)
    tau_g: Quantity = quantity(20 * b2.ms, above=0 * b2.ms)
    g_half: float = number(5.0, above=0)

    def check(self, dt: Quantity) -> None:
        """Require R0*dt <= 0.1, so that a key never gains two thresholds in a step."""
        check_rate(self.name, self.rate, dt)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="g_post += 1",
            threshold="v >= 1",
            reset="v -= 1",
            linked=("gain",),
            hub_each_step="gain = 1/(1 + g/g_half)",
            shape=shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Every key starts at a uniform phase."""
        return {
            "keys.drive": float(self.rate) * batch.drive,
            "keys.v": uniform(*batch.address, -1),
            "hub.g": 0.0,
            "hub.tau_g": float(self.tau_g),
            "hub.g_half": self.g_half,
        }

    def row_rate(self, logits: NDArray[np.float64]) -> Quantity:
        """Stationary output rate of each row, shape (rows,): the positive root of the equation above."""
        total = float(self.rate) / softmax(logits).max(axis=-1)
        gain = float(self.tau_g) / self.g_half
        return (np.sqrt(1 + 4 * gain * total) - 1) / (2 * gain) * b2.Hz

    def expected_tv(
        self, p: NDArray[np.float64], spikes: NDArray[np.float64], target: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Law of regular keys at random phases."""
        return regular_tv(p, spikes)
