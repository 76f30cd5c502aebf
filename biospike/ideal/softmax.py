"""What the circuits are compared with: softmax, sparsemax and 1.5-entmax of a row of logits.

A row is the last axis. NaN or -inf masks a key: its share is exactly zero and the other keys do not see it.
The three maps are what a shared subtractive inhibition makes of an exponential, a threshold-linear and a quadratic
f-I curve.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError

ACCEPTED = "accepted are finite numbers in nats, and NaN or -inf for a masked key"


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


def check_logits(logits: ArrayLike) -> NDArray[np.float64]:
    """Validate the logits of a user.

    Parameters
    ----------
    logits
        Array (rows, keys) or (keys,), nats; NaN or -inf masks a key.

    Returns
    -------
    array (rows, keys)
        A copy in double precision in which every masked key is NaN; one dimension becomes one row.

    Raises
    ------
    InputError
        In one line that names the value and what is accepted: if the array is empty, not numeric, or neither one- nor
        two-dimensional, if a logit is +inf, or if a row has no unmasked key.
    """
    values = _masked_as_nan(logits)
    if values.ndim > 2:
        raise InputError(f"logits have shape {values.shape}; accepted are (rows, keys), or (keys,) for one row")
    return np.atleast_2d(values)


def _masked_as_nan(logits: ArrayLike) -> NDArray[np.float64]:
    """Copy in double precision with NaN at every masked key; the errors of all functions here."""
    try:
        raw = np.asarray(logits)
    except ValueError:  # rows of unequal length
        raise InputError(f"logits are not a rectangular array: {logits!r:.80}; {ACCEPTED}") from None
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
        raise InputError(f"logits: row {_name(row)} has inf at key {key}; {ACCEPTED}")
    silent = np.isnan(values).all(axis=-1)
    if silent.any():
        row = [int(i) for i in np.argwhere(silent)[0]]
        content = raw[tuple(row)][:4].tolist()
        raise InputError(f"logits: row {_name(row)} has no unmasked key (it begins {content}); {ACCEPTED}")
    return values


def _name(row: list[int]) -> str:
    return str(row[0] if len(row) == 1 else tuple(row) if row else 0)


def _below_maximum(logits: ArrayLike) -> NDArray[np.float64]:
    """Logits minus the maximum of their row; -inf at masked keys."""
    values = _masked_as_nan(logits)
    values[np.isnan(values)] = -np.inf
    with np.errstate(over="ignore"):  # a range beyond 1e308 becomes -inf, whose share is 0
        return values - values.max(axis=-1, keepdims=True)


def _at_last_true(values: NDArray[np.float64], condition: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Entry of `values` at the last index where `condition` holds; it holds on a leading run, the support."""
    return np.take_along_axis(values, condition.sum(axis=-1, keepdims=True) - 1, axis=-1)
