"""QKFormer's attentions: a mask from the queries alone, linear in tokens and channels, and an SSA for the last stage.

    token attention     mask = LIF_0.5(sum over the channels of a head of Q),  one a token and head
    channel attention   mask = LIF_0.5(sum over the tokens of Q),              one a channel
    both                Q, K = LIF(BN(X W)),  masked = mask * K,  output = LIF(BN(masked W_p))

A sum of at least one spike charges the membrane to at least the threshold of 1/2, and without one it decays below:
the neuron of the mask computes the OR of the spikes it sums, and has no memory.

The published code of the SSA hands the projection's currents to its last LIF layer with time and batch in one axis, so
that the layer takes the samples of a batch for successive timesteps, sample after sample within a step: its membrane
is carried from one sample to the next, and the output for a sample depends on the others of its batch. Here every
sample has membranes of its own; ``batch_mixing=True`` is the published behaviour.

Reference: C. Zhou et al. (2024), QKFormer: Hierarchical Spiking Transformer using Q-K Attention, NeurIPS,
arXiv:2403.16552; ``cifar10/model.py`` of the published code.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike

from biospike.ideal.attention.layers import (
    LIF,
    LIF_HALF,
    Affine,
    Fire,
    Spikes,
    check_heads,
    check_spikes,
    fire,
    merge_heads,
    project,
    split_heads,
)
from biospike.ideal.attention.spikformer import SpikformerSSA
from biospike.parameters import flag


class MaskedKeys(NamedTuple):
    """Stages of a block, spikes; all (T, batch, tokens, channels) but the mask.

    The mask has the shape (T, batch, heads, tokens) in token attention and (T, batch, channels) in channel attention.
    """

    q: Spikes
    k: Spikes
    mask: Spikes
    masked: Spikes
    output: Spikes


def token_mask(q: Spikes, heads: int, neurons: Fire = fire) -> Spikes:
    """Which tokens pass, (T, batch, heads, tokens), for query spikes (T, batch, tokens, channels)."""
    return neurons(LIF_HALF, split_heads(q, heads).sum(axis=-1, dtype=float))


def channel_mask(q: Spikes, neurons: Fire = fire) -> Spikes:
    """Which channels pass, (T, batch, channels), for query spikes (T, batch, tokens, channels)."""
    return neurons(LIF_HALF, q.sum(axis=2, dtype=float))


@attrs.frozen(eq=False, kw_only=True)
class QKTokenAttention:
    """Q-K token attention; layers of shape (channels, channels), batch norm folded in."""

    q: Affine
    k: Affine
    projection: Affine
    heads: int

    def __attrs_post_init__(self) -> None:
        check_heads(self.channels, self.heads)

    @property
    def channels(self) -> int:
        """Channels of the input, and of every stage."""
        return self.q.features

    def run(self, x: ArrayLike, *, neurons: Fire = fire) -> MaskedKeys:
        """All stages for an input (T, batch, tokens, channels) of spikes, with the published neurons or with others."""
        spikes = check_spikes(x, self.channels)
        q, k = (neurons(LIF, project(spikes, layer)) for layer in (self.q, self.k))
        mask = token_mask(q, self.heads, neurons)
        masked = merge_heads(mask[..., None] * split_heads(k, self.heads))
        return MaskedKeys(q, k, mask, masked, neurons(LIF, project(masked, self.projection)))


@attrs.frozen(eq=False, kw_only=True)
class QKChannelAttention:
    """Q-K channel attention; layers of shape (channels, channels), batch norm folded in. Heads make no difference."""

    q: Affine
    k: Affine
    projection: Affine

    @property
    def channels(self) -> int:
        """Channels of the input, and of every stage."""
        return self.q.features

    def run(self, x: ArrayLike, *, neurons: Fire = fire) -> MaskedKeys:
        """All stages for an input (T, batch, tokens, channels) of spikes, with the published neurons or with others."""
        spikes = check_spikes(x, self.channels)
        q, k = (neurons(LIF, project(spikes, layer)) for layer in (self.q, self.k))
        mask = channel_mask(q, neurons)
        masked = mask[:, :, None, :] * k
        return MaskedKeys(q, k, mask, masked, neurons(LIF, project(masked, self.projection)))


@attrs.frozen(eq=False, kw_only=True)
class QKFormerSSA(SpikformerSSA):
    """Spikformer's SSA as QKFormer uses it.

    Attributes
    ----------
    batch_mixing : bool
        Whether the output LIF carries its membrane from sample to sample, as published.
    """

    batch_mixing: bool = flag(False)

    def project_attention(self, attention: Spikes, neurons: Fire = fire) -> Spikes:
        """Output spikes of the attention spikes."""
        if not self.batch_mixing:
            return SpikformerSSA.project_attention(self, attention, neurons)
        currents = project(attention, self.projection)
        successive = currents.reshape(-1, 1, *currents.shape[2:])
        return np.asarray(neurons(LIF, successive)).reshape(currents.shape)
