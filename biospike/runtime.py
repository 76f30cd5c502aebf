"""Brian2's runtime targets (numpy, cython): the same circuits inside this process, for tests and small studies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.errors import RunError
from biospike.standalone import FLAGS, Buildable, Sized
from biospike.state import changing, check_finite, check_set, constants, fitting

import brian2 as b2
from brian2.devices.device import RuntimeDevice

_one_at_a_time = threading.Lock()
"""Brian2's device, clock and preferences are those of the process."""


@contextmanager
def preferences(target: str, dt: float) -> Iterator[None]:
    """Brian2's global settings that a number depends on, and its clock, for one run; restored afterwards.

    Raises
    ------
    RuntimeError
        If the caller has set Brian2 to a standalone device, under which nothing can run here.
    """
    if not isinstance(b2.get_device(), RuntimeDevice):
        raise RuntimeError(
            f"Brian2's device is {type(b2.get_device()).__name__}; call brian2.set_device('runtime') before simulating "
            f"with target '{target}', or use target 'cpp_standalone', which works in a process of its own"
        )
    changed = {
        "codegen.target": target,
        "codegen.cpp.extra_compile_args_gcc": list(FLAGS),
        "codegen.loop_invariant_optimisations": True,
        "core.default_float_dtype": np.float64,
        "core.default_integer_dtype": np.int32,
        "legacy.refractory_timing": False,
    }
    before = {name: b2.prefs[name] for name in changed}
    step = b2.defaultclock.dt
    try:
        for name, value in changed.items():
            b2.prefs[name] = value
        b2.defaultclock.dt = dt * b2.second
        yield
    finally:
        for name, value in before.items():
            b2.prefs[name] = value
        b2.defaultclock.dt = step


def assign(network: b2.Network, state: dict[str, Any], circuit: str = "network") -> None:
    """Set the variables ``group.name`` of a network from values in SI base units.

    Raises
    ------
    biospike.errors.RunError
        If a constant is missing, a variable does not exist, or a value does not fit; it names the circuit.
    """
    check_set(circuit, constants(network), state)
    groups = {group.name: group for group in network.objects}
    for name, value in state.items():
        group, variable = name.split(".")
        target = groups.get(group)
        if target is None or variable not in target.variables:
            raise RunError(f"{circuit}: the state sets {name}, a variable that the network does not have")
        of_target = target.variables[variable]
        values = fitting(f"{circuit}: {name}", value, of_target.dtype, int(of_target.size))
        setattr(target, f"{variable}_", values[0] if of_target.scalar else values)


def check_ending(network: b2.Network, circuit: str) -> None:
    """Raise `biospike.errors.RunError` if a variable of a network is not finite at the end of its run."""
    found = (name.split(".") for name in changing(network))
    check_finite(circuit, {f"{group}.{name}": network[group].variables[name].get_value() for group, name in found})


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
    with _one_at_a_time, preferences(target, dt):
        network = circuit.build(shape)
        assign(network, state, circuit.name)
        network.run(duration * b2.second, namespace={})
        check_ending(network, circuit.name)
        results = {}
        for name in wanted:
            group, variable = name.split(".")
            results[name] = np.array(getattr(network[group], f"{variable}_")[:])
        return results
