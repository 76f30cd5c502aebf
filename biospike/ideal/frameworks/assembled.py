"""Attention blocks put together from a framework's neurons and torch products, where it ships no layer for them.

The same formulas as in `biospike.ideal.attention`; sums are torch's, in an order of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from biospike.errors import InputError
from biospike.ideal.attention import (
    IF,
    LIF,
    LIF_HALF,
    Affine,
    DualSpikeAttention,
    QKChannelAttention,
    QKFormerSSA,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
    SpikingBertAttention,
)
from biospike.ideal.lif import DiscreteLIF

Tensor = Any
Neurons = Callable[[DiscreteLIF, Tensor], Tensor]
Stages = dict[str, Tensor]


def _project(x: Tensor, layer: Affine) -> Tensor:
    return x @ x.new_tensor(layer.weight) + x.new_tensor(layer.bias)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(-2, -3).flatten(-2)


@singledispatch
def stages(block: Any, x: Tensor, fire: Neurons) -> Stages:
    """Spikes of the stages of a block, named and shaped as in the reference.

    Parameters
    ----------
    block
        A reference block: its weights, heads and scales are used.
    x
        Spikes, (T, batch, tokens, channels), as floating-point numbers of the precision to compute in.
    fire
        Neurons that answer currents (T, ...) with spikes of that shape.

    Raises
    ------
    InputError
        If it is no such block, or the tokens do not make up its image.
    """
    known = ", ".join(kind.__name__ for kind in stages.registry if kind is not object)
    raise InputError(f"no framework runs {type(block).__name__}: expected one of {known}")


def check_block(block: Any) -> None:
    """Raise `InputError` unless the block is one that can be assembled."""
    unknown = stages.dispatch(object)
    if stages.dispatch(type(block)) is unknown:
        unknown(block, None, None)


@stages.register
def _self_attention(block: SpikformerSSA, x: Tensor, fire: Neurons) -> Stages:
    q, k, v = (fire(LIF, _project(x, layer)) for layer in (block.q, block.k, block.v))
    q_heads, k_heads, v_heads = (_split(stage, block.heads) for stage in (q, k, v))
    # Either order of association gives the same integers.
    product = q_heads @ (k_heads.mT @ v_heads)
    attention = fire(LIF_HALF, block.scale * _merge(product))
    currents = _project(attention, block.projection)
    if isinstance(block, QKFormerSSA) and block.batch_mixing:
        output = fire(LIF, currents.flatten(0, 1)).reshape(currents.shape)
    else:
        output = fire(LIF, currents)
    return {"q": q, "k": k, "v": v, "attention": attention, "output": output}


@stages.register
def _token_attention(block: QKTokenAttention, x: Tensor, fire: Neurons) -> Stages:
    q, k = (fire(LIF, _project(x, layer)) for layer in (block.q, block.k))
    mask = fire(LIF_HALF, _split(q, block.heads).sum(-1))
    masked = _merge(mask[..., None] * _split(k, block.heads))
    return {"q": q, "k": k, "mask": mask, "masked": masked, "output": fire(LIF, _project(masked, block.projection))}


@stages.register
def _channel_attention(block: QKChannelAttention, x: Tensor, fire: Neurons) -> Stages:
    q, k = (fire(LIF, _project(x, layer)) for layer in (block.q, block.k))
    mask = fire(LIF_HALF, q.sum(2))
    masked = mask[:, :, None] * k
    return {"q": q, "k": k, "mask": mask, "masked": masked, "output": fire(LIF, _project(masked, block.projection))}


@stages.register
def _spike_driven(block: SpikeDrivenAttention, x: Tensor, fire: Neurons) -> Stages:
    q, k, v = (fire(LIF, _project(x, layer)) for layer in (block.q, block.k, block.v))
    mask = fire(LIF_HALF, (k * v).sum(2))
    return {"q": q, "k": k, "v": v, "kv": k * v, "mask": mask, "output": q * mask[:, :, None]}


@stages.register
def _dual_spike(block: DualSpikeAttention, x: Tensor, fire: Neurons) -> Stages:
    if x.shape[2] != block.size[0] * block.size[1]:
        raise InputError(f"x must have {block.size[0]} x {block.size[1]} tokens, got {x.shape[2]}")
    patches = x[:, :, block.patches].flatten(3)
    y1, y2 = _split(_project(patches, block.y), block.heads).split(block.width, dim=-1)
    c1, c2 = (x.new_tensor(scale)[:, None, None] for scale in block.scales)
    attention = fire(LIF, c1 * (y1 @ _split(x, block.heads).mT))
    output = fire(LIF, c2 * (attention.mT @ y2))
    return {"attention": attention, "output": _merge(output)}


@stages.register
def _bert(block: SpikingBertAttention, x: Tensor, fire: Neurons) -> Stages:
    k, v = (fire(IF, _project(x, layer)) for layer in (block.k, block.v))
    q_heads, k_heads, v_heads = (_split(stage, block.heads) for stage in (_project(x, block.q), k, v))
    scores = q_heads @ k_heads.mT / math.sqrt(block.channels // block.heads)
    return {"k": k, "v": v, "output": fire(IF, _merge(scores.softmax(-1) @ v_heads))}
