"""Parameters with units: read from text, checked once, frozen for ever.

Every parameter object of biospike is an ``attrs.frozen`` class whose fields are made by `quantity` and `number`.
A field converts text such as ``"12 ms"``, checks dimension and range, and names the offending value when it fails.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from biospike.errors import InputError

import brian2 as b2
from brian2.units.fundamentalunits import Quantity, get_dimensions, get_unit, have_same_dimensions

UNITS: dict[str, Quantity] = {
    name: getattr(b2, name)
    for name in ("second", "ms", "us", "volt", "mV", "Hz", "kHz", "amp", "nA", "pA", "siemens", "nS", "ohm", "Mohm")
} | {"s": b2.second, "V": b2.volt}

_TEXT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]+)\s*")


def parse_quantity(text: str | Quantity, like: Quantity) -> Quantity:
    """Read a quantity such as ``"12 ms"``.

    Parameters
    ----------
    text
        A number and a unit, or a Brian2 quantity, which is only checked.
    like
        A quantity of the dimension that is expected, also shown as the example in the error.

    Returns
    -------
    Quantity
        The value with its unit.

    Raises
    ------
    InputError
        If the text is not a finite number with a known unit, or the dimension is not that of `like`.
    """
    value: Any = text

    def expected() -> str:  # formatted where it is needed, since it takes longer than reading a value
        return f"expected a value such as '{like.in_best_unit()}'"

    if isinstance(text, str):
        match = _TEXT.fullmatch(text)
        if match is None or match[2] not in UNITS:
            raise InputError(f"{text!r} is not a number with a unit; {expected()} (units: {', '.join(UNITS)})")
        value = float(match[1]) * UNITS[match[2]]
    try:
        finite = math.isfinite(float(b2.asarray(value)))
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{text!r} is not a single quantity; {expected()}") from None
    if not have_same_dimensions(value, like):
        has = f"the unit {get_unit(get_dimensions(value))!r}" if isinstance(value, Quantity) else "no unit"
        raise InputError(f"{value} has {has}; {expected()}")
    if not finite:
        raise InputError(f"{value} is not finite; {expected()}")
    return Quantity(value)


def _range_check(minimum: Any, maximum: Any, above: Any) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        for bound, holds, words in (
            (minimum, lambda b: value >= b, "at least"),
            (maximum, lambda b: value <= b, "at most"),
            (above, lambda b: value > b, "above"),
        ):
            if bound is not None and not holds(bound):
                raise InputError(f"{type(instance).__name__}: {attribute.name} must be {words} {bound}, got {value}")

    return check


def quantity(
    default: Quantity,
    *,
    minimum: Quantity | None = None,
    maximum: Quantity | None = None,
    above: Quantity | None = None,
) -> Any:
    """Attrs field for a quantity of the dimension of its default; accepts text, keeps a `Quantity`.

    `minimum` and `maximum` are inclusive, `above` is not. Violations raise `InputError` naming field and value.
    """
    return attrs.field(
        default=default,
        converter=lambda value: parse_quantity(value, like=default),
        validator=_range_check(minimum, maximum, above),
        # Quantity has no hash; its value in base units has one, and one field always has one dimension.
        eq=float,
        hash=None,
    )


def real(value: Any) -> float:
    """Converter: a number, or an infinity."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{value!r} is not a number") from None
    if math.isnan(result):
        raise InputError(f"{value!r} is not a number")
    return result


def number(
    default: float, *, minimum: float | None = None, maximum: float | None = None, above: float | None = None
) -> Any:
    """Attrs field for a dimensionless number, with the same range checks as `quantity`."""
    return attrs.field(default=default, converter=real, validator=_range_check(minimum, maximum, above))


def optional_number(
    default: float | None, *, minimum: float | None = None, maximum: float | None = None, below: float | None = None
) -> Any:
    """Attrs field for a finite dimensionless number, or None; `below` is not inclusive."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:
            return
        _range_check(minimum, maximum, None)(instance, attribute, value)
        if not math.isfinite(value) or (below is not None and value >= below):
            words = "finite" if below is None else f"below {below}"
            raise InputError(f"{type(instance).__name__}: {attribute.name} must be {words}, or None, got {value}")

    return attrs.field(default=default, converter=attrs.converters.optional(real), validator=check)


def optional_voltage(otherwise: str) -> Any:
    """Attrs field for a voltage above 0, or None, the default, for what `otherwise` says; equal by its value."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Quantity | None) -> None:
        if value is not None and not value > 0 * b2.mV:
            raise InputError(
                f"{type(instance).__name__}: {attribute.name} must be above 0 V, or None for {otherwise}, got {value}"
            )

    def read(value: Any) -> Quantity:
        return parse_quantity(value, like=b2.mV)

    def number(value: Quantity | None) -> float | None:
        return None if value is None else float(value)

    return attrs.field(default=None, converter=attrs.converters.optional(read), validator=check, eq=number)


def whole(default: int, *, minimum: int | None = None, maximum: int | None = None) -> Any:
    """Attrs field for a whole number."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise InputError(f"{type(instance).__name__}: {attribute.name} must be a whole number, got {value!r}")
        _range_check(minimum, maximum, None)(instance, attribute, value)

    return attrs.field(default=default, validator=check)


def flag(default: bool) -> Any:
    """Attrs field for True or False."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{type(instance).__name__}: {attribute.name} must be True or False, got {value!r}")

    return attrs.field(default=default, validator=check)


def choice(default: str, *options: str) -> Any:
    """Attrs field for one of a few words; the error lists them."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in options:
            accepted = ", ".join(repr(option) for option in options)
            raise InputError(f"{type(instance).__name__}: {attribute.name} must be one of {accepted}, got {value!r}")

    return attrs.field(default=default, validator=check)


def to_plain(parameters: Any) -> dict[str, Any]:
    """Parameters of a frozen object as plain values in SI base units, for provenance and hashing.

    Parameter objects within it are plain in turn, under their class's name; arrays are told by shape and SHA-256.
    """
    return {name: _plain(value) for name, value in attrs.asdict(parameters, recurse=False).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Quantity):
        return float(value)
    if isinstance(value, np.ndarray):
        return f"array {value.shape} sha256 {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if attrs.has(type(value)):
        return {"class": type(value).__name__} | to_plain(value)
    return value
