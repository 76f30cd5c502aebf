"""A small block and input of a large one by kernels and by Brian2's own numpy target: every spike must be the same."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import RunError
from biospike.ideal.attention import Affine, DualSpikeAttention
from circuits.transformers.tape import Spikes

HEADS, CHANNELS, TOKENS, STEPS = 2, 8, 8, 8
"""What is left at most: heads, channels of a head, tokens, and steps."""

_replayed: set[type] = set()
"""Circuits of which this process has compared a run."""


def replay_once(circuit: Any, x: Spikes) -> None:
    """Compare what is cut of a circuit and its input, unless this process has done so with another of its class.

    Raises
    ------
    RunError
        If a spike differs.
    """
    if type(circuit) not in _replayed:
        replay(attrs.evolve(circuit, block=cut_block(circuit.block)), cut_input(circuit.block, x))
        _replayed.add(type(circuit))


def replay(circuit: Any, x: Spikes) -> dict[str, Spikes]:
    """Compare every stage of a small circuit; returns what both have found; errors as of `replay_once`."""
    expected, found = circuit.by_network(x, circuit.size(x), "numpy"), circuit.stages(x)
    for stage, spikes in expected.items():
        if not np.array_equal(spikes, found[stage]):
            raise RunError(
                f"{circuit.name}: target 'fused' and Brian2 differ in {stage} of a small block, which must not be: "
                "take target 'cpp_standalone', and report it"
            )
    return expected


def cut_block(block: Any) -> Any:
    """The first channels of the first heads of a block; larger weights make up for the inputs that are left out."""
    heads, width, kept = _kept(block)
    gain = block.channels / kept.size
    if isinstance(block, DualSpikeAttention):
        weight = block.y.weight.reshape(block.p**2, block.channels, block.heads, 2, block.width)
        few = gain * weight[:, kept][:, :, :heads, :, :width]
        bias = block.y.bias.reshape(block.heads, 2, block.width)[:heads, :, :width]
        y = Affine(few.reshape(few.shape[0] * few.shape[1], -1), bias.ravel())
        rate_x, rate_a = block.rate_x[:heads], block.rate_a[:heads]
        return attrs.evolve(block, y=y, heads=heads, size=_image(block), rate_x=rate_x, rate_a=rate_a)
    fields = {field.name: getattr(block, field.name) for field in attrs.fields(type(block))}
    layers = {
        name: Affine(gain * layer.weight[np.ix_(kept, kept)], layer.bias[kept])
        for name, layer in fields.items()
        if isinstance(layer, Affine)
    }
    return attrs.evolve(block, **layers, **({"heads": heads} if "heads" in fields else {}))


def cut_input(block: Any, x: Spikes) -> Spikes:
    """First steps and tokens of the first sample, in the channels that `cut_block` leaves."""
    if isinstance(block, DualSpikeAttention):
        height, width = _image(block)
        x = x.reshape(*x.shape[:2], *block.size, -1)[:, :, :height, :width].reshape(*x.shape[:2], height * width, -1)
    else:
        x = x[:, :, :TOKENS]
    return x[:STEPS, :1, :, _kept(block)[2]].astype(np.uint8)


def _kept(block: Any) -> tuple[int, int, NDArray[np.int64]]:
    """Heads, channels of each, and these channels."""
    own = getattr(block, "heads", 1)
    heads, full = min(own, HEADS), block.channels // own
    width = min(full, CHANNELS)
    return heads, width, (full * np.arange(heads)[:, None] + np.arange(width)).ravel()


def _image(block: DualSpikeAttention) -> tuple[int, int]:
    """Up to two patches."""
    return block.p, min(block.size[1], 2 * block.p)
