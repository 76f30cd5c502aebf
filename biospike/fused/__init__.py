"""Target ``fused``: kernels written by hand that find exactly the spikes of the Brian2 network, in a part of its time.

A circuit class that has a kernel names it in `Circuit.fused`, for itself and not for classes derived from it: those may
have other equations. What is run is the state that the network would start from, and what comes back are its counts.

That they are equal is held three times: the kernels keep the arithmetic of the generated code, or prove where they
leave it that no spike can move (``kernels/charge.h``); the test suite compares them with the networks on random shapes
and parameters; and `biospike.fused.replay`, in every process that uses one, runs a cut batch by both.

Target ``continuous`` is another matter: the same law as dt goes to 0, with other spikes, by name only.
"""

from __future__ import annotations

from typing import Any

from biospike.errors import InputError
from biospike.fused.compiled import is_built, library, obstacle, source_digest
from biospike.fused.rows import KERNELS, run
from biospike.standalone import BuildError

__all__ = [
    "KERNELS",
    "TARGETS",
    "check",
    "is_built",
    "is_for",
    "kernel_of",
    "library",
    "obstacle",
    "run",
    "source_digest",
]

TARGETS = ("fused", "continuous")
CONTINUOUS = {"race": "race_continuous", "pinned": "pinned_continuous"}
"""Of a kernel, the one of the same law without a grid."""


def kernel_of(circuit: Any) -> str | None:
    """Kernel of exactly this class of circuit, or None."""
    return vars(type(circuit)).get("fused")


def is_for(circuit: Any) -> bool:
    """Whether a kernel finds the spikes of this circuit on this machine."""
    return kernel_of(circuit) is not None and obstacle() is None


def check(circuit: Any, target: str = "fused") -> str:
    """Kernel of a circuit for a target that is asked for by name.

    Raises
    ------
    InputError
        If the circuit has none.
    BuildError
        If kernels cannot run on this machine.
    """
    kernel = kernel_of(circuit)
    if target == "continuous":
        kernel = CONTINUOUS.get(kernel or "")
    if kernel is None:
        raise InputError(
            f"target '{target}' has no kernel for {circuit.name} ({type(circuit).__name__}): take 'auto' or another"
        )
    if reason := obstacle():
        raise BuildError(reason)
    return kernel
