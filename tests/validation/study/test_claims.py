"""Claims are read off tables: what is not there is not measured, and a faulty reading is not passed off as that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from validation.study.claims import OURS, Claim, Finding
from validation.study.results import Results


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """One table of one row, and one that nothing filled."""
    made = Results(tmp_path)
    made.tables(summary=pd.DataFrame({"circuit": ["race"], "tv": [0.25]}), energy=pd.DataFrame([]))
    return Results(tmp_path)


def claim(read: Callable[[Results], object]) -> Claim:
    return Claim("x", OURS, lambda results: Finding(str(read(results)), "", "holds"))


def test_what_is_there_is_read(results: Results) -> None:
    found = claim(lambda results: results.table(circuit="race")["tv"].iloc[0]).find(results)
    assert (found.sentence, found.verdict, found.kind) == ("0.25", "holds", "ours")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda results: results.table("convergence"), "was not run"),
        (lambda results: results.dataset("counts"), "was not run"),
        (lambda results: results.table("energy"), "has no such rows"),
        (lambda results: results.table(circuit="escape"), "has no such rows"),
        (lambda results: results.table(mode="staged"), "the tables have no 'mode'"),
        (lambda results: results.table()["tv_low"], "the tables have no 'tv_low'"),
        (lambda results: results.table().iloc[0]["tv_low"], "the tables have no 'tv_low'"),
        (lambda results: results.last("circuit").loc["escape"], "the tables have no 'escape'"),
    ],
    ids=["table", "dataset", "empty table", "row", "column of a choice", "column", "column of a row", "label of a row"],
)
def test_what_is_not_there_is_not_measured(read: Callable[[Results], object], words: str, results: Results) -> None:
    found = claim(read).find(results)
    assert found.verdict.startswith("not measured: ")
    assert found.verdict.endswith(words)
    assert found.sentence == ""


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda results: 1 / (len(results.table()) - 1), ZeroDivisionError),
        (lambda results: results.table().iloc[5], IndexError),
        (lambda results: float(results.table()["circuit"].iloc[0]), ValueError),
        (lambda results: results.table().tv_low, AttributeError),
    ],
)
def test_a_faulty_reading_is_an_error(
    read: Callable[[Results], object], error: type[Exception], results: Results
) -> None:
    with pytest.raises(error):
        claim(read).find(results)
