"""Files of arrays: opened, unpacked and read as NumPy arrays or as text, with one line for whatever is wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError, InputWarning
from validation.inputs.text_table import read_text

TEXT = (".csv", ".tsv")
COMPRESSED = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}

Arrays = dict[str, NDArray[Any]]


def load_arrays(path: Path, option: str, suffixes: tuple[str, ...], *, frame: bool = True) -> NDArray[Any] | Arrays:
    """Read the array or the arrays of a file.

    Parameters
    ----------
    path
        ``.npy``, ``.npz`` or text, also compressed by gzip, xz or bzip2.
    option
        What the user gave the file to, such as ``--logits``.
    suffixes
        Endings that are accepted here.
    frame
        Whether text may be a data frame, of which header and index are dropped.

    Returns
    -------
    ndarray, or dict of ndarray by name
        The latter for ``.npz``.

    Raises
    ------
    InputError
        If the file is missing, of another kind or unreadable, naming option, file and reason.
    """
    ending = _ending(path)
    if ending not in suffixes:
        accepted = (" or " if len(suffixes) == 2 else ", ").join(suffixes)
        raise InputError(f"{option} {path}: expected a file that ends in {accepted}")
    if not path.is_file():
        raise InputError(f"{option} {path}: there is no such file")
    try:
        content = _unpacked(path)
        return read_text(content, ending, frame=frame) if ending in TEXT else _numpy(content)
    except InputError as error:
        raise InputError(f"{option} {path}: {error}") from None
    except InputWarning:  # which the user has made an error
        raise
    except Exception as error:  # a damaged file makes its readers raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{option} {path}: cannot be read as {ending} ({reason})") from None


def _ending(path: Path) -> str:
    """Last suffix in lower case, without that of a compression."""
    name = path.name.lower()
    for packed in COMPRESSED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def _unpacked(path: Path) -> bytes:
    unpack = COMPRESSED.get(path.suffix.lower())
    return path.read_bytes() if unpack is None else unpack(path.read_bytes())


def _numpy(content: bytes) -> NDArray[Any] | Arrays:
    file = io.BytesIO(content)
    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        if left := len(content) - file.tell():
            raise InputError(f"{left} bytes follow the first array; several arrays need .npz (numpy.savez)")
        return loaded
    with loaded:
        return {name: np.asarray(loaded[name]) for name in loaded.files}
