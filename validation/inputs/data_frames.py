"""Header and index of a data frame in text: dropped if the whole frame is there, and refused if only a part is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence

from biospike.errors import InputError, InputWarning

Lines = list[list[str]]
KEEP = "--no-frame reads all of it as numbers"
INDEX_NAMES = ("index", "row", "id", "query", "head", "batch", "layer", "sample", "token", "unnamed: 0")
"""What stands above the numbers of an index, besides nothing."""
COUNTED = re.compile(r"\d+")
NOT_WHOLE = re.compile(r"[.,eE]")


def without_frame(lines: Lines, is_number: Callable[[str], bool]) -> Lines:
    """Drop the header and the index of a data frame.

    A header is a first line, an index a first column, of 0, 1, 2, ... or of nothing but text; a header may also be
    blank, and the corner above an index blank or text. A header that is one field shorter than the rows has an index
    below its corner, which may count from 1. There must be two rows and two columns of numbers beside them. Other whole
    numbers, all different, in the first line or column of numbers that are not whole are kept, and said.

    Parameters
    ----------
    lines
        Fields of a table.
    is_number
        Whether a field is a number, which no text is.

    Returns
    -------
    list of list of str
        The numbers, of which an `InputWarning` says what was dropped.

    Raises
    ------
    InputError
        If the frame fits in part: a header without the index to its corner, or one that may be either.
    """
    header, index = _frame(lines, is_number)
    if not (header or index):
        return lines
    parts = [f"first line ({_shown(lines[0])})"] if header else []
    parts += [f"first column ({_shown([line[0] for line in lines[header:]])})"] if index else []
    warnings.warn(
        f"the {' and the '.join(parts)} {'are' if len(parts) > 1 else 'is'} left out, as of a data frame; {KEEP}",
        InputWarning,
        stacklevel=3,
    )
    return [line[index:] for line in lines[header:]]


def _frame(lines: Lines, is_number: Callable[[str], bool]) -> tuple[int, int]:
    """How many lines are header, and how many columns index."""

    def label(fields: Sequence[str]) -> bool:
        text = all(field and not is_number(field) for field in fields)
        return len(fields) > 0 and (text or list(fields) == [str(number) for number in range(len(fields))])

    first, rest = lines[0], lines[1:]
    columns = [line[0] for line in lines if line]
    below = columns[1:]
    blank = not any(first)
    corner = bool(first) and (not first[0] or not is_number(first[0]))
    indexed = label(below)
    if corner and indexed and (label(first[1:]) or blank) and _large(rest, 1):
        return 1, 1
    counted = below == [str(number) for number in range(1, len(columns))]
    if len(rest) and len(first) == len(rest[0]) - 1 and (indexed or counted) and label(first) and _large(rest, 1):
        return 1, 1  # as R writes a table: nothing above the index
    named = not is_number(first[0]) and (first[0].lower() in INDEX_NAMES or counted)
    if len(rest) and (len(first) < len(rest[0]) or named) and label(first) and _large(rest, 0):
        raise InputError(
            f"the first line ({_shown(first)}) is the header of a data frame, and the first column "
            f"({_shown(below)}) may be its index or a key; leave both out, or {KEEP}"
        )
    if (label(first) or blank) and _large(rest, 0):
        if not blank and label(columns) and _large(lines, 1):
            raise InputError(
                f"the first line ({_shown(first)}) and the first column ({_shown(columns)}) may each be the header or "
                f"the index of a data frame; leave them out, or {KEEP}"
            )
        return 1, 0
    if label(columns) and _large(lines, 1):
        return 0, 1
    if not first[0] and len(first) > 1 and label(first[1:]):
        raise InputError(
            f"the first line ({_shown(first)}) is the header of a data frame, but the first column "
            f"({_shown(below)}) is not its index, which is 0, 1, 2, ... or text, or the rest has fewer than two "
            f"rows or columns; leave the header out, or {KEEP}"
        )
    body = [line[1:] for line in rest]
    numbered = _numbered(first[1:], body)
    if not (first[0] or blank) and ((indexed and (numbered or len(rest) > 1)) or (numbered and _numbered(below, body))):
        raise InputError(
            f"the first column ({_shown(below)}) is the index of a data frame, but the first line ({_shown(first)}) is "
            f"not its header, which is 0, 1, 2, ... or text; leave both out, or {KEEP}"
        )
    if (len(lines) == 2 and len(first) > 1 and label(first) and is_number(first[0])) or _numbered(first, rest):
        _tell_of_kept("line", first, "a header")
    if _numbered(columns, [line[1:] for line in lines]):
        _tell_of_kept("column", columns, "an index")
    return 0, 0


def _numbered(fields: Sequence[str], others: Lines) -> bool:
    """Whether fields are whole numbers, all different, beside numbers none of which is whole: as labels are."""
    known = [field for line in others for field in line if field]
    whole = len(fields) > 1 and all(map(COUNTED.fullmatch, fields)) and len(set(fields)) == len(fields)
    return whole and len(known) > 0 and all(map(NOT_WHOLE.search, known))


def _tell_of_kept(part: str, fields: Sequence[str], meant: str) -> None:
    warnings.warn(
        f"the first {part} ({_shown(fields)}) is read as numbers; leave it out if it is {meant}",
        InputWarning,
        stacklevel=5,
    )


def _large(lines: Lines, index: int) -> bool:
    return len(lines) >= 2 and len(lines[0]) - index >= 2


def _shown(fields: Sequence[str]) -> str:
    return ", ".join(field[:20] or "blank" for field in fields[:3]) + (", ..." if len(fields) > 3 else "")
