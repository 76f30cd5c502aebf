"""Compiled C++: build a circuit once, find it again by its hash, run it many times.

A binary is one network of one size. Everything else, the step and the duration
included, is given when it is started, so other logits, seeds, trials, parameters, windows and steps compile nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import os
import pickle
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import source
from biospike.directories import cache_directory, obstacle, scratch_directory, starts_programs
from biospike.errors import RunError
from biospike.files import owned_prefix, remove_abandoned
from biospike.recorder import FILE as RECORD
from biospike.recorder import Request, Stored, Tape
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
from biospike.translation_unit import FLAGS, BuildError, unite

import brian2 as b2

# Start-up and file writing only: nothing in it is worth optimising, and it is half of the compile time.
UNOPTIMISED = ("objects.cpp",)

START_GENERATOR = "import sys; sys.path[:] = sys.argv[1:]; from biospike import generate; generate.main()"

# What a child process inherits of the environment.
INHERITED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "BIOSPIKE_CACHE", "XDG_CACHE_HOME", "CXX")


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


@functools.cache
def _toolchain(command: tuple[str, ...]) -> str:
    return _digest(compiler_digest(*command), FLAGS, UNOPTIMISED, processor())


class Buildable(Protocol):
    """What can be compiled: a circuit, or a network that is composed of circuits."""

    name: ClassVar[str]

    @property
    def structure(self) -> dict[str, Any]:
        """Everything that `build` reads besides the size, as values whose text identifies them."""

    def build(self, shape: Any) -> b2.Network:
        """Network of this size; its first run reads the initial state."""


class Sized(Protocol):
    """Size of a network."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """What is compiled in."""


def toolchain() -> tuple[str, str]:
    """Version of the compiler, and arguments of a compilation: what numbers may depend on besides the code."""
    if compiler() is None:
        return "none", "none"
    command = compiler_command()
    return compiler_version(*command), " ".join(compiler_flags(*command))


def code_digest(kind: type) -> str:
    """Digest of the source that a circuit's numbers depend on: what it imports, and what every number passes through.

    Raises
    ------
    BuildError
        If the source of the class cannot be found.
    """
    # A class keeps the source that it was made of: one that is reloaded is another class.
    if kind not in _digests:
        own = [base for base in kind.__mro__ if base.__module__ not in sys.stdlib_module_names or not _is_found(base)]
        for base in own:
            _file(base)
        modules = dict.fromkeys(base.__module__ for base in own)
        _digests[kind] = _digest(*(source.digest(module) for module in modules))
    return _digests[kind]


_digests: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _is_found(kind: type) -> bool:
    """Whether the class is what stands under its name in its module: what another process would import."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _file(kind: type) -> Path:
    """File that defines a class.

    Raises
    ------
    BuildError
        If there is none, as in a notebook and for ``exec``: what is not known cannot be told apart from another version
        of itself, so it must not be found in a cache.
    """
    try:
        file = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        file = Path()
    if not file.is_file() or not (_is_found(kind) or "<locals>" in kind.__qualname__):
        raise BuildError(
            f"the source of {kind.__name__} cannot be found, as it is with what a notebook or exec defines; "
            "put it into a module to compile it, or use target 'numpy'"
        )
    return file


def check_importable(kind: type) -> None:
    """Raise `BuildError` unless another process can import the circuit, as the one that generates code does."""
    _file(kind)
    if kind.__module__ == "__main__" or not _is_found(kind):
        raise BuildError(
            f"{kind.__name__} is defined in the script that runs or in a function; put it into a module to compile it, "
            "or use target 'numpy'"
        )


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
        _generate(circuit, shape, project)
        told = json.loads((project / "arrays.json").read_text(encoding="utf-8"))
        united = unite(project, told["independent"])
        name = _digest(_toolchain(command), b2.__version__, united, *_project_text(project))
        final = cache / "binaries" / name
        binary = _open(final, reused=True)
        if binary is None:
            _compile(command, project, united)
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


def _project_text(project: Path) -> list[str]:
    """Everything that was generated, without the paths of the private directory."""
    files = sorted(f for f in project.rglob("*") if f.suffix in {".cpp", ".h"} or f.name == "arrays.json")
    constants = sorted((project / "static_arrays").glob("*"))
    written = [f"{file.relative_to(project)}\n{file.read_text(encoding='utf-8')}" for file in files]
    return written + [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in constants]


def _generate(circuit: Buildable, shape: Sized, project: Path) -> None:
    check_importable(type(circuit))
    try:
        request = pickle.dumps((circuit, shape, str(project), code_digest(type(circuit))))
    except (pickle.PicklingError, TypeError, AttributeError) as error:  # all of which it raises
        raise BuildError(f"{circuit.name} cannot be sent to the process that generates code: {error}") from None
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # The generator works in a private directory, where no preference file of Brian2's lies about, and imports from
    # where this process does. PYTHONPATH could not say it of a path with a colon.
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", START_GENERATOR, *map(os.path.abspath, sys.path)],
        input=request,
        capture_output=True,
        cwd=project.parent,
        env=environment,
        check=False,
    )
    if done.returncode != 0 or not (project / "arrays.json").exists():
        raise BuildError(f"code generation of {circuit.name} failed:\n{_tail(done.stderr)}")


def _compile(command: tuple[str, ...], project: Path, united: str) -> None:
    (project / "united.cpp").write_text(united, encoding="utf-8")
    flags = compiler_flags(*command)
    units = [("united.cpp", flags), *((name, (*flags, "-O0")) for name in UNOPTIMISED)]
    running = [
        subprocess.Popen(
            [command[0], *options, "-I.", "-Ibrianlib", "-c", name, "-o", f"{name}.o"],
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name, options in units
    ]
    complaints = [process.communicate()[1] for process in running]
    for (name, _), process, complaint in zip(units, running, complaints, strict=True):
        if process.returncode != 0:
            raise _failure(command, f"failed on {name}", complaint)
    linked = subprocess.run(
        [*command, *(f"{name}.o" for name, _ in units), "-o", "main"], cwd=project, capture_output=True, check=False
    )
    if linked.returncode != 0 or not (project / "main").exists():
        raise _failure(command, "failed to link", linked.stderr)
    for name, _ in units:
        (project / f"{name}.o").unlink()
    (project / "seal.json").write_text(json.dumps(_seal(project)), encoding="utf-8")


def _failure(command: tuple[str, ...], what: str, said: bytes) -> BuildError:
    return BuildError(f"the C++ compiler {shlex.join(command)} ($CXX) {what}:\n{_tail(said) or 'it said nothing'}")


def _tail(output: bytes, lines: int = 12) -> str:
    return "\n".join(output.decode(errors="replace").strip().splitlines()[-lines:])


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
            raise RunError(f"the compiled run failed with status {done.returncode}: {_tail(done.stderr)}")
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
