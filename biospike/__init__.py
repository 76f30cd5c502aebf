"""biospike: a biophysical reference simulator for spiking attention."""

from biospike.recording import load, save
from biospike.simulation import simulate

__all__ = ["load", "save", "simulate"]
