"""Dual spike self-attention (DSSA) as a network: graded units whose synapses spikes gate.

    A = LIF(c1 * Y1^T X):  unit Y1 (patch, d) drives neurons (patch, token), gated by input spike (token, d)
    O = LIF(c2 * Y2 A):    unit Y2 (patch, d) drives neurons (token, d), gated by attention spike (patch, token)

The units are the weighted spikes of a patch, without threshold. A value that is gated by no spike adds zero. Y2 is held
for two steps, until the attention spikes of its step have come.

Sums of real values: weighted spikes arrive in the order of (token, channel), those of a patch therefore in the order
(row, column, channel) of its features; values of Y1 in the order of the channels and of Y2 in that of the patches, by
the numbering of the units. The reference adds in the same order.

Latency: an input spike of step s reaches the units in s + 1, the attention neurons in s + 2 and the output in s + 4,
as attention spikes become gates in s + 3.

Reference: `biospike.ideal.attention.DualSpikeAttention`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

from biospike.errors import InputError
from biospike.fused import layers
from biospike.ideal.attention import LIF, DualSpikeAttention, fire, merge_heads, split_heads
from biospike.session import assemble
from biospike.spike_words import bit
from circuits.projection import spell, word_group
from circuits.transformers.block import BlockSize, TransformerCircuit, check_word
from circuits.transformers.layers import SCALED, discrete_neurons, graded, link_words, synapses
from circuits.transformers.tape import Spikes, recorded

import brian2 as b2

HELD = """
y_before : 1
y_held   : 1                 # of two steps ago
"""
SUM_AND_HOLD = """
y_held = y_before
y_before = y
y = current + bias
current = 0
"""
GATED = """
gate     : integer           # spikes of the last step: channels of the token, or patches of the token
arrived  : integer (linked)
"""


@attrs.frozen(eq=False)
class DualSpikeCircuit(TransformerCircuit):
    """Groups ``x`` -> ``y`` -> ``attention`` -> ``output``, and the words ``axons`` that gate."""

    name: ClassVar[str] = "spikingresformer"
    fused: ClassVar[str | None] = "layers"
    latency: ClassVar[dict[str, int]] = {"attention": 2, "output": 4}
    populations: ClassVar[tuple[str, ...]] = ("attention", "output")
    block: DualSpikeAttention

    def size(self, x: Spikes) -> BlockSize:
        """See `TransformerCircuit.size`."""
        if x.shape[2] != self.block.size[0] * self.block.size[1]:
            raise InputError(f"x must have {self.block.size[0]} x {self.block.size[1]} tokens, got {x.shape[2]}")
        return attrs.evolve(TransformerCircuit.size(self, x), patches=len(self.block.patches))

    @property
    def structure(self) -> dict[str, Any]:
        """How the tokens are divided into patches."""
        return {"size": self.block.size, "p": self.block.p}

    def synapses(self, shape: BlockSize) -> int:
        """Of the input, to the units of its patch, or of the units, to all tokens."""
        return shape.rows * shape.channels * max(2 * shape.channels, shape.patches)

    def check(self, shape: BlockSize) -> None:
        """See `TransformerCircuit.check`; at most 64 channels a head and 64 patches."""
        check_word(shape.width, "channels a head")
        check_word(shape.patches, "patches")
        TransformerCircuit.check(self, shape)

    def build(self, shape: BlockSize) -> b2.Network:
        """See `TransformerCircuit.build`."""
        tape, at = shape.tape, self.latency
        b, n, h, d, N = shape.batch, shape.tokens, shape.heads, shape.width, shape.patches
        x = recorded(shape.rows * shape.channels, "x", tape)
        y = graded(b * h * 2 * N * d, "y", more=HELD, each_step=SUM_AND_HOLD)
        neurons = {
            name: discrete_neurons(size, name, LIF, drive=SCALED, onset=at[name], tape=tape, more=GATED, gate=np.int64)
            for name, size in (("attention", b * h * N * n), ("output", b * n * h * d))
        }
        attention, output = neurons["attention"], neurons["output"]
        # Words of a token: its input over channels, its attention over patches.
        by_channel, by_patch = shape.grid(2, b, h, n)
        axons = word_group(2 * b * h * n, "axons")
        x.bit = np.broadcast_to(bit(np.arange(d)), (b, n, h, d)).ravel()
        attention.bit = np.broadcast_to(bit(np.arange(N))[:, None], (b, h, N, n)).ravel()
        of_x = np.broadcast_to(np.swapaxes(by_channel, 1, 2)[..., None], (b, n, h, d))
        of_attention = np.broadcast_to(by_patch[:, :, None, :], (b, h, N, n))
        link_words(
            attention,
            axons,
            {"arrived": np.broadcast_to(by_channel[:, :, None, :], (b, h, N, n))},
            "gate = arrived",
        )
        link_words(
            output,
            axons,
            {"arrived": np.broadcast_to(np.swapaxes(by_patch, 1, 2)[..., None], (b, n, h, d))},
            "gate = arrived",
        )
        unit = shape.grid(b, h, 2, N, d)
        both = np.stack(
            [np.broadcast_to(bit(np.arange(d)), (N, d)), np.broadcast_to(bit(np.arange(N))[:, None], (N, d))]
        )
        y.bit = np.broadcast_to(both, unit.shape).ravel()
        gather = shape.grid(b, n, shape.channels)[:, self.block.patches]
        pre, post = np.broadcast_arrays(gather.reshape(b, 1, 1, N, -1, 1), unit.reshape(b, h, 2, N, 1, d))
        scores, sums = shape.grid(b, h, N, 1, n), shape.grid(b, n, h, d).transpose(0, 2, 3, 1)[:, :, None]
        return assemble(
            x,
            synapses(x, y, "current_post += w", pre, post, model="w : 1"),
            y,
            axons,
            spell(x, axons, of_x.ravel(), "x_to_axons"),
            synapses(
                y, attention, "current_post += y_pre*coincidences(bit_pre, gate_post)", unit[:, :, 0, ..., None], scores
            ),
            attention,
            spell(attention, axons, of_attention.ravel(), "attention_to_axons"),
            synapses(
                y, output, "current_post += y_held_pre*coincidences(bit_pre, gate_post)", unit[:, :, 1, ..., None], sums
            ),
            output,
        )

    def state(self, shape: BlockSize) -> dict[str, Any]:
        """See `TransformerCircuit.state`."""
        b, n, h, d, N = shape.batch, shape.tokens, shape.heads, shape.width, shape.patches
        weight = self.block.y.weight.reshape(-1, h, 2, 1, d).transpose(1, 2, 3, 0, 4)
        c1, c2 = self.block.scales
        return {
            "x_to_y.w": np.broadcast_to(weight, (b, h, 2, N, weight.shape[3], d)).ravel(),
            "y.bias": np.broadcast_to(self.block.y.bias.reshape(h, 2, 1, d), (b, h, 2, N, d)).ravel(),
            "attention.scale": np.broadcast_to(c1[:, None, None], (b, h, N, n)).ravel(),
            "output.scale": np.broadcast_to(c2[:, None], (b, n, h, d)).ravel(),
        }

    def read(self, spikes: dict[str, Spikes], shape: BlockSize) -> dict[str, Spikes]:
        """See `TransformerCircuit.read`."""
        size = (shape.batch, shape.heads, shape.patches, shape.tokens)
        output = spikes["output"].reshape(-1, shape.batch, shape.tokens, shape.channels)
        return {"attention": spikes["attention"].reshape(-1, *size), "output": output}

    def stages(self, x: Spikes) -> dict[str, Spikes]:
        """See `TransformerCircuit.stages`."""
        block = self.block
        patches = x[:, :, block.patches].reshape(*x.shape[:2], len(block.patches), -1)
        y = split_heads(layers.weigh(patches, block.y), block.heads)
        c1, c2 = (scale[:, None, None] for scale in block.scales)
        scores = layers.multiply(split_heads(x, block.heads), y[..., : block.width].swapaxes(-1, -2))
        attention = fire(LIF, c1 * scores.swapaxes(-1, -2))
        output = fire(LIF, c2 * layers.multiply(attention.swapaxes(-1, -2), y[..., block.width :]))
        return {"attention": attention, "output": merge_heads(output)}
