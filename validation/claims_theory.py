"""Claims about bounds, dimension, the design rule and idealised assumptions, as read off the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from biospike.theory.design_rule import PAPER_C, PAPER_C_INTERVAL
from validation.assumptions import ASSUMPTIONS
from validation.bounds.tables import PAPER_R_SQUARED, PAPER_RATIO
from validation.study.claims import CLAIMS, Claim, Finding, Missing, Results, between, claim

SHEET = "biospike"
PAPER = "arXiv:2604.15769"
PAPER_D_EFF = 47


def _fits(results: Results, **where: object) -> pd.DataFrame:
    return results.table("spike_bounds", "fits", **where).dropna(subset=["exponent"])


def _exponent(results: Results, code: str, wanted: float, metric: str = "mean absolute error") -> Finding:
    row = _fits(results, family="encoder", code=code, metric=metric).iloc[0]
    inside = row["exponent_low"] - 0.05 <= wanted <= row["exponent_high"] + 0.05
    return Finding(
        f"exponent {row['exponent']:.3f}", between(row["exponent_low"], row["exponent_high"]),
        "holds" if inside else "does not hold",
    )  # fmt: skip


@claim("rate coding errs as 1/sqrt(T)", f"{PAPER}, Lemma 1", "spike_bounds")
def bernoulli(results: Results) -> Finding:
    """Order of the Bernoulli code."""
    return _exponent(results, "bernoulli", -0.5)


@claim("no spike code does better than 1/sqrt(T)", f"{PAPER}, Theorem 8", "spike_bounds")
def regular(results: Results) -> Finding:
    """Order of the regular code, which Theorem 8 does not allow."""
    row = _fits(results, family="encoder", code="regular", metric="mean absolute error").iloc[0]
    return Finding(
        f"a regular code has exponent {row['exponent']:.3f}", between(row["exponent_low"], row["exponent_high"]),
        "does not hold" if row["exponent_high"] < -0.55 else "holds",
    )  # fmt: skip


@claim("a regular code read with a triangular window errs as T^-1.45", SHEET, "spike_bounds")
def triangular(results: Results) -> Finding:
    """Order of the root mean square, whose law is T^-3/2."""
    return _exponent(results, "regular, triangular", -1.45, "rms error")


@claim("T = ln(2/alpha)/(2 delta^2) timesteps suffice (Hoeffding)", f"{PAPER}, Lemma 1", "spike_bounds")
def hoeffding(results: Results) -> Finding:
    """Largest ratio of an error to the promised one."""
    rows = results.table("spike_bounds", "bounds", bound="Lemma 1 (Hoeffding)")
    return Finding(
        "; ".join(f"{row.code} {row.margin:.2f} of the promised error" for row in rows.itertuples()), "",
        "holds" if (rows["margin"] <= 1).all() else "does not hold",
    )  # fmt: skip


@claim("O(n^2/eps^2) timesteps suffice for softmax to eps", f"{PAPER}, Lemma 3", "spike_bounds")
def enough(results: Results) -> Finding:
    """Largest ratio of the error of the softmax circuits to what n^2/T promises with constant 1."""
    rows = results.table("spike_bounds", "bounds", bound="Lemma 3", family="softmax")
    fails = rows[rows["verdict"] != "holds"]
    return Finding(
        "; ".join(f"{row.code} {row.margin:.2f}" for row in rows.itertuples()),
        "largest error / promised error, constant 1",
        f"depends: fails for {', '.join(sorted(fails['code']))}" if len(fails) else "holds",
    )


@claim("N_total = Omega(L_f^2 n d/eps^2) spikes are necessary", f"{PAPER}, Theorem 8", "spike_bounds")
def necessary(results: Results) -> Finding:
    """Verdicts by code, and the smallest ratio to the formula with constant 1."""
    rows = results.table("spike_bounds", "bounds", bound="Theorem 8")
    undercut = sorted(set(rows[rows["verdict"] == "undercut"]["code"]))
    return Finding(
        f"undercut as an order by {', '.join(undercut) or 'none'}; with constant 1 the least ratio is "
        f"{rows['margin'].min():.2g}", "",
        "does not hold: of Bernoulli and Poisson codes only" if undercut else "holds",
    )  # fmt: skip


@claim("no code beats the information in its spikes", "Shannon 1959", "spike_bounds")
def information(results: Results) -> Finding:
    """Margins to the information bound and to the grid of whole spikes."""
    rows = results.table("spike_bounds", "bounds", bound=["information", "whole spikes"])
    violated = rows[rows["verdict"] == "VIOLATED"]
    return Finding(
        f"nearest point {rows['margin'].min():.2f} times the bound, of {len(rows)} curves", "",
        "holds" if violated.empty else f"does not hold: {', '.join(violated['code'])}",
    )  # fmt: skip


@claim(f"R^2 = {PAPER_R_SQUARED} of eps = alpha/sqrt(N_total) supports the theory", PAPER, "spike_bounds")
def control(results: Results) -> Finding:
    """R squared of plain coin flips in the same fit."""
    coins = _fits(results, family="coin flips").iloc[0]
    blocks = _fits(results, family="attention block", verdict="1/sqrt(N)")
    low, high = blocks["r_squared"].min(), blocks["r_squared"].max()
    best = f"; attention blocks {low:.3f} to {high:.3f}" if len(blocks) else ""
    return Finding(
        f"coin flips without any neuron give R^2 = {coins['r_squared']:.4f}{best}", "",
        "does not hold: no evidence over rivals" if coins["r_squared"] > PAPER_R_SQUARED else "holds",
    )  # fmt: skip


@claim(f"observed/theoretical spikes {PAPER_RATIO[0]} to {PAPER_RATIO[1]}", PAPER, "spike_bounds")
def ratio(results: Results) -> Finding:
    """Ratio of the blocks that fall as 1/sqrt(N)."""
    rows = _fits(results, family="attention block").dropna(subset=["ratio_observed_theoretical"])
    if rows.empty:
        raise Missing("no block of spike_bounds falls as 1/sqrt(N)")
    found = rows["ratio_observed_theoretical"]
    inside = found.between(*PAPER_RATIO)
    return Finding(
        "; ".join(f"{row.code}, {row.metric} {row.ratio_observed_theoretical:.2g}" for row in rows.itertuples()),
        f"{rows['ratio_low'].min():.2g} to {rows['ratio_high'].max():.2g} over windows",
        "holds" if inside.all() else "does not hold: it depends on the norm of eps and on L_f",
    )


# Dimension and design rule


@claim("effective dimension 47 (CIFAR-10), 68 (CIFAR-100), 89 (ImageNet)", PAPER, "effective_dimension")
def published_dimensions(results: Results) -> Finding:
    """Verdicts of the study on the published figures."""
    rows = results.table("effective_dimension", "claims")
    measured = rows.dropna(subset=["measured"])
    words = "; ".join(f"{row.claim} {row.measured:.0f}" for row in measured.itertuples())
    contradicted = (rows["verdict"] == "contradicted").any()
    verdict = "does not hold" if contradicted else "holds" if len(measured) == len(rows) else "unverified"
    return Finding(words, "", verdict)


@claim("one effective dimension describes a data set", "implicit in the design rule", "effective_dimension")
def estimators(results: Results) -> Finding:
    """Spread of the estimators within each set of images."""
    rows = results.table("effective_dimension")
    rows = rows[rows["data"].isin(["digits"]) | rows["data"].str.startswith("patches")].dropna(subset=["dimension"])
    spread = rows.groupby("data", sort=False)["dimension"].agg(["min", "max"])
    factor = (spread["max"] / spread["min"]).max()
    return Finding(
        "; ".join(f"{name} {row['min']:.3g} to {row['max']:.3g}" for name, row in spread.iterrows()),
        "over estimators",
        f"does not hold: estimators differ up to {factor:.2g} times" if factor > 2 else "holds",
    )


def _rule(results: Results, read_out: str) -> Finding:
    rows = results.table("calibrate_design_rule", "fits", read_out=read_out, norm="frobenius", encoder="bernoulli")
    rows = rows.dropna(subset=["C"])
    if rows.empty:
        raise Missing("no fit of this read-out")
    by = rows.groupby("verdict")["circuit"].agg(", ".join)
    low, high = PAPER_C_INTERVAL
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


@claim(f"T = C d_eff/eps^2 with C = {PAPER_C:g} [1.9, 2.7], plain read-out", PAPER, "calibrate_design_rule")
def rule_plain(results: Results) -> Finding:
    """Which dimension the plain read-out follows."""
    return _rule(results, "plain")


@claim("the same with a read-out that projects on the principal subspace", SHEET, "calibrate_design_rule")
def rule_projected(results: Results) -> Finding:
    """Which dimension the projecting read-out follows."""
    return _rule(results, "projected")


@claim("T = 4 timesteps suffice, by the design rule", PAPER, "calibrate_design_rule")
def four(results: Results) -> Finding:
    """Error at which the rule and T = 4 are compatible, with the paper's constant and with the measured one."""
    rows = results.table(
        "calibrate_design_rule", "fits", read_out="projected", norm="frobenius", encoder="bernoulli"
    ).dropna(subset=["C"])
    paper, mine = (np.sqrt(C * PAPER_D_EFF / 4) for C in (PAPER_C, rows["C"].median()))
    return Finding(
        f"only for eps >= {paper:.2g} with the paper's C and d_eff = {PAPER_D_EFF}; {mine:.2g} with the measured C = "
        f"{rows['C'].median():.2g}", "", "does not hold: such an error is no approximation of values in [0, 1]"
        if min(paper, mine) > 1 else "depends: on eps",
    )  # fmt: skip


