"""Two layers at both sides of a word, spike for spike against an independent loop."""

import numpy as np
import pytest
from oracles import attention_loop as loop
from oracles.expected_block import PHASE, encoder_synapses, expect
from oracles.recorded_block import record_block, stack_layout

from circuits.attention import SpikingAttention
from circuits.softmax import Integrate
from circuits.stack import Stack

import brian2 as b2

FEATURES, HEADS, WIDTH, STEPS, SCALE = 3, 2, 2, 24, 0.25
"""Scales are powers of 2, and so is the row's rate in steps, 1/16: every sum of weights is exact."""


def make_block(rng, **options):
    w = rng.integers(-20, 21, (3, FEATURES, HEADS * WIDTH)) / 64
    b = rng.integers(-8, 9, (3, HEADS * WIDTH)) / 64
    return SpikingAttention(
        W_q=w[0], W_k=w[1], W_v=w[2], b_q=b[0], b_k=b[1], b_v=b[2], heads=HEADS, scales=np.full((3, HEADS), 0.5),
        score_scale=0.5, phase=PHASE, softmax=Integrate(rate=62.5 * b2.Hz, dt=1 * b2.ms), tau_s=2 * b2.ms, start=1.0,
        release=0.2, first_spikes=80, w=0.02, settle=16, **options,
    )  # fmt: skip


def residual(stack, layer, before, outputs, held_from, slots, tokens):
    """Spikes of a residual population: senders are those of the layer before, tagged 1, and outputs, tagged 0."""
    out = (SCALE * stack.W_o[layer] / (0.0625 * 0.5)).tolist()

    def synapses(sender):
        tag, slot, token, *place = sender
        if tag == 0:
            head, unit, sign = place
            for feature, weight in enumerate(out[head * WIDTH + unit]):
                yield (slot, token, feature), -weight if sign else weight
        elif layer == 0:
            yield (slot, token, place[1]), SCALE
        else:
            yield (slot, token, place[0]), -1.0 if place[1] else 1.0

    sent = [
        {(1, *one) for one in some if layer or one[2] == 0} | {(0, *one) for one in others}
        for some, others in zip(before, outputs, strict=True)
    ]
    bias = {(r, i, f): 0.0 for r in range(slots) for i in range(tokens) for f in range(FEATURES)}
    start = dict.fromkeys(((*unit, sign) for unit in bias for sign in (0, 1)), PHASE)
    return loop.lif_pairs(loop.currents(sent, synapses, bias), start, held_from)


def block_synapses(block):
    """Synapses of residual neurons (slot, token, feature, sign): ON and OFF carry a value with opposite weights."""
    per_feature = encoder_synapses(block)

    def synapses(sender):
        slot, token, feature, sign = sender
        for unit, weight in per_feature((slot, token, 0, feature)):
            yield unit, (-weight if sign else weight) / SCALE

    return synapses


@pytest.mark.long
@pytest.mark.parametrize("tokens", [31, 32, 33, 63, 64, 65, 127, 128, 129])
@pytest.mark.parametrize("mode", ["staged", "streaming"])
def test_every_spike_of_two_layers(tokens, mode):
    rng = np.random.default_rng(tokens)
    blocks = make_block(rng, mode=mode), make_block(rng, mode=mode, encoders="shared", delay=2 * b2.ms)
    W_o = tuple(rng.integers(-16, 17, (2, HEADS * WIDTH, FEATURES)) / 128)
    stack = Stack(blocks=blocks, W_o=W_o, residual_scales=np.full(2, SCALE))
    x = rng.integers(100, 900, (1, tokens, FEATURES)) / 1024
    mask = np.arange(tokens) != 5
    plan, recorded, found = record_block(stack, x, STEPS, layout=stack_layout, windows=1, key_mask=mask)
    shape, pairs = plan.shape(), np.broadcast_to(mask, (1, tokens, tokens))

    origin, sent, synapses = 0, recorded["encoder"], encoder_synapses(blocks[0])
    for layer, (block, prefix) in enumerate(zip(blocks, ("", "layer1_"), strict=True)):
        timing = block.timing(STEPS, block.dt, origin)
        spikes, _, _ = expect(block, shape, timing, STEPS, pairs, sent, synapses, used=1, from_step=origin)
        for name, trains in spikes.items():
            assert trains == recorded[f"{prefix}{name}"], (layer, name)
        origin, synapses = timing.onset + 1, block_synapses(blocks[1])
        sent, ties = residual(stack, layer, sent, spikes["outputs"], origin, 1, tokens)
        assert sent == recorded[f"residual{layer}"], layer
        assert ties > 5
        last = min(31, tokens - 1)
        assert sum(token >= last for some in spikes["outputs"] for _, token, *_ in some) > (tokens > 31) * 10
    expected = loop.counts(sent, origin, origin + STEPS)
    counted = found["residual_count"][:, 1, ..., 0]
    assert {place: counted[place] for place in np.ndindex(counted.shape) if counted[place]} == dict(expected)
    assert sum(expected.values()) > 50
