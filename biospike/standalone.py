"""Compiled C++: build a circuit once, find it again by its hash, run it many times.

A binary is one network of one size. Everything else, the step and the duration included, is given when it is started,
so other logits, seeds, trials, parameters, windows and steps compile nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.directories import cache_directory, obstacle, scratch_directory, starts_programs
from biospike.errors import BuildError, RunError
from biospike.files import owned_prefix, remove_abandoned
from biospike.project import UNOPTIMISED, Buildable, Sized, compile_project, project_text, tail, write_project
from biospike.recorder import FILE as RECORD
from biospike.recorder import Request, Stored, Tape
from biospike.source import code_digest
from biospike.state import check_finite, check_set, fitting
from biospike.toolchain import (
    compiler,
    compiler_command,
    compiler_digest,
    compiler_flags,
    compiler_version,
    missing_compiler,
    processor,
)
from biospike.translation_unit import FLAGS, unite

import brian2 as b2


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


@functools.cache
def _toolchain(command: tuple[str, ...]) -> str:
    return _digest(compiler_digest(*command), FLAGS, UNOPTIMISED, processor())


def toolchain() -> tuple[str, str]:
    """Version of the compiler, and arguments of a compilation: what numbers may depend on besides the code."""
    if compiler() is None:
        return "none", "none"
    command = compiler_command()
    return compiler_version(*command), " ".join(compiler_flags(*command))


def _request_key(circuit: Buildable, shape: Sized, command: tuple[str, ...]) -> str:
    """Identity of a build by what goes in; it spares the code generation of a second run."""
    return _digest(
        code_digest(type(circuit)),
        type(circuit).__qualname__,
        circuit.structure,
        shape.sizes,
        b2.__version__,
        np.__version__,
        sys.version,
        _toolchain(command),
    )


@attrs.frozen
class Binary:
    """A compiled circuit of one size.

    Attributes
    ----------
    directory : Path
        Holds ``main`` and the constant arrays it reads; never written to.
    arrays : dict
        Variable ``group.name`` -> (result file, dtype, length), length 0 for those of synapses, which is not known
        before the run.
    reused : bool
        Whether nothing had to be compiled.
    circuit : str
        Name of the circuit, for messages.
    constants, changing : tuple of str
        Variables that a state must set, and real ones that a run may change.
    stored : Stored
        What can be recorded.
    """

    directory: Path
    arrays: dict[str, tuple[str, str, int]]
    reused: bool
    circuit: str = "binary"
    constants: tuple[str, ...] = ()
    changing: tuple[str, ...] = ()
    stored: Stored = attrs.field(factory=lambda: Stored({}, {}, {}))


def _open(directory: Path, reused: bool) -> Binary | None:
    """Return the binary in `directory` if it is complete and unaltered."""
    try:
        if json.loads((directory / "seal.json").read_text(encoding="utf-8")) != _seal(directory):
            return None
        told = json.loads((directory / "arrays.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    arrays = {name: tuple(entry) for name, entry in told["arrays"].items()}
    constants, changing = tuple(told["constants"]), tuple(told["changing"])
    return Binary(directory, arrays, reused, told["circuit"], constants, changing, Stored(**told["stored"]))


def _seal(directory: Path) -> dict[str, str]:
    """SHA-256 of everything a run reads."""
    parts = [directory / "main", directory / "arrays.json", *sorted((directory / "static_arrays").glob("*"))]
    return {str(part.relative_to(directory)): hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}


def is_built(circuit: Buildable, shape: Sized) -> bool:
    """Whether `build` would find the binary in the cache."""
    try:
        return _cached(_request_key(circuit, shape, compiler_command())) is not None
    except BuildError:
        return False


def hindrance() -> str | None:
    """Why nothing can be compiled on this machine, in one line, or None: the compiler, or the place for binaries."""
    if compiler() is None:
        return missing_compiler()
    try:
        reason = obstacle(cache_directory())
    except BuildError as error:
        return str(error)
    return reason and f"compiled binaries have no place: {reason}; name another directory in $BIOSPIKE_CACHE"


def remove_leftovers() -> None:
    """Remove what builds and runs left behind that were killed."""
    remove_abandoned(scratch_directory())
    with contextlib.suppress(BuildError):
        remove_abandoned(cache_directory())


def _cached(key: str) -> Binary | None:
    cache = cache_directory()
    try:
        name = (cache / "requests" / key).read_text(encoding="utf-8")
    except OSError:
        return None
    return _open(cache / "binaries" / name, reused=True) if starts_programs(cache) else None


def build(circuit: Buildable, shape: Sized) -> Binary:
    """Return the binary of a circuit of this size, compiled now or found in the cache.

    Raises
    ------
    BuildError
        If there is no compiler or no place for binaries, or the generator or the compiler failed (with the end of what
        it printed).
    """
    command = compiler_command()
    key = _request_key(circuit, shape, command)
    if found := _cached(key):
        return found
    if reason := hindrance():
        raise BuildError(reason)
    cache = cache_directory()
    try:
        for folder in ("requests", "binaries"):
            (cache / folder).mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache)
        # Every build has a directory of its own, which is renamed into place when it is finished.
        building = tempfile.TemporaryDirectory(dir=cache, prefix=owned_prefix("building-"))
    except OSError as error:
        raise BuildError(f"the build cache cannot be written to ({error}); name another in $BIOSPIKE_CACHE") from None
    with building as private:
        project = Path(private, "project")
        write_project(circuit, shape, project)
        told = json.loads((project / "arrays.json").read_text(encoding="utf-8"))
        united = unite(project, told["independent"])
        name = _digest(_toolchain(command), b2.__version__, united, *project_text(project))
        final = cache / "binaries" / name
        binary = _open(final, reused=True)
        if binary is None:
            compile_project(command, project, united)
            (project / "seal.json").write_text(json.dumps(_seal(project)), encoding="utf-8")
            if final.exists():
                shutil.rmtree(final)
            try:
                project.rename(final)
            except OSError:
                # Another process finished the same build first.
                if _open(final, reused=True) is None:
                    raise
            binary = _open(final, reused=False)
            if binary is None:
                raise BuildError(f"the build in {final} did not survive its move; is the disk full?")
        link = Path(private, "link")
        link.write_text(name, encoding="utf-8")
        link.replace(cache / "requests" / key)
    return binary


def run(
    binary: Binary, state: dict[str, Any], dt: float, duration: float, wanted: list[str]
) -> dict[str, NDArray[Any]]:
    """Start a binary in a private directory and read the wanted variables back.

    Parameters
    ----------
    binary
        From `build`.
    state
        Initial values, SI base units, by ``group.name``.
    dt, duration
        Seconds.
    wanted
        Variables ``group.name`` to return.

    Raises
    ------
    RunError
        If the state lacks a constant or does not fit, the binary fails, is interrupted, prints to standard error or
        writes short files, or a variable is not finite at the end.
    """
    with _ran(binary, state, dt, duration) as private:
        return _results(binary, private, wanted)


def run_recording(binary: Binary, state: dict[str, Any], dt: float, duration: float, request: Request) -> Tape:
    """Start a binary as `run` does, and return what it recorded.

    Raises
    ------
    biospike.errors.InputError
        If a variable or neuron does not exist.
    RunError
        As `run`.
    """
    kept = binary.stored.resolved(binary.circuit, request)
    with _ran(binary, state, dt, duration, kept) as private:
        _results(binary, private, [])
        return binary.stored.answered(
            request, kept.read(private, {n: kind for n, (_, kind, _) in binary.arrays.items()})
        )


@contextlib.contextmanager
def _ran(
    binary: Binary, state: dict[str, Any], dt: float, duration: float, request: Request | None = None
) -> Iterator[Path]:
    """Directory in which a binary has run."""
    check_set(binary.circuit, binary.constants, state)
    needed = _bytes(binary) + (request.memory if request else 0)
    with tempfile.TemporaryDirectory(dir=scratch_directory(needed), prefix=owned_prefix("biospike-")) as private:
        arguments = []
        for name, value in state.items():
            if name not in binary.arrays:
                raise RunError(f"{binary.circuit}: the state sets {name}, a variable that the network does not have")
            _, dtype, length = binary.arrays[name]
            # Files, not numbers in the argument: exact, and the only form that takes every value.
            file = Path(private, f"{name}.in")
            fitting(f"{binary.circuit}: {name}", value, dtype, length).tofile(file)
            arguments.append(f"{name}={file}")
        if request is not None:
            Path(private, RECORD).write_text(request.text(), encoding="utf-8")
        # The binary looks for its constants in the working directory, which is private as well.
        Path(private, "static_arrays").symlink_to(binary.directory / "static_arrays")
        environment = {"LD_BIND_NOW": "1", "BIOSPIKE_DT": repr(dt), "BIOSPIKE_DURATION": repr(duration)}
        if library_path := os.environ.get("LD_LIBRARY_PATH"):
            environment["LD_LIBRARY_PATH"] = library_path
        program = binary.directory / "main"
        try:
            done = subprocess.run(
                [str(program), "--results_dir", f"{private}/", *arguments],
                cwd=private,
                env=environment,
                capture_output=True,
                check=False,
            )
        except OSError as error:
            where = "name a directory whose programs may start in $BIOSPIKE_CACHE"
            raise RunError(f"{program} cannot be started ({error.strerror}); {where}") from None
        if done.returncode != 0 or done.stderr:
            raise RunError(f"the compiled run failed with status {done.returncode}: {tail(done.stderr)}")
        try:
            yield Path(private)
        except OSError as error:
            raise RunError(f"the compiled run left no result: {error}; is the disk full?") from None


def _bytes(binary: Binary) -> int:
    """Bytes that runs of a binary write, one of them on every core."""
    sizes = (length * np.dtype(dtype).itemsize for _, dtype, length in binary.arrays.values())
    return 2 * sum(sizes) * (os.cpu_count() or 1)  # what goes in, and what comes out


def _results(binary: Binary, private: Path, wanted: list[str]) -> dict[str, NDArray[Any]]:
    """Read what a run wrote, if it is complete."""
    progress = Path(private, "last_run_info.txt").read_text(encoding="utf-8").split()
    if len(progress) != 2 or float(progress[1]) != 1.0:
        done = f"{float(progress[1]):.1%} of" if len(progress) == 2 else "an unknown part of"
        raise RunError(f"the compiled run stopped after {done} the window; is the disk full?")
    results = {}
    for name in {*wanted, *binary.changing}:
        filename, dtype, length = binary.arrays[name]
        values = np.fromfile(private / filename, dtype=dtype)
        if values.size != length:
            raise RunError(f"{name}: {values.size} of {length} values written; is the disk full?")
        results[name] = values
    check_finite(binary.circuit, {name: results[name] for name in binary.changing})
    return {name: results[name] for name in wanted}
