"""QKFormer's attentions as networks: a mask neuron sums query spikes, and gates key spikes that waited a step for it.

    token attention     one mask neuron a token and head, fed by the queries of its channels
    channel attention   one mask neuron a channel, fed by the queries of all tokens
    SSA                 as Spikformer's; see `circuits.transformers.spikformer`

A mask neuron is a LIF with threshold 1/2 and unit weights: its sums are integers, hence exact in any order. A gate
neuron spikes in the step after its key spike, delayed by one step, and its mask spike have arrived together.

Latency: an input spike of step s reaches Q and K in s + 1, the mask in s + 2, the gates in s + 3 and the output in
s + 4.

The published carry of membranes over the batch (``batch_mixing``) has no circuit: it would present the samples of a
batch one after the other within a timestep, to the last layer alone.

Reference: `biospike.ideal.attention.QKTokenAttention`, `QKChannelAttention` and `QKFormerSSA`.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.fused import layers
from biospike.ideal.attention import (
    LIF,
    LIF_HALF,
    QKChannelAttention,
    QKFormerSSA,
    QKTokenAttention,
    fire,
)
from biospike.session import assemble
from circuits.transformers.block import BlockSize, TransformerCircuit
from circuits.transformers.layers import SCALED, WEIGHTED, discrete_neurons, gates, project, project_state, synapses
from circuits.transformers.spikformer import SpikformerCircuit
from circuits.transformers.tape import Spikes, recorded

import brian2 as b2


@attrs.frozen(eq=False)
class MaskedKeyCircuit(TransformerCircuit):
    """Groups ``x`` -> ``qk`` -> ``mask`` -> ``masked`` -> ``output``."""

    latency: ClassVar[dict[str, int]] = {"q": 1, "k": 1, "mask": 2, "masked": 3, "output": 4}
    populations: ClassVar[tuple[str, ...]] = ("qk", "mask", "masked", "output")
    block: Any

    @abc.abstractmethod
    def mask_axes(self, shape: BlockSize) -> tuple[int, ...]:
        """Axes of the mask neurons."""

    @abc.abstractmethod
    def mask_of(self, shape: BlockSize) -> NDArray[np.int64]:
        """Mask neuron of every (sample, token, head, channel of the head)."""

    @abc.abstractmethod
    def queries(self, q: Spikes) -> NDArray[np.int64]:
        """How many of the queries (T, batch, token, head, channel of the head) every mask neuron sums."""

    @abc.abstractmethod
    def spread(self, mask: Spikes) -> Spikes:
        """Spikes of the mask, of the shape that `queries` returns, along the axes of the keys."""

    def synapses(self, shape: BlockSize) -> int:
        """Of the input, to queries and keys."""
        return shape.rows * 2 * shape.channels**2

    def build(self, shape: BlockSize) -> b2.Network:
        """See `TransformerCircuit.build`."""
        C, tape, at = shape.channels, shape.tape, self.latency
        x = recorded(shape.rows * C, "x", tape)
        qk = discrete_neurons(shape.rows * 2 * C, "qk", LIF, drive=WEIGHTED, onset=at["q"], tape=tape)
        masks = int(np.prod(self.mask_axes(shape)))
        mask = discrete_neurons(masks, "mask", LIF_HALF, drive=SCALED, onset=at["mask"], tape=tape)
        masked = gates(shape.rows * C, "masked", onset=at["masked"], tape=tape)
        output = discrete_neurons(shape.rows * C, "output", LIF, drive=WEIGHTED, onset=at["output"], tape=tape)
        q, k = np.moveaxis(shape.grid(shape.rows, 2, C), 1, 0)
        gate, owner = np.arange(shape.rows * C), self.mask_of(shape).ravel()
        return assemble(
            x,
            project(x, qk, C, 2 * C),
            qk,
            synapses(qk, mask, "current_post += 1", q.ravel(), owner),
            mask,
            synapses(mask, masked, "a_post = 1", owner, gate),
            synapses(qk, masked, "b_post = 1", k.ravel(), gate, delay=1),
            masked,
            project(masked, output, C, C),
            output,
        )

    def state(self, shape: BlockSize) -> dict[str, Any]:
        """See `TransformerCircuit.state`."""
        return {
            **project_state("x", "qk", (self.block.q, self.block.k), shape.rows),
            "mask.scale": 1.0,
            **project_state("masked", "output", (self.block.projection,), shape.rows),
        }

    def read(self, spikes: dict[str, Spikes], shape: BlockSize) -> dict[str, Spikes]:
        """See `TransformerCircuit.read`."""
        size = (shape.batch, shape.tokens)
        q, k = np.moveaxis(spikes["qk"].reshape(-1, *size, 2, shape.channels), 3, 0)
        rest = {name: spikes[name].reshape(-1, *size, shape.channels) for name in ("masked", "output")}
        return {"q": q, "k": k, "mask": spikes["mask"].reshape(-1, *self.mask_axes(shape))} | rest

    def stages(self, x: Spikes) -> dict[str, Spikes]:
        """See `TransformerCircuit.stages`."""
        block, (_, batch, tokens, channels) = self.block, x.shape
        q, k = (layers.fire(x, layer, LIF) for layer in (block.q, block.k))
        heads = getattr(block, "heads", 1)
        by_head = (-1, batch, tokens, heads, channels // heads)
        mask = fire(LIF_HALF, self.queries(q.reshape(by_head)))
        masked = (self.spread(mask) * k.reshape(by_head)).reshape(k.shape)
        output = layers.fire(masked, block.projection, LIF)
        return {"q": q, "k": k, "mask": mask, "masked": masked, "output": output}


@attrs.frozen(eq=False)
class QKTokenCircuit(MaskedKeyCircuit):
    """Q-K token attention."""

    name: ClassVar[str] = "qk_token"
    fused: ClassVar[str | None] = "layers"
    block: QKTokenAttention

    def mask_axes(self, shape: BlockSize) -> tuple[int, ...]:
        """One a token and head."""
        return shape.batch, shape.heads, shape.tokens

    def mask_of(self, shape: BlockSize) -> NDArray[np.int64]:
        """See `MaskedKeyCircuit.mask_of`."""
        own = np.swapaxes(shape.grid(*self.mask_axes(shape)), 1, 2)[..., None]
        return np.broadcast_to(own, (shape.batch, shape.tokens, shape.heads, shape.width))

    def queries(self, q: Spikes) -> NDArray[np.int64]:
        """See `MaskedKeyCircuit.queries`."""
        return q.sum(axis=-1, dtype=np.int64).swapaxes(-1, -2)

    def spread(self, mask: Spikes) -> Spikes:
        """See `MaskedKeyCircuit.spread`."""
        return mask.swapaxes(-1, -2)[..., None]


@attrs.frozen(eq=False)
class QKChannelCircuit(MaskedKeyCircuit):
    """Q-K channel attention."""

    name: ClassVar[str] = "qk_channel"
    fused: ClassVar[str | None] = "layers"
    block: QKChannelAttention

    def mask_axes(self, shape: BlockSize) -> tuple[int, ...]:
        """One a channel."""
        return shape.batch, shape.channels

    def mask_of(self, shape: BlockSize) -> NDArray[np.int64]:
        """See `MaskedKeyCircuit.mask_of`."""
        own = shape.grid(*self.mask_axes(shape)).reshape(shape.batch, 1, shape.heads, shape.width)
        return np.broadcast_to(own, (shape.batch, shape.tokens, shape.heads, shape.width))

    def queries(self, q: Spikes) -> NDArray[np.int64]:
        """See `MaskedKeyCircuit.queries`."""
        return q.sum(axis=2, dtype=np.int64).reshape(*q.shape[:2], -1)

    def spread(self, mask: Spikes) -> Spikes:
        """See `MaskedKeyCircuit.spread`."""
        return mask[:, :, None, None, :]


def _own_membranes(instance: Any, attribute: Any, value: QKFormerSSA) -> None:
    if value.batch_mixing:
        raise InputError(f"{instance.name}: no circuit carries membranes over the batch; use batch_mixing=False")


@attrs.frozen(eq=False)
class QKFormerCircuit(SpikformerCircuit):
    """The SSA of QKFormer's last stage."""

    name: ClassVar[str] = "qkformer"
    fused: ClassVar[str | None] = "layers"
    block: QKFormerSSA = attrs.field(validator=_own_membranes)
