"""Claims of the paper and of the theory around it, each read off the tables of the study that measures it.

A claim is a function from the results of its study to a `Finding`, with a verdict: "holds", "does not hold", "depends:
on WHAT", "undecided", "not decidable here: WHY" or "not measured". `judged` draws the verdict from intervals, by the
rules of `validation.study.verdict`. A claim stands in the ``claims.py`` of its study, once; the study's report and the
index of all claims print it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import attrs
import numpy as np
import pandas as pd

from biospike.theory.paper import DIGEST, PAPER
from validation.study.results import Missing, Results
from validation.study.verdict import FAILS, HOLDS, LEVEL, NOT_HERE, NOT_MEASURED, UNDECIDED, Case, joint_p, settle
from validation.study.words import between

UNKNOWN = re.compile(r"(?<![a-z])nan(?![a-z])")
"""A number in words that tables of silent or saturated inputs do not have: whatever it decides is not decided."""
OURS = "biospike"
REPORTED = f"{PAPER}, by {DIGEST}"
REVIEWED = f"{PAPER}, by a machine-written review page"
IMPLIED = f"{PAPER}, in whose theory it is a step"

KINDS = {
    "stated": "in the source's own words",
    "reported": "a third party says that the source says it",
    "implied": "a step of the theory needs it",
    "ours": "nobody states it, or biospike does",
}
DECISIONS = {
    "interval": "an interval against a threshold",
    "equivalence": "an interval inside a stated margin",
    "order": "an order whose study decides it by intervals",
    "ranks": "ranks among relabelled runs",
    "identity": "exact equality, without chance",
    "closed form": "a formula, without chance",
    "every case": "deterministic numbers, all of them",
    "range": "the range over windows or rows, which is no confidence interval",
}
"""What a verdict rests on."""
FEWEST_ADJUSTED = 16
"""Trials from which on p-values are adjusted for their number."""


@attrs.frozen
class Finding:
    """What was measured of a claim, and what follows.

    Attributes
    ----------
    sentence : str
        What was measured, in words.
    interval : str
        Its interval, in words.
    verdict : str
    estimate, low, high, level : float
        The number that decides, its interval and the nominal confidence of that; NaN where no single number does. Of
        several cases, that which is farthest on the wrong side.
    threshold : float
        What the number is held against.
    threshold_from : str
        Where the threshold comes from.
    control : str
        What a rival that is known to be trivial gives.
    p_value : float
        Of the verdict; NaN for what is not tested.
    trials : float
        Fewest repetitions behind an interval.
    decision : str
        What the verdict rests on, one of `DECISIONS`.
    conditions : str
        Rows, rate, window, constants under which it holds.
    claim, kind, source, place : str
        The claim; ``stated``, ``reported``, ``implied`` or ``ours``; who makes it; and where. Filled from the claim.
    """

    sentence: str
    interval: str
    verdict: str
    estimate: float = attrs.field(default=np.nan, kw_only=True)
    low: float = attrs.field(default=np.nan, kw_only=True)
    high: float = attrs.field(default=np.nan, kw_only=True)
    level: float = attrs.field(default=np.nan, kw_only=True)
    threshold: float = attrs.field(default=np.nan, kw_only=True)
    threshold_from: str = attrs.field(default="", kw_only=True)
    control: str = attrs.field(default="", kw_only=True)
    p_value: float = attrs.field(default=np.nan, kw_only=True)
    trials: float = attrs.field(default=np.nan, kw_only=True)
    decision: str = attrs.field(default="", kw_only=True)
    conditions: str = attrs.field(default="", kw_only=True)
    claim: str = attrs.field(default="", kw_only=True)
    kind: str = attrs.field(default="", kw_only=True)
    source: str = attrs.field(default="", kw_only=True)
    place: str = attrs.field(default="", kw_only=True)

    @property
    def word(self) -> str:
        """The verdict without its reason."""
        return self.verdict.split(":")[0]


def judged(
    sentence: str, cases: Sequence[Case], *, on: str = "the case", decision: str = "", interval: str = "", **facts: Any
) -> Finding:
    """Finding whose verdict follows from the cases.

    Parameters
    ----------
    on
        What tells the cases apart, for a claim that holds in some of them only.
    decision
        One of `DECISIONS`; default "equivalence" if all ranges have two ends, else "interval".
    interval
        Default the intervals of all cases.
    facts
        Other fields of the finding.

    Raises
    ------
    Missing
        Without any case.
    """
    if not cases:
        raise Missing("no case to decide by")
    decision = decision or ("equivalence" if all(case.equivalence for case in cases) else "interval")
    known = [case for case in cases if np.isfinite(case.excess)]
    shown = max(known, key=lambda case: case.excess) if known else cases[0]
    words = ((case.name, between(case.low, case.high)) for case in cases)
    chance = decision in ("interval", "equivalence", "order", "ranks")
    numbers: dict[str, Any] = {
        "estimate": shown.estimate, "low": shown.low, "high": shown.high, "threshold": shown.threshold,
        "level": shown.level if chance and np.isfinite([shown.low, shown.high]).all() else np.nan,
        "p_value": joint_p(cases) if decision == "interval" else np.nan,
        "trials": min((case.trials for case in cases if np.isfinite(case.trials)), default=np.nan),
    }  # fmt: skip
    told = interval or "; ".join(" ".join(filter(None, [name, ends])) for name, ends in words if ends)
    return Finding(sentence, told, settle(cases, on), decision=decision, **(numbers | facts))


Read = Callable[[Results], Finding]


class Claim(NamedTuple):
    """A claim, who makes it and where, and how it is read."""

    claim: str
    source: str
    read: Read
    kind: str = ""
    place: str = ""

    def find(self, results: Results) -> Finding:
        """Read the claim off the results of its study.

        A table, column or row that is not there leaves it not measured; any other error is the reading's own.
        """
        try:
            finding = self.read(results)
            if UNKNOWN.search(finding.sentence + " " + finding.interval):
                finding = Finding("", "", "not measured: a number that it rests on is not known")
        except Missing as missing:
            finding = Finding("", "", f"{NOT_MEASURED}: {missing}")
        except KeyError as label:  # as pandas says that there is no such column or row
            finding = Finding("", "", f"{NOT_MEASURED}: the tables have no {label}")
        kind = self.kind or ("ours" if self.source.startswith(OURS) else "")
        return attrs.evolve(finding, claim=self.claim, kind=kind, source=self.source, place=self.place)


class Claims(list[Claim]):
    """The claims that one study measures."""

    def add(self, claim: str, source: str, *, kind: str = "", place: str = "") -> Callable[[Read], Read]:
        """Register the decorated function as the reading of a claim."""

        def register(read: Read) -> Read:
            self.append(Claim(claim, source, read, kind, place))
            return read

        return register

    def unread(self, claim: str, source: str, why: str, *, kind: str, place: str, decidable: bool = True) -> None:
        """Register a claim that no table of this study decides, and why; not `decidable` if no run of it could."""
        verdict = f"{NOT_MEASURED if decidable else NOT_HERE}: {why}"
        self.append(Claim(claim, source, lambda _: Finding("", "", verdict), kind, place))

    def findings(self, results: Results) -> list[Finding]:
        """Every claim, read off the results of the study."""
        return [claim.find(results) for claim in self]


def adjusted(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of one study, with the p-values of those that are tested adjusted for their number (Holm).

    Tested are those decided by an interval against a threshold, with at least `FEWEST_ADJUSTED` trials where trials
    are counted; claims of one kind are a family. What is told only before the adjustment becomes undecided.
    """
    found = list(findings)
    for kind in KINDS:
        family = [
            place for place, one in enumerate(found)
            if one.kind == kind and np.isfinite(one.p_value) and not one.trials < FEWEST_ADJUSTED
        ]  # fmt: skip
        largest = 0.0
        for rank, place in enumerate(sorted(family, key=lambda place: found[place].p_value)):
            one = found[place]
            largest = min(1.0, max(largest, (len(family) - rank) * one.p_value))
            verdict = one.verdict
            if largest > 1 - LEVEL and one.word != UNDECIDED:
                verdict = f"{UNDECIDED}: among {len(family)} tests (Holm); alone {one.verdict}"
            found[place] = attrs.evolve(one, p_value=largest, verdict=verdict)
    return found


