"""Logits from a user's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.arrays import plain_array
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.rows import row_names, rows_of
from validation.inputs import archive, mask_names
from validation.inputs.archive import Archive
from validation.inputs.array_files import load_arrays
from validation.inputs.mask_names import Mask

SUFFIXES = (".npy", ".npz", ".csv", ".tsv")
NAMES = ("logits", "scores", "attn_scores", "attn_logits", "attn_weights", "attentions", "arr_0")
"""What logits may be called, the last by NumPy, in a file that holds nothing else but masks."""
UNDERSTOOD = ("logits, key_mask, attention_mask, key_padding_mask, attn_mask, causal, heads",)


@attrs.frozen(eq=False)
class Rows:
    """Rows of logits.

    Attributes
    ----------
    logits : ndarray (rows, keys)
        Nats; NaN masks a key.
    names : list of str, or None
        What rows of a dump are called, such as "b0 h3 q5".
    """

    logits: NDArray[np.float64]
    names: list[str] | None = None


def read_logits(path: Path, *, frame: bool = True) -> NDArray[np.float64]:
    """As `read_rows`, without their names."""
    return read_rows(path, frame=frame).logits


def read_rows(path: Path, *, frame: bool = True) -> Rows:
    """Read rows of logits, in nats, one softmax a row; NaN, -inf, a fill or an empty field of text masks a key.

    Parameters
    ----------
    path
        ``.npy`` (rows, keys) or a dump (batch, heads, queries, keys) or (heads, queries, keys), of which every query
        becomes a row; ``.npz`` with such an array named `logits`, or only one, and masks under the names of
        `validation.inputs.mask_names`, `causal`, and `heads`; ``.csv`` or ``.tsv``, see `validation.inputs.text_table`.
    frame
        Whether header and index of a data frame are dropped from text.

    Raises
    ------
    InputError
        If the file is missing, unreadable or not rows of logits, or holds a name that is not understood, naming file,
        value and what is accepted.
    """
    loaded = load_arrays(path, "--logits", SUFFIXES, frame=frame)
    try:
        raw = loaded if isinstance(loaded, np.ndarray) else _of_archive(Archive(loaded))
        if raw.ndim <= 2 or raw.size == 0:
            return Rows(check_logits(raw))
        names = row_names(rows_of(raw))
        return Rows(check_logits(raw.reshape(-1, raw.shape[-1]), names), names)
    except InputError as error:
        raise InputError(f"--logits {path}: {error}") from None


def _of_archive(file: Archive) -> NDArray[Any]:
    """Logits of an archive, with its masks applied."""
    causal = bool(file.take(archive.CAUSAL))
    heads = file.take({"heads": archive.whole_number, **archive.HEADS})
    masks = [file.take(readers) for readers in (mask_names.KEY_MASKS, mask_names.SCORE_MASKS)]
    scale = next((name for name in file.left if name.split(".")[-1] in archive.SCALE), None)
    if scale is not None:
        raise InputError(f"{scale}: logits are taken as they stand, in nats; scale them, and leave {scale} out")
    names = [name for name in file.left if name.split(".")[-1] in NAMES]
    if "logits" not in names and len(names) != 1:
        raise InputError(f"expected an array named 'logits', found {', '.join(file.names) or 'nothing'}")
    logits = file.left.pop("logits" if "logits" in names else names[0])
    file.require_nothing_left(UNDERSTOOD)
    if heads is not None and (logits.ndim < 3 or logits.shape[-3] != heads):
        raise InputError(f"{heads} heads, but logits have the shape {logits.shape}, not (..., {heads}, queries, keys)")
    attend = [_over_logits(mask, logits.shape) for mask in masks if mask is not None]
    if causal:
        attend.append(_causal(logits.shape))
    if not attend:
        return logits
    values = plain_array(logits, "logits")
    if values.dtype.kind not in "iuf":
        raise InputError(f"logits have the data type {values.dtype}; accepted are numbers in nats")
    hidden = ~np.logical_and.reduce(np.broadcast_arrays(*attend))
    return np.ma.masked_array(values, np.broadcast_to(hidden, values.shape))


def _over_logits(mask: Mask, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mask as it broadcasts with logits: (keys,), (rows, keys), (batch, keys) of a dump, or (..., queries, keys)."""
    attend = mask.attend
    if mask.of_scores and attend.ndim == 3 and len(shape) == 4 and attend.shape[0] == shape[0] == shape[1] > 1:
        raise InputError(
            f"a mask of the shape {attend.shape} may be one a batch or one a head of logits of the shape {shape}; "
            "write it as (batch, 1, queries, keys) or (1, heads, queries, keys)"
        )
    if not mask.of_scores and attend.ndim == 2 and len(shape) == 4:
        attend = attend[:, None, None, :]
    fits = attend.ndim <= len(shape) and all(
        size in (1, whole) for size, whole in zip(attend.shape[::-1], shape[::-1], strict=False)
    )
    if not fits or attend.shape[-1] != shape[-1] or (attend.ndim == 2 and not mask.of_scores and len(shape) > 2):
        raise InputError(f"a mask of the shape {mask.attend.shape} does not fit logits of the shape {shape}")
    return attend


def _causal(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if len(shape) < 2 or shape[-2] != shape[-1]:
        raise InputError(f"causal needs as many queries as keys, got logits of the shape {shape}")
    return np.tril(np.ones(shape[-2:], dtype=bool))
