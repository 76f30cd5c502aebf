"""Subtractive lateral inhibition: Lemma 3 of arXiv:2604.15769, as a third-party digest reports it.

A discrete leaky integrate-and-fire neuron a key, inhibited by the mean of the row's spikes one step earlier::

    u_i(t) = beta*u_i(t-1) + gain*exp(z_i - max z) - v_th*s_i(t-1) - w*mean_j s_j(t-1),     s_i(t) = [u_i(t) >= v_th]

with v_th = 1. Inhibition that is subtracted from a threshold-linear response does not normalise: it is a threshold.
The digest gives the feedback as this mean, and in a toy as the population sum: `feedback`. The weight w, beta = 1 and
v_th = 1 are ours. For beta = 1, the case most favourable to the claim, the rates a step settle at

    r_i = [gain*exp(z_i - max z) - w*mean(r)]_+

and while all keys are active the shares are (1 + w)*p - w/n: they stray from softmax by w*TV(p, uniform) for ever,
and keys below w*mean(r) fall silent. With the sum w counts n times. With a leak, beta < 1, the response is the devil's
staircase of a leaky neuron with a rheobase of 1 - beta, and the limit is the self-consistent fixed point of that
response, found numerically.

Assumptions: gain <= 1, or the largest key would saturate at a spike a step. One step is one timestep of the paper; the
time step in ms only labels the axis. Ties: keys that cross in the same step all spike and all inhibit. Inhibition of a
step reaches every membrane in the next, spiking or not: the reset is subtractive and erases nothing.

Reference: Guo, Wu, Yiu, arXiv:2604.15769, Lemma 3.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape, relative_exponential, rows_of_keys
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.parameters import choice, number, quantity
from biospike.random import uniform

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEYS = """
u                              : 1
s                              : 1               # spike of the previous step
drive                          : 1 (constant)    # gain*exp(z_i - max z)
mean_s                         : 1 (linked)
beta                           : 1 (shared, constant)
w                              : 1 (shared, constant)
"""
STEP = """
u = beta*u + drive - s - w*mean_s
s = 0
"""
HUB = """
mean_s                         : 1               # of the previous step
arriving                       : 1               # of this one
n_keys                         : 1 (constant)    # over which the mean is taken; 1 for the sum
"""
HUB_STEP = """
mean_s = arriving/n_keys
arriving = 0
"""

# Iterations of the map that measure a leaky response; the rate is exact to about one in this many.
RESPONSE_STEPS = 4096
BISECTIONS = 50


@attrs.frozen(kw_only=True)
class Subtractive(Circuit):
    """The paper's lateral inhibition.

    Parameters
    ----------
    beta
        Membrane decay a step, in (0, 1].
    w
        Inhibition by the mean of the row's spikes, in thresholds.
    feedback
        ``mean`` of the row's spikes, or their ``sum``.
    gain
        Drive a step of the key with the largest logit, in thresholds.
    dt
        Length of a timestep.
    """

    threshold: ClassVar[float] = 1.0
    name: ClassVar[str] = "subtractive"
    membrane: ClassVar[str] = "u"
    inhibition: ClassVar[str] = "mean_s"
    beta: float = number(1.0, above=0, maximum=1)
    w: float = number(1.0, minimum=0)
    feedback: str = choice("mean", "mean", "sum")
    gain: float = number(1.0, above=0, maximum=1)
    dt: Quantity = quantity(1 * b2.ms, above=0 * b2.ms)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="arriving_post += 1",
            threshold="u >= 1",
            reset="s = 1",
            linked=("mean_s",),
            each_step=STEP,
            hub_each_step=HUB_STEP,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Membranes of unmasked keys start at a uniform phase, masked ones at 0 and are only ever inhibited."""
        unmasked = ~np.isnan(batch.logits)
        return {
            "keys.u": np.where(unmasked, uniform(*batch.address, -1), 0.0),
            "keys.s": 0.0,
            "keys.drive": self.gain * batch.drive,
            "keys.beta": self.beta,
            "keys.w": self.w,
            "hub.n_keys": np.maximum(self.divisor(batch.logits), 1),
            "hub.arriving": 0.0,
        }

    def limit(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shares of the fixed-point rates; closed form for beta = 1, self-consistent and numerical below."""
        rates = self.rates(check_logits(logits))
        return rates / rates.sum(axis=-1, keepdims=True)

    def divisor(self, logits: NDArray[np.float64]) -> NDArray[np.int64]:
        """What the row's spikes are divided by, shape (rows,): its keys, or 1 for the sum."""
        keys = (~np.isnan(logits)).sum(axis=-1)
        return keys if self.feedback == "mean" else np.ones_like(keys)

    def rates(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spikes a step of every key at the fixed point, shape (rows, keys).

        Raises
        ------
        InputError
            If every key of a row stays below rheobase, so that there are no shares.
        """
        logits = np.asarray(logits, dtype=float)
        drive = self.gain * relative_exponential(logits)
        n = self.divisor(logits)
        if self.beta == 1:
            return threshold_linear_rates(drive, self.w, n)
        # The feedback that a guess of it implies falls as the guess rises: bisect for where they agree.
        low, high = np.zeros(n.shape), (~np.isnan(logits)).sum(axis=-1) / n
        for _ in range(BISECTIONS):
            guess = (low + high) / 2
            implied = self.response(drive - self.w * guess[..., None]).sum(axis=-1) / n
            low, high = np.where(implied > guess, guess, low), np.where(implied > guess, high, guess)
        rates = self.response(drive - self.w * ((low + high) / 2)[..., None])
        if np.any(rates.sum(axis=-1) == 0):
            raise InputError(
                f"{self.name}: no key of a row fires with beta = {self.beta}, gain = {self.gain}, w = {self.w}: "
                f"the largest drive {self.gain} stays below the rheobase {1 - self.beta:.3g}"
            )
        return rates

    def response(self, current: NDArray[np.float64]) -> NDArray[np.float64]:
        """Spikes a step of u <- beta*u + current - s under constant current: the map itself, iterated."""
        u = np.zeros_like(current)
        s = np.zeros_like(current)
        count = np.zeros_like(current)
        for step in range(2 * RESPONSE_STEPS):
            u = self.beta * u + current - s
            s = (u >= 1).astype(float)
            if step >= RESPONSE_STEPS:
                count += s
        return count / RESPONSE_STEPS


def threshold_linear_rates(drive: NDArray[np.float64], w: float, n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Solve r_i = min(1, [drive_i - w*mean(r)]_+) for every row, the mean being the sum over `n`, shape (rows,).

    With the k largest keys active, n*mean(r) = sum_k drive - k*w*mean(r); the right k is the largest whose smallest
    active key is still above the inhibition.
    """
    ordered = -np.sort(-drive, axis=-1)
    k = np.arange(1, drive.shape[-1] + 1)
    mean = np.cumsum(ordered, axis=-1) / (n[..., None] + k * w)
    active = np.maximum((ordered > w * mean).sum(axis=-1, keepdims=True), 1)
    return np.maximum(drive - w * np.take_along_axis(mean, active - 1, axis=-1), 0.0)
