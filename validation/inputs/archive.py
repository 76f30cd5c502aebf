"""The arrays of an ``.npz`` file, each taken once under any of its names; whatever is left over is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError

Value = TypeVar("Value")


class Archive:
    """Arrays by their names, with or without the path of a module before it, as in ``layer.0.attn.in_proj_bias``."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.left = dict(arrays)
        self.names = list(arrays)

    def take(self, readers: Mapping[str, Callable[[str, NDArray[Any]], Value]]) -> Value | None:
        """Return what the file says of one thing, or None.

        Parameters
        ----------
        readers
            By name: what makes the value of the name, as it is in the file, and its array.

        Raises
        ------
        InputError
            If two names say different things.
        """
        found: dict[str, Value] = {}
        for name in list(self.left):
            known = next((known for known in readers if name == known or name.endswith(f".{known}")), None)
            if known is not None:
                found[name] = readers[known](name, self.left.pop(name))
        if not found:
            return None
        first, *others = found
        for name in others:
            if not same(found[first], found[name]):
                raise InputError(f"{first} and {name} disagree; leave one of them out")
        return found[first]

    def require_nothing_left(self, understood: Iterable[str]) -> None:
        """Raise `InputError` if there is an array that nobody has taken."""
        if self.left:
            left = ", ".join(sorted(self.left))
            raise InputError(
                f"{left}: not understood here; rename or leave out, understood are {', '.join(understood)}"
            )


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, also of tuples that hold arrays."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(np.array_equal(one, other))


def whole_number(name: str, value: NDArray[Any]) -> int:
    """A single whole number."""
    if value.dtype.kind not in "iu" or value.size != 1:
        raise InputError(f"{name} must be a whole number, got {value.dtype} {value.shape}")
    return int(value.ravel()[0])


def flag(name: str, value: NDArray[Any]) -> bool:
    """A single truth value."""
    if value.size != 1 or value.dtype.kind not in "biuf" or value.ravel()[0] not in (0, 1):
        raise InputError(f"{name} must be True or False, got {value.dtype} {value.shape}")
    return bool(value.ravel()[0])


def finite_number(name: str, value: NDArray[Any]) -> float:
    """A single finite number."""
    if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise InputError(f"{name} must be a finite number, got {value.dtype} {value.shape}")
    return float(value.ravel()[0])


HEADS = dict.fromkeys(("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead"), whole_number)
CAUSAL = dict.fromkeys(("causal", "is_causal"), flag)
SCALE = dict.fromkeys(("score_scale", "scale", "scaling", "softmax_scale"), finite_number)
