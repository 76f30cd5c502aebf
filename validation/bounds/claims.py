"""Claims about bounds on errors and spikes, as read off the tables of the study."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from biospike.theory import paper
from validation.bounds import laws
from validation.bounds.curves import BLOCK, FIRST_VALUE_SPIKES
from validation.bounds.row_claims import ROW_CLAIMS
from validation.bounds.row_sets import interval_of_ratios
from validation.bounds.tables import ROUNDING
from validation.study.claims import IMPLIED, OURS, PAPER, REPORTED, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.thresholds import ORDER_MARGIN
from validation.study.verdict import FAILS, FASTER, HOLDS, ROOT, SLOWER, UNDECIDED, Case, order
from validation.study.words import conditions

CLAIMS = Claims()
Z = 1.959964
DRAWS, SEED = 400, 0
"""Tables that are drawn within the intervals of one, for the interval of what is computed from it."""
WASTED = 0.254
"""Bits a value that a uniform quantiser wastes on the rate (Gish and Pierce 1968): a rate so near is called right."""


def _fits(results: Results, **where: object) -> pd.DataFrame:
    rows = results.table("fits", **where).dropna(subset=["exponent"])
    if rows.empty:
        raise Missing("no fit of these curves")
    return rows


def _name(row: dict[str, Any]) -> str:
    return f"{row['code']} ({row['metric']})"


def _encoder(results: Results, code: str, metric: str = "mean absolute error") -> pd.Series:
    return _fits(results, family="encoder", code=code, metric=metric).iloc[0]


def _no_faster(name: str, row: pd.Series) -> Case:
    """Whether a code falls no faster than 1/sqrt(N); the table may know that it does without knowing its order."""
    case = order(name, row, holds=(*ROOT, *SLOWER), fails=FASTER)
    return attrs.evolve(case, word=FAILS) if str(row.get("faster")) == "True" else case


def _margin(results: Results, row: dict[str, Any], **bounds: Any) -> Case:
    """Ratio of an error to that of a bound, as wide as the widest interval of the curve."""
    curve = results.table("summary", **{name: row[name] for name in ("family", "code", "metric")})
    ends = interval_of_ratios(*(curve[end].to_numpy() for end in ("error", "error_low", "error_high")))
    low, high = (row["margin"] * end for end in ends)
    return Case(name=_name(row), estimate=row["margin"], low=low, high=high, **bounds)


@CLAIMS.add("rate coding errs as 1/sqrt(T)", REPORTED, kind="reported", place="Lemma 1: T = O(1/delta^2)")
def bernoulli(results: Results) -> Finding:
    """Order of the Bernoulli code."""
    row = _encoder(results, "bernoulli")
    return judged(
        f"Bernoulli code: {row['verdict']}, local slope {row['exponent']:.3f}",
        [order("", row, holds=ROOT, fails=(*FASTER, *SLOWER))],
        decision="order",
        threshold=-0.5,
        conditions=f"values uniform on [0, 1], {row['points']:.0f} windows",
    )


@CLAIMS.add("no spike code does better than 1/sqrt(T)", IMPLIED, kind="implied",
            place="Theorem 8 counts the spikes of a code, whichever it is")  # fmt: skip
def regular(results: Results) -> Finding:
    """Order of the regular code, which Theorem 8 does not allow."""
    row = _encoder(results, "regular")
    return judged(
        f"a regular code: {row['verdict']}, local slope {row['exponent']:.3f}",
        [_no_faster("", row)],
        decision="order",
        threshold=-0.5,
        conditions=f"values uniform on [0, 1], {row['points']:.0f} windows",
    )


@CLAIMS.add("the rms error of a regular code read with a triangular window falls as T^-3/2", OURS)
def triangular(results: Results) -> Finding:
    """Order of the root mean square, whose law is T^-3/2."""
    row = _encoder(results, "regular, triangular", "rms error")
    return judged(
        f"local slope {row['exponent']:.3f}",
        [
            Case(
                estimate=row["exponent"],
                low=row["exponent_low"],
                high=row["exponent_high"],
                least=-1.5 - ORDER_MARGIN,
                most=-1.5 + ORDER_MARGIN,
            )
        ],
        threshold_from=f"the exact law's order, within {ORDER_MARGIN:g}",
        conditions=f"values uniform on [0, 1], {row['points']:.0f} windows",
    )


@CLAIMS.add("T = ln(2/alpha)/(2 delta^2) timesteps suffice (Hoeffding)", REPORTED, kind="reported", place="Lemma 1")
def hoeffding(results: Results) -> Finding:
    """Largest ratio of an error to the promised one."""
    rows = results.table("bounds", bound="Lemma 1 (Hoeffding)")
    return judged(
        "of the promised error at most " + "; ".join(f"{row.code} {row.margin:.2f}" for row in rows.itertuples()),
        [_margin(results, row, most=1.0) for row in rows.to_dict("records")],
        on="the code",
        threshold_from="the inequality",
        conditions="mean over values; the widest interval of each curve",
    )


@CLAIMS.add("rates within [rho, 1 - rho] suffice", REPORTED, kind="reported", place="assumptions")
def rates_within(results: Results) -> Finding:
    """Whether values of such rates err by no more than Lemma 1 promises, and whether others do too."""
    rows = results.table("rate_bands")
    cases = [
        Case(name=f"{row['code']}, rho = {row['rho']:g}", estimate=row["margin"], low=row["margin_low"],
             high=row["margin_high"], most=1.0, trials=row["trials"])
        for row in rows[rows["rho"] > 0].to_dict("records")
    ]  # fmt: skip
    every = rows[rows["rho"] == 0]
    return judged(
        "largest error over that which Lemma 1 promises: "
        + "; ".join(f"{case.name}: {case.estimate:.2f}" for case in cases),
        cases,
        on="the code and rho",
        threshold_from="the inequality",
        control="without the assumption "
        + "; ".join(f"{row.code} {row.margin:.2f}, relative error {row.relative:.2g}" for row in every.itertuples()),
        conditions="absolute errors of values uniform on [0, 1]",
    )


@CLAIMS.add("N_total = Omega(L_f^2 n d/eps^2) spikes are necessary", PAPER, kind="stated", place="abstract; Theorem 8")
def necessary(results: Results) -> Finding:
    """Verdicts by code, and the smallest ratio to the formula with constant 1."""
    rows = results.table("bounds", bound="Theorem 8")
    words = {"undercut": FAILS, "holds": HOLDS}
    cases = [Case(name=_name(row), word=words.get(row["verdict"], UNDECIDED)) for row in rows.to_dict("records")
             if row["verdict"] != "does not converge"]  # fmt: skip
    undercut = sorted(set(rows[rows["verdict"] == "undercut"]["code"]))
    return judged(
        f"undercut as an order by {', '.join(undercut) or 'none'}; with constant 1 the least ratio is "
        f"{rows['margin'].min():.2g}",
        cases,
        on="the code",
        decision="order",
        conditions="read as an order, since no source has the constant or the norm of eps",
    )


@CLAIMS.add("the bound of Omega(L_f^2 n d/eps^2) spikes is tight", PAPER, kind="stated", place="abstract")
def tight(results: Results) -> Finding:
    """Whether a code attains it as an order, and none undercuts it."""
    attains = order("attained by Bernoulli spikes", _encoder(results, "bernoulli"), holds=ROOT, fails=SLOWER)
    under = _no_faster("undercut by none", _encoder(results, "regular"))
    # A bound is tight if both are so: one that is not decides.
    failing = [case for case in (attains, under) if case.verdict == FAILS]
    return judged(
        f"Bernoulli spikes have local slope {attains.estimate:.3f}, regular ones {under.estimate:.3f}",
        failing or [attains, under],
        decision="order",
        threshold=-0.5,
        conditions="single values, read as an order",
    )


@CLAIMS.add("no code beats the information in its spikes", "Shannon 1959", kind="stated", place="lower bound on R(D)")
def information(results: Results) -> Finding:
    """Margins to the information bound and to the grid of whole spikes, which no single trial can undercut."""
    rows = results.table("bounds", bound=["information", "whole spikes"])
    cases = [
        _margin(results, row, least=1 - ROUNDING)
        if row["bound"] == "information"
        else Case.exact(f"{_name(row)} on the grid", row["margin"], least=1 - ROUNDING)
        for row in rows.to_dict("records")
    ]
    return judged(
        f"nearest point {rows['margin'].min():.2f} times the bound, of {len(rows)} curves",
        cases,
        on="the curve",
        threshold_from="the inequality",
        conditions="values and shares uniform, where a bound is known",
    )


@CLAIMS.add("R(D) = n d log2(L_f/eps) bits", REPORTED, kind="reported", place="rate-distortion")
def rate(results: Results) -> Finding:
    """Bits a value above Shannon's lower bound, with eps the error of a value and with its Frobenius norm."""
    rows = results.table("rates")
    cases = [
        Case.exact(f"{row['code']}, eps {norm}", (row[column] - row["bits_shannon"]) / row["values"],
                   least=-WASTED, most=WASTED)
        for row in rows.to_dict("records")
        for norm, column in (("of a value", "bits_per_value"), ("Frobenius", "bits_frobenius"))
    ]  # fmt: skip
    return judged(
        "bits a value above Shannon's lower bound: " + "; ".join(f"{c.name} {c.estimate:+.2f}" for c in cases),
        cases,
        on="the norm of eps, which no source says",
        decision="closed form",
        threshold_from=f"{WASTED:g} bits a value, what a uniform quantiser wastes",
        conditions="uniform values, the error of the longest window",
    )


