"""SpikingBERT's attention: a real softmax in every timestep, between spiking keys and values.

    Q = X W_q + b_q, real,   K, V = IF(X W + b),   P(t) = softmax(Q K^T / sqrt(d)),   output = IF(P V)

IF is an integrate-and-fire neuron without leak that keeps the surplus over its threshold. Rates are averages over
T = 100 steps. The softmax is inside the average: the mean over time of P(t) is not the softmax of the mean scores,
because the exponential is convex and the scores fluctuate. Where all values of a channel spike, the context is 1 up to
rounding, which is the threshold: such a tie is decided by the last bit, and a spike may come one step later.

Reference: M. Bal, A. Sengupta (2024), SpikingBERT: Distilling BERT to Train Spiking Language Models Using Implicit
Differentiation, AAAI, arXiv:2308.10873.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike

from biospike.arrays import bool_array
from biospike.ideal.attention.layers import (
    IF,
    Affine,
    Fire,
    Reals,
    Spikes,
    check_heads,
    check_spikes,
    fire,
    merge_heads,
    ordered_matmul,
    project,
    split_heads,
)
from biospike.ideal.softmax import softmax


class BertAttention(NamedTuple):
    """Stages: q (real), k, v, context (real) and output (T, batch, tokens, channels).

    Scores and probabilities, real, have the shape (T, batch, heads, query, key).
    """

    q: Reals
    k: Spikes
    v: Spikes
    scores: Reals
    probabilities: Reals
    context: Reals
    output: Spikes


@attrs.frozen(eq=False, kw_only=True)
class SpikingBertAttention:
    """Layers of shape (channels, channels); 768 channels in 12 heads as published."""

    q: Affine
    k: Affine
    v: Affine
    heads: int

    def __attrs_post_init__(self) -> None:
        check_heads(self.channels, self.heads)

    @property
    def channels(self) -> int:
        """Channels of the input, and of every stage."""
        return self.q.features

    def run(self, x: ArrayLike, attend: ArrayLike | None = None, *, neurons: Fire = fire) -> BertAttention:
        """All stages for an input (T, batch, tokens, channels) of spikes.

        Parameters
        ----------
        x
            Spikes.
        attend
            Boolean, (batch, tokens): which keys are attended to; all by default.
        neurons
            What answers currents with spikes; by default the published neuron.
        """
        spikes = check_spikes(x, self.channels)
        q = project(spikes, self.q)
        k, v = (neurons(IF, project(spikes, layer)) for layer in (self.k, self.v))
        q_heads, k_heads, v_heads = (split_heads(stage, self.heads) for stage in (q, k, v))
        scores = ordered_matmul(q_heads, np.swapaxes(k_heads, -1, -2)) / math.sqrt(self.channels // self.heads)
        if attend is not None:
            keys = bool_array(attend, "attend", "True or 1 is a key that is attended to")
            scores = np.where(keys[:, None, None, :], scores, -np.inf)
        probabilities = softmax(scores)
        context = merge_heads(ordered_matmul(probabilities, v_heads))
        return BertAttention(q, k, v, scores, probabilities, context, neurons(IF, context))
