"""The published blocks as a user would assemble them: SpikingJelly's neurons between torch's products, on one thread.

The neurons take all timesteps in one call; layers are linear, their batch norm is folded in, and weights are torch's
before the clock starts.
"""

from __future__ import annotations

import math
import time
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.ideal.attention import (
    Affine,
    DualSpikeAttention,
    QKChannelAttention,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
    SpikingBertAttention,
)
from biospike.ideal.frameworks.installed import load

Tensor = Any


def run(block: Any, x: NDArray[np.uint8], *, precision: str, calls: int) -> tuple[NDArray[np.uint8], list[float]]:
    """Output spikes of a block for spikes (T, batch, tokens, channels), and processor times of calls after a first one.

    Raises
    ------
    biospike.ideal.frameworks.installed.FrameworkMissing
        If torch or SpikingJelly is not installed.
    """
    torch = load("torch")
    torch.set_num_threads(1)
    with torch.no_grad():
        spikes = torch.as_tensor(x).to(getattr(torch, precision))
        layers = _Layers(torch, block, spikes.dtype)
        took = []
        for _ in range(1 + calls):
            before = time.process_time()
            output = _FORWARD[type(block)](layers, block, spikes)
            took.append(time.process_time() - before)
        return output.to(torch.uint8).numpy(), took[1:]


class _Layers:
    """The layers of a block in torch, and the neurons that answer them."""

    def __init__(self, torch: Any, block: Any, dtype: Any) -> None:
        self.torch, self.neuron = torch, load("spikingjelly.activation_based.neuron")
        affine = {name: one for name, one in attrs.asdict(block, recurse=False).items() if isinstance(one, Affine)}
        tensor = lambda values: torch.as_tensor(np.array(values)).to(dtype)  # noqa: E731
        self.own = {name: (tensor(one.weight.T), tensor(one.bias)) for name, one in affine.items()}
        self.scales = [tensor(scale)[:, None, None] for scale in getattr(block, "scales", ())]

    def project(self, name: str, x: Tensor) -> Tensor:
        """Currents of a layer."""
        return self.torch.nn.functional.linear(x, *self.own[name])

    def lif(self, currents: Tensor, v_th: float = 1.0) -> Tensor:
        """Spikes of leaky neurons with a hard reset."""
        return self.neuron.LIFNode(tau=2.0, v_threshold=v_th, step_mode="m")(currents)

    def integrate(self, currents: Tensor) -> Tensor:
        """Spikes of neurons without leak that keep their surplus."""
        return self.neuron.IFNode(v_reset=None, step_mode="m")(currents)

    def streams(self, names: str, x: Tensor, heads: int = 1) -> list[Tensor]:
        """Spikes of queries, keys and values (T, batch, head, token, channel of the head)."""
        return [_split(self.lif(self.project(name, x)), heads) for name in names]


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(-2, -3).flatten(-2)


def _self_attention(layers: _Layers, block: Any, x: Tensor) -> Tensor:
    q, k, v = layers.streams("qkv", x, block.heads)
    attention = layers.lif(block.scale * _merge(q @ (k.mT @ v)), 0.5)
    return layers.lif(layers.project("projection", attention))


def _token(layers: _Layers, block: Any, x: Tensor) -> Tensor:
    q, k = layers.streams("qk", x, block.heads)
    return layers.lif(layers.project("projection", _merge(layers.lif(q.sum(-1, keepdim=True), 0.5) * k)))


def _channel(layers: _Layers, _: Any, x: Tensor) -> Tensor:
    q, k = layers.streams("qk", x)
    return layers.lif(layers.project("projection", _merge(layers.lif(q.sum(-2, keepdim=True), 0.5) * k)))


def _driven(layers: _Layers, _: Any, x: Tensor) -> Tensor:
    q, k, v = layers.streams("qkv", x)
    return _merge(q * layers.lif((k * v).sum(-2, keepdim=True), 0.5))


def _dual(layers: _Layers, block: Any, x: Tensor) -> Tensor:
    patches = x[:, :, block.patches].flatten(3)
    y1, y2 = _split(layers.project("y", patches), block.heads).split(block.width, dim=-1)
    c1, c2 = layers.scales
    attention = layers.lif(c1 * (y1 @ _split(x, block.heads).mT))
    return _merge(layers.lif(c2 * (attention.mT @ y2)))


def _bert(layers: _Layers, block: Any, x: Tensor) -> Tensor:
    k, v = (_split(layers.integrate(layers.project(name, x)), block.heads) for name in "kv")
    scores = _split(layers.project("q", x), block.heads) @ k.mT / math.sqrt(block.channels // block.heads)
    return layers.integrate(_merge(scores.softmax(-1) @ v))


_FORWARD: dict[type, Any] = {
    SpikformerSSA: _self_attention,
    QKTokenAttention: _token,
    QKChannelAttention: _channel,
    SpikeDrivenAttention: _driven,
    DualSpikeAttention: _dual,
    SpikingBertAttention: _bert,
}
