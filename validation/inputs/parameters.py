"""Parameters of circuits from the command line: ``diffusive.tau_m="10 ms" race.rate="50 Hz"``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from biospike.circuit import Circuit
from biospike.errors import InputError
from validation.study.options import member

GIVEN = re.compile(r"\s*(\w+)\s*\.\s*(\w+)\s*=(.*)", re.DOTALL)
EXAMPLE = 'CIRCUIT.PARAMETER=VALUE, such as diffusive.tau_m="10 ms"'


def with_parameters(option: str, circuits: Mapping[str, Circuit], given: Iterable[str]) -> dict[str, Circuit]:
    """Circuits with the parameters that the command line gives; the others as they were.

    Parameters
    ----------
    option
        As it stands on the command line, for errors.
    circuits
        Of the run, by name.
    given
        ``CIRCUIT.PARAMETER=VALUE``, the value as a sweep file has it: a number, or a number with its unit.

    Raises
    ------
    InputError
        If a text has another form, a circuit does not run or has no such parameter, one is given twice, or a value is
        out of range; naming what would be accepted.
    """
    values: dict[str, dict[str, Any]] = {}
    for text in given:
        match = GIVEN.fullmatch(text)
        if match is None:
            raise InputError(f"{option} {text}: expected {EXAMPLE}")
        name, parameter, value = match[1], match[2], match[3].strip()
        member(f"{option} {text}:", name, circuits, otherwise="no circuit of this run")
        known = [field.name for field in attrs.fields(type(circuits[name])) if field.init]
        member(f"{option} {text}:", parameter, known, otherwise=f"unknown parameter of {name}")
        if parameter in values.setdefault(name, {}):
            raise InputError(f"{option}: {name}.{parameter} is given twice")
        values[name][parameter] = _value(value)
    return {name: _evolved(option, circuit, values.get(name, {})) for name, circuit in circuits.items()}


def _value(text: str) -> Any:
    """Read what TOML would read, and every other text as itself: a shell has taken the quotes of ``"10 ms"``."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _evolved(option: str, circuit: Circuit, values: dict[str, Any]) -> Circuit:
    for name, value in values.items():
        if isinstance(value, (bool, dict, list)):
            raise InputError(f"{option} {circuit.name}.{name}: {value!r} is no number and no text with a unit")
    try:
        return attrs.evolve(circuit, **values)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
