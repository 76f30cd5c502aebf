"""The kernels as one shared library: compiled once, with the compiler, flags and cache of the other binaries."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path

from biospike.directories import cache_directory
from biospike.files import owned_prefix, remove_abandoned
from biospike.random import CPP
from biospike.standalone import BuildError, hindrance
from biospike.toolchain import compiler_command, compiler_digest, compiler_flags, processor
from biospike.translation_unit import FLAGS

KERNELS = Path(__file__).parent / "kernels"
MACHINES = ("x86_64", "AMD64")
"""Processors on which the suite has compared the kernels' spikes with those of the networks."""

SEAL_BYTES = 64


def obstacle() -> str | None:
    """Why the kernels cannot run on this machine, in one line, or None."""
    if platform.machine() not in MACHINES:
        return f"target 'fused' is of x86-64 only: its spikes were never compared on {platform.machine()}"
    return hindrance()


@functools.cache
def source_digest() -> str:
    """SHA-256 of the source of the kernels, hexadecimal."""
    parts = [CPP.encode(), *(path.read_bytes() for path in sorted(KERNELS.iterdir()) if path.is_file())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _path(command: tuple[str, ...], flags: tuple[str, ...]) -> Path:
    key = "\0".join([source_digest(), compiler_digest(*command), *flags, processor()])
    return cache_directory() / "kernels" / f"{hashlib.sha256(key.encode()).hexdigest()}.so"


def is_built() -> bool:
    """Whether `library` would find the kernels in the cache."""
    try:
        return obstacle() is None and _is_whole(_path(compiler_command(), FLAGS))
    except BuildError:
        return False


def _is_whole(path: Path) -> bool:
    """Whether a library is as it was written: the digest of it stands after it, where no loader looks."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-SEAL_BYTES]).hexdigest().encode() == content[-SEAL_BYTES:]


def library(flags: tuple[str, ...] = FLAGS) -> ctypes.CDLL:
    """Return the loaded kernels, compiled now or found in the cache.

    Parameters
    ----------
    flags
        Of the compilation, besides those of ``$CXX``.

    Raises
    ------
    BuildError
        If they cannot run here, or the compiler fails, with the end of what it printed.
    """
    if reason := obstacle():
        raise BuildError(reason)
    command = compiler_command()
    path = _path(command, flags)
    if not _is_whole(path):
        _compile(command, flags, path)
    return _load(path)


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


def _compile(command: tuple[str, ...], flags: tuple[str, ...], path: Path) -> None:
    arguments = [*compiler_flags(*command)[: len(command) - 1], *flags]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent)
        building = tempfile.TemporaryDirectory(dir=path.parent, prefix=owned_prefix("building-"))
    except OSError as error:
        raise BuildError(f"the build cache cannot be written to ({error}); name another in $BIOSPIKE_CACHE") from None
    with building as private:
        made = Path(private, "kernels.so")
        Path(private, "variates.h").write_text(CPP, encoding="utf-8")
        done = subprocess.run(
            [command[0], *arguments, "-shared", "-fPIC", "-I.", str(KERNELS / "kernels.cpp"), "-o", made.name],
            cwd=private,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0 or not made.exists():
            said = "\n".join(done.stderr.decode(errors="replace").strip().splitlines()[-12:])
            raise BuildError(
                f"the C++ compiler {shlex.join(command)} ($CXX) failed on the kernels:\n{said or 'it said nothing'}"
            )
        content = made.read_bytes()
        made.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
        made.replace(path)
