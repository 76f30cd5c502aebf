"""Claims about function approximation, as read off the tables of the study."""

from __future__ import annotations

import pandas as pd

from validation.approximation.tables import slope
from validation.study.claims import OURS, PAPER, REPORTED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.thresholds import ORDER_MARGIN, TRIVIAL
from validation.study.verdict import Case
from validation.study.words import conditions

CLAIMS = Claims()
CLAIMS.unread(
    "spiking transformers approximate every continuous permutation-equivariant function", PAPER,
    "a statement on all functions and any number of heads; some targets are measured", kind="stated",
    place="abstract; Theorem 7", decidable=False,
)  # fmt: skip
CLAIMS.unread(
    "L = O(log 1/eps) layers suffice", REPORTED, "the heads measured here form one layer", kind="reported",
    place="Theorem 7",
)  # fmt: skip


def _largest(results: Results, *columns: str) -> pd.DataFrame:
    """Rows in which these columns have their largest value."""
    found = results.table("summary")
    for column in columns:
        found = found[found[column] == found[column].max()]
    return found


@CLAIMS.add("spiking heads with a linear read-out approximate the targets", OURS, place="what Theorem 7 promises")
def targets(results: Results) -> Finding:
    """Sup error with all heads in the longest window, over that of the best constant."""
    rows = _largest(results, "heads", "timesteps")
    return judged(
        "sup error: "
        + "; ".join(f"{row.target} {row.sup_error:.3f} (a constant {row.constant_sup_error:.3f})"
                    for row in rows.itertuples()),
        [
            Case(name=row["target"], most=TRIVIAL,
                 **{end: row[f"sup_{of}"] / row["constant_sup_error"]
                    for end, of in (("estimate", "error"), ("low", "low"), ("high", "high"))})
            for row in rows.to_dict("records")
        ],
        on="the target",
        threshold_from=f"{TRIVIAL:g} of the error of a constant",
        control="; ".join(f"a constant {row.constant_sup_error:.3f} ({row.target})" for row in rows.itertuples()),
        conditions=conditions(rows.iloc[0], "samples that the read-out has not seen"),
    )  # fmt: skip


def _falls(results: Results, against: str, fixed: str) -> Finding:
    """Slopes of the sup error against heads or timesteps, with the other at its largest, beside the theorem's -1/2."""
    rows = _largest(results, fixed)
    cases = []
    for target, mine in rows.groupby("target", sort=False):
        found, low, high = slope(mine[against].to_numpy(dtype=float), mine["sup_error"].to_numpy(dtype=float))
        cases.append(Case(name=str(target), estimate=found, low=low, high=high, most=-0.5 + ORDER_MARGIN))
    if all(pd.isna(case.estimate) for case in cases):
        raise Missing(f"too few {against} for a slope")
    last = rows[rows[against] == rows[against].max()]
    return judged(
        f"slope of log sup error on log {against}: " + "; ".join(f"{case.name} {case.estimate:.2f}" for case in cases),
        cases,
        on="the target",
        threshold_from=f"-1/2 by the theorem's count, within {ORDER_MARGIN:g}; faster would suffice too",
        conditions=conditions(
            rows.iloc[0][[fixed, "samples", "trials"]],
            "intervals of the scatter about the line, of windows and heads of one run",
            "noise biases a largest error upwards, the more the shorter the window, so that slopes in T read steep",
            "in the limit these heads leave "
            + "; ".join(f"{row.target} {row.limit_sup_error:.3f}" for row in last.itertuples()),
        ),
    )


@CLAIMS.add("T = O(n^2 d_k^2/eps^2) timesteps suffice", REPORTED, kind="reported", place="Theorem 7")
def in_time(results: Results) -> Finding:
    """Slopes in T with all heads."""
    return _falls(results, "timesteps", "heads")


@CLAIMS.add("H = O(n^2 d/eps^2) heads suffice", REPORTED, kind="reported", place="Theorem 7")
def in_heads(results: Results) -> Finding:
    """Slopes in H in the longest window."""
    return _falls(results, "heads", "timesteps")
