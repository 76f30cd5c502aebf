"""Verdicts on several sets of rows: the study's own, the same with their logits doubled, and with a quarter of them.

What is found on one set of rows may be due to them: a verdict that other rows turn over depends on the rows, and says
so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pandas as pd

from validation.study.claims import Finding, judged
from validation.study.row_kinds import GIVEN, NAMES
from validation.study.verdict import FAILS, HOLDS, Case
from validation.study.words import between

Read = Callable[[str, pd.Series], Case]
"""From a name and what was measured of a circuit, with its verdict, to the case of a claim."""


def judged_by_rows(
    sentence: str, rows: pd.DataFrame, read: Read, *, say: Callable[[pd.Series], str] | None = None, **facts: Any
) -> Finding:
    """Finding about the circuits of `rows`, one row a circuit and kind of rows, and what it depends on.

    Parameters
    ----------
    sentence
        What was measured on the study's own rows; what the others say is added.
    rows
        Columns `circuit` and `rows_kind`, and those that `read` and `say` need; the study's own rows first.
    read
        Makes the case of one row.
    say
        What one row says in a few words, of rows that are not the study's own; default its `tv` and verdict.
    facts
        As of `validation.study.claims.judged`; `more`: further cases.
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
    return judged(sentence + _elsewhere(rows, say or _tv_and_verdict), named + more, **facts)


def _elsewhere(rows: pd.DataFrame, say: Callable[[pd.Series], str]) -> str:
    """What the other sets of rows say."""
    told = []
    for kind, mine in rows[rows["rows_kind"] != GIVEN].groupby("rows_kind", sort=False):
        told.append(f"; on {NAMES[str(kind)]} {'; '.join(say(row) for _, row in mine.iterrows())}")
    return "".join(told)


def _tv_and_verdict(row: pd.Series) -> str:
    verdict = f", {row['verdict']}" if isinstance(row.get("verdict"), str) else ""
    return f"{row['circuit']} TV {row['tv']:.3g}{verdict}"


def what_decides(cases: Mapping[tuple[str, str], Case]) -> str:
    """Which of circuit and rows, by which cases are known, turns the verdict over while the other is held."""

    def turns(axis: int) -> bool:
        return any(
            one[1 - axis] == two[1 - axis] and {cases[one].verdict, cases[two].verdict} == {HOLDS, FAILS}
            for one in cases for two in cases
        )  # fmt: skip

    told = [name for axis, name in enumerate(("the circuit", "the rows")) if turns(axis)]
    return " and ".join(told) or "the circuit and the rows"
