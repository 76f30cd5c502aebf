"""The C++ compiler: which one it is, how it is started, and what identifies it."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from biospike.errors import BuildError
from biospike.translation_unit import FLAGS

PROBE_SECONDS = 60
VERSION_LENGTH = 200


def compiler() -> str | None:
    """Path of the C++ compiler (first word of ``$CXX``, else g++, else clang++), or None if none answers."""
    try:
        return compiler_command()[0]
    except BuildError:
        return None


def compiler_command() -> tuple[str, ...]:
    """Return program and arguments that start the C++ compiler: ``$CXX``, else g++, else clang++.

    ``$CXX`` is read as a shell reads it, so that it may be ``ccache g++``, ``g++ -m64`` or hold quotes; the path of a
    program may also stand there bare, blanks and all. Paths are absolute, since the compiler works elsewhere.

    Raises
    ------
    BuildError
        If there is no compiler, or it does not answer ``--version``: one line that names ``$CXX``.
    """
    chosen = os.environ.get("CXX", "").strip()
    command = _split(chosen) if chosen else _installed()
    compiler_version(*command)
    return command


def missing_compiler() -> str:
    """Why there is no C++ compiler, in one line."""
    try:
        compiler_command()
    except BuildError as error:
        return str(error)
    return "no C++ compiler was found"


def _installed() -> tuple[str, ...]:
    found = shutil.which("g++") or shutil.which("clang++")
    if found is None:
        raise BuildError("no C++ compiler was found (g++, clang++ or $CXX); install one or use target 'numpy'")
    return (os.path.abspath(found),)


def _split(chosen: str) -> tuple[str, ...]:
    try:
        words = [chosen] if shutil.which(os.path.expanduser(chosen)) else shlex.split(chosen)
    except ValueError as error:
        raise BuildError(f"$CXX = {chosen!r} is no command ({error})") from None
    program = shutil.which(os.path.expanduser(words[0]))
    if program is None:
        raise BuildError(f"$CXX = {chosen!r}: there is no program {words[0]!r}; name a C++ compiler there, or unset it")
    return (os.path.abspath(program), *map(_absolute, words[1:]))


def _absolute(argument: str) -> str:
    """Make an argument that is a path absolute."""
    is_path = os.sep in argument and not argument.startswith("-") and os.path.exists(argument)
    return os.path.abspath(argument) if is_path else argument


@functools.cache
def compiler_version(*command: str) -> str:
    """First line of what a compiler, given by its program and arguments, prints for ``--version``.

    Raises
    ------
    BuildError
        If it cannot be started or fails.
    """
    shown = shlex.join(command)
    try:
        done = subprocess.run(
            [*command, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"no answer in {PROBE_SECONDS} s"
        raise BuildError(f"the C++ compiler {shown} cannot be started ({reason}); name another in $CXX") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").split("\n")[0].strip()
        raise BuildError(
            f"the C++ compiler {shown} failed on --version with status {done.returncode} ({said or 'no message'}); "
            "name another in $CXX"
        )
    first = done.stdout.decode(errors="replace").lstrip().split("\n")[0].strip()
    # Attributes of a file take no control characters.
    return "".join(c if c.isprintable() else "?" for c in first[:VERSION_LENGTH]) or f"{shown}, version unknown"


def compiler_flags(*command: str) -> tuple[str, ...]:
    """Every argument of a compilation that may show in a number: those of ``$CXX``, then ours, which override them."""
    return (*command[1:], *FLAGS)


@functools.cache
def compiler_digest(*command: str) -> str:
    """SHA-256 of what identifies a compiler: its version, its arguments, and the program, which may be a wrapper."""
    try:
        with open(command[0], "rb") as file:
            program = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # it may be started but not read
        program = command[0]
    return hashlib.sha256("\0".join([compiler_version(*command), *command[1:], program]).encode()).hexdigest()


@functools.cache
def processor() -> str:
    """Model and instruction sets of this processor: ``-march=native`` binaries do not travel."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))


def try_compiler() -> None:
    """Raise `BuildError`, with the last line that it printed, if the compiler cannot compile an empty program."""
    _try(*compiler_command())


@functools.cache
def _try(*command: str) -> None:
    with tempfile.TemporaryDirectory() as private:
        done = subprocess.run(
            [*command, *FLAGS, "-x", "c++", "-", "-o", "main"],
            input=b"int main() { return 0; }\n",
            cwd=private,
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise BuildError(f"{shlex.join(command)} cannot compile an empty program:\n{said[-1]}")
