"""biospike: a biophysical reference simulator for spiking attention."""

import importlib
from typing import Any

from biospike import isolation as isolation  # first: it imports Brian2
from biospike.errors import InputError, InputWarning
from biospike.neurons import LIF
from biospike.recording import load, save, versions
from biospike.rows import rows_of
from biospike.shadows import refuse_shadows
from biospike.simulation import simulate

refuse_shadows()

__version__ = versions()["biospike"]

__all__ = ["LIF", "InputError", "InputWarning", "load", "rows_of", "save", "simulate"]

LATER = {
    "summarise": "biospike.tables",
    "converge": "biospike.tables",
    "record": "biospike.row_recording",
    "cite": "biospike.citing",
    "check_circuit": "biospike.checking",
    "audit": "biospike.auditing.run",
}


def __getattr__(name: str) -> Any:
    """What a simulation does not need, such as tables and pandas, is imported when it is asked for."""
    if name in LATER:
        return getattr(importlib.import_module(LATER[name]), name)
    raise AttributeError(f"module 'biospike' has no attribute {name!r}")
