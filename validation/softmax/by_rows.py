"""Claims about circuits on several sets of rows: on what a verdict depends, and what each set says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import pandas as pd

from biospike.verdicts import NO_ERROR
from validation.softmax.row_sets import GIVEN
from validation.study.claims import Finding, judged
from validation.study.results import Missing, Results
from validation.study.verdict import FAILS, HOLDS, Case
from validation.study.words import between

NAMES = {GIVEN: "these rows", "peaked": "peaked rows", "flat": "flat rows"}

Read = Callable[[str, pd.Series], Case]
"""From a name and the longest window of a circuit, with its verdict, to the case of a claim."""


def on_all_rows(results: Results, circuits: Sequence[str], *, erring: bool = True) -> pd.DataFrame:
    """Longest windows of these circuits with their verdicts, on every set of rows, the study's own first.

    Raises
    ------
    Missing
        Without any of them, or, if they have to err, without any error to speak of.
    """
    rows = results.last("circuit", circuit=list(circuits)).reset_index().assign(rows_kind=GIVEN)
    if (results.directory / "convergence.csv").is_file():
        fits = results.table("convergence").drop(columns="limit_tv", errors="ignore")
        rows = rows.merge(fits, on="circuit", how="left", suffixes=("", "_of_fit"))
    if (results.directory / "row_sets.csv").is_file():
        sets = results.table("row_sets")
        rows = pd.concat([rows, sets[(sets["rows_kind"] != GIVEN) & sets["circuit"].isin(circuits)]])
    rows = rows[rows["tv"] > NO_ERROR] if erring else rows
    if not (rows["rows_kind"] == GIVEN).any():
        raise Missing(f"no error of {', '.join(circuits)} to explain")
    return rows.reset_index(drop=True)


def judged_by_rows(sentence: str, rows: pd.DataFrame, read: Read, **facts: Any) -> Finding:
    """Finding about the circuits of `rows`, of `on_all_rows`, and what it depends on.

    Parameters
    ----------
    sentence
        What was measured on the study's own rows; what the others say is added.
    read
        Makes the case of one row.
    facts
        As of `validation.study.claims.judged`.
    """
    several = rows["circuit"].nunique() > 1
    cases = {(row["circuit"], row["rows_kind"]): read("", row) for _, row in rows.iterrows()}
    named, intervals = [], dict[str, list[str]]()
    for (circuit, kind), case in cases.items():
        own = circuit if several else ""
        ends = between(case.low, case.high)
        if ends:
            intervals.setdefault(kind, []).append(f"{own} {ends}".strip())
        same = {one.verdict for (name, _), one in cases.items() if name == circuit}
        # Rows that turn nothing over are not named.
        named.append(attrs.evolve(case, name=own if len(same) == 1 else f"{own} on {NAMES[kind]}".strip()))
    more = facts.pop("more", [])
    told = [
        ", ".join(words) if len(intervals) == 1 else f"{NAMES[kind]}: {', '.join(words)}"
        for kind, words in intervals.items()
    ]
    told += [f"{case.name}: {between(case.low, case.high)}" for case in more]
    facts = {"interval": "; ".join(told), "on": what_decides(cases)} | facts
    return judged(sentence + _elsewhere(rows), named + more, **facts)


def _elsewhere(rows: pd.DataFrame) -> str:
    """TV and verdict on the other sets of rows."""
    told = []
    for kind, mine in rows[rows["rows_kind"] != GIVEN].groupby("rows_kind", sort=False):
        each = [f"{row['circuit']} TV {row['tv']:.3g}" + _verdict(row) for _, row in mine.iterrows()]
        told.append(f"; on {NAMES[str(kind)]} {'; '.join(each)}")
    return "".join(told)


def _verdict(row: pd.Series) -> str:
    return f", {row['verdict']}" if isinstance(row.get("verdict"), str) else ""


def what_decides(cases: Mapping[tuple[str, str], Case]) -> str:
    """Which of circuit and rows, by which cases are known, turns the verdict over while the other is held."""

    def turns(axis: int) -> bool:
        return any(
            one[1 - axis] == two[1 - axis] and {cases[one].verdict, cases[two].verdict} == {HOLDS, FAILS}
            for one in cases for two in cases
        )  # fmt: skip

    told = [name for axis, name in enumerate(("the circuit", "the rows")) if turns(axis)]
    return " and ".join(told) or "the circuit and the rows"
