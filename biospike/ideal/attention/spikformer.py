"""Spikformer's spiking self-attention (SSA): no softmax, integers times a power of two.

    Q, K, V = LIF(BN(X W)),   attention = LIF_0.5(0.125 * (Q K^T) V),   output = LIF(BN(attention W_p))

Products of spikes are integers and the scale is a power of two, so both orders of association, (Q K^T) V and
Q (K^T V), give the same float64 numbers. From rest a neuron with threshold 1/2 fires in a step of 8 coincidences
(0.125*8/2 = 1/2), and in steps of 4 each it only approaches the threshold: at rates of some percent the block is dead.

Reference: Z. Zhou et al. (2023), Spikformer: When Spiking Neural Network Meets Transformer, ICLR, arXiv:2209.15425.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike

from biospike.errors import InputError
from biospike.ideal.attention.layers import (
    LIF,
    LIF_HALF,
    Affine,
    Fire,
    Reals,
    Spikes,
    check_heads,
    check_spikes,
    fire,
    merge_heads,
    project,
    split_heads,
)
from biospike.parameters import choice, number

SCALE = 0.125
"""The published scale, whatever the width of a head."""
ORDERS = ("(QK)V", "Q(KV)")


class SelfAttention(NamedTuple):
    """Stages of a block, each (T, batch, tokens, channels); all are spikes but the current."""

    q: Spikes
    k: Spikes
    v: Spikes
    current: Reals
    attention: Spikes
    output: Spikes


def self_attention_current(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, *, heads: int, scale: float = SCALE, order: str = "Q(KV)"
) -> Reals:
    """Return scale * Q K^T V of every head.

    Parameters
    ----------
    q, k, v
        Spikes, (T, batch, tokens, channels).
    heads
        How many contiguous ranges the channels are divided into.
    scale
        Exact for a power of two.
    order
        ``"(QK)V"`` goes through scores of tokens times tokens, ``"Q(KV)"`` through fast weights of width times width.

    Returns
    -------
    ndarray (T, batch, tokens, channels)
    """
    if order not in ORDERS:
        raise InputError(f"order must be one of {ORDERS}, got {order!r}")
    q, k, v = (split_heads(np.asarray(x, dtype=float), heads) for x in (q, k, v))
    transposed = np.swapaxes(k, -1, -2)
    product = (q @ transposed) @ v if order == "(QK)V" else q @ (transposed @ v)
    return merge_heads(scale * product)


@attrs.frozen(eq=False, kw_only=True)
class SpikformerSSA:
    """One SSA block.

    Attributes
    ----------
    q, k, v, projection : Affine
        (channels, channels), batch norm folded in.
    heads : int
        12 in Spikformer 4-384, 8 in 8-512.
    scale : float
        Factor of the product.
    order : {"Q(KV)", "(QK)V"}
        Association; the result is the same.
    """

    q: Affine
    k: Affine
    v: Affine
    projection: Affine
    heads: int
    scale: float = number(SCALE, above=0)
    order: str = choice("Q(KV)", *ORDERS)

    def __attrs_post_init__(self) -> None:
        check_heads(self.channels, self.heads)

    @property
    def channels(self) -> int:
        """Channels of the input, and of every stage."""
        return self.q.features

    def run(self, x: ArrayLike, *, neurons: Fire = fire) -> SelfAttention:
        """All stages for an input (T, batch, tokens, channels) of spikes, with the published neurons or with others."""
        spikes = check_spikes(x, self.channels)
        q, k, v = (neurons(LIF, project(spikes, layer)) for layer in (self.q, self.k, self.v))
        current = self_attention_current(q, k, v, heads=self.heads, scale=self.scale, order=self.order)
        attention = neurons(LIF_HALF, current)
        return SelfAttention(q, k, v, current, attention, self.project_attention(attention, neurons))

    def project_attention(self, attention: Spikes, neurons: Fire = fire) -> Spikes:
        """Output spikes of the attention spikes."""
        return neurons(LIF, project(attention, self.projection))
