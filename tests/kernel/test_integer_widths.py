"""Integers that outgrow 32 bits have 64; what cannot be numbered is refused with one line before anything is made."""

import numpy as np
import pytest

from biospike import runtime
from biospike.circuit import MOST_INDICES, Shape
from biospike.errors import InputError
from biospike.random import MOST_STEPS
from circuits import projection
from circuits.attention import SpikingAttention
from circuits.coincidence import Coincidence
from circuits.presentation import plan_presentation
from circuits.projection import BlockShape, Vocabulary, check_sizes
from circuits.softmax import Escape
from circuits.stack import MOST_BLOCKS, Stack

import brian2 as b2

ONE = np.full((1, 1), 0.5)
TOKENS = np.full((2, 1), 0.5)


def block(**options):
    return SpikingAttention(ONE, ONE, ONE, **options)


def test_squares_of_long_intervals_are_exact():
    """A key that spikes once in 70,000 spikes of its row: the square of the interval is beyond 2**32."""
    with runtime.preferences("numpy", 1e-3):
        network = Escape().build(Shape(1, 1, 1, hub_index=np.zeros(1, dtype=int)))
        state = {"keys.v": 2.0, "keys.theta": 1.0, "keys.spike_count": 1, "hub.row_spikes": 69_999}
        state |= dict.fromkeys(("keys.drive", "keys.regularity", "hub.R0", "hub.w"), 0)
        runtime.assign(network, state)
        network.run(1e-3 * b2.second, namespace={})
        assert network["keys"].spike_count[0] == 2
        assert network["keys"].gap_square_sum[0] == 70_000**2
        assert network["keys"].last_spike_at.dtype == network["hub"].row_spikes.dtype == np.int64


def test_a_bit_narrower_than_its_word_is_an_error():
    with runtime.preferences("numpy", 1e-3):
        axons = projection.word_group(1, "axons")
        narrow = b2.NeuronGroup(40, "bit : integer (constant)", threshold="False", name="narrow")
        with pytest.raises(TypeError, match="narrow: bit is int32"):
            projection.spell(narrow, axons, np.zeros(40, dtype=int), "spelling")


@pytest.mark.parametrize("neurons", [1, 31, 32, 33, 63, 64, 65, 127, 128, 129])
def test_no_two_neurons_set_one_bit(neurons):
    """Every neuron of a block has a bit of a word of its own, and a word is of one kind."""
    for tokens, width in ((neurons, 2), (2, neurons)):
        shape = BlockShape(slots=2, tokens=tokens, features=1, heads=2, width=width, checkpoints=1)
        vocabulary = Vocabulary.of(shape)
        places: list[tuple[int, int]] = []
        for place, bit in (vocabulary.of_projections(shape, 3), vocabulary.of_attention(shape)):
            assert bit.dtype == np.int64
            places += zip(place.tolist(), bit.tolist(), strict=True)
        assert len(set(places)) == len(places)
        assert all(int(np.uint64(bit % 2**64)).bit_count() == 1 for _, bit in places)
        assert max(place for place, _ in places) == vocabulary.size - 1


@pytest.mark.parametrize(
    ("circuit", "tokens", "words"),
    [
        (block(), np.zeros((46_341, 1)), "score neurons .* at most 2147483647 can be numbered, got 2147488281"),
        (Coincidence(ONE, ONE, heads=1), np.zeros((50_000, 1)), "score neurons .* got 2500000000"),
        (Coincidence(*np.ones((2, 1000, 1100))), np.zeros((1000, 1000)), "synapses of the weights .* got 2200000000"),
        (Stack(blocks=(block(),), W_o=(ONE,)), np.zeros((46_341, 1)), "score neurons"),
    ],
)
def test_networks_that_cannot_be_numbered_are_refused(circuit, tokens, words):
    with pytest.raises(InputError, match=words):
        plan_presentation(circuit, tokens, duration="10 ms")


def test_the_largest_network_is_accepted():
    check_sizes("a block", {"score neurons": MOST_INDICES})
    with pytest.raises(InputError, match=r"a block: score neurons .* got 2147483648"):
        check_sizes("a block", {"score neurons": MOST_INDICES + 1})


def test_runs_that_cannot_be_counted_are_refused():
    one = block()
    before = one.timing(1, one.dt).end - 1
    assert plan_presentation(one, TOKENS, duration=(MOST_STEPS - before) * one.dt).marks[-1] == MOST_STEPS - before
    for circuit, duration in ((one, (MOST_STEPS - before + 1) * one.dt), (block(tau_s=1e7 * b2.second), "1 s")):
        with pytest.raises(InputError, match="steps with those before the window; at most 2147483647"):
            plan_presentation(circuit, TOKENS, duration=duration)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settle": -1}, "settle must be at least 0, got -1"),
        ({"settle": 1.5}, "settle must be a whole number"),
        ({"first_spikes": 2**31}, "first_spikes must be at most 2147483647, got 2147483648"),
    ],
)
def test_steps_and_spikes_of_a_row_are_whole_numbers(change, words):
    with pytest.raises(InputError, match=words):
        block(**change)


def test_more_layers_than_random_numbers_are_refused():
    deep = (block(),) + (block(encoders="shared"),) * MOST_BLOCKS
    with pytest.raises(InputError, match=f"at most {MOST_BLOCKS} blocks .* got {MOST_BLOCKS + 1}"):
        Stack(blocks=deep, W_o=(ONE,) * len(deep))
    one = Stack(blocks=deep[:-1], W_o=(ONE * 0.01,) * MOST_BLOCKS).fitted(TOKENS)
    plan = plan_presentation(one, TOKENS, duration="1 ms", windows=1)
    starts = {
        name: values.tobytes() for name, values in plan.state(0).items() if name.endswith(".v") and "keys" not in name
    }
    assert len(set(starts.values())) == len(starts) == 2 * MOST_BLOCKS
