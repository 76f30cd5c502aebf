"""Real samples whose effective dimension is measured: built-in sets, and a user's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.arrays import plain_array
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from validation.data import attention_rows, token_block
from validation.inputs.array_files import load_arrays
from validation.inputs.images import digits, natural_patches
from validation.study.options import member

FloatArray = NDArray[np.float64]

SUFFIXES = (".npy", ".npz", ".csv", ".tsv")
ARRAY_NAMES = ("samples", "data", "X")
"""Arrays looked for in a ``.npz`` file with several."""
LABELS = ("labels", "label", "y", "target", "targets")
"""Arrays beside the samples that do not change their dimension."""
SPAN = (1e-100, 1e100)
"""Least and largest span of the values, whose squares and their sums must be numbers."""
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
        member("set", name, SETS)
    return {name: _flat(SETS[name](seed, patches)) for name in names}


def read_samples(path: Path, *, frame: bool = True) -> FloatArray:
    """Read samples, one a row, flattened.

    Parameters
    ----------
    path
        ``.npy`` (samples, ...); ``.npz`` with such an array, the only one or named `samples`, `data` or `X`, beside
        `LABELS`; ``.csv`` or ``.tsv`` of numbers, see `validation.inputs.text_table`.
    frame
        Whether header and index of a data frame are dropped from text.

    Returns
    -------
    ndarray (samples, features)

    Raises
    ------
    InputError
        If the file is missing, unreadable or not at least 10 finite samples that differ, or holds a name that is not
        understood, naming file and value.
    """
    loaded = load_arrays(path, "--data", SUFFIXES, frame=frame)
    try:
        return _check(loaded if isinstance(loaded, np.ndarray) else _only(loaded))
    except InputError as error:
        raise InputError(f"--data {path}: {error}") from None


def _only(arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """The array of an archive that holds the samples."""
    others = [name for name in arrays if name not in LABELS]
    names = [name for name in ARRAY_NAMES if name in others] or others
    if len(names) != 1:
        found = ", ".join(arrays) or "nothing"
        raise InputError(f"expected one array, or one named {', '.join(ARRAY_NAMES)}; found {found}")
    left = [name for name in others if name not in names]
    if left:
        raise InputError(f"{', '.join(left)}: not understood here; leave out what are neither samples nor labels")
    return arrays[names[0]]


def _check(given: NDArray[Any]) -> FloatArray:
    samples = plain_array(given, "samples")
    if samples.dtype.kind not in "biuf":
        raise InputError(f"expected real numbers, got {samples.dtype}")
    if samples.ndim < 2 or len(samples) < FEWEST or not samples[0].size:
        raise InputError(f"expected at least {FEWEST} samples, the first axis of (samples, ...), got {samples.shape}")
    flat = _flat(samples.astype(float))
    if not np.isfinite(flat).all():
        raise InputError(f"values have to be finite, got {flat[~np.isfinite(flat)][0]}")
    half = (np.max(flat, axis=0) / 2 - np.min(flat, axis=0) / 2).max()
    if half == 0:
        raise InputError(f"all {len(flat)} samples are equal: there is no dimension to measure")
    if not SPAN[0] <= 2 * min(half, SPAN[1]) < SPAN[1]:
        raise InputError(
            f"values from {flat.min():.3g} to {flat.max():.3g}, the squares of whose differences double precision does "
            "not hold; scale them, which changes no dimension"
        )
    return flat


def _flat(samples: FloatArray) -> FloatArray:
    return np.asarray(samples.reshape(len(samples), -1), dtype=float)
