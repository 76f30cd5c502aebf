"""The normalisation circuits, one a file.

Adding a circuit is adding a file here that defines a `biospike.circuit.Circuit` with a `name`: the registry finds it.
The shipped ones are imported by name, so that type checkers and editors see them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from typing import TypeGuard

from biospike.circuit import Circuit
from circuits.softmax.adex import AdEx
from circuits.softmax.conductance import Conductance
from circuits.softmax.depressing import Depressing
from circuits.softmax.diffusive import Diffusive
from circuits.softmax.divisive import Divisive
from circuits.softmax.escape import Escape
from circuits.softmax.gate import CommonGate
from circuits.softmax.hodgkin_huxley import HodgkinHuxley
from circuits.softmax.integrate import Integrate
from circuits.softmax.interneuron_pool import InterneuronPool
from circuits.softmax.interneurons import Interneurons
from circuits.softmax.none import NoInhibition
from circuits.softmax.populations import Populations
from circuits.softmax.presynaptic import Presynaptic
from circuits.softmax.race import Race
from circuits.softmax.self_inhibition import SelfInhibition
from circuits.softmax.shunting import Shunting
from circuits.softmax.subtractive import Subtractive
from circuits.softmax.threshold_linear import ThresholdLinear

__all__ = [
    "COMMON_GATES",
    "GROUPS",
    "SOFTMAX_CIRCUITS",
    "THRESHOLD_LINEAR",
    "AdEx",
    "CommonGate",
    "Conductance",
    "Depressing",
    "Diffusive",
    "Divisive",
    "Escape",
    "HodgkinHuxley",
    "Integrate",
    "InterneuronPool",
    "Interneurons",
    "NoInhibition",
    "Populations",
    "Presynaptic",
    "Race",
    "SelfInhibition",
    "Shunting",
    "Subtractive",
    "ThresholdLinear",
]


ENTRY_POINTS = "biospike.circuits"


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


def _is_circuit(kind: object) -> TypeGuard[type[Circuit]]:
    return isinstance(kind, type) and issubclass(kind, Circuit) and not inspect.isabstract(kind)


def _installed() -> Iterator[type[Circuit]]:
    """Circuits that other distributions register under `ENTRY_POINTS`; of one that fails a warning says so."""
    for point in entry_points(group=ENTRY_POINTS):
        if point.module.partition(".")[0] == __package__.partition(".")[0]:
            continue  # ours, which are registered for others to find
        try:
            kind = point.load()
        except Exception as error:
            warnings.warn(f"{ENTRY_POINTS}: {point.name} = {point.value} cannot be loaded: {error}", stacklevel=2)
            continue
        if not _is_circuit(kind):
            warnings.warn(f"{ENTRY_POINTS}: {point.name} = {point.value} is no circuit", stacklevel=2)
            continue
        yield kind


def _find() -> Iterator[type[Circuit]]:
    """Circuits of every module of this folder, the shipped ones and any further file; what is abstract is none."""
    for module in pkgutil.iter_modules(__path__):
        for kind in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if _is_circuit(kind):
                yield kind
    yield from _installed()


SOFTMAX_CIRCUITS: dict[str, type[Circuit]] = register(_find())
GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(name for name, kind in SOFTMAX_CIRCUITS.items() if kind.group == group)
    for group in dict.fromkeys(kind.group for kind in SOFTMAX_CIRCUITS.values())
}
"""Names of the circuits of each group: the seven, the controls that they are held against, and the microcircuits."""
COMMON_GATES: dict[str, type[CommonGate]] = {
    name: kind for name, kind in SOFTMAX_CIRCUITS.items() if issubclass(kind, CommonGate)
}
"""Those whose limit is softmax wherever the level of the logits lies."""
THRESHOLD_LINEAR: dict[str, type[ThresholdLinear]] = {
    name: kind for name, kind in SOFTMAX_CIRCUITS.items() if issubclass(kind, ThresholdLinear)
}
"""Those whose inhibition is subtracted, and whose drive must be told the level of the logits."""
