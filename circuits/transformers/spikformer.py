"""Spikformer's spiking self-attention as a network, through fast weights.

    current = 0.125 * Q (K^T V):   M_de = sum_j K_jd V_je in every head,   neuron (i, e) sums M_de over its query's d

Fast weights M are one accumulator for every pair of a key and a value channel, heads*width^2 of them, that count the
tokens in which both spike; detectors for every pair of tokens and channels would be tokens^2*channels*width. A synapse
from accumulator (d, e) to attention neuron (i, e) transmits the count if query spike (i, d) gates it. All are integers,
so their order does not matter, and the scale is a power of two: exact. The projections add real weights in the order
of the channels.

Latency: an input spike of step s reaches Q, K and V in s + 1, their spikes the accumulators in s + 2, these the
attention neurons in s + 3, and their spikes the output in s + 4.

Reference: `biospike.ideal.attention.SpikformerSSA`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.fused import layers
from biospike.ideal.attention import LIF, LIF_HALF, SpikformerSSA, fire, merge_heads, split_heads
from biospike.session import assemble
from biospike.spike_words import BITS, bit, words
from circuits.projection import spell, word_group
from circuits.transformers.block import BlockSize, TransformerCircuit, check_word
from circuits.transformers.layers import (
    SCALED,
    WEIGHTED,
    discrete_neurons,
    link_words,
    project,
    project_state,
    synapses,
)
from circuits.transformers.tape import FUNCTIONS, Spikes, recorded

import brian2 as b2

FAST_WEIGHTS = """
count    : 1                    # tokens in which key channel d and value channel e spiked
bit      : integer (constant)   # d
"""
PAIR = """
key_{w}   : integer (linked)    # tokens in which they spiked in the last step
value_{w} : integer (linked)
"""
QUERY = """
query    : integer              # channels in which the token's query spiked in the last step
arrived  : integer (linked)
"""
READ_OUT = "current_post += count_pre*coincidences(bit_pre, query_post)"


def fast_weights(shape: BlockSize, axons: b2.NeuronGroup, key: NDArray[np.int64], value: NDArray[np.int64]) -> Any:
    """Accumulators (batch, heads, d, e) of words (batch, heads, width, words of the tokens) of keys and values."""
    b, h, d = shape.batch, shape.heads, shape.width
    parts = range(key.shape[-1])
    group = b2.NeuronGroup(
        b * h * d * d,
        "\n".join([FAST_WEIGHTS, *(PAIR.format(w=w) for w in parts)]),
        threshold="count > 0",
        reset="",
        dtype={"bit": np.int64},
        namespace=FUNCTIONS,
        name="fast_weights",
    )
    group.bit = np.broadcast_to(bit(np.arange(d))[:, None], (b, h, d, d)).ravel()
    places = {f"key_{w}": np.broadcast_to(key[:, :, :, None, w], (b, h, d, d)) for w in parts}
    places |= {f"value_{w}": np.broadcast_to(value[:, :, None, :, w], (b, h, d, d)) for w in parts}
    link_words(group, axons, places, "count = " + " + ".join(f"coincidences(key_{w}, value_{w})" for w in parts))
    return group


@attrs.frozen(eq=False)
class SpikformerCircuit(TransformerCircuit):
    """Groups ``x`` -> ``qkv`` -> ``axons`` -> ``fast_weights`` -> ``attention`` -> ``output``."""

    name: ClassVar[str] = "spikformer"
    latency: ClassVar[dict[str, int]] = {"q": 1, "k": 1, "v": 1, "attention": 3, "output": 4}
    populations: ClassVar[tuple[str, ...]] = ("qkv", "attention", "output")
    fused: ClassVar[str | None] = "layers"
    block: SpikformerSSA

    def synapses(self, shape: BlockSize) -> int:
        """Of the input, to queries, keys and values, or of the fast weights."""
        return shape.rows * shape.channels * max(3 * shape.channels, shape.width)

    def check(self, shape: BlockSize) -> None:
        """See `TransformerCircuit.check`; heads have at most 64 channels."""
        check_word(shape.width, "channels a head")
        TransformerCircuit.check(self, shape)

    def build(self, shape: BlockSize) -> b2.Network:
        """See `TransformerCircuit.build`."""
        tape, at = shape.tape, self.latency
        b, n, h, d, C = shape.batch, shape.tokens, shape.heads, shape.width, shape.channels
        x = recorded(shape.rows * C, "x", tape)
        qkv = discrete_neurons(shape.rows * 3 * C, "qkv", LIF, drive=WEIGHTED, onset=at["q"], tape=tape)
        # Words of queries over the channels of a head, of keys and values over tokens.
        query = shape.grid(b, h, n)
        keys_values = query.size + shape.grid(2, b, h, d, words(n))
        axons = word_group(query.size + keys_values.size, "axons")
        sample, token, stream, head, channel = np.indices((b, n, 3, h, d), sparse=True)
        over_tokens = keys_values[np.maximum(stream - 1, 0), sample, head, channel, token // BITS]
        place = np.where(stream == 0, query[sample, head, token], over_tokens)
        qkv.bit = np.broadcast_to(np.where(stream == 0, bit(channel), bit(token)), (b, n, 3, h, d)).ravel()
        axon = spell(qkv, axons, place.ravel(), "qkv_to_axons")
        weights = fast_weights(shape, axons, *keys_values)
        attention = discrete_neurons(
            shape.rows * C,
            "attention",
            LIF_HALF,
            drive=SCALED,
            onset=at["attention"],
            tape=tape,
            more=QUERY,
            query=np.int64,
        )
        own = np.broadcast_to(np.swapaxes(query, 1, 2)[..., None], (b, n, h, d))
        link_words(attention, axons, {"arrived": own}, "query = arrived")
        i = shape.grid(b, h, d, d)[:, :, :, :, None]
        j = shape.grid(b, n, h, d).transpose(0, 2, 3, 1)[:, :, None]
        read_out = synapses(weights, attention, READ_OUT, i, j)
        output = discrete_neurons(shape.rows * C, "output", LIF, drive=WEIGHTED, onset=at["output"], tape=tape)
        return assemble(
            x,
            project(x, qkv, C, 3 * C),
            qkv,
            axon,
            axons,
            weights,
            read_out,
            attention,
            project(attention, output, C, C),
            output,
        )

    def state(self, shape: BlockSize) -> dict[str, Any]:
        """See `TransformerCircuit.state`."""
        block = self.block
        return {
            **project_state("x", "qkv", (block.q, block.k, block.v), shape.rows),
            "attention.scale": block.scale,
            **project_state("attention", "output", (block.projection,), shape.rows),
        }

    def read(self, spikes: dict[str, Spikes], shape: BlockSize) -> dict[str, Spikes]:
        """See `TransformerCircuit.read`."""
        size = (shape.batch, shape.tokens)
        q, k, v = np.moveaxis(spikes["qkv"].reshape(-1, *size, 3, shape.channels), 3, 0)
        rest = {name: spikes[name].reshape(-1, *size, shape.channels) for name in ("attention", "output")}
        return {"q": q, "k": k, "v": v} | rest

    def stages(self, x: Spikes) -> dict[str, Spikes]:
        """See `TransformerCircuit.stages`."""
        block = self.block
        q, k, v = (layers.fire(x, layer, LIF) for layer in (block.q, block.k, block.v))
        q_heads, k_heads, v_heads = (split_heads(stage, block.heads) for stage in (q, k, v))
        weights = layers.multiply(k_heads.swapaxes(-1, -2), v_heads)
        attention = fire(LIF_HALF, block.scale * merge_heads(layers.multiply(q_heads, weights)))
        output = layers.fire(attention, block.projection, LIF)
        return {"q": q, "k": k, "v": v, "attention": attention, "output": output}