COLUMNS = {"measured": "sentence"}
"""Columns of the index that have another name than the field of a finding."""


def claims_table(found: Iterable[tuple[str, Finding]]) -> pd.DataFrame:
    """One row a claim, from pairs of a study's name and what it found."""
    order = ["claim", "source", "measured", "interval", "verdict", "kind", "place", "conditions"]
    order += ["estimate", "low", "high", "level", "threshold", "threshold_from", "control", "p_value", "trials"]
    order += ["decision"]
    rows = [{name: getattr(finding, COLUMNS.get(name, name)) for name in order} | {"study": study}
            for study, finding in found]  # fmt: skip
    return pd.DataFrame(rows, columns=[*order[:2], "study", *order[2:]])


def headline(table: pd.DataFrame) -> str:
    """How many claims of each kind have which verdict, those of other publications apart, one line each."""
    of_paper = table["source"].str.startswith(PAPER) | ~table["kind"].isin(("stated", "reported"))
    group = table["kind"].where(of_paper, table["kind"] + " by others")
    word = table["verdict"].str.split(":").str[0]
    order = {name: place for place, name in enumerate((HOLDS, FAILS, "depends", UNDECIDED, NOT_HERE, NOT_MEASURED))}
    lines = []
    for name in [kind + other for kind in KINDS for other in ("", " by others")]:
        counts = word[group == name].value_counts().sort_index(key=lambda words: words.map(order))
        if counts.sum():
            told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
            lines.append(f"- {name}, {counts.sum()}: {told}")
    return "\n".join(lines)


def findings_text(findings: Iterable[Finding]) -> str:
    """Findings that were measured, one paragraph each, as Markdown."""
    said = [
        f"* **{one.claim[:1].upper()}{one.claim[1:]}** ({one.source}; {one.kind}): {one.verdict}. {one.sentence}"
        + (f" ({one.interval})." if one.interval else ".")
        + (f" Trivial read-outs: {one.control}." if one.control else "")
        + (f" Conditions: {one.conditions}." if one.conditions else "")
        for one in findings
        if one.sentence
    ]
    return "\n".join(said) or "No claim of the index was measured by this run."
