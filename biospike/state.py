"""What a run starts from and ends with: every constant is set, every value fits its variable and stays finite.

Brian2 fills what nobody sets with zeros, wraps integers that are too large, and goes on with NaN. All targets ask the
same questions here, with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from biospike.errors import RunError

import brian2 as b2
from brian2.core.variables import ArrayVariable, DynamicArrayVariable
from brian2.equations.equations import PARAMETER

KEPT = re.compile(r"hub_index|occupied|bit|polarity|seed|trial|index|checkpoint_\d+")
"""Constants that the wiring and the bookkeeping of the kernel set, or whose 0 has a meaning."""


CIRCUIT_GROUPS = ("keys", "hub", "interneurons")
"""How the names of the groups end whose equations a circuit writes; a bias that is 0 elsewhere need not be set."""


def constants(network: b2.Network) -> list[str]:
    """Parameters ``group.variable`` of `CIRCUIT_GROUPS` that are declared constant: a state must set them."""
    return sorted(
        f"{group.name}.{name}"
        for group in network.objects
        if isinstance(group, b2.NeuronGroup) and group.name.endswith(CIRCUIT_GROUPS)
        for name, equation in group.equations.items()
        if equation.type == PARAMETER and "constant" in equation.flags and not KEPT.fullmatch(name)
    )


def changing(network: b2.Network) -> list[str]:
    """Real variables ``group.variable`` of neurons that a run may change."""
    return sorted(
        f"{group.name}.{name}"
        for group in network.objects
        if isinstance(group, b2.NeuronGroup)
        for name, equation in group.equations.items()
        if isinstance(variable := group.variables[name], ArrayVariable)
        and not isinstance(variable, DynamicArrayVariable)
        and variable.owner.name == group.name
        and np.issubdtype(variable.dtype, np.floating)
        and not (equation.type == PARAMETER and "constant" in equation.flags)
    )


def check_set(circuit: str, needed: Iterable[str], state: Mapping[str, Any]) -> None:
    """Raise `RunError` if a constant is missing in the state."""
    missing = [name for name in needed if name not in state]
    if missing:
        raise RunError(f"{circuit}: nobody set {', '.join(missing)}, declared constant: give it in the circuit's state")


def fitting(name: str, value: ArrayLike, dtype: DTypeLike, length: int) -> NDArray[Any]:
    """Return initial values in the type and length of their variable.

    Parameters
    ----------
    name
        Variable ``group.variable``.
    value
        One number, or as many as there are neurons, in SI base units.
    dtype, length
        Of the variable; a length of 0 is not known beforehand.

    Raises
    ------
    RunError
        If the number of values differs, or one of them is NaN or does not fit the type, such as 2**31 in 32 bits.
    """
    values = np.asarray(value).ravel()
    if length and values.size not in (1, length):
        raise RunError(f"{name}: expected 1 or {length} values, got {values.size}")
    with np.errstate(invalid="ignore"):
        cast = values.astype(dtype)
    # Real variables may round; those that count and choose may not.
    wrong = np.isnan(cast) if cast.dtype.kind == "f" else cast != values
    if np.any(wrong):
        raise RunError(f"{name}: {values[wrong][0]} is no value of the type {np.dtype(dtype)}")
    return np.broadcast_to(cast, (length or values.size,))


def check_finite(circuit: str, ending: Mapping[str, NDArray[Any]]) -> None:
    """Raise `RunError` if a variable is not finite at the end of a run."""
    for name, values in ending.items():
        wrong = ~np.isfinite(values)
        if wrong.any():
            first = int(np.argmax(wrong.ravel()))
            raise RunError(
                f"{circuit}: {name} is not finite at the end of the run: {values.ravel()[first]} in neuron {first}, "
                f"and in {wrong.sum()} of {values.size}"
            )
