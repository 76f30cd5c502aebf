"""The attention blocks of published spiking transformers as networks, one model a file.

Each holds its reference of `biospike.ideal.attention` as its parameters, and gives the same spikes on every target.
"""

from circuits.transformers.qkformer import QKChannelCircuit, QKFormerCircuit, QKTokenCircuit
from circuits.transformers.spike_driven import SpikeDrivenCircuit
from circuits.transformers.spiked_attention import SpikeSoftmaxCircuit
from circuits.transformers.spikformer import SpikformerCircuit
from circuits.transformers.spikingbert import SpikingBertCircuit
from circuits.transformers.spikingresformer import DualSpikeCircuit

__all__ = [
    "DualSpikeCircuit",
    "QKChannelCircuit",
    "QKFormerCircuit",
    "QKTokenCircuit",
    "SpikeDrivenCircuit",
    "SpikeSoftmaxCircuit",
    "SpikformerCircuit",
    "SpikingBertCircuit",
]
