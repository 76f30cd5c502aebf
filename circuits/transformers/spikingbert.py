"""SpikingBERT's attention as a network: an exponential unit a pair of tokens, divided by the sum of its row.

    score (i, j) = sum_d Q_id K_jd:   graded query unit (i, d) sends its real value, gated by key spike (j, d)
    e_ij = exp(score/sqrt(d)),        row i sums e_ij,        p_ij = e_ij/row
    context (i, d) = sum_j p_ij V_jd: the pair sends p_ij, gated by value spike (j, d), to an IF neuron

Softmax is shift-invariant, and the circuit subtracts no maximum; scores are checked to stay below the overflow of the
exponential. Its real arithmetic differs from the reference's in the last bits (another order in the sum of a row, no
maximum, and exponentials of C and of NumPy round differently), so its spikes are equal to the reference's unless a
membrane comes within rounding of the threshold: look at the reference's smallest distance. One tie is built in: where
all values of a channel spike, probabilities add up to 1, which is the threshold. Keys and values are bit-exact.

Latency: an input spike of step s reaches Q, K and V in s + 1; key spikes gate scores in s + 2, the pairs exponentiate
in s + 3 and divide in s + 4, when values of s + 1 gate them, and the output neurons integrate in s + 5.

Reference: `biospike.ideal.attention.SpikingBertAttention`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs
import numpy as np

from biospike.errors import InputError
from biospike.fused import layers
from biospike.ideal.attention import IF, SpikingBertAttention, fire
from biospike.ideal.lif import DiscreteLIF, SpikingJellySoft
from biospike.session import assemble
from biospike.spike_words import bit
from biospike.wiring import each_step_of
from circuits.projection import spell, word_group
from circuits.transformers.block import BlockSize, TransformerCircuit, check_word
from circuits.transformers.layers import (
    SCALED,
    WEIGHTED,
    discrete_neurons,
    graded,
    link_words,
    project,
    project_state,
    synapses,
)
from circuits.transformers.tape import Spikes, recorded

import brian2 as b2

HELD = "y_held   : 1              # of the last step"
SUM_AND_HOLD = """
y_held = y
y = current + bias
current = 0
"""
PAIR = """
raised   : 1                  # exp(score)
root     : 1 (constant)       # square root of the width of a head
attended : 1 (constant)       # 0 masks the key
gate     : integer            # channels of the key that spiked in the last step
arrived  : integer (linked)
total    : 1 (linked)
"""
# Before the first scores the row is empty.
NORMALISE = """
y = raised/(total + int(total == 0))
raised = attended*exp(current/root)
current = 0
"""
ROW = """
arriving : 1
total    : 1                  # of the last step
"""
VALUES = """
gate     : integer            # tokens whose value spiked three steps ago
gate_1   : integer
gate_2   : integer
arrived  : integer (linked)
"""
HOLD_VALUES = """
gate = gate_2
gate_2 = gate_1
gate_1 = arrived
"""
LARGEST = 700.0
"""exp overflows a little above."""


@attrs.frozen
class _NoLeak(DiscreteLIF):
    """`IF` as Brian2 statements: V*(1 - 1/tau) is V for an infinite tau, which C++ code cannot spell."""

    v_th: float = IF.v_th
    threshold: ClassVar[str] = "v >= v_th"
    equations: ClassVar[str] = SpikingJellySoft.equations

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`."""
        return "H = v + stim(t, i)\nv = H", "v -= v_th"

    def trace(self, inputs: Any, dtype: Any = np.float64) -> Any:
        """See `DiscreteLIF.trace`."""
        return IF.trace(inputs, dtype)


