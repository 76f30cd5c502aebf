"""Claims about neurons on a grid and a second simulator, as read off the tables of the study."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from validation.study.claims import IMPLIED, OURS, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.thresholds import CLOSE
from validation.study.verdict import FAILS, HOLDS, UNDECIDED, Case

CLAIMS = Claims()
Z = 1.959964
GRID = 0.01
"""Fraction of a rate up to which a grid is said to keep it."""
STEP = 1e-6
"""Difference of two intervals in ms that is rounding."""
DISTANCES = ("share_tv", "ks_row_interval", "ks_key_interval", "ks_count")
"""Measures that are distances between runs, decided by their rank among relabelled runs."""


def _steps(found: pd.DataFrame) -> str:
    """Steps and rates of the neurons."""
    steps, rates = found["dt_ms"], found["rate_brian2_hz"]
    return f"steps of {steps.min():g} to {steps.max():g} ms, rates of {rates.min():.3g} to {rates.max():.3g} Hz"


@CLAIMS.add("interval on Brian2's grid: (refractory/dt - 1 + ceil(T_th/dt))*dt", OURS)
def grid_interval(results: Results) -> Finding:
    """Intervals under constant current, as whole steps."""
    found = results.table("neurons", input="constant").dropna(subset=["interval_brian2_ms"])
    found = found[np.isfinite(found["interval_predicted_ms"])]
    if found.empty:
        raise Missing("no neuron fired twice")
    wrong = int((np.abs(found["interval_brian2_ms"] - found["interval_predicted_ms"]) > STEP).sum())
    return judged(
        f"{wrong} of {len(found)} cells deviate", [Case.exact("", wrong, most=0)], decision="identity",
        interval="exact, in steps", conditions=_steps(found),
    )  # fmt: skip


@CLAIMS.add("a LIF neuron on a grid fires at the rate of its f-I curve", IMPLIED, kind="implied",
            place="a value is coded by its rate, whatever the step")  # fmt: skip
def grid_rate(results: Results) -> Finding:
    """Rate under constant current against the closed form in continuous time."""
    found = results.table("neurons", input="constant")
    found = found[found["rate_closed_form_hz"] > 0]
    if found.empty:
        raise Missing("no neuron is driven above its threshold")
    off = found["rate_brian2_hz"] / found["rate_closed_form_hz"] - 1
    cases = [
        Case.exact(f"{row.rate_closed_form_hz:.0f} Hz at {row.dt_ms:g} ms", value, least=-GRID, most=GRID)
        for row, value in zip(found.itertuples(), off, strict=True)
    ]
    return judged(
        f"off by {off.abs().median():.2%} (median), since every interval is a whole number of steps",
        cases,
        on="the drive and the step",
        decision="every case",
        interval=f"{off.min():+.1%} to {off.max():+.1%} over drives and steps",
        threshold_from=f"within {GRID:.0%}; the deviation does not fall with the window",
        conditions=_steps(found),
    )


@CLAIMS.add("Siegert's formula, corrected for the grid, is the rate under white noise", f"{OURS}; Siegert 1951")
def siegert(results: Results) -> Finding:
    """Rates of noisy neurons at the published point and others."""
    found = results.table("neurons").dropna(subset=["sigma_mv"])
    found = found[found["sigma_mv"] > 0]
    rate, half = found["rate_brian2_hz"], Z * found["rate_error_hz"]
    plain = rate / found["rate_closed_form_hz"] - 1
    ends = {"estimate": rate, "low": rate - half, "high": rate + half}
    relative = {end: (value / found["rate_predicted_hz"]).to_list() for end, value in ends.items()}
    cases = [
        Case(name=name, **{end: value[place] for end, value in relative.items()}, least=1 - CLOSE, most=1 + CLOSE)
        for place, name in enumerate(found["case"])
    ]
    return judged(
        "; ".join(
            f"{row.case} {row.rate_brian2_hz:.2f} Hz, formula {row.rate_predicted_hz:.2f}" for row in found.itertuples()
        )
        + f"; without the correction {plain.min():+.1%} to {plain.max():+.1%} off",
        cases,
        on="the case",
        threshold_from=f"within {CLOSE:.0%} of the formula",
        conditions=_steps(found),
    )


@CLAIMS.add("Brian2 and NEST give the same spikes where nothing is random", OURS)
def same_spikes(results: Results) -> Finding:
    """Verdicts of the deterministic cases."""
    found = results.table("neurons")
    found = found[found["input"] != "noise"]
    found = found[~found["input"].str.contains("noise")]
    if found.empty:
        raise Missing("no deterministic case was run")
    differ = int(found["mismatches"].fillna(0).sum())
    longer = int((found["extra_steps"] == 1).sum())
    return judged(
        f"{differ} of {int(found['spikes_brian2'].sum())} spikes differ in {len(found)} cases; intervals one step "
        f"longer in NEST in the {longer} cases with t_ref equal to the refractory period",
        [Case.exact("", differ, most=0)],
        decision="identity",
        interval="exact",
        conditions=_steps(found),
    )


@CLAIMS.add("Brian2 and NEST differ by no more than two seeds of one", OURS)
def same_statistics(results: Results) -> Finding:
    """Means by their interval, distances by their rank among relabelled runs; a significant difference is one too."""
    found = results.table("summary")
    words = {"differ": FAILS, "agree": HOLDS}
    cases = []
    for row in found.to_dict("records"):
        word = words.get(row["verdict"], UNDECIDED)
        # Two seeds of one simulator differ by the root of 2 of their standard deviation.
        most = math.sqrt(2) * row["seed_to_seed"]
        low, high = row.get("low", np.nan), row.get("high", np.nan)
        by_interval = word == HOLDS and row["measure"] not in DISTANCES and np.isfinite([low, high]).all()
        cases.append(Case(name=f"{row['circuit']} {row['measure']}", estimate=row["difference"], low=low,
                          high=high, least=-most, most=most, word="" if by_interval else word))  # fmt: skip
    agree = sum(case.verdict == HOLDS for case in cases)
    distances = found[found["measure"].str.startswith("ks_")]
    ratio = (distances["difference"] / distances["seed_to_seed"]).median()
    of_distances = (
        f"; Kolmogorov-Smirnov distances of intervals and counts {ratio:.2f} of those between seeds (median)"
        if np.isfinite(ratio)
        else ""
    )
    return judged(
        f"{agree} of {len(found)} measures agree{of_distances}",
        cases,
        on="the measure",
        decision="ranks",
        interval=f"ranks {found['rank'].min():.3f} to {found['rank'].max():.3f}" if found["rank"].notna().any() else "",
        threshold_from="means within the root of 2 of the standard deviation of seeds; ranks at 5 %, Bonferroni",
        conditions=f"{', '.join(found['circuit'].unique())}; seeds of either simulator's own generator",
    )
