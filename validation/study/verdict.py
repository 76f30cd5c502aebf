"""What an interval says of a claim: the one place where a measurement becomes a verdict.

A claim allows a number a range. It holds if the whole interval lies in the range, does not hold if the whole interval
lies outside, and is undecided otherwise. A range with two ends is an equivalence, and its width a margin. A claim about
several cases holds if it does in all of them, does not hold if it fails wherever anything is told, and depends on the
case if it holds in some and fails in others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from biospike.distributions import student_quantile, student_tail
from biospike.order import CONFIDENCE

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOT_MEASURED, NOT_HERE = "not measured", "not decidable here"
LEVEL = 0.95
"""Confidence of every interval that decides, but of orders by reference: `biospike.order.CONFIDENCE`."""
MOST_NAMED = 6
"""Cases that a verdict names."""

ROOT = ("1/sqrt(N)",)
"""Verdicts on an order that are 1/sqrt(N)."""
FASTER = ("between", "between 1/sqrt(N) and 1/N", "1/N", "faster than 1/N")
"""Those that are faster."""
SLOWER = ("floor", "slower than 1/sqrt(N)")
"""Those that are slower, or stop."""


@attrs.frozen(kw_only=True)
class Case:
    """A number with its interval, and the range that a claim allows it.

    Attributes
    ----------
    name : str
        Of the case, where a claim has several.
    estimate, low, high : float
        NaN where there is none: nothing is decided without an interval.
    least, most : float
        Ends of the range.
    trials : float
        Repetitions behind the interval; NaN where it is not one over repetitions.
    level : float
        Confidence of the interval.
    word : str
        Verdict of a study that decides by intervals of its own, as orders are decided; empty to decide by the range.
    """

    name: str = ""
    estimate: float = attrs.field(default=np.nan, converter=float)
    low: float = attrs.field(default=np.nan, converter=float)
    high: float = attrs.field(default=np.nan, converter=float)
    least: float = -np.inf
    most: float = np.inf
    trials: float = attrs.field(default=np.nan, converter=float)
    level: float = LEVEL
    word: str = ""

    @classmethod
    def exact(cls, name: str, value: float, *, least: float = -np.inf, most: float = np.inf) -> Case:
        """Return the case of a number without any chance in it."""
        return cls(name=name, estimate=value, low=value, high=value, least=least, most=most)

    @property
    def verdict(self) -> str:
        """`HOLDS`, `FAILS` or `UNDECIDED`."""
        if self.word:
            return self.word
        if self.low >= self.least and self.high <= self.most:
            return HOLDS
        return FAILS if self.high < self.least or self.low > self.most else UNDECIDED

    @property
    def equivalence(self) -> bool:
        """Whether the range has two ends."""
        return bool(np.isfinite([self.least, self.most]).all())

    @property
    def centre(self) -> float:
        """The estimate, or the middle of an interval that comes without one."""
        return self.estimate if np.isfinite(self.estimate) else (self.low + self.high) / 2

    @property
    def excess(self) -> float:
        """By how much the centre lies on the wrong side of the nearer end; negative inside the range."""
        return max(self.least - self.centre, self.centre - self.most)

    @property
    def threshold(self) -> float:
        """The end of the range that is nearer to the centre; NaN if there is none."""
        ends = [end for end in (self.least, self.most) if np.isfinite(end)]
        return min(ends, key=lambda end: abs(end - self.centre)) if ends else math.nan

    @property
    def _half(self) -> float:
        """Distance from the centre to the end of its interval that faces the threshold."""
        return self.high - self.centre if self.threshold > self.centre else self.centre - self.low

    @property
    def p_value(self) -> float:
        """Two-sided chance of such a distance from the threshold; below 5 % just where the interval excludes it.

        Of Student's t where the interval is one over trials, else of the normal law. NaN for an equivalence, for an
        order, and without an interval.
        """
        if self.word or self.equivalence or not np.isfinite([self._half, self.threshold]).all():
            return math.nan
        distance = abs(self.centre - self.threshold)
        if self._half <= 0:
            return 0.0 if distance > 0 else 1.0
        freedom = self.trials - 1 if self.trials > 1 else math.inf  # which is the normal law
        return float(2 * student_tail(distance / self._half * student_quantile(freedom, LEVEL), freedom))

    @property
    def trials_needed(self) -> float:
        """Trials after which the interval would probably exclude the threshold, its width falling as their root."""
        distance = abs(self.centre - self.threshold)
        return self.trials * (self._half / distance) ** 2 if distance > 0 else math.nan


def order(name: str, row: Mapping[str, Any], *, holds: Sequence[str], fails: Sequence[str]) -> Case:
    """Return the case of an order, by the verdict that its study gave it.

    Parameters
    ----------
    row
        Of a ``convergence.csv`` or ``fits.csv``; by reference to exact laws where the table has that order, else the
        local slope.
    holds, fails
        Verdicts on an order with which the claim holds and does not; any other is undecided.
    """
    word = HOLDS if row["verdict"] in holds else FAILS if row["verdict"] in fails else UNDECIDED
    known = next((of for of in ("order_of_law", "order", "exponent") if not np.isnan(number(row, of))), "")
    estimate, low, high = (number(row, f"{known}{end}") for end in ("", "_low", "_high"))
    if known != "order_of_law":
        return Case(name=name, estimate=estimate, low=low, high=high, word=word)
    # An exponent, as the slopes and the thresholds are.
    return Case(name=name, estimate=-estimate, low=-high, high=-low, word=word, level=CONFIDENCE)


def number(row: Mapping[str, Any], column: str) -> float:
    """Value of a column that not every table has; NaN where it is not there."""
    value = row.get(column, np.nan)
    return float(value) if isinstance(value, int | float | np.number) else np.nan


def settle(cases: Sequence[Case], on: str) -> str:
    """Verdict of a claim that speaks of all the cases; `on` says what tells them apart."""
    by = {word: [case for case in cases if case.verdict == word] for word in (HOLDS, FAILS, UNDECIDED)}
    holds, fails, undecided = (named([case.name for case in by[word]]) for word in (HOLDS, FAILS, UNDECIDED))
    if holds and fails:
        told = [f"{HOLDS}: {holds}", f"{FAILS}: {fails}", *([f"{UNDECIDED}: {undecided}"] if undecided else [])]
        return f"depends: on {on} ({'; '.join(told)})"
    if fails:
        return f"{FAILS}: {fails} ({UNDECIDED}: {undecided})" if undecided else FAILS
    return f"{UNDECIDED}{_why(by[UNDECIDED], holds)}" if undecided else HOLDS


def _why(undecided: Sequence[Case], holds: str) -> str:
    """What would decide, or what is undecided."""
    needed = [case.trials_needed for case in undecided]
    words = [] if not holds else [f"{named([case.name for case in undecided])} ({HOLDS}: {holds})"]
    if all(case.word == "" and np.isnan([case.low, case.high]).any() for case in undecided):
        words.append("no interval")
    elif np.isfinite(needed).all():
        words.append(f"about {math.ceil(max(needed))} trials would decide")
    return f": {', '.join(words)}" if words else ""


def named(names: Iterable[str]) -> str:
    """Names in a list, the first few of them if they are many."""
    found = list(dict.fromkeys(name or "it" for name in names))
    more = len(found) - MOST_NAMED
    return ", ".join(found) if more <= 0 else f"{', '.join(found[:MOST_NAMED])} and {more} more"


def joint_p(cases: Sequence[Case]) -> float:
    """P-value of what `settle` says of the cases.

    That all hold, or all fail, has the largest of their p-values; that some do has the smallest, times their number
    (Bonferroni); that some do and others do not, the larger of the two. NaN where one has none, or nothing is told.
    """
    p = {word: [case.p_value for case in cases if case.verdict == word] for word in (HOLDS, FAILS, UNDECIDED)}
    if np.isnan([case.p_value for case in cases]).any():
        return math.nan
    asserted = [p[word] for word in (HOLDS, FAILS) if p[word]]
    if len(asserted) == 1 and not p[UNDECIDED]:
        return max(asserted[0])
    if not p[FAILS]:  # that some hold does not make the claim, which speaks of all
        return max(p[UNDECIDED], default=math.nan)
    return min(1.0, max(len(cases) * min(found) for found in asserted))
