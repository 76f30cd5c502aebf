"""Options that studies share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from biospike.errors import InputError


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
