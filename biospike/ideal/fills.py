"""Masks that are written as very negative numbers: which of them are fills, decided in one place.

A model adds -1e4, -65504, -1e9 or the most negative number of its data type to the logit of a key that must not be
seen. For the exact softmax that is a mask. A circuit has a neuron for such a key, and inhibition that is not a common
gate sees it; a row of nothing but fills becomes uniform.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError, InputWarning

LARGEST_FILL = -5e3
"""A fill is at most this: -1e4 that was added to a logit of 2 is -9998."""
NAMED = 5


def mask_fills(
    values: NDArray[np.float64], name: str = "logits", row_names: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Logits in which keys that hold a fill are masked.

    A key is one if its value is at most `LARGEST_FILL` and its share exactly 0 in double precision. Any other value
    stays a key, whatever its share, as in the saturated row [900, 0, 0].

    Parameters
    ----------
    values
        Nats (..., keys), NaN where masked already.
    name
        What they are called in a message.
    row_names
        Of the rows in their order; default their indices.

    Returns
    -------
    ndarray (..., keys)
        A copy with NaN at fills, which an `InputWarning` counts. Another warns of values of share 0 that occur in
        several rows, which look like fills but are no larger than logits may be.

    Raises
    ------
    InputError
        If all unmasked values of some rows are at most `LARGEST_FILL` and those of others are not: these are padding.
    """
    rows = values.reshape(-1, values.shape[-1]).copy()
    keys = ~np.isnan(rows)
    low = keys & (rows <= LARGEST_FILL)
    padded = keys.any(axis=1) & (low == keys).all(axis=1)
    if padded.any() and not padded[keys.any(axis=1)].all():
        raise InputError(
            f"{name}: {_rows(np.flatnonzero(padded), row_names)} no value above {LARGEST_FILL:g}, as padding that is "
            "filled has; leave such rows out, or write NaN or -inf at masked keys only"
        )
    lost = keys & _without_share(rows)
    fills = lost & low
    if fills.any():
        warnings.warn(
            f"{name}: {_counted(rows[fills])} masked, since a fill of share 0 stands for a mask",
            InputWarning,
            stacklevel=2,
        )
    _warn_of_others(np.where(lost & ~fills, rows, np.nan), name)
    rows[fills] = np.nan
    return rows.reshape(values.shape)


def _without_share(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where the softmax is exactly 0, masked keys included."""
    drive = np.where(np.isnan(rows), -np.inf, rows)
    top = drive.max(axis=1, keepdims=True)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        drive = np.exp(drive - np.where(np.isfinite(top), top, 0.0))
        return np.asarray(drive / np.maximum(drive.sum(axis=1, keepdims=True), 1.0) == 0)


def _warn_of_others(lost: NDArray[np.float64], name: str) -> None:
    """Say which value without share occurs in more than one row; NaN where there is none."""
    row, _ = np.nonzero(~np.isnan(lost))
    pairs = np.unique(np.stack([lost[~np.isnan(lost)], row]), axis=1)
    found, rows = np.unique(pairs[0], return_counts=True)
    if (rows > 1).any():
        at = int(np.argmax(rows))
        warnings.warn(
            f"{name}: {found[at]:g} has share 0 in {rows[at]} rows and stays a key; it looks like a fill: if it masks "
            "keys, write NaN or -inf",
            InputWarning,
            stacklevel=3,
        )


def _counted(fills: NDArray[np.float64]) -> str:
    low, high = f"{fills.min():g}", f"{fills.max():g}"
    span = f"of {low}" if low == high else f"from {low} to {high}"
    return f"{fills.size} key {span} is" if fills.size == 1 else f"{fills.size} keys {span} are"


def _rows(numbers: NDArray[np.intp], names: Sequence[str] | None) -> str:
    shown = [str(number) if names is None else names[number] for number in numbers[:NAMED]]
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    return f"row {shown[0]} has" if len(numbers) == 1 else f"rows {', '.join(shown)}{more} have"
