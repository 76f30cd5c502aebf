"""Options that studies share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from biospike.errors import InputError
from biospike.execution import OF_BRIAN2
from biospike.random import SEEDS

Preset = TypeVar("Preset")


def member(option: str, value: str, accepted: Iterable[str], *, otherwise: str = "unknown", cutoff: float = 0.6) -> str:
    """Return `value` if it is one of those that are accepted.

    Raises
    ------
    InputError
        Naming the option, the value, the nearest that would be accepted, and all of them; `otherwise` says what the
        value is if it is none of them.
    """
    names = list(accepted)
    if value in names:
        return value
    near = difflib.get_close_matches(value, names, n=1, cutoff=cutoff)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"{option} {value}: {otherwise}{hint}; accepted: {', '.join(names)}")


def members(option: str, values: Sequence[str], accepted: Iterable[str], *, otherwise: str = "unknown") -> None:
    """Raise `InputError`, as `member` does, unless there are values and all are accepted."""
    names = list(accepted)
    if not values:
        raise InputError(f"{option} needs at least one of {', '.join(names)}")
    for value in values:
        member(option, value, names, otherwise=otherwise)


def check_seed(seed: int) -> None:
    """Raise `InputError` unless the seed is one that simulations take."""
    if not 0 <= seed < SEEDS:
        raise InputError(f"--seed {seed} must be in [0, {SEEDS})")


def preset_of(presets: Mapping[str, Preset], *, preset: str, target: str, seed: int) -> Preset:
    """Return what a preset stands for, of a study that Brian2's own targets run.

    Raises
    ------
    InputError
        If preset, target or seed is none, naming the value and what is accepted.
    """
    member("--preset", preset, presets)
    member("--target", target, OF_BRIAN2)
    check_seed(seed)
    return presets[preset]
