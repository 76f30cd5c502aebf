"""The published blocks at their published sizes: target fused, and SpikingJelly's neurons with torch's products.

Every peer runs the same spikes through the same weights, in a process of its own, once and then a few times by the
clock. Output spikes of target fused must be those of the formula in NumPy, every one where all arithmetic is the
formula's; torch's may differ in the few whose membrane is within rounding of the threshold.
"""

from __future__ import annotations

import importlib.util
import resource
import time
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import fused
from biospike.ideal.attention import (
    Affine,
    DualSpikeAttention,
    QKChannelAttention,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
    SpikingBertAttention,
    project,
)
from circuits.transformers import (
    DualSpikeCircuit,
    QKChannelCircuit,
    QKTokenCircuit,
    SpikeDrivenCircuit,
    SpikformerCircuit,
    SpikingBertCircuit,
)
from validation.speed.process import PeerError

FUSED = "fused"
PUBLISHED_PEERS = {
    FUSED: "biospike, fused",
    "float64": "SpikingJelly and torch, float64",
    "float32": "SpikingJelly and torch, float32",
}
RATE = 0.2
"""Of the inputs, and about that of every layer."""
CALLS = 5
DIFFERENT = {FUSED: 0.0, "float64": 1e-4, "float32": 1e-2}
"""Part of the output spikes that may differ from those of the formula: torch adds in another order."""
TIES = 1e-4
"""The same of target fused where its exponentials are divided in another order than the formula's."""


@attrs.frozen(kw_only=True)
class Published:
    """A block at its published size.

    Attributes
    ----------
    label : str
    reference, circuit : type
    tokens, channels, heads, steps : int
    """

    label: str
    reference: type
    circuit: Any
    tokens: int
    channels: int
    heads: int
    steps: int = 4

    def made(self, seed: int) -> tuple[Any, NDArray[np.uint8]]:
        """Block and input spikes (T, 1, tokens, channels)."""
        rng = np.random.default_rng([seed, self.tokens, self.channels])
        x = (rng.random((self.steps, 1, self.tokens, self.channels)) < RATE).astype(np.uint8)
        if self.reference is DualSpikeAttention:
            return self._dual(rng, x), x
        fields = [field.name for field in attrs.fields(self.reference)]
        integrates = self.reference is SpikingBertAttention
        layers = {name: _layer(rng, x, integrates) for name in fields if name in ("q", "k", "v", "projection")}
        return self.reference(**layers, **({"heads": self.heads} if "heads" in fields else {})), x

    def _dual(self, rng: np.random.Generator, x: NDArray[np.uint8]) -> DualSpikeAttention:
        p, side = 4, int(self.tokens**0.5)
        features = p * p * self.channels
        weight = rng.normal(0, (RATE * features) ** -0.5, (features, 2 * self.channels))
        y, rates = Affine(weight, np.full(2 * self.channels, 0.5)), np.full(self.heads, RATE)
        return DualSpikeAttention(y=y, heads=self.heads, p=p, size=(side, side), rate_x=rates, rate_a=rates)


def _layer(rng: np.random.Generator, x: NDArray[np.uint8], integrates: bool) -> Affine:
    """Normal weights, and a bias with which about `RATE` of the neurons reach their threshold in a step."""
    channels = x.shape[-1]
    weight = rng.normal(0, (RATE * channels) ** -0.5, (channels, channels)) * (0.2 if integrates else 1.0)
    currents = project(x[:1, :, :32], Affine(weight, np.zeros(channels)))
    # A leaky neuron at rest needs a current of tau thresholds, one without leak charges by its mean.
    bias = RATE - currents.mean() if integrates else 2.0 - np.quantile(currents, 1 - RATE)
    return Affine(weight, np.full(channels, bias))


PUBLISHED = {
    "qkta": Published(label="QKFormer QKTA", reference=QKTokenAttention, circuit=QKTokenCircuit,
                      tokens=1024, channels=96, heads=8),
    "qkca": Published(label="QKFormer QKCA", reference=QKChannelAttention, circuit=QKChannelCircuit,
                      tokens=256, channels=192, heads=1),
    "ssa": Published(label="Spikformer SSA", reference=SpikformerSSA, circuit=SpikformerCircuit,
                     tokens=64, channels=384, heads=12),
    "dssa": Published(label="SpikingResformer DSSA", reference=DualSpikeAttention, circuit=DualSpikeCircuit,
                      tokens=64, channels=64, heads=1),
    "sdsa": Published(label="Spike-driven SDSA", reference=SpikeDrivenAttention, circuit=SpikeDrivenCircuit,
                      tokens=196, channels=768, heads=8),
    "spikingbert": Published(label="SpikingBERT", reference=SpikingBertAttention, circuit=SpikingBertCircuit,
                             tokens=64, channels=768, heads=12, steps=100),
}  # fmt: skip


def missing(peer: str) -> str:
    """Which package a peer lacks; empty if none."""
    needed = () if peer == FUSED else ("torch", "spikingjelly")
    return next((name for name in needed if importlib.util.find_spec(name) is None), "")


def run_peer(peer: str, case: Published, seed: int, calls: int = CALLS) -> dict[str, float]:
    """Run a block on one core.

    Returns
    -------
    dict
        ``call_cpu_s``, median processor time of a call after a first one; ``above_mib``, peak memory of the process
        above what it had before the first; ``different``, part of the output spikes that the formula does not have;
        ``rate`` of these.

    Raises
    ------
    PeerError
        If more spikes differ than `DIFFERENT` says, or the output is silent.
    """
    block, x = case.made(seed)
    if peer == FUSED:
        fused.library()
        before = _peak_mib()
        output, took = _kernels(case.circuit(block), x, calls)
    else:
        from validation.speed.peers import torch_published  # noqa: PLC0415

        importlib.import_module("torch")
        before = _peak_mib()
        output, took = torch_published.run(block, x, precision=peer, calls=calls)
    above = _peak_mib() - before
    expected = block.run(x).output
    different = float(np.mean(output != expected))
    allowed = TIES if peer == FUSED and isinstance(block, SpikingBertAttention) else DIFFERENT[peer]
    if different > allowed:
        raise PeerError(f"{different:.3g} of its output spikes are not those of the formula")
    if not 0.01 < expected.mean() < 0.9:
        raise PeerError(f"{case.label} fires at a rate of {expected.mean():.2g}")
    figures = {"call_cpu_s": float(np.median(took)), "above_mib": above, "different": different}
    return figures | {"rate": float(output.mean())}


def _kernels(circuit: Any, x: NDArray[np.uint8], calls: int) -> tuple[NDArray[np.uint8], list[float]]:
    took = []
    for _ in range(1 + calls):
        before = time.process_time()
        output = circuit.run(x, "fused", check=False)["output"]
        took.append(time.process_time() - before)
    return output, took[1:]


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
