"""The attention blocks of published spiking transformers as networks, one model a file.

Each holds its reference of `biospike.ideal.attention` as its parameters, and gives the same spikes on every target.
`Membranes` are what to run a reference with, in the place of its discrete neurons.
"""

from circuits.transformers.membranes import Membranes
from circuits.transformers.qkformer import QKChannelCircuit, QKFormerCircuit, QKTokenCircuit
from circuits.transformers.spike_driven import SpikeDrivenCircuit
from circuits.transformers.spiked_attention import SpikeSoftmaxCircuit
from circuits.transformers.spikformer import SpikformerCircuit
from circuits.transformers.spikingbert import SpikingBertCircuit
from circuits.transformers.spikingresformer import DualSpikeCircuit

__all__ = [
    "DualSpikeCircuit",
    "Membranes",
    "QKChannelCircuit",
    "QKFormerCircuit",
    "QKTokenCircuit",
    "SpikeDrivenCircuit",
    "SpikeSoftmaxCircuit",
    "SpikformerCircuit",
    "SpikingBertCircuit",
]
