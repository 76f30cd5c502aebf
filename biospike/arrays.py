"""Arrays as people have them: masked ones, tensors, tables and lists, as plain arrays of numbers.

Nothing is guessed: what has no certain meaning is refused in one line that says how to convert it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError, InputWarning

SPAN = 1000
"""Integers that span more than this are no logits or weights: token ids run to 1e5, quantised values to 2**15."""
SMALL_CODES = 100
"""Integers that span more than this may be codes of a byte; logits so far apart would leave one key all of its row."""


def plain_array(values: Any, name: str, accepted: str = "accepted are rectangular arrays of numbers") -> NDArray[Any]:
    """Return what the user calls an array as one of NumPy, in which masked entries are NaN.

    Parameters
    ----------
    values
        NumPy, also with a mask; torch, on any device, with gradients, bfloat16; pandas, xarray; sequences of these.
    name, accepted
        What the array is called in an error, and what the error says is accepted.

    Returns
    -------
    ndarray
        Of its own data type; double precision if it has masked entries, or is of a type that NumPy does not know.

    Raises
    ------
    InputError
        If it is ragged, has a unit, cannot be converted, or is of bytes without a type, as bfloat16 becomes in a file.
    """
    if (unit := _with_unit(values)) is not None:
        raise InputError(f"{name} have a unit, that of {_short(unit)}; {accepted}")
    try:
        array = np.asarray(_unpacked(values))
    except InputError:
        raise
    except ValueError:  # rows of unequal length
        raise InputError(f"{name} are not a rectangular array: {_short(values)}; {accepted}") from None
    except Exception as error:  # whatever a foreign array raises when it is converted
        kind = f"{type(values).__module__}.{type(values).__qualname__}"
        raise InputError(f"{name}: {kind} cannot be read as an array ({_short(error)}); {accepted}") from None
    if array.dtype.kind != "V":
        return array
    if array.dtype.names is not None:
        raise InputError(
            f"{name} are a structured array with the fields {', '.join(array.dtype.names)}; make an ordinary one of "
            f"it by numpy.lib.recfunctions.structured_to_unstructured; {accepted}"
        )
    if array.dtype.type is not np.void:  # bfloat16 and its like, which a package has registered with NumPy
        return array.astype(np.float64)
    raise InputError(
        f"{name} have the data type {array.dtype.str}, bytes of which nobody knows the meaning (bfloat16 becomes that "
        f"in a file): save them as float32, such as tensor.float().numpy(); {accepted}"
    )


def float_array(values: Any, name: str) -> NDArray[np.float64]:
    """As `plain_array`, in double precision.

    Raises
    ------
    InputError
        As there, and if it is of text, of objects or complex.
    """
    array = plain_array(values, name)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} have the data type {array.dtype}; accepted are rectangular arrays of numbers")
    return array.astype(np.float64)


def positive_array(values: Any, name: str) -> NDArray[np.float64]:
    """As `float_array`, of finite numbers above 0.

    Raises
    ------
    InputError
        As there, and naming the first number that is not.
    """
    array = float_array(values, name)
    refuse_not_finite(array, name)
    if (wrong := array[array <= 0]).size:
        raise InputError(f"{name} must be above 0, got {wrong.flat[0]}")
    return array


def bool_array(values: ArrayLike, name: str, sense: str) -> NDArray[np.bool_]:
    """Truth values, also as the numbers 0 and 1.

    Parameters
    ----------
    values
        As of `plain_array`.
    name
        What the array is called.
    sense
        What True means: said in every error, since masks come in both senses.

    Raises
    ------
    InputError
        If anything is neither True nor False, 0 nor 1.
    """
    array = plain_array(values, name)
    if array.dtype == bool:
        return array
    wanted = f"{name} must be True or False (bool, or 0 and 1) for every key, where {sense}"
    if array.dtype.kind not in "iuf":
        raise InputError(f"{wanted}; got the data type {array.dtype}")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise InputError(f"{wanted}; got {wrong.flat[0]} in an array of {array.dtype} {array.shape}")
    return array.astype(bool)


def refuse_codes(raw: NDArray[Any], values: NDArray[np.float64], name: str) -> None:
    """Raise `InputError` if whole numbers span so much that they are codes, not measurements.

    Those that may be codes of a byte are taken as they stand, of which an `InputWarning` tells.

    Parameters
    ----------
    raw
        The array as it was given; only its data type matters.
    values
        Its numbers; NaN ones do not count.
    """
    known = values[np.isfinite(values)]
    if raw.dtype.kind not in "iu" or not known.size or np.ptp(known) <= SMALL_CODES:
        return
    found = f"{name} are integers from {known.min():g} to {known.max():g}"
    if np.ptp(known) > SPAN:
        raise InputError(
            f"{found}, which look like token ids or quantised values; integers may span {SPAN}, and numbers that are "
            "meant are accepted as floats"
        )
    warnings.warn(f"{found}, read as they stand; multiply quantised values by their scale", InputWarning, stacklevel=2)


def refuse_not_finite(values: NDArray[np.float64], name: str) -> None:
    """Raise `InputError` that names the first value which is not finite, and its place."""
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        place = tuple(int(index) for index in wrong[0])
        more = f", and {len(wrong) - 1} more such" if len(wrong) > 1 else ""
        shown = place if len(place) > 1 else place[0]
        raise InputError(f"{name} has {values[place]} at {shown}{more}; accepted are finite numbers")


def _with_unit(values: Any) -> Any:
    """The first quantity with a unit, also in a list, of which NumPy keeps the bare numbers; None if there is none."""
    if isinstance(values, (list, tuple)):
        return next((found for one in values if (found := _with_unit(one)) is not None), None)
    return None if getattr(getattr(values, "dim", None), "is_dimensionless", True) else values


def _unpacked(values: Any) -> Any:
    """What `numpy.asarray` converts without loss: it drops masks, and fails on tensors that have a gradient."""
    if isinstance(values, np.ma.MaskedArray):
        return _without_mask(values)
    if isinstance(values, (list, tuple)):
        return values if all(isinstance(one, (int, float)) for one in values) else [_unpacked(one) for one in values]
    if hasattr(values, "detach") and hasattr(values, "is_floating_point"):
        tensor = values.detach().cpu()
        return (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    if hasattr(values, "dtypes") and hasattr(values, "to_numpy"):
        return _table(values)
    if dims := [str(name).lower() for name in getattr(values, "dims", ())]:
        early = [name for name in dims[:-1] if name == "k" or name.startswith("key")]
        if early and dims[-1] != "k" and not dims[-1].startswith("key"):
            raise InputError(f"the dimensions {tuple(dims)} do not end with that of the keys; transpose it")
    return values


def _without_mask(values: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Numbers with NaN where they are masked; truth values with None, which is refused like every object."""
    mask = np.ma.getmaskarray(values)
    if not mask.any() or values.dtype.kind not in "biuf":
        return values.data
    if values.dtype.kind == "b":
        truths = values.data.astype(object)
        truths[mask] = None
        return truths
    return np.where(mask, np.nan, values.data.astype(np.float64))


def _table(frame: Any) -> Any:
    """Values of a pandas object, missing ones NaN; its own nullable types would become objects."""
    kinds = frame.dtypes if isinstance(frame.dtypes, Sequence) or hasattr(frame.dtypes, "__iter__") else [frame.dtypes]
    array = np.asarray(frame)
    found = {getattr(kind, "kind", "O") for kind in kinds}
    if array.dtype == object and (found <= set("iuf") or found == {"b"}):
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return " ".join(text.split())[:80]
