"""Write the C++ project of a circuit: `main` of a process of its own, with a request on standard input.

Code generation needs a fresh process: Brian2's device is global, and a second project in one process renames its code
objects. The request is a pickle of (circuit, shape, directory, digest of the code), made by `biospike.standalone`.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from biospike.circuit import Circuit, Shape, build_watched
from biospike.errors import BuildError
from biospike.project import Buildable, Sized
from biospike.recorder import stored
from biospike.source import code_digest
from biospike.state import changing, constants

import brian2 as b2
from brian2.core.variables import ArrayVariable, DynamicArrayVariable
from brian2.groups.group import VariableOwner
from brian2.groups.neurongroup import StateUpdater, SubexpressionUpdater

# Silent decaying traces become denormal numbers after some 700 time constants and slow a run 16 times.
FLUSH_DENORMALS = """
#if defined(__SSE2__)
_mm_setcsr(_mm_getcsr() | 0x8040);  // flush to zero, denormals are zero
#endif
"""


def _built(circuit: Buildable, shape: Sized) -> b2.Network:
    """Network of a circuit or block, whose build may read structural parameters only."""
    if not isinstance(circuit, Circuit) or not isinstance(shape, Shape):
        return circuit.build(shape)
    network, undeclared = build_watched(circuit, shape)
    if undeclared:
        raise BuildError(
            f"{circuit.name}: build reads {', '.join(sorted(undeclared))}, so that other values need other binaries: "
            "name it in `structural`, or make it a variable that `state` sets"
        )
    return network


def generate(circuit: Buildable, shape: Sized, directory: str, code: str) -> None:
    """Write the project of `circuit` into `directory`, with ``arrays.json``: what `Binary` knows of it.

    Raises
    ------
    BuildError
        If the source is not the one whose digest is `code`: the build would be kept under the name of another.
    """
    if code_digest(type(circuit)) != code:
        raise BuildError(
            f"the source of {circuit.name} or of biospike was changed since it was imported: restart Python"
        )
    b2.prefs.reset_to_defaults()  # whatever the user prefers elsewhere
    b2.set_device("cpp_standalone", build_on_run=False)
    device = b2.get_device()
    device.insert_code("before_start", FLUSH_DENORMALS)
    network = _built(circuit, shape)
    network.run(1 * b2.second, namespace={})
    device.build(directory=directory, compile=False, run=False, with_output=False)
    arrays = {
        f"{group.name}.{name}": [
            Path(device.get_array_filename(variable)).name,
            variable.dtype_str,
            0 if isinstance(variable, DynamicArrayVariable) else int(variable.size),
        ]
        for group in network.objects
        if isinstance(group, VariableOwner)
        for name, variable in group.variables.items()
        if isinstance(variable, ArrayVariable) and variable.owner.name == group.name
    }
    told = {
        "circuit": circuit.name,
        "arrays": arrays,
        "constants": constants(network),
        "changing": changing(network),
        "stored": attrs.asdict(stored(network)),
        "independent": sorted(code.name for code in _independent(network.objects)),
    }
    Path(directory, "arrays.json").write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")


def _independent(objects: Iterable[Any]) -> Iterator[Any]:
    """Code objects whose iterations each write only their own neuron: Brian2's updaters, and `each_step_of`."""
    for one in objects:
        if isinstance(one, (StateUpdater, SubexpressionUpdater)) or getattr(one, "independent", False):
            yield from one.code_objects
        yield from _independent(one.contained_objects)


def main() -> None:
    """Read the request and serve it."""
    generate(*pickle.load(sys.stdin.buffer))
