"""Claims about trained models, as read off the tables of the study."""

from __future__ import annotations

from typing import Any

import pandas as pd

from validation.study.claims import IMPLIED, OURS, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.verdict import Case

CLAIMS = Claims()
CLOSE = 0.05
"""Error over law within this of 1."""
FEWEST_SPIKES = 30
"""N from which on that is claimed."""
RULE = "abstract: design rules with C = 2.3; digest: d_eff"
POINT = 0.01
"""Of accuracy or rank correlation."""


def _ratio(row: dict[str, Any], name: str, margin: float = CLOSE) -> Case:
    ends = {"estimate": row["ratio"], "low": row["ratio_low"], "high": row["ratio_high"]}
    return Case(name=name, **ends, trials=row["draws"], least=1 - margin, most=1 + margin)


def _where(table: pd.DataFrame, wanted: pd.Series, what: str) -> list[dict[str, Any]]:
    found = table[wanted & table["ratio"].notna()].to_dict("records")
    if not found:
        raise Missing(f"{what} was not run")
    return found


@CLAIMS.add(
    "a first-order law without a fitted constant gives the error of a trained model from attention spikes", OURS
)
def attention(results: Results) -> Finding:
    """Error over law of independent spikes, N of at least 30."""
    table = results.table("summary", block="attention", by="shares", circuit=["race", "escape"])
    rows = _where(table, table["spikes"] >= FEWEST_SPIKES, f"N of at least {FEWEST_SPIKES}")
    cases = [_ratio(row, f"{row['model']}, {row['circuit']}, N {row['spikes']:g}") for row in rows]
    return judged(
        "error over law: " + "; ".join(f"{case.name}: {case.estimate:.3f}" for case in cases), cases,
        on="model and N", threshold_from=f"within {CLOSE:g} of the law",
        conditions=f"N of at least {FEWEST_SPIKES}, all layers and heads",
    )  # fmt: skip


@CLAIMS.add("what the first-order law misses is of second order in 1/N", OURS)
def second(results: Results) -> Finding:
    """First-order part of the error from two windows, over the law."""
    table = results.table("second_order", block="attention")
    rows = table[table["spikes"] >= FEWEST_SPIKES].to_dict("records")
    cases = [
        Case(name=f"{row['model']}, N {row['shorter']:g} and {row['spikes']:g}", estimate=row["first"],
             low=row["first_low"], high=row["first_high"], least=1 - CLOSE, most=1 + CLOSE)
        for row in rows
    ]  # fmt: skip
    return judged(
        "A/law of error = A/N + B/N^2: " + "; ".join(f"{case.name}: {case.estimate:.3f}" for case in cases), cases,
        on="model and N", threshold_from=f"within {CLOSE:g} of the law", conditions="neighbouring windows, same draws",
    )  # fmt: skip


@CLAIMS.add("with the trains that neurons share counted, the law gives the error of whole blocks", OURS)
def blocks(results: Results) -> Finding:
    """Error over law of values, scores and all, at the longest window."""
    table = results.table("summary", by="shares", block=["values", "scores", "all"])
    longest = table.groupby(["model", "block"])["timesteps"].transform("max")
    cases = [
        _ratio(row, f"{row['model']}, {row['block']}, T {row['timesteps']:g}", margin=0.1)
        for row in _where(table, table["timesteps"] == longest, "a block with trains")
    ]
    return judged(
        "error over law: " + "; ".join(f"{case.name}: {case.estimate:.3f}" for case in cases), cases,
        on="model and block", threshold_from="within .1 of the law", conditions="one train a neuron, read by all",
    )  # fmt: skip


@CLAIMS.add(
    "softmax attention by Lemma 3's inhibition keeps the task of a trained model within a point",
    IMPLIED, kind="implied", place="digest: Lemma 3, the softmax of the theory's transformers",
)  # fmt: skip
def subtractive(results: Results) -> Finding:
    """Change of the task at the limit of the subtractive circuit."""
    rows = results.table("summary", circuit="subtractive", by="limit").dropna(subset=["change"]).to_dict("records")
    cases = [
        Case(
            name=str(row["model"]), estimate=row["change"], low=row["change_low"], high=row["change_high"], least=-POINT
        )
        for row in rows
    ]
    return judged(
        "change of the task: "
        + "; ".join(f"{row['model']}: {row['change']:+.4f}, 1 - cos {row['error']:.3f}" for row in rows),
        cases, on="the model", threshold_from="a point, .01",
        conditions="limit of long windows, all layers and heads, not trained for it; w = 1, beta = 1",
    )  # fmt: skip


@CLAIMS.add("T = C d_eff/eps^2 is what whole trained models need", IMPLIED, kind="implied", place=RULE)
def rule(results: Results) -> Finding:
    """Steps of the rule over those of the law."""
    rows = results.table("budget").to_dict("records")
    cases = [
        Case.exact(f"{row['model']}, scale {row['scale']}", row["rule_steps"] / row["steps_99"], least=0.5, most=2.0)
        for row in rows
    ]
    return judged(
        "steps of the rule over those of the law: " + "; ".join(f"{case.name}: {case.estimate:.2g}" for case in cases),
        cases, on="model and scale", decision="every case", threshold_from="a factor of two",
        conditions="cos .99; d_eff of the tokens, in these models alone: neither it nor n*d is in the law; "
        "everything by trains, .1 row spikes a step",
    )  # fmt: skip
