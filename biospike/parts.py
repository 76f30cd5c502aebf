"""Parts of a study that are done are kept in files: one that was interrupted goes on where it was.

Batches of a simulation are kept until their study is complete (`kept_in`). A study whose parts are worth more, such as
the audit's assumptions, keeps them beside its results for the next run.
"""

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

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import standalone
from biospike.files import write_atomically
from biospike.recording import versions

Arrays = dict[str, NDArray[Any]]

WORTH_KEEPING = 1.0
"""Seconds from which a batch is kept."""


@attrs.frozen
class Form:
    """How a part is a file: the ending of its name, and functions of its path that read and write it."""

    ending: str
    read: Callable[[Path], Any]
    write: Callable[[Path, Any], object]


def _read_arrays(path: Path) -> Arrays:
    with path.open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


ARRAYS = Form(".npz", _read_arrays, lambda path, value: np.savez(path, allow_pickle=False, **value))
"""Arrays by their names."""
PLAIN = Form(
    ".json",
    lambda path: json.loads(path.read_text(encoding="utf-8")),
    lambda path, value: path.write_text(json.dumps(value), encoding="utf-8"),
)
"""Numbers, text, lists and dictionaries."""

_directories: list[Path] = []


@contextlib.contextmanager
def kept_in(directory: Path) -> Iterator[None]:
    """Keep what batches return in `directory`; it is removed once the block ends without an error."""
    with used(directory):
        yield
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def used(directory: Path | None) -> Iterator[None]:
    """Keep what batches return in `directory`, if there is one, and leave it: of a study's worker processes."""
    if directory is None:
        yield
        return
    _directories.append(directory)
    try:
        yield
    finally:
        _directories.remove(directory)


def place() -> Path | None:
    """Directory of the innermost `kept_in`, None outside of all."""
    return _directories[-1] if _directories else None


def part(make: Callable[[], Any], form: Form, **facts: Any) -> Any:
    """What `make` makes of such values, the digest of the code among them; kept where batches are, if anywhere.

    No default for the digest: that of the whole source comes from a module which numbers must not depend on.
    """
    directory = place()
    if directory is None:
        return make()
    return kept(directory, name_of(**facts), make, form)


def key(circuit: standalone.Buildable, state: dict[str, Any], **run: Any) -> str | None:
    """What a batch is known by: SHA-256 of the code and versions that make it, of its size, its values and its run.

    None where the code of the circuit cannot be found: then nothing is kept.
    """
    try:
        code = standalone.code_digest(type(circuit))
    except standalone.BuildError:
        return None
    facts = {"circuit": type(circuit).__qualname__, "structure": str(circuit.structure), "code": code} | run
    digest = hashlib.sha256(_text(facts))
    for name in sorted(state):
        value = np.asarray(state[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        while value.ndim and value.strides[0] == 0:  # one matrix for all tokens: once is enough
            value = value[0]
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def name_of(**facts: Any) -> str:
    """What a part is known by that is made of such values: their SHA-256 and that of the versions of the packages."""
    return hashlib.sha256(_text(facts)).hexdigest()


def _text(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts | {"versions": versions()}, sort_keys=True, default=str).encode()


def kept(
    directory: Path, name: str, make: Callable[[], Any], form: Form = ARRAYS, *, worth: float | None = None
) -> Any:
    """Return what a part of this name was before, else make and keep it. A file that is damaged is none.

    Parameters
    ----------
    directory, name
        Where it is kept, and what it is known by, from `key` or `name_of`.
    make
        Makes it.
    form
        How it is a file.
    worth
        Seconds from which it is kept; default `WORTH_KEEPING`.
    """
    path = directory / f"{name}{form.ending}"
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        return form.read(path)
    started = time.monotonic()
    made = make()
    if time.monotonic() - started >= (WORTH_KEEPING if worth is None else worth):
        # Where there is no room, nothing is kept: that must not cost the run.
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda temporary: form.write(temporary, made))
    return made
