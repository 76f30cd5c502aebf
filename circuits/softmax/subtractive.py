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

from biospike.circuit import Batch
from biospike.parameters import choice, number
from circuits.softmax.threshold_linear import ThresholdLinear

from brian2.units.fundamentalunits import Quantity

BISECTIONS = 50


@attrs.frozen(kw_only=True)
class Subtractive(ThresholdLinear):
    """The paper's lateral inhibition.

    Parameters
    ----------
    w
        Inhibition by the mean of the row's spikes, in thresholds.
    feedback
        ``mean`` of the row's spikes, or their ``sum``.
    """

    name: ClassVar[str] = "subtractive"
    references: ClassVar[tuple[str, ...]] = ("guo2026",)
    inhibition: ClassVar[str] = "mean_s"
    keys: ClassVar[str] = """
    mean_s                         : 1 (linked)
    w                              : 1 (shared, constant)
    """
    hub: ClassVar[str] = """
    mean_s                         : 1               # of the previous step
    arriving                       : 1               # of this one
    n_keys                         : 1 (constant)    # over which the mean is taken; 1 for the sum
    """
    hub_step: ClassVar[str] = "mean_s = arriving/n_keys\narriving = 0"
    on_spike: ClassVar[str] = "arriving_post += 1"
    linked: ClassVar[tuple[str, ...]] = ("mean_s",)
    inhibited: ClassVar[str] = " - w*mean_s"
    w: float = number(1.0, minimum=0)
    feedback: str = choice("mean", "mean", "sum")

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """See `ThresholdLinear.state`."""
        return ThresholdLinear.state(self, batch, dt) | {
            "keys.w": self.w,
            "hub.n_keys": np.maximum(self.divisor((~np.isnan(batch.logits)).sum(axis=1)), 1),
            "hub.arriving": 0.0,
        }

    def divisor(self, n: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the spikes of a row of so many keys are divided by: their number, or 1 for the sum."""
        return n if self.feedback == "mean" else np.ones_like(n)

    def settled(self, drive: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `ThresholdLinear.settled`; in closed form if no key leaks or can saturate, else numerical."""
        over = self.divisor(n)
        if self.beta == 1 and np.all(drive <= 1):
            return threshold_linear_rates(drive, self.w, over)
        # The feedback that a guess of it implies falls as the guess rises: bisect for where they agree.
        low, high = np.zeros(n.shape), n / over
        for _ in range(BISECTIONS):
            guess = (low + high) / 2
            implied = self.response(drive - self.w * guess[..., None]).sum(axis=-1) / over
            low, high = np.where(implied > guess, guess, low), np.where(implied > guess, high, guess)
        return self.response(drive - self.w * ((low + high) / 2)[..., None])


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
