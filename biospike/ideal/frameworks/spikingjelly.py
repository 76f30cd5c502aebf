"""SpikingJelly's own neurons and attention layers, driven on the CPU.

Read in versions 2.0.0 and 0.0.0.0.14. Both spike where H >= v_th and reset in the same step; on the CPU a division by
tau is a division. They differ in floating point where the input is not divided by tau (``decay_input=False``):

================================== ============================== =========================================
membrane, v_reset = 0 or soft      0.0.0.0.14                     2.0.0
================================== ============================== =========================================
training mode                      H = V*(1 - 1/tau) + X          H = V - (V - v_reset)/tau + X
evaluation mode, hard reset        H = V - (V - v_reset)/tau + X  the same
evaluation mode, soft reset        H = V*(1 - 1/tau) + X          the same
================================== ============================== =========================================

For tau a power of two these are the same number. Version 0.0.0.0.14 ships no attention layer.

The layers are 1x1 convolutions without bias, each followed by batch norm. The weights of a reference block go into the
convolution and its bias into the batch norm, which is left with running mean 0, variance 1, gain 1 and eps = 0 in
place of 1e-5, so that in evaluation mode it adds the bias and does nothing else, exactly.
"""

from __future__ import annotations

import math
from typing import Any

from biospike.errors import InputError
from biospike.ideal.attention import (
    Affine,
    QKChannelAttention,
    QKFormerSSA,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
)
from biospike.ideal.attention.spikformer import SCALE
from biospike.ideal.frameworks.installed import FrameworkMissing, load, versions
from biospike.ideal.lif import DiscreteLIF, SpikingJellyHard, SpikingJellySoft

Tensor = Any
Stages = dict[str, Tensor]

CONVENTIONS: dict[str, DiscreteLIF] = {
    "hard, decay_input": SpikingJellyHard(),
    "hard, no decay_input": SpikingJellyHard(decay_input=False),
    "soft, decay_input": SpikingJellySoft(),
    "soft, no decay_input": SpikingJellySoft(decay_input=False),
    "IF, hard": SpikingJellyHard(tau=math.inf, decay_input=False),
    "IF, soft": SpikingJellySoft(tau=math.inf, decay_input=False),
}
LAYERS: dict[type, str] = {
    SpikformerSSA: "SpikingSelfAttention",
    QKFormerSSA: "SpikingSelfAttention",
    QKTokenAttention: "TokenQKAttention",
    QKChannelAttention: "ChannelQKAttention",
    SpikeDrivenAttention: "SpikeDrivenSelfAttention",
}
"""Reference block -> the layer that SpikingJelly ships for it."""


def _node(kind: DiscreteLIF, **kwargs: Any) -> Any:
    """SpikingJelly's neuron of a convention; `kwargs` go to its constructor and override the threshold."""
    if not isinstance(kind, SpikingJellyHard | SpikingJellySoft):
        raise InputError(
            f"SpikingJelly has no neuron {kind}: its LIFNode and IFNode are SpikingJellyHard and SpikingJellySoft"
        )
    v_reset = kind.v_reset if isinstance(kind, SpikingJellyHard) else None
    options = {"v_threshold": kind.v_th, "v_reset": v_reset} | kwargs
    neuron = load("spikingjelly.activation_based.neuron")
    if kind.tau == math.inf and not kind.decay_input:
        return neuron.IFNode(**options)
    if not 1 < kind.tau < math.inf:
        raise InputError(
            f"SpikingJelly has no neuron with tau = {kind.tau}: LIFNode needs 1 < tau < inf, and IFNode is tau = inf "
            "with decay_input = False"
        )
    return neuron.LIFNode(tau=kind.tau, decay_input=kind.decay_input, **options)