@CLAIMS.add("a spike carries at most one bit", OURS, place="suggested by a machine-written page; the theory counts so")
def one_bit(results: Results) -> Finding:
    """Bits that the errors of single values ask for, over the spikes spent."""
    rows = results.table("summary", family="encoder").dropna(subset=["rate_bits"])
    rows = rows[(rows["spikes"] > 0) & (rows["rate_bits"] > 0)]
    rows = rows[
        rows["error_low"] > 0
    ]  # of few trials the interval of an error may reach 0, and that of its bits no end
    if rows.empty:
        raise Missing("too few trials for an interval of the bits")
    cases = []
    for name, mine in rows.groupby(["code", "metric"], sort=False):
        best = mine.loc[(mine["rate_bits"] / mine["spikes"]).idxmax()]
        # At small errors a bit is a factor of 2 in the error.
        low, high = (best["rate_bits"] - np.log2(best[end] / best["error"]) for end in ("error_high", "error_low"))
        values = {"estimate": best["rate_bits"], "low": low, "high": high}
        cases.append(Case(name=", ".join(name), **{k: v / best["spikes"] for k, v in values.items()}, most=1.0))
    return judged(
        "most bits a spike: " + "; ".join(f"{case.name} {case.estimate:.2f}" for case in cases),
        cases,
        on="the code",
        threshold_from="one bit",
        conditions="Shannon's lower bound at the measured error, in the window where a spike carries most",
    )


