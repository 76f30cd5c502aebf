"""Token spikes through weights into ON and OFF populations of LIF neurons, and the spike words they form.

A unit is one signed number, q_d = b_d + sum_f x_f*W_fd. Its dendrite sums the bias, a constant input at every step,
and then the weighted spikes of the step in the order of their neurons. A pair of LIF neurons reads it with opposite
signs: u_t = beta*u_{t-1} + I_t, spike at u >= 1, u -= 1, with beta = exp(-dt/tau_m). The threshold is subtracted at the
spike (SpikingJelly's soft reset); the paper's reset, after the decay, is the same only without a leak. Without a leak
(tau_m = inf) the rates are the positive and the negative part of q, in spikes a step, as long as abs(q) < 1; their
difference is q. With a leak they are those of `biospike.theory.leaky_rate.leaky_lif_rate`.

Assumptions: spikes reach the dendrite in the step they are sent and the membranes in the next one. Input of a step
beyond the threshold is not lost: the surplus stays on the membrane. Membranes have no lower bound, so the neuron of the
wrong sign of a leakless pair drifts away from threshold. Initial phases are uniform in [0, 1), which makes the rates
stationary from the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import check_indices
from biospike.encoding import Encoder
from biospike.random import uniform
from biospike.spike_words import BITS, bit, words
from biospike.wiring import WIDE, count_spikes, each_step_of, is_compiled

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

DENDRITES = """
current  : 1                    # bias and weighted spikes of the step, in thresholds
bias     : 1 (constant)         # constant input, in thresholds a step
"""
NEURONS = """
dv/dt = -v/tau_m : 1            # u_t = beta*u_{t-1} + I_t
current  : 1 (linked)
polarity : 1 (constant)         # +1 ON, -1 OFF
bit      : integer (constant)   # place in its spike word
tau_m    : second (shared, constant)
from_step : integer (shared, constant)   # input counts from this step on
"""
INTEGRATE = "v += polarity*current*int(t_in_timesteps >= from_step)"
POPULATION_STRIDE = 2**56
"""Random numbers of the neurons of a population are indexed from a multiple of this."""
MOST_POPULATIONS = 2**63 // POPULATION_STRIDE
"""Populations of a network: indices of random numbers are signed integers of 64 bits."""
WORDS = """
word     : integer              # spikes that arrived in the last step, one bit a neuron
"""


@attrs.frozen(kw_only=True)
class BlockShape:
    """Size of an attention network: what is compiled in.

    Attributes
    ----------
    slots : int
        Copies of the network side by side: trials and samples.
    tokens, features : int
        Of one input.
    heads, width : int
        Heads, and units of a head (d_k).
    checkpoints : int
        How many cumulative counts are kept.
    """

    slots: int
    tokens: int
    features: int
    heads: int
    width: int
    checkpoints: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """What is compiled in."""
        return tuple(attrs.astuple(self))

    @property
    def units(self) -> int:
        """Units of one stream: queries, keys or values of all heads."""
        return self.heads * self.width


def check_sizes(name: str, sizes: Mapping[str, int]) -> None:
    """Raise `InputError` if a group or its synapses, by what they are, are more than Brian2 can number."""
    what = max(sizes, key=sizes.__getitem__)
    check_indices(sizes[what], f"{name}: {what} of tokens and weights of this size")


def dendrites(units: int, name: str) -> b2.NeuronGroup:
    """Group whose ``current`` is read by neurons before the thresholds and falls back to the bias after them."""
    group = b2.NeuronGroup(units, DENDRITES, namespace={}, name=name)
    each_step_of(group, "current = bias", when="after_thresholds", name=f"{name}_clear_each_step")
    return group


def lif_pairs(source: b2.NeuronGroup, name: str, checkpoints: int) -> b2.NeuronGroup:
    """ON and OFF neuron of every dendrite: neurons 2*k and 2*k + 1 of dendrite k."""
    counters, count_spike = count_spikes(checkpoints)
    group = b2.NeuronGroup(
        2 * len(source),
        f"{NEURONS}\n{counters}",
        threshold="v >= 1",
        reset=f"v -= 1\n{count_spike}",
        method="exact",
        dtype=WIDE,
        namespace={},
        name=name,
    )
    group.current = b2.linked_var(source, "current", index=np.arange(2 * len(source)) // 2)
    group.polarity = np.tile([1.0, -1.0], len(source))
    each_step_of(group, INTEGRATE, when="before_thresholds", name=f"{name}_each_step")
    return group


def connect(source: b2.NeuronGroup, target: b2.NeuronGroup, features: int, fan: int, name: str) -> b2.Synapses:
    """All-to-all synapses within tokens: neuron f of token k to dendrites k*fan to (k + 1)*fan - 1.

    Their weights ``w``, in thresholds a spike, have the shape (tokens, features, fan).
    """
    synapses = b2.Synapses(source, target, "w : 1", on_pre="current_post += w", namespace={}, name=name)
    if is_compiled():
        synapses.connect(j=f"u for u in range((i//{features})*{fan}, (i//{features} + 1)*{fan})")
    else:
        neuron = np.arange(len(source))
        units = neuron[:, None] // features * fan + np.arange(fan)
        synapses.connect(i=neuron.repeat(fan), j=units.ravel())
    return synapses


def word_group(size: int, name: str) -> b2.NeuronGroup:
    """Spike words, filled by synapses and cleared in the next step once they were read (before_groups, order 0)."""
    group = b2.NeuronGroup(size, WORDS, dtype=WIDE, namespace={}, name=name)
    each_step_of(group, "word = 0", when="before_groups", order=1, name=f"{name}_clear_each_step")
    return group


def spell(source: b2.NeuronGroup, target: b2.NeuronGroup, word: NDArray[np.int64], name: str) -> b2.Synapses:
    """One synapse a neuron, by which its spike sets its bit in its word.

    Raises
    ------
    TypeError
        If the bit of the neurons is narrower than a word, and would be cut.
    """
    width = np.dtype(source.variables["bit"].dtype)
    if width != np.int64:
        raise TypeError(f"{source.name}: bit is {width}; make the group with dtype=WIDE")
    synapses = b2.Synapses(source, target, on_pre="word_post += bit_pre", namespace={}, name=name)
    synapses.connect(i=np.arange(len(source)), j=word)
    return synapses


@attrs.frozen(eq=False)
class Vocabulary:
    """Where the spike words of a block lie in their group, and which bit each neuron sets.

    Queries and keys are words over the width of a head, so that the bits shared by a query and a key count their
    coincidences. Values are words over tokens, and so are the attention spikes of a row: their shared bits count the
    values that are routed.

    Attributes
    ----------
    score : ndarray (slots, 2, 2, heads, tokens, words of the width)
        Queries and keys, ON and OFF.
    value : ndarray (slots, 2, heads, width, words of the tokens)
        ON and OFF.
    row : ndarray (slots, heads, tokens, words of the tokens)
        Attention spikes of a row.
    """

    score: NDArray[np.int64]
    value: NDArray[np.int64]
    row: NDArray[np.int64]

    @staticmethod
    def layout(shape: BlockShape) -> tuple[tuple[int, ...], ...]:
        """Shapes of the attributes."""
        r, h, n, d = shape.slots, shape.heads, shape.tokens, shape.width
        return (r, 2, 2, h, n, words(d)), (r, 2, h, d, words(n)), (r, h, n, words(n))

    @staticmethod
    def of(shape: BlockShape) -> Vocabulary:
        """Lay out the words of a network."""
        places, start = [], 0
        for size in Vocabulary.layout(shape):
            count = math.prod(size)
            places.append(np.arange(start, start + count).reshape(size))
            start += count
        return Vocabulary(*places)

    @property
    def size(self) -> int:
        """Number of words."""
        return self.score.size + self.value.size + self.row.size

    def of_projections(self, shape: BlockShape, streams: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Word and bit of the neurons of (slot, token, stream, head, width, sign), flattened.

        Streams 0 and 1 are queries and keys, stream 2 values.
        """
        size = (shape.slots, shape.tokens, streams, shape.heads, shape.width, 2)
        r, i, s, h, e, sign = np.indices(size, sparse=True)
        scored = self.score[r, np.minimum(s, 1), sign, h, i, e // BITS]
        valued = self.value[r, sign, h, e, i // BITS]
        place = np.broadcast_to(np.where(s < 2, scored, valued), size)
        return place.ravel(), np.broadcast_to(np.where(s < 2, bit(e), bit(i)), size).ravel()

    def of_attention(self, shape: BlockShape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Word and bit of the attention neurons of (slot, head, query, key), flattened."""
        size = (shape.slots, shape.heads, shape.tokens, shape.tokens)
        r, h, i, j = np.indices(size, sparse=True)
        place = np.broadcast_to(self.row[r, h, i, j // BITS], size)
        return place.ravel(), np.broadcast_to(bit(j), size).ravel()


@attrs.frozen(eq=False)
class Slots:
    """What fills the slots of a network: one input of one trial each.

    Attributes
    ----------
    x : ndarray (slots, tokens, features)
        Values in [0, 1]; an empty slot is 0.
    unmasked : ndarray (slots, tokens, tokens) of bool
        Which keys each query may attend to; all False in an empty slot.
    trial, sample : ndarray (slots,) of int
        They address the random numbers.
    seed : int
    """

    x: NDArray[np.float64]
    unmasked: NDArray[np.bool_]
    trial: NDArray[np.int64]
    sample: NDArray[np.int64]
    seed: int

    def address(self, population: int, neurons: int) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """Seed, trial and index of the neurons of one population, (slots, neurons), as in `biospike.random`."""
        start = population * POPULATION_STRIDE
        return self.seed, self.trial[:, None], start + self.sample[:, None] * neurons + np.arange(neurons)


def encoder_state(
    encoder: Encoder, slots: Slots, shape: BlockShape, copies: int, phase: float | None
) -> dict[str, Any]:
    """Initial state of the group ``encoder``: neurons (slot, token, copy, feature)."""
    address = slots.address(0, shape.tokens * copies * shape.features)
    own = encoder.state(address)
    if phase is not None and "v" in own:
        own |= {"v": phase}
    seed, trial, index = address
    own |= {"x": np.repeat(slots.x[:, :, None], copies, axis=2), "seed": seed, "index": index}
    own["trial"] = np.broadcast_to(trial, index.shape)
    return {f"encoder.{name}": value for name, value in own.items()}


def pair_state(
    name: str,
    slots: Slots,
    neurons: int,
    population: int,
    *,
    tau_m: Quantity | None,
    phase: float | None,
    from_step: int,
) -> dict[str, Any]:
    """Initial state of `lif_pairs` with this many neurons a slot."""
    start = uniform(*slots.address(population, neurons), -1) if phase is None else phase
    leak = np.inf if tau_m is None else float(tau_m)
    return {f"{name}.v": start, f"{name}.tau_m": leak, f"{name}.from_step": from_step}


def synaptic_weights(weights: NDArray[np.float64], shape: BlockShape) -> NDArray[np.float64]:
    """Weights (..., features, fan) for the synapses of `connect`, the same for every token of every slot: a view."""
    return np.broadcast_to(weights, (shape.slots * shape.tokens, *weights.shape))


def checkpoint_state(groups: Sequence[str], marks: NDArray[np.int64]) -> dict[str, int]:
    """Checkpoints, in steps, of the groups that count."""
    return {f"{group}.checkpoint_{c}": int(mark) for group in groups for c, mark in enumerate(marks)}
