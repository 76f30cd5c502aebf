"""The normalisation circuits: one a file, found by the registry.

Adding a circuit is adding a file here that defines a `biospike.circuit.Circuit` with a `name`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator

from biospike.circuit import Circuit


def register(kinds: Iterable[type[Circuit]]) -> dict[str, type[Circuit]]:
    """Circuits by name, sorted.

    Raises
    ------
    TypeError
        If two of them have one name: results of one would pass for those of the other.
    """
    found: dict[str, type[Circuit]] = {}
    for kind in kinds:
        other = found.setdefault(kind.name, kind)
        if other is not kind:
            raise TypeError(
                f"two circuits are named {kind.name!r}: {other.__module__}.{other.__qualname__} and "
                f"{kind.__module__}.{kind.__qualname__}; give one of them another name"
            )
    return dict(sorted(found.items()))


def _find() -> Iterator[type[Circuit]]:
    for module in pkgutil.iter_modules(__path__):
        for kind in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, Circuit) and kind is not Circuit:
                yield kind


SOFTMAX_CIRCUITS: dict[str, type[Circuit]] = register(_find())
globals().update({kind.__name__: kind for kind in SOFTMAX_CIRCUITS.values()})
