"""Claims about bounds on errors and spikes, as read off the tables of the study."""

from __future__ import annotations

import pandas as pd

from biospike.theory import paper
from biospike.verdicts import HALF, UNDECIDED
from validation.study.claims import OURS, PAPER, Claims, Finding
from validation.study.results import Missing, Results
from validation.study.words import between

CLAIMS = Claims()
TRIANGULAR_EXPONENT = -1.45


def _fits(results: Results, **where: object) -> pd.DataFrame:
    rows = results.table("fits", **where).dropna(subset=["exponent"])
    if rows.empty:
        raise Missing("no fit of these curves")
    return rows


def _encoder(results: Results, code: str, metric: str = "mean absolute error") -> pd.Series:
    return _fits(results, family="encoder", code=code, metric=metric).iloc[0]


@CLAIMS.add("rate coding errs as 1/sqrt(T)", f"{PAPER}, Lemma 1")
def bernoulli(results: Results) -> Finding:
    """Order of the Bernoulli code."""
    row = _encoder(results, "bernoulli")
    return Finding(
        f"order by reference {row['order_of_law']:.3f}, local slope {row['exponent']:.3f}",
        between(row["order_of_law_low"], row["order_of_law_high"]),
        "holds" if row["verdict"] == HALF
        else f"undecided: {row['reason']}" if row["verdict"] == UNDECIDED
        else f"does not hold: {row['verdict']}",
    )  # fmt: skip


@CLAIMS.add("no spike code does better than 1/sqrt(T)", f"{PAPER}, Theorem 8")
def regular(results: Results) -> Finding:
    """Order of the regular code, which Theorem 8 does not allow."""
    row = _encoder(results, "regular")
    return Finding(
        f"a regular code has order {row['order_of_law']:.3f} by reference, local slope {row['exponent']:.3f}",
        between(row["order_of_law_low"], row["order_of_law_high"]),
        "does not hold" if row["faster"] else "holds" if row["verdict"] == HALF else f"undecided: {row['reason']}",
    )  # fmt: skip


@CLAIMS.add("a regular code read with a triangular window errs as T^-1.45", OURS)
def triangular(results: Results) -> Finding:
    """Slope of the root mean square, whose law is T^-3/2, in these windows."""
    row = _encoder(results, "regular, triangular", "rms error")
    inside = row["exponent_low"] <= TRIANGULAR_EXPONENT <= row["exponent_high"]
    return Finding(
        f"exponent {row['exponent']:.3f}", between(row["exponent_low"], row["exponent_high"]),
        "holds" if inside else "does not hold",
    )  # fmt: skip


@CLAIMS.add("T = ln(2/alpha)/(2 delta^2) timesteps suffice (Hoeffding)", f"{PAPER}, Lemma 1")
def hoeffding(results: Results) -> Finding:
    """Largest ratio of an error to the promised one."""
    rows = results.table("bounds", bound="Lemma 1 (Hoeffding)")
    return Finding(
        "; ".join(f"{row.code} {row.margin:.2f} of the promised error" for row in rows.itertuples()), "",
        "holds" if (rows["margin"] <= 1).all() else "does not hold",
    )  # fmt: skip


@CLAIMS.add("O(n^2/eps^2) timesteps suffice for softmax to eps", f"{PAPER}, Lemma 3")
def enough(results: Results) -> Finding:
    """Largest ratio of the error of the softmax circuits to what n^2/T promises with constant 1."""
    rows = results.table("bounds", bound="Lemma 3", family="softmax").dropna(subset=["margin"])  # silent ones
    if rows.empty:
        raise Missing("every softmax circuit was silent")
    fails = rows[rows["verdict"] != "holds"]
    return Finding(
        "; ".join(f"{row.code} {row.margin:.2f}" for row in rows.itertuples()),
        "largest error / promised error, constant 1",
        f"depends: fails for {', '.join(sorted(fails['code']))}" if len(fails) else "holds",
    )


@CLAIMS.add("N_total = Omega(L_f^2 n d/eps^2) spikes are necessary", f"{PAPER}, Theorem 8")
def necessary(results: Results) -> Finding:
    """Verdicts by code, and the smallest ratio to the formula with constant 1."""
    rows = results.table("bounds", bound="Theorem 8")
    undercut = sorted(set(rows[rows["verdict"] == "undercut"]["code"]))
    return Finding(
        f"undercut as an order by {', '.join(undercut) or 'none'}; with constant 1 the least ratio is "
        f"{rows['margin'].min():.2g}", "",
        "does not hold: of Bernoulli and Poisson codes only" if undercut else "holds",
    )  # fmt: skip


@CLAIMS.add("no code beats the information in its spikes", "Shannon 1959")
def information(results: Results) -> Finding:
    """Margins to the information bound and to the grid of whole spikes."""
    rows = results.table("bounds", bound=["information", "whole spikes"])
    violated = rows[rows["verdict"] == "VIOLATED"]
    return Finding(
        f"nearest point {rows['margin'].min():.2f} times the bound, of {len(rows)} curves", "",
        "holds" if violated.empty else f"does not hold: {', '.join(violated['code'])}",
    )  # fmt: skip


@CLAIMS.add(f"R^2 = {paper.R_SQUARED} of eps = alpha/sqrt(N_total) supports the theory", PAPER)
def control(results: Results) -> Finding:
    """R squared of plain coin flips in the same fit."""
    coins = _fits(results, family="coin flips").iloc[0]
    blocks = _fits(results, family="attention block", verdict=HALF)
    low, high = blocks["r_squared"].min(), blocks["r_squared"].max()
    best = f"; attention blocks {low:.3f} to {high:.3f}" if len(blocks) else ""
    return Finding(
        f"coin flips without any neuron give R^2 = {coins['r_squared']:.4f}{best}", "",
        "does not hold: no evidence over rivals" if coins["r_squared"] > paper.R_SQUARED else "holds",
    )  # fmt: skip


@CLAIMS.add(f"observed/theoretical spikes {paper.SPIKE_RATIO[0]} to {paper.SPIKE_RATIO[1]}", PAPER)
def ratio(results: Results) -> Finding:
    """Ratio of the blocks that fall as 1/sqrt(N)."""
    rows = _fits(results, family="attention block").dropna(subset=["ratio_observed_theoretical"])
    if rows.empty:
        raise Missing("no block of spike_bounds falls as 1/sqrt(N)")
    found = rows["ratio_observed_theoretical"]
    inside = found.between(*paper.SPIKE_RATIO)
    return Finding(
        "; ".join(f"{row.code}, {row.metric} {row.ratio_observed_theoretical:.2g}" for row in rows.itertuples()),
        f"{rows['ratio_low'].min():.2g} to {rows['ratio_high'].max():.2g} over windows",
        "holds" if inside.all() else "does not hold: it depends on the norm of eps and on L_f",
    )
