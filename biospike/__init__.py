"""biospike: a biophysical reference simulator for spiking attention."""

from biospike import isolation as isolation  # first: it imports Brian2
from biospike.errors import InputError, InputWarning
from biospike.neurons import LIF
from biospike.recording import load, save
from biospike.rows import rows_of
from biospike.shadows import refuse_shadows
from biospike.simulation import simulate

refuse_shadows()

__all__ = ["LIF", "InputError", "InputWarning", "load", "rows_of", "save", "simulate"]
