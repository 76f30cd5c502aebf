"""What the circuits are compared with: softmax, sparsemax and 1.5-entmax of a row of logits.

A row is the last axis. NaN or -inf masks a key: its share is exactly zero and the other keys do not see it.
The three maps are what a shared subtractive inhibition makes of an exponential, a threshold-linear and a quadratic
f-I curve.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import plain_array, refuse_codes
from biospike.errors import InputError, InputWarning
from biospike.ideal.fills import LARGEST_FILL, mask_fills
from biospike.rows import row_names

ACCEPTED = "accepted are finite numbers in nats, and NaN or -inf for a masked key"
ROUNDING = 0.01
"""Probabilities sum to 1 up to this, be they bfloat16 or text of three digits."""


def softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Softmax over the last axis, ``exp(z_i) / sum_j exp(z_j)``.

    Parameters
    ----------
    logits
        Array (..., keys), nats; NaN or -inf masks a key.

    Returns
    -------
    array (..., keys)
        Shares that sum to one over the unmasked keys; exactly 0 at masked keys.

    Raises
    ------
    InputError
        If a logit is +inf, a row has no unmasked key, or the array is empty or not numeric.
    """
    with np.errstate(under="ignore"):
        drive = np.exp(_below_maximum(logits))
        return drive / drive.sum(axis=-1, keepdims=True)


def sparsemax(logits: ArrayLike) -> NDArray[np.float64]:
    """Sparsemax over the last axis, ``[z_i - tau]_+`` with tau such that the row sums to one.

    This is the Euclidean projection of the logits on the simplex (Martins and Astudillo, ICML 2016, algorithm 1).
    Parameters, result and errors are those of `softmax`.
    """
    # tau lies within one of the maximum, so nothing below -2 can enter; clipping there keeps the sums well conditioned.
    z = np.maximum(_below_maximum(logits), -2.0)
    descending = -np.sort(-z, axis=-1)
    size = np.arange(1, z.shape[-1] + 1)
    tau = (np.cumsum(descending, axis=-1) - 1) / size
    return np.maximum(z - _at_last_true(tau, descending > tau), 0.0)


def entmax15(logits: ArrayLike) -> NDArray[np.float64]:
    """1.5-entmax over the last axis, ``[z_i/2 - tau]_+^2`` with tau such that the row sums to one.

    Exact algorithm by sorting (Peters, Niculae and Martins, ACL 2019, algorithm 2).
    Parameters, result and errors are those of `softmax`.
    """
    z = np.maximum(_below_maximum(logits) / 2, -2.0)
    descending = -np.sort(-z, axis=-1)
    size = np.arange(1, z.shape[-1] + 1)
    mean = np.cumsum(descending, axis=-1) / size
    variance = np.cumsum(descending**2, axis=-1) / size - mean**2
    tau = mean - np.sqrt(np.maximum(1 / size - variance, 0.0))
    return np.maximum(z - _at_last_true(tau, descending >= tau), 0.0) ** 2


def check_logits(logits: Any, names: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Validate the logits of a user.

    Parameters
    ----------
    logits
        Array (rows, keys) or (keys,), nats, of any kind that `biospike.arrays.plain_array` reads; NaN, -inf, a mask of
        `numpy.ma`, or a fill as `biospike.ideal.fills.mask_fills` decides, masks a key.
    names
        What rows are called in messages; default the names of `biospike.rows_of`, or indices.

    Returns
    -------
    array (rows, keys)
        A copy in double precision in which every masked key is NaN; one dimension becomes one row. An `InputWarning`
        says what was masked, and if rows look like probabilities.

    Raises
    ------
    InputError
        In one line that names the value and what is accepted: if the array is empty, not numeric, or neither one- nor
        two-dimensional, if a logit is +inf, if a row has no unmasked key or is padding, or if the logits are integers
        that span so much that they are token ids or quantised values.
    """
    names = row_names(logits) if names is None else names
    raw = plain_array(logits, "logits", ACCEPTED)
    values = _masked_as_nan(raw, names)
    if values.ndim > 2:
        raise InputError(
            f"logits have shape {values.shape}; accepted are (rows, keys), or (keys,) for one row; biospike.rows_of "
            "makes rows of (batch, heads, queries, keys)"
        )
    above = np.where(values > LARGEST_FILL, values, np.nan)
    given = logits if isinstance(logits, np.ma.MaskedArray) else raw  # whose mask has made floats of integers
    refuse_codes(given, values if np.isnan(above).all() else above, "logits")
    values = mask_fills(np.atleast_2d(values), row_names=names)
    if _like_probabilities(values):
        empty = "" if np.nan_to_num(values).any(axis=1).all() else " or is 0 throughout"
        warnings.warn(
            f"logits: every row sums to 1{empty}: these look like probabilities; log(p) has the same softmax",
            InputWarning,
            stacklevel=1,  # always this line, so that Python says it once
        )
    return values


def _like_probabilities(values: NDArray[np.float64]) -> bool:
    """Whether rows sum to 1 without being whole numbers, as a row of one key or [1, 0, 0] may be by chance.

    Rows of zeros are padding.
    """
    known = np.where(np.isnan(values), 0.0, values)
    if (known < 0).any() or not ((known > 0) & (known < 1)).any():
        return False
    return bool((np.abs(known[known.any(axis=1)].sum(axis=1) - 1) < ROUNDING).all())


def _masked_as_nan(logits: ArrayLike, names: Sequence[str] | None = None) -> NDArray[np.float64]:
    """Copy in double precision with NaN at every masked key; the errors of all functions here."""
    raw = plain_array(logits, "logits", ACCEPTED)
    if raw.dtype.kind not in "iuf":
        raise InputError(f"logits have the data type {raw.dtype}; {ACCEPTED}")
    if raw.ndim == 0:
        raise InputError(f"logits are the single number {raw}; accepted are (rows, keys), or (keys,) for one row")
    if raw.size == 0:
        raise InputError(f"logits are empty, with shape {raw.shape}; accepted is at least one row of one key")
    values = raw.astype(np.float64)
    values[np.isneginf(values)] = np.nan

    if np.isposinf(values).any():
        *row, key = (int(i) for i in np.argwhere(np.isposinf(values))[0])
        raise InputError(f"logits: row {_name(row, names)} has inf at key {key}; {ACCEPTED}")
    silent = np.isnan(values).all(axis=-1)
    if silent.any():
        row = [int(i) for i in np.argwhere(silent)[0]]
        content = raw[tuple(row)][:4].tolist()
        raise InputError(f"logits: row {_name(row, names)} has no unmasked key (it begins {content}); {ACCEPTED}")
    return values


def _name(row: list[int], names: Sequence[str] | None) -> str:
    if len(row) != 1:
        return str(tuple(row) if row else 0)
    return str(row[0]) if names is None else names[row[0]]


def _below_maximum(logits: ArrayLike) -> NDArray[np.float64]:
    """Logits minus the maximum of their row; -inf at masked keys."""
    values = _masked_as_nan(logits)
    values[np.isnan(values)] = -np.inf
    with np.errstate(over="ignore"):  # a range beyond 1e308 becomes -inf, whose share is 0
        return values - values.max(axis=-1, keepdims=True)


def _at_last_true(values: NDArray[np.float64], condition: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Entry of `values` at the last index where `condition` holds; it holds on a leading run, the support."""
    return np.take_along_axis(values, condition.sum(axis=-1, keepdims=True) - 1, axis=-1)
