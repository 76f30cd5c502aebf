"""Spike-driven self-attention as a network: coincidences of keys and values open a channel for the queries.

A detector of every token and channel spikes for K AND V; a mask neuron of every channel, a LIF with threshold 1/2 and
unit weights, sums them over tokens; a gate of every token and channel spikes for Q AND mask. No sum is inexact but
those of the projections, which add real weights in the order of the channels.

Latency: an input spike of step s reaches Q, K and V in s + 1, the detectors in s + 2, the masks in s + 3 and the output
in s + 4, where query spikes arrive with a delay of two steps.

Reference: `biospike.ideal.attention.SpikeDrivenAttention`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

from biospike.fused import layers
from biospike.ideal.attention import LIF, LIF_HALF, SpikeDrivenAttention, fire
from biospike.session import assemble
from circuits.transformers.block import BlockSize, TransformerCircuit
from circuits.transformers.layers import SCALED, WEIGHTED, discrete_neurons, gates, project, project_state, synapses
from circuits.transformers.tape import Spikes, recorded

import brian2 as b2


@attrs.frozen(eq=False)
class SpikeDrivenCircuit(TransformerCircuit):
    """Groups ``x`` -> ``qkv`` -> ``kv`` -> ``mask`` -> ``output``."""

    name: ClassVar[str] = "spike_driven"
    fused: ClassVar[str | None] = "layers"
    latency: ClassVar[dict[str, int]] = {"q": 1, "k": 1, "v": 1, "kv": 2, "mask": 3, "output": 4}
    populations: ClassVar[tuple[str, ...]] = ("qkv", "kv", "mask", "output")
    block: SpikeDrivenAttention

    def synapses(self, shape: BlockSize) -> int:
        """Of the input, to queries, keys and values."""
        return shape.rows * 3 * shape.channels**2

    def build(self, shape: BlockSize) -> b2.Network:
        """See `TransformerCircuit.build`."""
        C, tape, at = shape.channels, shape.tape, self.latency
        x = recorded(shape.rows * C, "x", tape)
        qkv = discrete_neurons(shape.rows * 3 * C, "qkv", LIF, drive=WEIGHTED, onset=at["q"], tape=tape)
        kv = gates(shape.rows * C, "kv", onset=at["kv"], tape=tape)
        mask = discrete_neurons(shape.batch * C, "mask", LIF_HALF, drive=SCALED, onset=at["mask"], tape=tape)
        output = gates(shape.rows * C, "output", onset=at["output"], tape=tape)
        q, k, v = np.moveaxis(shape.grid(shape.rows, 3, C), 1, 0).reshape(3, -1)
        own = np.arange(shape.rows * C)
        channel = np.broadcast_to(shape.grid(shape.batch, 1, C), (shape.batch, shape.tokens, C)).ravel()
        keys = synapses(qkv, kv, "a_post = 1", k, own)
        values = synapses(qkv, kv, "b_post = 1", v, own, part="_values")
        return assemble(
            x,
            project(x, qkv, C, 3 * C),
            qkv,
            keys,
            values,
            kv,
            synapses(kv, mask, "current_post += 1", own, channel),
            mask,
            synapses(mask, output, "a_post = 1", channel, own),
            synapses(qkv, output, "b_post = 1", q, own, delay=2),
            output,
        )

    def state(self, shape: BlockSize) -> dict[str, Any]:
        """See `TransformerCircuit.state`."""
        layers = (self.block.q, self.block.k, self.block.v)
        return {**project_state("x", "qkv", layers, shape.rows), "mask.scale": 1.0}

    def read(self, spikes: dict[str, Spikes], shape: BlockSize) -> dict[str, Spikes]:
        """See `TransformerCircuit.read`."""
        size = (shape.batch, shape.tokens)
        q, k, v = np.moveaxis(spikes["qkv"].reshape(-1, *size, 3, shape.channels), 3, 0)
        rest = {name: spikes[name].reshape(-1, *size, shape.channels) for name in ("kv", "output")}
        return {"q": q, "k": k, "v": v, "mask": spikes["mask"].reshape(-1, shape.batch, shape.channels)} | rest

    def stages(self, x: Spikes) -> dict[str, Spikes]:
        """See `TransformerCircuit.stages`."""
        block = self.block
        q, k, v = (layers.fire(x, layer, LIF) for layer in (block.q, block.k, block.v))
        kv = k * v
        mask = fire(LIF_HALF, kv.sum(axis=2, dtype=np.int64))
        return {"q": q, "k": k, "v": v, "kv": kv, "mask": mask, "output": q * mask[:, :, None]}
