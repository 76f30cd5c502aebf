"""What the studies write and print is what is pinned: tables of small runs, and help texts of the command lines.

A change that is meant is pinned again by ``python tests/guard/update.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pins
import pytest
import tyro
from shipped import SHIPPED
from studies import CASES, COMMANDS, ROOT, Case, help_of, run

from circuits import SOFTMAX_CIRCUITS

UPDATE = "to pin what is found: python tests/guard/update.py"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tables(case: Case, tmp_path: Path) -> None:
    run(case, tmp_path)
    found, pinned = pins.read(tmp_path, case.left_out), pins.read(pins.PINNED / case.name)
    assert list(found) == list(pinned), UPDATE
    wrong = [
        f"{name}, {line}" for name in pinned for line in pins.differences(pinned[name], pins.shortened(found[name]))
    ]
    assert not wrong, "\n".join([f"{len(wrong)} differences; {UPDATE}", *wrong[:20]])


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    texts = pins.PINNED / "help"
    found, pinned = help_of(command), (texts / f"{command}.txt").read_text()
    added = set(SOFTMAX_CIRCUITS) - set(SHIPPED)
    if added or (texts / pins.LAYOUT).read_text().strip() != tyro.__version__:
        # Lines, boxes and rules are tyro's; the words are ours, but for the name of a circuit that a user adds.
        found, pinned = (re.sub(r"[\s│╭╮╰╯─-]+", " ", text) for text in (found, pinned))
        for name in added:
            found = re.sub(rf" {name}\b", "", found)
    assert found == pinned, UPDATE


def test_every_command_is_here() -> None:
    """A study that is added is pinned as well."""
    entries = {path.stem for path in (ROOT / "validation").glob("*.py") if "command_line.run(" in path.read_text()}
    assert entries == set(COMMANDS)
    assert {path.name for path in pins.PINNED.iterdir()} == {"help", *(case.name for case in CASES)}


def test_pinned_tables_hold_something() -> None:
    for path in pins.PINNED.glob("*/*.csv"):
        table = pins.read(path.parent)[path.name]
        assert len(table) > 1, path
        # No machine may stand in a table.
        assert not re.search(r"/(home|root|tmp|usr)/", path.read_text()), path


TABLE = [["circuit", "spikes", "tv"], ["race", "12", "0.25"], ["escape", "7", "0.0"]]


@pytest.mark.parametrize(
    ("row", "column", "cell", "noticed"),
    [
        (1, 0, "Race", True),
        (1, 1, "13", True),
        (1, 1, "12.0", True),
        (1, 2, repr(0.25 * (1 + 2e-12)), True),
        (1, 2, repr(0.25 * (1 + 5e-13)), False),
        (1, 2, "", True),
        (1, 2, "nan", True),
        (1, 2, "inf", True),
        (2, 2, "1e-16", False),
        (2, 2, "1e-14", True),
        (0, 2, "tv_mean", True),
    ],
)
def test_a_change_is_noticed(row: int, column: int, cell: str, noticed: bool) -> None:
    changed = [list(line) for line in TABLE]
    changed[row][column] = cell
    assert bool(list(pins.differences(TABLE, changed))) is noticed


def test_lost_rows_are_noticed() -> None:
    assert list(pins.differences(TABLE, TABLE[:-1])) == ["1 rows, pinned are 2"]
    long = [["x"], *([str(number)] for number in range(700))]
    assert [row[0] for row in pins.shortened(long)[1:4]] == ["0", "7", "14"]
    assert len(pins.shortened(long)) == 101
