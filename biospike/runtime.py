"""Brian2's runtime targets (numpy, cython): the same circuits inside this process, for tests and small studies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.session import own_session as preferences
from biospike.standalone import Buildable, Sized
from biospike.translation_unit import BuildError

import brian2 as b2
from brian2.utils.logger import std_silent


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
    """Build, start and read a circuit in this process; arguments and results as `biospike.standalone.run`.

    Raises
    ------
    BuildError
        If a compiler that the target needs fails, with the last line that it printed.
    RunError
        If somebody stopped the run.
    """
    with preferences(target, dt), _compiler_failures():
        network = circuit.build(shape)
        assign(network, state)
        network.run(duration * b2.second, namespace={})
        results = {}
        for name in wanted:
            group, variable = name.split(".")
            results[name] = np.array(getattr(network[group], f"{variable}_")[:])
        return results


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
        said = Path(getattr(std_silent, "dest_fname_stderr", os.devnull)).read_text(errors="replace").strip()
        raise BuildError("\n".join([str(cause), *said.splitlines()[-1:]])) from error