@attrs.frozen(eq=False)
class SpikingBertCircuit(TransformerCircuit):
    """Groups ``x`` -> ``query`` and ``kv`` -> ``pairs`` and ``rows`` -> ``output``."""

    name: ClassVar[str] = "spikingbert"
    fused: ClassVar[str | None] = "layers"
    latency: ClassVar[dict[str, int]] = {"k": 1, "v": 1, "output": 5}
    populations: ClassVar[tuple[str, ...]] = ("kv", "output")
    block: SpikingBertAttention

    def synapses(self, shape: BlockSize) -> int:
        """Of the input, to keys and values, or of the pairs of tokens."""
        return shape.rows * shape.channels * max(2 * shape.channels, shape.tokens)

    def check(self, shape: BlockSize) -> None:
        """See `TransformerCircuit.check`; at most 64 channels a head and 64 tokens."""
        check_word(shape.width, "channels a head")
        check_word(shape.tokens, "tokens")
        TransformerCircuit.check(self, shape)

    def build(self, shape: BlockSize) -> b2.Network:
        """See `TransformerCircuit.build`."""
        tape, at = shape.tape, self.latency
        b, n, h, d, C = shape.batch, shape.tokens, shape.heads, shape.width, shape.channels
        x = recorded(shape.rows * C, "x", tape)
        query = graded(shape.rows * C, "query", more=HELD, each_step=SUM_AND_HOLD)
        query.bit = np.broadcast_to(bit(np.arange(d)), (b, n, h, d)).ravel()
        kv = discrete_neurons(shape.rows * 2 * C, "kv", _NoLeak(), drive=WEIGHTED, onset=at["k"], tape=tape)
        key = shape.grid(b, h, n)
        value = key.size + shape.grid(b, h, d)
        axons = word_group(key.size + value.size, "axons")
        sample, token, stream, head, channel = np.indices((b, n, 2, h, d), sparse=True)
        place = np.where(stream == 0, key[sample, head, token], value[sample, head, channel])
        kv.bit = np.broadcast_to(np.where(stream == 0, bit(channel), bit(token)), place.shape).ravel()
        pairs = graded(b * h * n * n, "pairs", more=PAIR, each_step=NORMALISE, gate=np.int64)
        pairs.bit = np.broadcast_to(bit(np.arange(n)), (b, h, n, n)).ravel()
        rows = b2.NeuronGroup(b * h * n, ROW, namespace={}, name="rows")
        each_step_of(rows, "total = arriving\narriving = 0", when="before_groups", name="rows_each_step")
        pairs.total = b2.linked_var(rows, "total", index=np.arange(b * h * n * n) // n)
        link_words(pairs, axons, {"arrived": np.broadcast_to(key[:, :, None, :], (b, h, n, n))}, "gate = arrived")
        output = discrete_neurons(
            shape.rows * C,
            "output",
            _NoLeak(),
            drive=SCALED,
            onset=at["output"],
            tape=tape,
            more=VALUES,
            gate=np.int64,
            gate_1=np.int64,
            gate_2=np.int64,
        )
        own = np.broadcast_to(value[:, None], (b, n, h, d))
        link_words(output, axons, {"arrived": own}, HOLD_VALUES)
        pair = shape.grid(b, h, n, n)
        asked = shape.grid(b, n, h, d).transpose(0, 2, 1, 3)
        return assemble(
            x,
            project(x, query, C, C),
            project(x, kv, C, 2 * C),
            query,
            kv,
            axons,
            spell(kv, axons, place.ravel(), "kv_to_axons"),
            synapses(
                query,
                pairs,
                "current_post += y_held_pre*coincidences(bit_pre, gate_post)",
                asked[..., :, None],
                pair[:, :, :, None, :],
            ),
            pairs,
            synapses(pairs, rows, "arriving_post += raised_pre", pair, np.arange(b * h * n).reshape(b, h, n, 1)),
            rows,
            synapses(
                pairs,
                output,
                "current_post += y_pre*coincidences(bit_pre, gate_post)",
                pair[..., None],
                asked[:, :, :, None, :],
            ),
            output,
        )

    def state(self, shape: BlockSize) -> dict[str, Any]:
        """See `TransformerCircuit.state`.

        Raises
        ------
        InputError
            If a score could overflow the exponential.
        """
        root = math.sqrt(shape.width)
        weight, bias = self.block.q.weight, self.block.q.bias
        query = np.abs(weight).sum(axis=0) + np.abs(bias)
        largest = query.reshape(shape.heads, -1).sum(axis=1).max() / root
        if largest > LARGEST:
            raise InputError(f"{self.name}: scores may reach {largest:.3g} nats; exp takes at most {LARGEST:g}")
        return {
            **project_state("x", "query", (self.block.q,), shape.rows),
            **project_state("x", "kv", (self.block.k, self.block.v), shape.rows),
            "pairs.root": root,
            "pairs.attended": 1.0,
            "output.scale": 1.0,
        }

    def read(self, spikes: dict[str, Spikes], shape: BlockSize) -> dict[str, Spikes]:
        """See `TransformerCircuit.read`."""
        size = (shape.batch, shape.tokens)
        k, v = np.moveaxis(spikes["kv"].reshape(-1, *size, 2, shape.channels), 3, 0)
        return {"k": k, "v": v, "output": spikes["output"].reshape(-1, *size, shape.channels)}

    def stages(self, x: Spikes) -> dict[str, Spikes]:
        """See `TransformerCircuit.stages`; the exponential is NumPy's, as on the numpy target."""
        block = self.block
        k, v = (layers.fire(x, layer, IF) for layer in (block.k, block.v))
        context = layers.weigh(x, block.q)
        width = block.channels // block.heads
        for head in range(block.heads):
            # Queries, of which what is attended to takes the place.
            own = np.s_[..., head * width : (head + 1) * width]
            raised = layers.multiply(k[own], context[own].swapaxes(-1, -2))  # (..., key, query)
            np.exp(raised / math.sqrt(width), out=raised)
            total = np.zeros_like(raised[..., 0, :])
            for key in range(raised.shape[-2]):  # in the order in which a row receives them
                total += raised[..., key, :]
            shares = raised / (total + (total == 0))[..., None, :]
            context[own] = layers.multiply(v[own].swapaxes(-1, -2), shares).swapaxes(-1, -2)
        return {"k": k, "v": v, "output": fire(IF, context)}
