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

LATE = {"summarise": "tables", "converge": "tables", "cite": "citing", "check_circuit": "checking"}
"""Modules of what is imported late."""

__all__ = ["LIF", "InputError", "InputWarning", "load", "rows_of", "save", "simulate"]


def __getattr__(name: str) -> Any:
    """What a simulation does not need is imported when it is asked for: tables, which need pandas, and the bench."""
    if name in LATE:
        return getattr(importlib.import_module(f"biospike.{LATE[name]}"), name)
    raise AttributeError(f"module 'biospike' has no attribute {name!r}")