# The audit


def _audit(assumption: str) -> Claim:
    """Claim that one idealised assumption does not matter, read off all its sweeps."""

    def read(results: Results) -> Finding:
        rows = results.table("calibrate_assumptions", "assumptions", assumption=assumption)
        measured: list[str] = []
        by: dict[str, list[str]] = {}
        for (circuit, knob), sweep in rows.groupby(["circuit", "knob"], sort=False):
            worst = sweep.loc[sweep["bias"].idxmax()]
            unit = "" if pd.isna(worst["unit"]) else f" {worst['unit']}"
            limit = pd.to_numeric(worst["exceeds_0_01_at"], errors="coerce")
            from_there = f", above 0.01 from {limit:.3g}{unit}" if np.isfinite(limit) else ""
            measured.append(f"{circuit}: {worst['bias']:.2g} at {knob} = {worst['value']}{unit}{from_there}")
            by.setdefault(str(worst["verdict"]), []).append(str(circuit))
        worst = rows.loc[rows["bias"].idxmax()]
        words = "; ".join(f"{verdict} in {', '.join(circuits)}" for verdict, circuits in by.items())
        return Finding(
            "; ".join(measured),
            f"worst {between(float(worst['bias_low']), float(worst['bias_high']))}",
            (f"holds: {words}" if "costs spikes" in by else "holds") if "breaks" not in by
            else f"does not hold: {words}" if set(by) == {"breaks"}
            else f"depends: {words}",
        )  # fmt: skip

    return Claim(f"idealised: {assumption} does not matter", f"{PAPER}, assumptions", "calibrate_assumptions", read)


TITLES = {
    "independence": "independence of Q and K",
    "jensen_bias": "Jensen bias",
    "threshold_spread": "heterogeneity of thresholds",
    "time_constant_spread": "heterogeneity of time constants",
}
"""Names in the table of the audit that are not those of its command line."""
CLAIMS.extend(_audit(TITLES.get(name, name.replace("_", " "))) for name in ASSUMPTIONS)
