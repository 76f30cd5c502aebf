"""Claims about attention that ages, as read off the tables of the study."""

from __future__ import annotations

from typing import Any

import pandas as pd

from validation.ageing.measure import KINDS, RATE
from validation.study.claims import OURS, Claims, Finding, judged
from validation.study.results import Results
from validation.study.verdict import Case

import brian2 as b2

CLAIMS = Claims()
CLOSE = 0.1
"""A law holds if the interval of the error is within a tenth of it."""
ROUNDING = 1e-12
"""Differences below which two ways to one softmax are one."""


def _case(row: dict[str, Any]) -> Case:
    """Error over its law."""
    ends = {key: row[column] / row["law"] for key, column in (("estimate", "tv"), ("low", "low"), ("high", "high"))}
    name = f"{row['rows']}, w {row['decay']:g}"
    return Case(name=name, **ends, trials=row["trials"], least=1 - CLOSE, most=1 + CLOSE)


@CLAIMS.add("a channel of SpikeGPT's attention is a softmax of logits that age", OURS)
def identity(results: Results) -> Finding:
    """Difference of the recursion from the softmax, at every decay."""
    rows = results.table("summary", rows="escape").to_dict("records")
    worst = max(row["identity"] for row in rows)
    return judged(
        f"largest difference {worst:.1g}",
        [Case.exact(f"w {row['decay']:g}", row["identity"], most=ROUNDING) for row in rows],
        on="the decay",
        decision="closed form",
        conditions=f"{rows[0]['tokens']:.0f} tokens, values of variance 1, float64 with running maximum",
    )


@CLAIMS.add("rows whose inhibition jumps by the decay keep the error law of their circuit at every decay", OURS)
def jumping(results: Results) -> Finding:
    """Error over its law."""
    how = "inhibition jumps by w at every token; the law of regular keys is a mean over window ends, of which a "
    return _over_law(results.table("summary", rows=list(KINDS)), how + "deterministic row that forgets at once has few")


@CLAIMS.add("the row's own inhibition follows the decay without a jump", OURS)
def alone(results: Results) -> Finding:
    """The same, where nothing but the servo lowers what is old."""
    return _over_law(results.table("summary", rows="servo alone"), "no jump; .1 nat a spike")


def _over_law(table: pd.DataFrame, how: str) -> Finding:
    cases = [_case(row) for row in table.to_dict("records")]
    first = table.iloc[0]
    return judged(
        "error over its law: " + "; ".join(f"{case.name}: {case.estimate:.2f}" for case in cases),
        cases,
        on="the decay",
        threshold_from=f"the law, within {CLOSE:g} of it",
        conditions=f"{first['tokens']:.0f} tokens, {first['trials']:.0f} trials, {RATE / b2.Hz:g} Hz a row; {how}",
    )


@CLAIMS.add("dividing weights and tokens by two every six blocks changes no spike of SpikeGPT", OURS)
def rescaled(results: Results) -> Finding:
    """Spikes that differ, by blocks and rate."""
    rows = results.table("rescaling").dropna(subset=["differ"]).to_dict("records")
    return judged(
        "spikes that differ: " + "; ".join(
            f"rate {row['aimed']:g} (gain {row['gain']:.2f}), blocks {row['layers']}: {row['differ']:.0%}"
            for row in rows
        ),
        [Case.exact(f"rate {row['aimed']:g}, blocks {row['layers']}", row["differ"], most=0.0) for row in rows],
        on="the blocks: exact without a threshold, not with one that stays",
        decision="every case",
        threshold_from="none",
        control="output weights of 0, as the released code begins with, give no spike at all",
        conditions="random weights with the gains named; trained ones are not at hand",
    )  # fmt: skip


CLAIMS.unread(
    "neurons of the trained SpikeGPT fire at the rates of these random weights", OURS,
    "its weights are not at hand, and no source states its rates", kind="ours", place="", decidable=False,
)  # fmt: skip