def _coins(results: Results) -> tuple[pd.Series, NDArray[np.float64], NDArray[np.float64]]:
    """Fit of plain coin flips, and R squared and p-value of the same fit to errors drawn within their intervals."""
    fit = _fits(results, family="coin flips").iloc[0]
    rows = results.table("summary", family="coin flips")
    rows = rows[(rows["spikes"] >= FIRST_VALUE_SPIKES) & (rows["error"] > 0)]
    error, n = rows["error"].to_numpy(), rows["spikes"].to_numpy()
    scatter = ((rows["error_high"] - rows["error_low"]) / (2 * Z)).to_numpy()
    if np.isnan(scatter).any():
        return fit, np.full(1, np.nan), np.full(1, np.nan)
    drawn = np.random.default_rng(SEED).normal(error, scatter, size=(DRAWS, len(error)))
    drawn = drawn[(drawn > 0).all(axis=1)]
    squared = np.array([laws.paper_fit(n, one).r_squared for one in drawn])
    return fit, squared, stats.pearsonr(np.broadcast_to(np.log(n), drawn.shape), np.log(drawn), axis=1).pvalue


def _of(values: NDArray[np.float64], *, least: float = -np.inf, most: float = np.inf) -> Case:
    """Middle and 95 % of values."""
    low, estimate, high = np.quantile(values, [0.025, 0.5, 0.975])
    return Case(estimate=estimate, low=low, high=high, least=least, most=most)