def drive(torch: Any, kind: DiscreteLIF, currents: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes, and the membrane that was compared with the threshold, both (T, n), for currents (T, n)."""
    node = _node(kind, step_mode="m", store_v_seq=True)
    spikes = node(currents)
    # The node keeps the membrane after the reset. What was compared is read from a second node, which is put where the
    # first was at the start of every step, charged once with all inputs, and cannot reach its threshold.
    rest = kind.v_reset if isinstance(kind, SpikingJellyHard) else 0.0
    start = torch.cat([torch.full_like(currents[:1], rest), node.v_seq[:-1]])
    twin = _node(kind, v_threshold=torch.finfo(currents.dtype).max)
    twin.v = start
    twin(currents)
    return spikes, twin.v


def shipped() -> tuple[str, ...]:
    """Names of the reference blocks for which the installed version ships a layer."""
    layer = load("spikingjelly.activation_based.layer")
    return tuple(block.__name__ for block, name in LAYERS.items() if hasattr(layer, name))


def difference(block: Any) -> str:
    """How the layer differs from the reference block; empty where nothing is known to."""
    if type(block) not in LAYERS:
        return f"no layer for {type(block).__name__}: assembled from LIFNode, IFNode and torch products"
    notes = []
    if isinstance(block, SpikeDrivenAttention):
        notes.append(
            "the layer begins with a LIF of its own, which is driven with twice the spikes to hand them on unchanged, "
            "and ends with a projection and a residual, before which the output is read"
        )
    if isinstance(block, QKFormerSSA) and block.batch_mixing:
        notes.append("the layer gives every sample a membrane of its own (batch_mixing = False)")
    if isinstance(block, SpikformerSSA) and block.scale != SCALE:
        notes.append(f"the layer's constructor fixes the scale at {SCALE}; it is set to {block.scale} afterwards")
    return "; ".join(notes)


def attention(torch: Any, block: Any, x: Tensor) -> Stages:
    """Run the layer that SpikingJelly ships for a block.

    Parameters
    ----------
    torch
        The module, on one thread.
    block
        One of the keys of `LAYERS`.
    x
        Spikes, (T, batch, tokens, channels), as floating-point numbers of the precision to compute in.

    Returns
    -------
    dict
        Spikes of every stage that a module of the layer emits or takes in, in the shape of the reference's stage of
        the same name.

    Raises
    ------
    FrameworkMissing
        If the installed version has no such layer.
    InputError
        If the input of a spike-driven block is not 0 and 1.
    """
    name = LAYERS[type(block)]
    layers = load("spikingjelly.activation_based.layer")
    if not hasattr(layers, name):
        raise FrameworkMissing(f"spikingjelly {versions()['spikingjelly']} has no {name}: pip install 'biospike[ml]'")
    layer = getattr(layers, name)(block.channels, num_heads=getattr(block, "heads", 1))
    if isinstance(block, SpikeDrivenAttention):
        return _spike_driven(torch, layer.to(x.dtype).eval(), block, x)
    if isinstance(block, SpikformerSSA):
        return _self_attention(torch, layer.to(x.dtype).eval(), block, x)
    return _query_key(torch, layer.to(x.dtype).eval(), block, x)


def _set(torch: Any, convolution: Any, norm: Any, *maps: Affine) -> None:
    """Put affine maps, whose units follow each other, into a 1x1 convolution and the batch norm after it."""
    weight = torch.cat([torch.tensor(a.weight.T) for a in maps])
    convolution.weight.copy_(weight.reshape(convolution.weight.shape))
    norm.bias.copy_(torch.cat([torch.tensor(a.bias) for a in maps]))
    norm.weight.fill_(1)
    norm.running_mean.fill_(0)
    norm.running_var.fill_(1)
    norm.eps = 0.0


def _watch(**modules: Any) -> Stages:
    """Keep what each module puts out, or takes in if its name begins with ``into_``, the next time the layer runs."""
    seen: Stages = {}
    for name, module in modules.items():
        if name.startswith("into_"):
            module.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
        else:
            module.register_forward_hook(lambda _, args, result, name=name: seen.update({name: result}))
    return seen


def _self_attention(torch: Any, layer: Any, block: SpikformerSSA, x: Tensor) -> Stages:
    _set(torch, *layer.qkv_conv_bn, block.q, block.k, block.v)
    _set(torch, *layer.proj_conv_bn, block.projection)
    layer.scale = block.scale
    seen = _watch(qkv=layer.qkv_lif, attention=layer.attn_lif)
    output = layer(x.mT).mT
    q, k, v = seen["qkv"].mT.chunk(3, dim=-1)
    return {"q": q, "k": k, "v": v, "attention": seen["attention"].flatten(2, 3).mT, "output": output}


def _query_key(torch: Any, layer: Any, block: QKTokenAttention | QKChannelAttention, x: Tensor) -> Stages:
    _set(torch, *layer.qk_conv_bn, block.q, block.k)
    _set(torch, *layer.proj_conv_bn, block.projection)
    seen = _watch(qk=layer.qk_lif, mask=layer.attn_lif, into_projection=layer.proj_conv_bn)
    output = layer(x.mT).mT
    q, k = seen["qk"].mT.chunk(2, dim=-1)
    mask = seen["mask"].squeeze(3) if isinstance(block, QKTokenAttention) else seen["mask"].flatten(2)
    return {"q": q, "k": k, "mask": mask, "masked": seen["into_projection"].mT, "output": output}


def _spike_driven(torch: Any, layer: Any, block: SpikeDrivenAttention, x: Tensor) -> Stages:
    if bool((x > 1).any()):
        raise InputError("x must be 0 or 1: the layer's own first neurons cannot emit whole numbers of spikes")
    for name in "qkv":
        _set(torch, getattr(layer, f"{name}_conv"), getattr(layer, f"{name}_bn"), getattr(block, name))
    seen = _watch(q=layer.q_lif, k=layer.k_lif, v=layer.v_lif, mask=layer.attn_lif, into_projection=layer.proj_conv)
    # From rest, an input of 2 charges the first LIF (tau 2) to its threshold of 1, and none leaves it at rest.
    layer(2 * x.mT.unsqueeze(-1))
    stages = {name: seen[name].squeeze(-1).mT for name in "qkv"}
    return stages | {"mask": seen["mask"].flatten(2), "output": seen["into_projection"].squeeze(-1).mT}
