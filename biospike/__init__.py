"""biospike: a biophysical reference simulator for spiking attention."""

from biospike.neurons import LIF
from biospike.recording import load, save
from biospike.simulation import simulate

__all__ = ["LIF", "load", "save", "simulate"]
