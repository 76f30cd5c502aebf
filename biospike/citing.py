"""What to cite for what was used: entries of ``references.bib``, named by the circuits themselves."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import attrs

from biospike.errors import InputError
from biospike.recording import versions

ALWAYS = ("biospike", "stimberg2019", "salmon2011")
"""Cited for every run: this project, the simulator that it stands on, and the random numbers."""
_ENTRY = re.compile(r"^@\w+\{(\w+),.*?^\}$", re.MULTILINE | re.DOTALL)


@functools.cache
def bibliography() -> dict[str, str]:
    """BibTeX entries by their keys."""
    text = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    return {entry[1]: entry[0].replace("VERSION", versions()["biospike"]) for entry in _ENTRY.finditer(text)}


def cite(*used: Any) -> str:
    """Return the BibTeX of what was used.

    Parameters
    ----------
    *used
        Circuits or blocks, or their classes, such as ``Race`` or ``SpikingAttention(...)``; what a block is made of is
        cited too. Nothing for the project, its simulator and its random numbers alone, which are always among them.

    Returns
    -------
    str
        Entries, each once, an empty line between them.

    Raises
    ------
    InputError
        If something has no `references`.

    Examples
    --------
    >>> from circuits.softmax import Race
    >>> print(cite(Race).count("@"))
    5
    """
    keys = dict.fromkeys(ALWAYS)
    for one in used:
        if not hasattr(one, "references"):
            raise InputError(f"{one!r} is no circuit: cite takes circuits and blocks, or their classes")
        keys |= dict.fromkeys(_keys(one))
    return "\n\n".join(bibliography()[key] for key in keys) + "\n"


def _keys(one: Any) -> list[str]:
    """Keys of a circuit or block, then of the circuits that it is made of."""
    found = list(one.references)
    if not isinstance(one, type) and attrs.has(type(one)):
        for field in attrs.fields(type(one)):
            value = getattr(one, field.name)
            parts = value if isinstance(value, tuple) else (value,)
            found += [key for part in parts if hasattr(part, "references") for key in _keys(part)]
    return found
