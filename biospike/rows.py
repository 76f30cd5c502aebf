"""Rows of a dump: attention logits as models give them, one softmax a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from biospike.arrays import plain_array
from biospike.errors import InputError

AXES = ("layer", "batch", "head", "query")
"""Axes of a dump before that of the keys; one with fewer lacks the first ones."""


def rows_of(dump: ArrayLike) -> xr.DataArray:
    """Flatten a dump of attention logits into rows that `biospike.simulate` takes.

    Parameters
    ----------
    dump
        Nats (batch, heads, queries, keys), (heads, queries, keys), (queries, keys), or a sequence of the first, one a
        layer; NaN or -inf masks a key. Arrays of NumPy, tensors of torch; an array of xarray may have its dimensions
        before that of the keys in any order, if all are named so.

    Returns
    -------
    xarray.DataArray (row, key)
        With the coordinate `row_name`, such as "b0 h3 q5", by which messages and results call the rows.

    Raises
    ------
    InputError
        If it has another number of dimensions, or is not of numbers.
    """
    values = plain_array(dump, "logits")
    if values.dtype.kind not in "iuf" or not 2 <= values.ndim <= len(AXES) + 1 or values.size == 0:
        raise InputError(
            f"a dump of {values.dtype} {values.shape}; accepted are numbers (batch, heads, queries, keys), (heads, "
            "queries, keys) and (queries, keys)"
        )
    return xr.DataArray(
        values.reshape(-1, values.shape[-1]),
        dims=("row", "key"),
        coords={"row_name": ("row", _names(values.shape, _axes(dump, values.ndim - 1)))},
        name="logits",
        attrs={"units": "nats"},
    )


def _axes(dump: Any, number: int) -> list[str]:
    """Which axes a dump has before that of the keys: those that an array names, else the last of `AXES`."""
    names = [str(name).lower() for name in getattr(dump, "dims", ())][:-1]
    said = [axis for name in names for axis in AXES if name == axis[0] or name.startswith(axis)]
    return said if len(said) == number == len(set(said)) else list(AXES[len(AXES) - number :])


def _names(shape: tuple[int, ...], axes: list[str]) -> list[str]:
    """Names of the rows of a dump (..., keys), such as "b0 h3 q5"."""
    return [
        " ".join(f"{axis[0]}{number}" for axis, number in zip(axes, place, strict=True))
        for place in np.ndindex(shape[:-1])
    ]


def row_names(rows: Any) -> list[str] | None:
    """Names of rows that `rows_of` made; None for any other array."""
    if not isinstance(rows, xr.DataArray) or "row_name" not in rows.coords:
        return None
    return [str(name) for name in np.ravel(rows.coords["row_name"].values)]
