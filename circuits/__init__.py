"""Circuits of spiking attention, one a file: a package of biospike."""

from circuits.attention import SpikingAttention
from circuits.coincidence import Coincidence
from circuits.exponential import TaylorExponential, VetoExponential
from circuits.presentation import present
from circuits.softmax import SOFTMAX_CIRCUITS
from circuits.stack import Stack

__all__ = [
    "SOFTMAX_CIRCUITS",
    "Coincidence",
    "SpikingAttention",
    "Stack",
    "TaylorExponential",
    "VetoExponential",
    "present",
]
