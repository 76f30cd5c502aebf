"""Brian2's runtime targets (numpy, cython): the same circuits inside this process, for tests and small studies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.session import own_session as preferences
from biospike.standalone import Buildable, Sized

import brian2 as b2


def assign(network: b2.Network, state: dict[str, Any]) -> None:
    """Set the variables ``group.name`` of a network from values in SI base units."""
    for name, value in state.items():
        group, variable = name.split(".")
        target = network[group]
        length = target.variables[variable].size
        values = np.broadcast_to(np.asarray(value).ravel(), (length,))
        setattr(target, f"{variable}_", values[0] if target.variables[variable].scalar else values)


def run(
    circuit: Buildable,
    shape: Sized,
    state: dict[str, Any],
    *,
    dt: float,
    duration: float,
    wanted: list[str],
    target: str,
) -> dict[str, NDArray[Any]]:
    """Build, start and read a circuit in this process; arguments and results as `biospike.standalone.run`."""
    with preferences(target, dt):
        network = circuit.build(shape)
        assign(network, state)
        network.run(duration * b2.second, namespace={})
        results = {}
        for name in wanted:
            group, variable = name.split(".")
            results[name] = np.array(getattr(network[group], f"{variable}_")[:])
        return results
