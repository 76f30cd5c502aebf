"""The TOML file of a sweep: what is varied, checked against its schema before anything runs.

::

    circuits = ["race", "escape"]
    logits = ["trained.npy", "random.csv"]     # paths beside this file; default: the shipped attention rows
    no_frame = true                            # optional: read all of a text file as logits, no header or index
    duration = ["0.5 s", "2 s"]
    seed = {first = 1, count = 20}             # or a list
    trials = 8

    [race]
    rate = ["100 Hz", "200 Hz"]
    t_inh = "2 ms"

    [escape]
    w = [0.05, 0.1, 0.2]

Every list is swept, and a point is one combination. Unknown keys are refused, and nothing in the file is executed.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from biospike import sweep
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.execution import TARGETS
from biospike.simulation import CHECKPOINTS
from circuits import SOFTMAX_CIRCUITS
from validation.data import attention_rows
from validation.inputs.circuits import named_circuits
from validation.inputs.logits import read_logits
from validation.study.options import member

LARGEST_FILE = 2**20
"""Bytes of a configuration; a larger file is not one."""
MOST_POINTS = 10**5
SHIPPED = "shipped"
KEYS = ("circuits", "logits", "no_frame", "duration", "seed", "trials", "checkpoints", "dt", "target")


def read_sweep(path: Path) -> list[sweep.Point]:
    """Read the points of a sweep.

    Raises
    ------
    InputError
        If the file is missing, not TOML, or not of the schema, naming key, value and what is accepted.
    """
    try:
        if not path.is_file():
            raise InputError("there is no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path.stat().st_size} bytes are no configuration, which has at most {LARGEST_FILE}")
        return points_of(tomllib.loads(path.read_text(encoding="utf-8")), path.parent)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--sweep {path}: {error}") from None


def points_of(table: dict[str, Any], folder: Path) -> list[sweep.Point]:
    """Points of a parsed file; paths are relative to `folder`."""
    known = (*KEYS, *SOFTMAX_CIRCUITS)
    for key in table:
        member("key", key, known)
    names = named_circuits("circuits", _texts("circuits", table.get("circuits", "circuit")))
    circuits: list[Circuit] = []
    for name in names:
        circuits += _circuits(name, table.get(name, {}))
    for name in SOFTMAX_CIRCUITS:
        if name in table and name not in names:
            raise InputError(f"[{name}] has parameters, but circuits does not name it")
    target = _one(table, "target", "auto", str)
    member("target", target, TARGETS)
    durations, seeds, logits = _durations(table), _seeds(table), _logits(table, folder)
    if (size := len(circuits) * len(durations) * len(seeds) * len(logits)) > MOST_POINTS:
        raise InputError(f"{size} points are more than {MOST_POINTS}")
    return sweep.grid(
        circuits,
        logits,
        durations=durations,
        seeds=seeds,
        trials=_one(table, "trials", 8, int),
        checkpoints=_one(table, "checkpoints", CHECKPOINTS, int),
        dt=_one(table, "dt", None, str),
        target=target,
    )


def _one(table: dict[str, Any], key: str, default: Any, kind: type) -> Any:
    """Return a single value of a type; whole numbers are not truth values."""
    value = table.get(key, default)
    if value is not default and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        expected = {int: "a whole number", str: "a text", bool: "true or false"}[kind]
        raise InputError(f"{key} must be {expected}, got {value!r}")
    return value


def _texts(key: str, value: Any) -> list[str]:
    """One text or a list of different ones."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise InputError(f"{key} must be a text or a list of texts, got {value!r}")
    if len(set(given)) < len(given):
        raise InputError(f"{key} names something twice: {value!r}")
    return given


def _durations(table: dict[str, Any]) -> list[str]:
    return _texts("duration", table.get("duration", "2 s"))


def _seeds(table: dict[str, Any]) -> list[int]:
    given = table.get("seed", 1)
    if isinstance(given, dict):
        if set(given) != {"first", "count"} or not all(type(value) is int for value in given.values()):
            raise InputError(f"seed must be a whole number, a list, or {{first = 1, count = 20}}, got {given!r}")
        if not 1 <= given["count"] <= MOST_POINTS:
            raise InputError(f"seed: count must be from 1 to {MOST_POINTS}, got {given['count']}")
        return list(range(given["first"], given["first"] + given["count"]))
    seeds = given if isinstance(given, list) else [given]
    if not seeds or not all(type(seed) is int for seed in seeds):
        raise InputError(f"seed must be a whole number, a list, or {{first = 1, count = 20}}, got {given!r}")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seed names one twice: {given!r}")
    return seeds


def _logits(table: dict[str, Any], folder: Path) -> dict[str, NDArray[Any]]:
    names = _texts("logits", table.get("logits", SHIPPED))
    frame = not _one(table, "no_frame", False, bool)
    return {name: attention_rows() if name == SHIPPED else read_logits(folder / name, frame=frame) for name in names}


def _circuits(name: str, given: Any) -> list[Circuit]:
    if not isinstance(given, dict):
        raise InputError(f"[{name}] must be a table of parameters, got {given!r}")
    values = {parameter: value if isinstance(value, list) else [value] for parameter, value in given.items()}
    for parameter, listed in values.items():
        if any(isinstance(value, (bool, dict, list)) for value in listed):
            raise InputError(f"[{name}] {parameter} must be numbers or texts with a unit, got {given[parameter]!r}")
    return sweep.vary(SOFTMAX_CIRCUITS[name], values)
