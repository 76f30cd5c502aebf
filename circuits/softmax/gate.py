"""Circuits whose inhibition is a common gate: they compute softmax, whatever the gate does.

Let a key spike with the intensity exp(z_i)*g(t), g one factor common to the row and predictable: it may depend on all
past spikes, on delays, on anything but the present one. Then N_i - exp(z_i)*integral(g) is a martingale, so E[N_i] is
proportional to exp(z_i) exactly. Inhibition that is subtracted from a membrane with a threshold is no such factor.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits, softmax
from biospike.parameters import quantity

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

NEVER_REACHED = 1e30
"""Log-domain inhibition of a row without keys: nothing ends its fall, and from 0 its exponential would overflow."""


LARGEST_FALL = math.log(2)
"""Nats by which log-domain inhibition may fall in a step: the gate then doubles, and what a key has gained since it was
below its threshold is at most a threshold more. Beyond, keys owe spikes, of which they can pay one a step."""


def check_fall(name: str, w: float, rate: Quantity, dt: Quantity, release: float = 0.0) -> None:
    """Raise `InputError` if inhibition of `w` nats a spike, at `rate` spikes a second, falls too fast for the step.

    `release` is what it falls beside, nats a step.
    """
    fall, what = w * float(rate * dt) + release, "w*rate*dt + release" if release else "w*rate*dt"
    if fall > LARGEST_FALL * (1 + 1e-9):
        largest = (LARGEST_FALL - release) / float(rate * dt)
        raise InputError(
            f"{name}: inhibition falls by {what} = {fall:.3g} nats a step, which must be at most log(2), or keys owe "
            f"more spikes than one a step: w at most {max(largest, 0):.4g} at rate = {rate}, dt = {dt}"
        )


@attrs.frozen(kw_only=True)
class CommonGate(Circuit):
    """Base of the circuits under a common gate: the keys' ``drive`` may come from any `biospike.circuit.Source`.

    Parameters
    ----------
    rate
        R0: intensity of a key of drive 1 before inhibition, or of the row that inhibition holds.
    """

    rate: Quantity = quantity(500 * b2.Hz, above=0 * b2.Hz)

    def limit(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Softmax, exactly, by the common gate."""
        return softmax(check_logits(logits))
