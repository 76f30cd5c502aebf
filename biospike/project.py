"""A C++ project: what Brian2 generates for a circuit of one size, in a process of its own, and its compilation."""

from __future__ import annotations

import hashlib
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, Protocol

from biospike.errors import BuildError
from biospike.source import check_importable, code_digest
from biospike.toolchain import compiler_flags

import brian2 as b2

# Start-up and file writing only: nothing in it is worth optimising, and it is half of the compile time.
UNOPTIMISED = ("objects.cpp",)

START_GENERATOR = "import sys; sys.path[:] = sys.argv[1:]; from biospike import generate; generate.main()"

# What a child process inherits of the environment.
INHERITED = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "BIOSPIKE_CACHE", "XDG_CACHE_HOME", "CXX")


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


def write_project(circuit: Buildable, shape: Sized, project: Path) -> None:
    """Write the project of a circuit, with ``arrays.json``, into a directory that does not exist.

    Raises
    ------
    BuildError
        If the process that generates code cannot be sent the circuit, or fails, with the end of what it printed.
    """
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
        raise BuildError(f"code generation of {circuit.name} failed:\n{tail(done.stderr)}")


def project_text(project: Path) -> list[str]:
    """Everything that a project holds, without the paths of the private directory."""
    files = sorted(f for f in project.rglob("*") if f.suffix in {".cpp", ".h"} or f.name == "arrays.json")
    constants = sorted((project / "static_arrays").glob("*"))
    written = [f"{file.relative_to(project)}\n{file.read_text(encoding='utf-8')}" for file in files]
    return written + [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in constants]


def compile_project(command: tuple[str, ...], project: Path, united: str) -> None:
    """Compile a project into ``main``.

    Parameters
    ----------
    command
        Program and arguments of the compiler.
    project
        Directory that `write_project` filled.
    united
        Its sources as one, from `biospike.translation_unit.unite`.

    Raises
    ------
    BuildError
        If the compiler fails, with the end of what it printed.
    """
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


def _failure(command: tuple[str, ...], what: str, said: bytes) -> BuildError:
    return BuildError(f"the C++ compiler {shlex.join(command)} ($CXX) {what}:\n{tail(said) or 'it said nothing'}")


def tail(output: bytes, lines: int = 12) -> str:
    """Last lines of what a program printed."""
    return "\n".join(output.decode(errors="replace").strip().splitlines()[-lines:])
