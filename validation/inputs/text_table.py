"""Numbers in text, as programs write them: separators, decimal commas, comments, ragged lines and data frames."""

from __future__ import annotations

import csv
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError, InputWarning
from validation.inputs.data_frames import without_frame

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}
COMMENTS = ("#", "%")
EMPTY = frozenset({"", "nan", "-nan", "+nan", "na", "n/a", "#n/a", "<na>", "null", "none", "--"})
"""Fields, in lower case, that are no number on purpose; "--" is how a masked array prints one."""
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")
PAIR = re.compile(r"([-+]?\d+),(\d+)")
"""Two whole numbers, or one with a decimal comma."""
PAIRS = re.compile(r"[-+]?\d+,\d+(,[-+]?\d+,\d+)*")
LEADING_ZERO = re.compile(r"0\d+")
WHOLE = re.compile(r"[-+]?\d+")
EXACT = 2**53
"""Whole numbers from here on are not exact in double precision."""
BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Fields(NamedTuple):
    """Text cut into fields.

    Attributes
    ----------
    lines : list of list of str
        As long as the first one, or shorter.
    numbers : list of int
        Of the lines in the file, from 1.
    separator : str
        Key of `SEPARATORS`.
    """

    lines: list[list[str]]
    numbers: list[int]
    separator: str


def read_text(content: bytes, ending: str = ".csv", *, frame: bool = True) -> NDArray[Any]:
    """Read rows of numbers from text.

    Fields are separated by commas, semicolons, tabs or blanks, whichever there are; lines that begin with # or % are
    comments. A shorter line lacks its last fields. Empty fields, nan and NA are NaN. Whole numbers stay integers,
    masked where a field is empty among them.

    Parameters
    ----------
    content
        Of the file.
    ending
        ``.tsv`` is separated by tabs.
    frame
        Whether header and index of a data frame are dropped; see `validation.inputs.data_frames.without_frame`.

    Returns
    -------
    ndarray (lines, fields)
        An `InputWarning` says what was dropped or filled up, and what may have been meant otherwise.

    Raises
    ------
    InputError
        If it is not text, a field is not a number, a line is longer than the first one, or a comma or a blank may part
        fields or the digits of one.
    """
    fields = _cut(_decoded(content), "\t" if ending == ".tsv" else None)
    lines = without_frame(fields.lines, is_number) if frame else fields.lines
    _tell_of_empty_ends(lines, fields.separator)
    return _as_numbers(fields._replace(lines=lines, numbers=fields.numbers[-len(lines) :]))


def is_number(field: str) -> bool:
    """Whether a field is a number or NaN, with a point or a comma."""
    return not field.endswith(",") and _number(field.replace(",", ".", 1)) is not None


def _decoded(content: bytes) -> str:
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise InputError("the file is not text") from None
    if "\0" in text:
        raise InputError("the file is not text: it holds zero bytes, not numbers")
    return text


def _cut(text: str, separator: str | None) -> Fields:
    """Cut text into fields by the separator that it uses."""
    kept = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if _counts(line)]
    if not kept:
        raise InputError("the file is empty; expected rows of numbers")
    numbers, lines = zip(*kept, strict=True)
    first = numbers[0]
    blank = [n for n, line in enumerate(text.splitlines(), start=1) if first < n < numbers[-1] and not line.strip()]
    if blank:
        warnings.warn(f"line {blank[0]} is blank, and left out{_more(blank)}", InputWarning, stacklevel=2)
    separator = _separator(lines) if separator is None else separator
    if separator == ",":
        _tell_of_decimal_commas(lines)
    elif separator == " ":
        _refuse_other_blanks(lines, numbers)
    fields = Fields(_split(lines, separator), list(numbers), separator)
    _refuse_labels(text, fields)
    return fields


def _tell_of_decimal_commas(lines: tuple[str, ...]) -> None:
    """Say that every line is read as whole numbers, if it may as well be half as many with decimal commas."""
    if not all(map(PAIRS.fullmatch, map(str.strip, lines))):
        return
    found = [pair for line in lines for pair in PAIR.findall(line)]
    certain = next((f"{whole},{part}" for whole, part in found if LEADING_ZERO.fullmatch(part) or whole == "-0"), None)
    if certain is not None:
        raise InputError(
            f"{certain!r} may be one number with a decimal comma or two, written as no whole numbers are; write "
            "decimal points, or blanks between numbers"
        )
    digits = {len(part) for _, part in found}
    if len(found) == len(lines) or (len(digits) == 1 and digits != {1}):
        number = "two" if len(found) == len(lines) else "only"
        warnings.warn(
            f"every line is read as {number} whole numbers, such as {lines[0].strip()!r}; if the comma is a decimal "
            "sign, write a point",
            InputWarning,
            stacklevel=2,
        )


def _refuse_other_blanks(lines: tuple[str, ...], numbers: tuple[int, ...]) -> None:
    """Refuse blanks that part thousands in some countries, and fields in others."""
    for number, line in zip(numbers, lines, strict=True):
        other = next((sign for sign in line.strip() if sign.isspace() and sign != " "), None)
        if other is not None:
            raise InputError(
                f"line {number} holds the blank U+{ord(other):04X}, which may part fields or thousands; write an "
                "ordinary blank (U+0020), or nothing"
            )


