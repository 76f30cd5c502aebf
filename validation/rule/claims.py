"""Claims about the design rule, as read off the tables of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd

from biospike.theory import paper
from validation.study.claims import OURS, PAPER, Claims, Finding
from validation.study.results import Missing, Results
from validation.study.words import between

CLAIMS = Claims()


def _fits(results: Results, read_out: str) -> pd.DataFrame:
    rows = results.table("fits", read_out=read_out, norm="frobenius", encoder="bernoulli").dropna(subset=["C"])
    if rows.empty:
        raise Missing("no fit of this read-out")
    return rows


def _rule(results: Results, read_out: str) -> Finding:
    rows = _fits(results, read_out)
    by = rows.groupby("verdict")["circuit"].agg(", ".join)
    low, high = paper.C_INTERVAL
    inside = rows[(rows["C_low"] <= high) & (rows["C_high"] >= low)]
    describes = rows["verdict"].isin(["d_eff"])
    verdict = (
        "holds" if describes.all() and len(inside) == len(rows)
        else "depends: d_eff enters, C is another" if describes.all()
        else f"does not hold: T eps^2 depends on {', '.join(sorted(set(rows['verdict'])))}"
    )  # fmt: skip
    return Finding(
        "; ".join(f"{verdict}: {names}" for verdict, names in by.items())
        + f"; C {rows['C'].min():.2g} to {rows['C'].max():.2g}",
        "; ".join(f"{row.circuit} {between(row.C_low, row.C_high)}" for row in rows.itertuples()),
        verdict,
    )


@CLAIMS.add(f"T = C d_eff/eps^2 with C = {paper.C:g} [1.9, 2.7], plain read-out", PAPER)
def rule_plain(results: Results) -> Finding:
    """Which dimension the plain read-out follows."""
    return _rule(results, "plain")


@CLAIMS.add("the same with a read-out that projects on the principal subspace", OURS)
def rule_projected(results: Results) -> Finding:
    """Which dimension the projecting read-out follows."""
    return _rule(results, "projected")


@CLAIMS.add("T = 4 timesteps suffice, by the design rule", PAPER)
def four(results: Results) -> Finding:
    """Error at which the rule and T = 4 are compatible, with the paper's constant and with the measured one."""
    rows = _fits(results, "projected")
    dimension, _ = paper.DIMENSIONS["CIFAR-10"]
    theirs, mine = (np.sqrt(C * dimension / paper.FEW_STEPS) for C in (paper.C, rows["C"].median()))
    return Finding(
        f"only for eps >= {theirs:.2g} with the paper's C and d_eff = {dimension}; {mine:.2g} with the measured C = "
        f"{rows['C'].median():.2g}", "", "does not hold: such an error is no approximation of values in [0, 1]"
        if min(theirs, mine) > 1 else "depends: on eps",
    )  # fmt: skip
