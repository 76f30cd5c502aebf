"""Real samples whose effective dimension is measured: built-in sets, and a user's file."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from validation.data import attention_rows, token_block
from validation.image_sets import digits, natural_patches

FloatArray = NDArray[np.float64]

SUFFIXES = (".npy", ".npz", ".csv")
ARRAY_NAMES = ("samples", "data", "X")
"""Arrays looked for in a ``.npz`` file with several."""
PATCHES = 2000
FEWEST = 10


def _patches(size: int) -> Callable[[int, int], FloatArray]:
    return lambda seed, count: natural_patches(size, count, seed)


def _head(head: int, part: str) -> Callable[[int, int], FloatArray]:
    def projected(seed: int, count: int) -> FloatArray:
        block = token_block()
        columns = np.split(getattr(block, f"W_{part}"), block.heads, axis=1)
        return np.asarray(block.X @ columns[head])

    return projected


SHIPPED_HEADS = 4
SETS: dict[str, Callable[[int, int], FloatArray]] = {
    "digits": lambda seed, count: digits(),
    "patches-4": _patches(4),
    "patches-8": _patches(8),
    "patches-16": _patches(16),
    "tokens": lambda seed, count: token_block().X,
    "attention": lambda seed, count: softmax(attention_rows()),
} | {f"head-{head}-{part}": _head(head, part) for head in range(SHIPPED_HEADS) for part in "qkv"}
"""The built-in sets, each a function of seed and number of patches. See `data_sets`."""

ORIGIN = {
    "digits": "the 1797 handwritten digits of scikit-learn, 8 by 8 pixels",
    "patches": "RGB patches at random places of the two photographs of scikit-learn",
    "tokens": "11 tokens of a sentence in layer 3 of MiniLM, as the features that are encoded in spikes: principal "
    "coordinates of the hidden states, each stretched to [0, 1]",
    "attention": "72 attention rows of MiniLM, one a layer and head, as shares of the key positions, 0 beyond the end",
    "head": "queries (q), keys (k) and values (v) of these 11 tokens in heads 0 to 3 of layer 3, 32 features each",
}


def kind(name: str) -> str:
    """The family of a built-in set: digits, patches, tokens, attention or head."""
    return name.split("-", maxsplit=1)[0]


def data_sets(names: Sequence[str], seed: int, patches: int = PATCHES) -> dict[str, FloatArray]:
    """Load built-in sets, one sample a row.

    * ``digits``: (1797, 64), in [0, 1];
    * ``patches-4``, ``patches-8``, ``patches-16``: RGB patches (patches, 3*size^2), in [0, 1], alternating between the
      two photographs of scikit-learn, which overlap;
    * ``tokens``: (11, 11), in [0, 1], what the shipped attention block encodes in spikes;
    * ``attention``: (72, 32), shares of the shipped attention rows by position of the key, 0 beyond the sentence's end;
    * ``head-0-q`` to ``head-3-v``: (11, 32), queries, keys and values of the shipped heads.

    Parameters
    ----------
    names
        Keys of `SETS`.
    seed
        Of the places of the patches.
    patches
        Number of patches of each size.

    Returns
    -------
    dict of str to ndarray (samples, features)

    Raises
    ------
    InputError
        If a name is unknown, or scikit-learn is needed and not installed.
    """
    for name in names:
        if name not in SETS:
            near = difflib.get_close_matches(name, SETS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise InputError(f"unknown set {name!r}{hint}; accepted: {', '.join(SETS)}")
    return {name: _flat(SETS[name](seed, patches)) for name in names}


def read_samples(path: Path) -> FloatArray:
    """Read samples, one a row, flattened.

    Parameters
    ----------
    path
        ``.npy`` (samples, ...); ``.npz`` with such an array, the only one or named `samples`, `data` or `X`; ``.csv``
        of numbers, without header.

    Returns
    -------
    ndarray (samples, features)

    Raises
    ------
    InputError
        If the file is missing, unreadable or not at least 10 finite samples that differ, naming file and value.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--data {path}: expected a file that ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"--data {path}: there is no such file")
    try:
        return _check(_read(path))
    except (OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"--data {path}: cannot be read as {path.suffix} ({error})") from None
    except ValueError as error:
        raise InputError(f"--data {path}: {error}") from None


def _read(path: Path) -> NDArray[np.generic]:
    if path.suffix.lower() == ".csv":
        try:
            table = pd.read_csv(path, header=None, dtype=str, skipinitialspace=True)
        except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
            raise InputError(f"expected rows of numbers of one length ({error})") from None
        except UnicodeDecodeError:
            raise InputError("the file is not text") from None
        numbers = table.apply(pd.to_numeric, errors="coerce")
        wrong = table.to_numpy()[numbers.isna().to_numpy()]
        if wrong.size:
            raise InputError(f"{wrong[0]!r} is not a number; expected rows of numbers without a header")
        return np.asarray(numbers.to_numpy(dtype=float))
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        names = [name for name in ARRAY_NAMES if name in loaded.files] or loaded.files
        if len(names) != 1:
            found = ", ".join(loaded.files) or "nothing"
            raise InputError(f"expected one array, or one named {', '.join(ARRAY_NAMES)}; found {found}")
        return np.asarray(loaded[names[0]])


def _check(samples: NDArray[np.generic]) -> FloatArray:
    if samples.dtype.kind not in "biuf":
        raise InputError(f"expected real numbers, got {samples.dtype}")
    if samples.ndim < 2 or len(samples) < FEWEST or not samples[0].size:
        raise InputError(f"expected at least {FEWEST} samples, the first axis of (samples, ...), got {samples.shape}")
    flat = _flat(samples.astype(float))
    if not np.isfinite(flat).all():
        raise InputError(f"values have to be finite, got {flat[~np.isfinite(flat)][0]}")
    if not np.ptp(flat, axis=0).any():
        raise InputError(f"all {len(flat)} samples are equal: there is no dimension to measure")
    return flat


def _flat(samples: FloatArray) -> FloatArray:
    return np.asarray(samples.reshape(len(samples), -1), dtype=float)
