"""Circuits by name, by group, or from a file that the user names."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from biospike.circuit import Circuit
from biospike.errors import InputError
from circuits.softmax import GROUPS, SOFTMAX_CIRCUITS
from validation.study.options import member

FROM_FILE = re.compile(r"\.py:")


def named_circuits(option: str, names: Iterable[str]) -> list[str]:
    """Names of circuits, each once, in the order given; a group stands for its circuits.

    Raises
    ------
    InputError
        If a name is none of a circuit or a group, or there is none.
    """
    found: dict[str, None] = {}
    for name in names:
        member(option, name, (*SOFTMAX_CIRCUITS, *GROUPS), otherwise="unknown circuit")
        found |= dict.fromkeys(GROUPS.get(name, (name,)))
    if not found:
        raise InputError(f"{option} needs at least one of {', '.join((*SOFTMAX_CIRCUITS, *GROUPS))}")
    return list(found)


def chosen_circuits(option: str, names: Iterable[str]) -> dict[str, type[Circuit]]:
    """Circuits by their own names, each once, in the order given.

    Parameters
    ----------
    option
        As it stands on the command line, for errors.
    names
        As of `named_circuits`, or ``FILE.py:CLASS``, which is executed, with a line that says so.

    Raises
    ------
    InputError
        As `named_circuits` and `circuit_of_file`, and if two circuits have one name.
    """
    found: dict[str, type[Circuit]] = {}
    for name in list(names) or named_circuits(option, ()):
        kinds = (
            [circuit_of_file(option, name)]
            if FROM_FILE.search(name)
            else [SOFTMAX_CIRCUITS[one] for one in named_circuits(option, (name,))]
        )
        for kind in kinds:
            if found.setdefault(kind.name, kind) is not kind:
                raise InputError(f"{option} {name}: a circuit of another class is named {kind.name!r} too")
    return found


def circuit_of_file(option: str, named: str) -> type[Circuit]:
    """Class that ``FILE.py:CLASS`` names. The file is executed; other processes import it from its folder.

    Raises
    ------
    InputError
        If there is no such file, it fails, or it defines no such circuit; naming those that it defines.
    """
    place, _, name = named.rpartition(":")
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise InputError(f"{option} {named}: there is no file {path}")
    module = path.stem
    if not module.isidentifier():
        raise InputError(f"{option} {named}: a file that is imported needs a name such as my_circuit.py")
    known = importlib.util.find_spec(module) if module not in sys.modules else sys.modules[module].__spec__
    if known is not None and Path(known.origin or "").resolve() != path:
        raise InputError(f"{option} {named}: another module is named {module} ({known.origin}); rename the file")
    print(f"note: {path} is executed, for its class {name}", file=sys.stderr)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last: nothing beside the file hides a module
    importlib.invalidate_caches()
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        raise InputError(f"{option} {named}: {type(error).__name__}: {error}") from error
    defined = {
        own: kind
        for own, kind in vars(loaded).items()
        if isinstance(kind, type) and issubclass(kind, Circuit) and not inspect.isabstract(kind)
    }
    kind = defined[member(f"{option} {place}:", name, defined, otherwise="no circuit of that file")]
    if kind.name in SOFTMAX_CIRCUITS and SOFTMAX_CIRCUITS[kind.name] is not kind:
        raise InputError(f"{option} {named}: {kind.name!r} is the name of another circuit; give the class its own")
    return kind
