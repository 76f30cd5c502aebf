"""Target ``fused``: kernels written by hand that find exactly the spikes of the Brian2 network, in a part of its time.

A circuit class that has a kernel names it in `Circuit.fused`, for itself and not for classes derived from it: those may
have other equations. A block of circuits has one if its own class and those of all its `fused_parts` do. What is run
is the state that the network would start from, and what comes back are its counts. The published blocks of
`circuits.transformers` are made of `biospike.fused.layers`, without a state.

That they are equal is held three times: the kernels keep the arithmetic of the generated code, or prove where they
leave it that no spike can move (``kernels/charge.h``, ``kernels/block.h``); the test suite compares them with the
networks on random shapes and parameters; and `biospike.fused.replay`, in every process that uses one, runs a cut batch
by both.

Target ``continuous`` is another matter: the same law as dt goes to 0, with other spikes, by name only.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.fused import block
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
    "run_circuit",
    "source_digest",
]

TARGETS = ("fused", "continuous")
CONTINUOUS = {"race": "race_continuous", "pinned": "pinned_continuous"}
"""Of a kernel, the one of the same law without a grid."""


def kernel_of(circuit: Any) -> str | None:
    """Kernel of exactly this class of circuit, and of its parts, or None."""
    lacks = any(kernel_of(part) is None for part in parts_of(circuit))
    return None if lacks else vars(type(circuit)).get("fused")


def parts_of(circuit: Any) -> tuple[Any, ...]:
    """Circuits and encoders within a block, each with a kernel of its own."""
    return getattr(circuit, "fused_parts", ())


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
        within = "".join(f", {part.name}" for part in parts_of(circuit))
        raise InputError(
            f"target '{target}' has no kernel for {circuit.name} ({type(circuit).__name__}{within}): take 'auto' or "
            "another"
        )
    if reason := obstacle():
        raise BuildError(reason)
    return kernel


def run_circuit(
    circuit: Any, target: str, shape: Any, state: dict[str, Any], *, dt: float, steps: int
) -> dict[str, NDArray[Any]]:
    """Run the kernel of a circuit or block on the state that its network would start from.

    Raises
    ------
    InputError, BuildError
        As `check`.
    biospike.errors.RunError
        If a value does not fit, or a variable is not finite at the end.
    """
    kernel = check(circuit, target)
    if kernel in KERNELS:
        return run(kernel, shape, state, dt=dt, steps=steps)
    parts = [str(kernel_of(part)) for part in parts_of(circuit)]
    return block.run(parts, circuit.structure, shape, state, dt=dt, steps=steps)
