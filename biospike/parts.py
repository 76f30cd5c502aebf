"""Batches that are done are kept until their study is: one that was interrupted goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike import standalone
from biospike.files import write_atomically
from biospike.recording import versions

Arrays = dict[str, NDArray[Any]]

WORTH_KEEPING = 1.0
"""Seconds from which a batch is kept."""

_directories: list[Path] = []


@contextlib.contextmanager
def kept_in(directory: Path) -> Iterator[None]:
    """Keep what batches return in `directory`; it is removed once the block ends without an error."""
    _directories.append(directory)
    try:
        yield
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        _directories.remove(directory)


def place() -> Path | None:
    """Directory of the innermost `kept_in`, None outside of all."""
    return _directories[-1] if _directories else None


def key(circuit: standalone.Buildable, state: dict[str, Any], **run: Any) -> str | None:
    """What a batch is known by: SHA-256 of the code and versions that make it, of its size, its values and its run.

    None where the code of the circuit cannot be found: then nothing is kept.
    """
    try:
        code = standalone.code_digest(type(circuit))
    except standalone.BuildError:
        return None
    facts = {"circuit": type(circuit).__qualname__, "structure": str(circuit.structure), "code": code}
    digest = hashlib.sha256(json.dumps(facts | {"versions": versions()} | run, sort_keys=True, default=str).encode())
    for name in sorted(state):
        value = np.asarray(state[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        while value.ndim and value.strides[0] == 0:  # one matrix for all tokens: once is enough
            value = value[0]
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def kept(directory: Path, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Return what a batch of this name returned before, else make and keep it. A file that is damaged is none."""
    path = directory / f"{name}.npz"
    unread = contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile)
    with unread, path.open("rb") as file, np.load(file) as arrays:
        return {variable: arrays[variable] for variable in arrays.files}
    started = time.monotonic()
    made = make()
    if time.monotonic() - started >= WORTH_KEEPING:
        # Where there is no room, nothing is kept: that must not cost the run.
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda temporary: np.savez(temporary, allow_pickle=False, **made))
    return made