def _tell_of_empty_ends(lines: list[list[str]], separator: str) -> None:
    """Say that the first or the last field is NaN in every line: a separator too many looks the same."""
    for end, place in (("first", 0), ("last", -1)):
        if len(lines[0]) > 1 and not any(line[place] for line in lines if len(line) == len(lines[0])):
            warnings.warn(
                f"the {end} field of every line is empty, and so NaN (fields separated by {SEPARATORS[separator]}); "
                "if nothing is missing there, take the separator away",
                InputWarning,
                stacklevel=3,
            )


def _refuse_labels(text: str, fields: Fields) -> None:
    """Refuse a row whose label begins as a comment does, such as the word piece ##ing: it would be lost."""
    for number, line in enumerate(text.splitlines(), start=1):
        sign = line.lstrip()
        if not sign.startswith(COMMENTS) or len(sign) < 2 or sign[1].isspace():
            continue
        cells = _split((sign,), fields.separator)[0]
        if len(cells) == len(fields.lines[-1]) > 1 and all(map(is_number, cells[1:])):
            raise InputError(
                f"line {number} begins with {sign[0]!r} as a comment does, but is a row of numbers; take the sign away "
                "if it is a label, or write a blank behind it if it is a comment"
            )


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(COMMENTS)


def _separator(lines: tuple[str, ...]) -> str:
    found = [mark for mark in (";", "\t") if any(mark in line.strip() for line in lines)]
    if len(found) > 1:
        raise InputError("fields are separated by semicolons and by tabs; accepted is one kind of separator")
    if found:
        return found[0]
    if not any("," in line for line in lines):
        return " "
    # "1,5 2,5" are two numbers with decimal commas, "1, 5" and "1,5" two whole numbers.
    by_comma = all(is_number(field) for line in _split(lines, ",") for field in line)
    by_blank = not by_comma and all(is_number(field) for line in _split(lines, " ") for field in line)
    return " " if by_blank else ","


def _split(lines: tuple[str, ...], separator: str) -> list[list[str]]:
    if separator == " ":
        return [line.split() for line in lines]
    try:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True))
    except csv.Error as error:
        raise InputError(f"fields separated by {SEPARATORS[separator]} cannot be told apart ({error})") from None
    if len(rows) != len(lines):
        raise InputError("a quotation mark is not closed in its line")
    return [[field.strip() for field in row] for row in rows]


def _as_numbers(fields: Fields) -> NDArray[Any]:
    lines, separator = fields.lines, SEPARATORS[fields.separator]
    width = len(lines[0])
    longer = [number for number, line in zip(fields.numbers, lines, strict=True) if len(line) > width]
    if longer:
        raise InputError(
            f"lines differ in length, the longest must come first: line {longer[0]} has more than {width} fields "
            f"(separated by {separator})"
        )
    decimal = _decimal_sign(fields)
    values = np.full((len(lines), width), np.nan)
    for at, line in enumerate(lines):
        for place, field in enumerate(line):
            value = _number(field.replace(",", ".") if decimal == "," else field)
            if value is None:
                raise InputError(
                    f"{field!r} is not a number (line {fields.numbers[at]}); expected rows of numbers, without a "
                    f"header or with the whole frame of a table (fields separated by {separator})"
                )
            values[at, place] = value
    short = [number for number, line in zip(fields.numbers, lines, strict=True) if len(line) < width]
    if short:
        warnings.warn(
            f"lines differ in length: line {short[0]} has fewer than {width} fields, the last of which are NaN"
            f"{_more(short)}",
            InputWarning,
            stacklevel=2,
        )
    whole = all(WHOLE.fullmatch(field) or field.lower() in EMPTY for line in lines for field in line)
    return _whole(values) if whole else values


def _whole(values: NDArray[np.float64]) -> NDArray[Any]:
    """Whole numbers as integers, masked where they are NaN."""
    missing = np.isnan(values)
    if missing.all():
        return values
    if np.nanmax(np.abs(values)) >= EXACT:
        raise InputError(
            f"whole numbers up to {np.nanmax(np.abs(values)):g}, which double precision does not hold exactly; write "
            "them with a point if they are meant"
        )
    exact = np.where(missing, 0, values).astype(np.int64)
    return np.ma.masked_array(exact, missing) if missing.any() else exact


def _decimal_sign(fields: Fields) -> str:
    """The comma if fields hold one and nothing speaks against it."""
    with_comma = [field for line in fields.lines for field in line if "," in field]
    if not with_comma:
        return "."
    separator = SEPARATORS[fields.separator]
    if any("." in field for line in fields.lines for field in line):
        raise InputError(f"{with_comma[0]!r}: commas and points in numbers (fields separated by {separator})")
    if all(THOUSANDS.fullmatch(field) for field in with_comma):
        raise InputError(
            f"{with_comma[0]!r}: the comma may part decimals or thousands (fields separated by {separator}); write a "
            "point, or nothing"
        )
    if all(DECIMAL_COMMA.fullmatch(field) or is_number(field) for field in with_comma):
        return ","
    return "."


def _number(field: str) -> float | None:
    """Value of a field; NaN where it is empty; None if it is no number."""
    if field.lower() in EMPTY:
        return np.nan
    try:
        return None if "_" in field else float(field)
    except ValueError:
        return None


def _more(numbers: list[int]) -> str:
    return f", and so for {len(numbers) - 1} more" if len(numbers) > 1 else ""
