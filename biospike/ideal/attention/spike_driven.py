"""Spike-driven self-attention (SDSA): masks and additions only, linear in tokens and channels.

    Q, K, V = LIF(BN(S W)),   mask = LIF_0.5(sum over the tokens of K * V), one a channel,   output = Q * mask

S are the spikes of the block's first LIF. The mask is the OR over tokens of K AND V, as in `qkformer`. Version 2 of the
model returns to the SSA of `spikformer`. Only the attention is here: the published block projects the output and adds
it, as a current, to its membrane shortcut, which no neuron of the block reads.

Reference: M. Yao et al. (2023), Spike-driven Transformer, NeurIPS, arXiv:2307.01694.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs
from numpy.typing import ArrayLike

from biospike.ideal.attention.layers import LIF, LIF_HALF, Affine, Fire, Spikes, check_spikes, fire, project


class SpikeDriven(NamedTuple):
    """Stages of the attention, spikes; (T, batch, tokens, channels), and (T, batch, channels) for the mask."""

    q: Spikes
    k: Spikes
    v: Spikes
    kv: Spikes
    mask: Spikes
    output: Spikes


def key_value_mask(k: Spikes, v: Spikes, neurons: Fire = fire) -> Spikes:
    """Which channels pass, (T, batch, channels), for key and value spikes (T, batch, tokens, channels)."""
    return neurons(LIF_HALF, (k * v).sum(axis=2, dtype=float))


@attrs.frozen(eq=False, kw_only=True)
class SpikeDrivenAttention:
    """SDSA; layers of shape (channels, channels), batch norm folded in. Heads make no difference to it."""

    q: Affine
    k: Affine
    v: Affine

    @property
    def channels(self) -> int:
        """Channels of the input, and of every stage."""
        return self.q.features

    def run(self, x: ArrayLike, *, neurons: Fire = fire) -> SpikeDriven:
        """All stages for an input (T, batch, tokens, channels) of spikes, with the published neurons or with others."""
        spikes = check_spikes(x, self.channels)
        q, k, v = (neurons(LIF, project(spikes, layer)) for layer in (self.q, self.k, self.v))
        mask = key_value_mask(k, v, neurons)
        return SpikeDriven(q, k, v, k * v, mask, q * mask[:, :, None, :])
