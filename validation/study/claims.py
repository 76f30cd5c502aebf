"""Claims of the paper and of the theory around it, each read off the tables of the study that measures it.

A claim is a function from the results of its study to a `Finding`, with a verdict: "holds", "does not hold", "depends",
"undecided" or "unverified", and a reason after a colon where one is needed. Without its tables a claim is "not
measured". It stands in the ``claims.py`` of its study, once; the study's report and the index of all claims print it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import attrs
import numpy as np
import pandas as pd

from validation.study.results import Missing, Results

UNKNOWN = re.compile(r"(?<![a-z])nan(?![a-z])")
"""A number in words that tables of silent or saturated inputs do not have: whatever it decides is not decided."""
OURS = "biospike"
PAPER = "arXiv:2604.15769"


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
        The number that decides, its interval and the confidence of that; NaN where no single number does.
    threshold : float
        What the number is held against.
    threshold_from : str
        Where the threshold comes from.
    control : str
        What a rival that is known to be trivial gives.
    p_value : float
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
    conditions: str = attrs.field(default="", kw_only=True)
    claim: str = attrs.field(default="", kw_only=True)
    kind: str = attrs.field(default="", kw_only=True)
    source: str = attrs.field(default="", kw_only=True)
    place: str = attrs.field(default="", kw_only=True)


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
            finding = Finding("", "", f"not measured: {missing}")
        except KeyError as label:  # as pandas says that there is no such column or row
            finding = Finding("", "", f"not measured: the tables have no {label}")
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

    def findings(self, results: Results) -> list[Finding]:
        """Every claim, read off the results of the study."""
        return [claim.find(results) for claim in self]


COLUMNS = {"measured": "sentence"}
"""Columns of the index that have another name than the field of a finding."""


def claims_table(found: Iterable[tuple[str, Finding]]) -> pd.DataFrame:
    """One row a claim, from pairs of a study's name and what it found."""
    order = ["claim", "source", "measured", "interval", "verdict", "kind", "place", "conditions"]
    order += ["estimate", "low", "high", "level", "threshold", "threshold_from", "control", "p_value"]
    rows = [{name: getattr(finding, COLUMNS.get(name, name)) for name in order} | {"study": study}
            for study, finding in found]  # fmt: skip
    return pd.DataFrame(rows, columns=[*order[:2], "study", *order[2:]])


def findings_text(findings: Iterable[Finding]) -> str:
    """Findings that were measured, one paragraph each, as Markdown."""
    said = [
        f"* **{one.claim[:1].upper()}{one.claim[1:]}** ({one.source}): {one.verdict}. {one.sentence}"
        + (f" ({one.interval})." if one.interval else ".")
        for one in findings
        if not one.verdict.startswith("not measured")
    ]
    return "\n".join(said) or "No claim of the index was measured by this run."
