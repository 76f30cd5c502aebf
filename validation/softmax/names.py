"""Circuits by their names, and by those of their groups."""

from __future__ import annotations

from collections.abc import Iterable

from biospike.errors import InputError
from circuits.softmax import GROUPS, SOFTMAX_CIRCUITS
from validation.study.options import member


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
