"""``biospike doctor``: what of this machine a run depends on, one line each, and what to do where it is amiss."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
from collections.abc import Iterator

from biospike import directories, standalone
from biospike.errors import BuildError, InputError
from biospike.recording import versions
from biospike.shadows import shadows
from biospike.toolchain import compiler_command, compiler_version, try_compiler

Line = tuple[bool, str, str]
ENOUGH = 2**30
"""Bytes of a disk below which a cache of binaries or the files of a run may not fit."""


def main(arguments: list[str]) -> int:
    """Say compiler, cache, versions, threads, disk and shadowed packages; status 1 if something is amiss."""
    argparse.ArgumentParser(prog="biospike doctor", description=main.__doc__).parse_args(arguments)
    well = True
    for good, what, words in lines():
        print(f"{'ok  ' if good else 'AMISS'} {what}: {words}")
        well = well and good
    return 0 if well else 1


def lines() -> Iterator[Line]:
    """Findings: whether all is well, about what, and words."""
    yield True, "versions", ", ".join(f"{name} {version}" for name, version in versions().items())
    yield True, "machine", f"{platform.platform()}, {os.cpu_count()} processors, {_threads()}"
    yield _compiler()
    yield from _directories()
    for line in shadows():
        yield False, "packages", line
    preferences = os.path.abspath("brian_preferences")
    if os.path.exists(preferences):
        yield True, "preferences", f"{preferences} is Brian2's for your own work; runs of biospike do not read it"


def _threads() -> str:
    set_ = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    return ", ".join(f"${name} = {value}" for name, value in set_.items()) or "threads of linear algebra not limited"


def _compiler() -> Line:
    """Whether a program can be compiled; without, every study runs on the numpy target, slowly."""
    try:
        command = compiler_command()
        try_compiler()
    except BuildError as error:
        return False, "compiler", " ".join(str(error).split())
    return True, "compiler", f"{shlex.join(command)} ({compiler_version(*command)})"


def _directories() -> Iterator[Line]:
    """Whether binaries and the files of runs have a place."""
    try:
        cache = directories.cache_directory()
    except (BuildError, InputError) as error:
        yield False, "cache", str(error)
    else:
        reason = directories.obstacle(cache)
        named = "$BIOSPIKE_CACHE" if os.environ.get("BIOSPIKE_CACHE") else "by default"
        yield (
            (False, "cache", f"{reason}; name another directory in $BIOSPIKE_CACHE")
            if reason
            else _room("cache", str(cache), named)
        )
    scratch = directories.scratch_directory()
    yield _room("files of runs", str(scratch), "$TMPDIR" if os.environ.get("TMPDIR") else "by default")
    hindrance = standalone.hindrance()
    yield hindrance is None, "compiled target", hindrance or "can be used"


def _room(what: str, directory: str, named: str) -> Line:
    free = shutil.disk_usage(directory).free
    words = f"{directory} ({named}), {free / 2**30:.1f} GiB free"
    return free >= ENOUGH, what, words if free >= ENOUGH else f"{words}: less than {ENOUGH / 2**30:.0f} GiB"