@CLAIMS.add(
    f"R^2 = {paper.R_SQUARED} supports the theory", PAPER, kind="stated",
    place="abstract; that the fit is eps = alpha/sqrt(N_total) is our reading",
)  # fmt: skip
def control(results: Results) -> Finding:
    """R squared of plain coin flips in the same fit: it supports a theory if what has no neuron does worse."""
    coins, squared, _ = _coins(results)
    blocks = results.table("fits")
    blocks = blocks[(blocks["family"] == BLOCK) & blocks["verdict"].isin(ROOT)].dropna(subset=["exponent"])
    best = (
        f"; attention blocks {blocks['r_squared'].min():.3f} to {blocks['r_squared'].max():.3f}" if len(blocks) else ""
    )
    told = f"coin flips without any neuron give R^2 = {coins['r_squared']:.4f}"
    return judged(
        told + best,
        [_of(squared, most=paper.R_SQUARED)],
        threshold_from="the paper's R^2",
        control=told,
        conditions="errors of the windows drawn independently within their intervals",
    )


@CLAIMS.add(f"p < {paper.P_VALUE:g} supports the theory", PAPER, kind="stated", place="abstract")
def significance(results: Results) -> Finding:
    """P-value of plain coin flips in the same fit."""
    _, _, p = _coins(results)
    told = f"coin flips without any neuron give p = {np.median(p):.1e} for the slope of log error on log N"
    return judged(
        told,
        [_of(p, least=paper.P_VALUE)],
        threshold_from="the paper's level",
        control=told,
        conditions="errors of the windows drawn independently within their intervals",
    )


@CLAIMS.add(
    f"observed/theoretical spikes {paper.SPIKE_RATIO[0]} to {paper.SPIKE_RATIO[1]}", REPORTED, kind="reported",
    place="experiments",
)  # fmt: skip
def ratio(results: Results) -> Finding:
    """Ratio of the blocks that fall as 1/sqrt(N)."""
    rows = _fits(results, family="attention block").dropna(subset=["ratio_observed_theoretical"])
    if rows.empty:
        raise Missing("no block of spike_bounds falls as 1/sqrt(N)")
    least, most = paper.SPIKE_RATIO
    return judged(
        "; ".join(f"{_name(row)} {row['ratio_observed_theoretical']:.2g}" for row in rows.to_dict("records")),
        [Case(name=_name(row), estimate=row["ratio_observed_theoretical"], low=row["ratio_low"],
              high=row["ratio_high"], least=least, most=most) for row in rows.to_dict("records")],
        on="the norm of eps and the code",
        decision="range",
        threshold_from="the reported range; ours is that over windows",
        conditions=conditions(rows.iloc[0], "L_f of the block at its tokens"),
    )  # fmt: skip


CLAIMS.unread(
    "ten seeds stand behind every figure", REPORTED, "how the experiments were made cannot be measured",
    kind="reported", place="experiments", decidable=False,
)  # fmt: skip


CLAIMS.unread(
    "spike-timing-dependent plasticity finds the circuits of the theory", REPORTED, "no weight is plastic here",
    kind="reported", place="open problems",
)  # fmt: skip
CLAIMS.extend(ROW_CLAIMS)
