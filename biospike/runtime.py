"""Brian2's runtime targets (numpy, cython): the same circuits inside this process, for tests and small studies."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Circuit, Shape, build_watched
from biospike.errors import BuildError, RunError
from biospike.project import Buildable, Sized
from biospike.recorder import Request, Tape, recording, stored
from biospike.session import own_session as preferences
from biospike.state import changing, check_finite, check_set, constants, fitting

import brian2 as b2
from brian2.core.base import BrianObjectException
from brian2.utils.logger import std_silent


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
        if isinstance(value, b2.Quantity) and not b2.have_same_dimensions(value, b2.Quantity(1, dim=of_target.dim)):
            raise RunError(f"{circuit}: the state sets {name} to {value}, whose unit is not that of the variable")
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
    """Build, start and read a circuit in this process; arguments and results as `biospike.standalone.run`.

    Raises
    ------
    BuildError
        If a compiler that the target needs fails, with the last line that it printed.
    RunError
        If somebody stopped the run, or Brian2 does not understand the circuit's equations.
    """
    with _started(circuit, shape, state, dt, target) as network:
        network.run(duration * b2.second, namespace={})
        check_ending(network, circuit.name)
        results = {}
        for name in wanted:
            group, variable = name.split(".")
            results[name] = np.array(getattr(network[group], f"{variable}_")[:])
        return results


def run_recording(
    circuit: Buildable,
    shape: Sized,
    state: dict[str, Any],
    *,
    dt: float,
    duration: float,
    request: Request,
    target: str,
) -> Tape:
    """Build and start a circuit in this process, and return what it recorded; errors as of `run`.

    Raises
    ------
    biospike.errors.InputError
        If a variable or neuron does not exist.
    """
    with _started(circuit, shape, state, dt, target) as network:
        known = stored(network)
        with recording(network, known.resolved(circuit.name, request)) as tapes:
            network.run(duration * b2.second, namespace={})
        check_ending(network, circuit.name)
        return known.answered(request, tapes[0])


@contextmanager
def _started(circuit: Buildable, shape: Sized, state: dict[str, Any], dt: float, target: str) -> Iterator[b2.Network]:
    """Network of a circuit in a session of its own, its variables set."""
    with preferences(target, dt), _compiler_failures(), _in_one_line(circuit.name):
        network = circuit.build(shape)
        assign(network, state, circuit.name)
        yield network


def undeclared(circuit: Circuit) -> set[str]:
    """Parameters that the network of a circuit is built from though `Circuit.structural` does not name them."""
    with preferences("numpy", float(circuit.dt)):
        network, found = build_watched(circuit, Shape(1, 1, 1, hub_index=np.zeros(1, dtype=np.int64)))
        network.run(0 * b2.second, namespace={})  # what never ran is said to be lost
    return found


@contextmanager
def _in_one_line(circuit: str) -> Iterator[None]:
    """Turn what Brian2 says of equations into a `RunError` that names circuit, group and what is wrong there.

    Its own message lists where the object was created; the cause names the identifier or the expression.
    """
    try:
        yield
    except BrianObjectException as error:
        cause: BaseException = error
        while (below := cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)) is not None:
            cause = below
        named = re.search(r"object named '([^']*)'", str(error))
        said = " ".join(str(cause).split())
        raise RunError(f"{circuit}: {named[1] + ': ' if named else ''}{said}") from error


@contextmanager
def _compiler_failures() -> Iterator[None]:
    """Turn what is raised where Cython's compiler fails into a `BuildError`; Brian2 keeps what the compiler said."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and "distutils" not in type(cause).__module__:
            cause = cause.__cause__
        if cause is None:
            raise
        said = (
            Path(getattr(std_silent, "dest_fname_stderr", os.devnull))
            .read_text(encoding="utf-8", errors="replace")
            .strip()
        )
        raise BuildError("\n".join([str(cause), *said.splitlines()[-1:]])) from error
