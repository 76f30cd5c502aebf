"""Pinned tables: how they are read, written and compared."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

PINNED = Path(__file__).resolve().parent / "pinned"

LAYOUT = "tyro.version"
"""File of the version of tyro that has set the help texts."""
LONG, STRIDE = 120, 7
"""Of a table of more rows than LONG every STRIDE-th is pinned: a prime, so that every group of rows has its turn."""
RELATIVE = 1e-12
FLOOR = 1e-15
"""Where a value is 0 or cancels, as a bias of none does, what is left is the rounding of terms of about 1."""
WHOLE = re.compile(r"[-+]?\d+")
NUMBER = re.compile(r"[-+]?\d+\.?\d*(e[-+]?\d+)?")

Table = list[list[str]]
"""Cells as they are written, the names of the columns first."""


def read(directory: Path, left_out: tuple[str, ...] = ()) -> dict[str, Table]:
    """Read every csv file of a directory, without the columns that are left out: ``column``, or ``table.column``."""
    tables = {}
    for path in sorted(directory.glob("*.csv")):
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        kept = [
            place for place, column in enumerate(rows[0])
            if column not in left_out and f"{path.stem}.{column}" not in left_out
        ]  # fmt: skip
        tables[path.name] = [[row[place] for place in kept] for row in rows]
    return tables


def shortened(table: Table) -> Table:
    """Take what is pinned of a table."""
    names, *rows = table
    return [names, *(rows[::STRIDE] if len(rows) > LONG else rows)]


def text(table: Table) -> str:
    """Write a table as csv."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(table)
    return written.getvalue()


def differences(pinned: Table, found: Table) -> Iterator[str]:
    """Say where two tables differ: columns, number of rows, cells."""
    if pinned[0] != found[0]:
        yield f"columns {found[0]}, pinned are {pinned[0]}"
        return
    if len(pinned) != len(found):
        yield f"{len(found) - 1} rows, pinned are {len(pinned) - 1}"
        return
    for number, (before, after) in enumerate(zip(pinned[1:], found[1:], strict=True), 1):
        for column, old, new in zip(pinned[0], before, after, strict=True):
            if not same(old, new):
                yield f"row {number}, {column}: {new!r}, pinned is {old!r}"


def same(pinned: str, found: str) -> bool:
    """Whether two cells agree: text and whole numbers exactly, floats to `RELATIVE` or `FLOOR`."""
    if pinned == found:
        return True
    floats = all(NUMBER.fullmatch(cell) and not WHOLE.fullmatch(cell) for cell in (pinned, found))
    return floats and math.isclose(float(pinned), float(found), rel_tol=RELATIVE, abs_tol=FLOOR)
