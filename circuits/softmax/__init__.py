"""The normalisation circuits: one a file, found by the registry.

Adding a circuit is adding a file here that defines a `biospike.circuit.Circuit` with a `name`.
"""

from __future__ import annotations

import importlib
import pkgutil

from biospike.circuit import Circuit


def _find() -> dict[str, type[Circuit]]:
    found: dict[str, type[Circuit]] = {}
    for module in pkgutil.iter_modules(__path__):
        for kind in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, Circuit) and kind is not Circuit:
                found[kind.name] = kind
    return dict(sorted(found.items()))


SOFTMAX_CIRCUITS: dict[str, type[Circuit]] = _find()
globals().update({kind.__name__: kind for kind in SOFTMAX_CIRCUITS.values()})
