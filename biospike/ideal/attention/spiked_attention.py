"""SpikedAttention's spike softmax: every key spikes once, the later the smaller its share.

    v_i = B^(T-1)*(s_i - max s),   spike at the first step k with v_i >= theta_k,   theta_k = B^(T-1)*ln(B)*(1/2 - k)

A spike at step k stands for B^-k, so that shares are B^-k_i / sum_j B^-k_j. In closed form

    k_i = ceil(1/2 + (max s - s_i)/ln B),

which is the logarithm of exp(s_i - max s) to base B, rounded to a whole number and shifted by one: the shares are those
of softmax with logits rounded to multiples of ln B. The winner spikes at step 1. Keys with k_i > T - 1, more than about
(T - 1.5)*ln B below the maximum, stay silent. Maximum and division are real operations, here as in the paper.

The published code does not subtract the maximum of the scores, which would have to be known before they are complete,
but the largest increment of every step up to the first in which one is positive.

Reference: S. Hwang, S. Lee, D. Park, D. Lee, J. Kung (2024), SpikedAttention: Training-Free and Fully Spike-Driven
Transformer-to-SNN Conversion with Winner-Oriented Spike Shift for Softmax Operation, NeurIPS.
"""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.ideal.attention.layers import Reals, Spikes
from biospike.ideal.softmax import check_logits
from biospike.parameters import number


class OneSpike(NamedTuple):
    """Spikes (T, rows, keys), step of the spike, or -1, and shares (rows, keys)."""

    spikes: Spikes
    step: NDArray[np.int64]
    shares: Reals


@attrs.frozen(kw_only=True)
class SpikeSoftmax:
    """Spike softmax; published are base 1.15 with 40 steps (default) and 1.4 with 16."""

    base: float = number(1.15, above=1)
    steps: int = attrs.field(default=40)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 2:
            raise InputError(f"steps must be a whole number of at least 2, got {self.steps!r}")
        # The threshold falls by less than base**(steps - 1)*ln(base) a step; at minus infinity it would meet every key.
        lowest = (self.steps - 1) * math.log(self.base) + math.log(self.steps * math.log(self.base))
        if lowest > math.log(sys.float_info.max):
            raise InputError(
                f"base**(steps - 1) must stay within double precision, got base = {self.base} and steps = {self.steps}"
            )

    @property
    def ramp(self) -> float:
        """Fall of the threshold a step, B^(T-1)*ln(B)."""
        return self.base ** (self.steps - 1) * math.log(self.base)

    @property
    def thresholds(self) -> Reals:
        """Threshold of every step, (T,): the ramp, by repeated subtraction."""
        start_and_falls = np.concatenate([[self.ramp / 2], np.full(self.steps - 1, self.ramp)])
        return np.subtract.accumulate(start_and_falls)

    @property
    def traces(self) -> Reals:
        """What a spike of every step stands for, (T,): B^-k, by repeated multiplication by 1/B, as published."""
        return np.multiply.accumulate(np.concatenate([[1.0], np.full(self.steps - 1, 1 / self.base)]))

    def membrane(self, scores: ArrayLike) -> Reals:
        """Membrane of every key, (rows, keys); scores may have one row, and NaN or -inf masks a key."""
        logits = check_logits(scores)
        below = logits - np.nanmax(logits, axis=-1, keepdims=True)
        return np.where(np.isnan(below), -np.inf, self.base ** (self.steps - 1) * below)

    def run(self, scores: ArrayLike) -> OneSpike:
        """Spikes and shares of scores (rows, keys) in nats."""
        v = self.membrane(scores)
        waiting = np.ones(v.shape, bool)
        spikes = np.zeros((self.steps, *v.shape), np.uint8)
        for t, theta in enumerate(self.thresholds):
            spikes[t] = waiting & (v >= theta)
            waiting &= spikes[t] == 0
        step = np.where(waiting, -1, spikes.argmax(axis=0))
        return OneSpike(spikes, step, self.shares(spikes))

    def shares(self, spikes: Spikes) -> Reals:
        """Shares (rows, keys) of spikes (T, rows, keys)."""
        traces = spikes * self.traces[:, None, None]
        # One after the other, by step and then by key: the order in which a row receives its spikes.
        total = np.add.accumulate(np.moveaxis(traces, 1, 0).reshape(traces.shape[1], -1), axis=-1)[:, -1:]
        return np.asarray(traces.sum(axis=0) / total)
