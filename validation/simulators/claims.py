"""Claims about neurons on a grid and a second simulator, as read off the tables of the study."""

from __future__ import annotations

import numpy as np

from biospike.tables import NOT_RUN
from biospike.verdicts import UNDECIDED
from validation.study.claims import OURS, Claims, Finding
from validation.study.results import Missing, Results

CLAIMS = Claims()


@CLAIMS.add("interval on Brian2's grid: (refractory/dt - 1 + ceil(T_th/dt))*dt", OURS)
def grid_interval(results: Results) -> Finding:
    """Intervals under constant current, as whole steps."""
    found = results.table("neurons", input="constant").dropna(subset=["interval_brian2_ms"])
    found = found[np.isfinite(found["interval_predicted_ms"])]
    wrong = int((np.abs(found["interval_brian2_ms"] - found["interval_predicted_ms"]) > 1e-6).sum())
    verdict = "does not hold" if wrong else "holds"
    return Finding(f"{wrong} of {len(found)} cells deviate", "exact, in steps", verdict)


@CLAIMS.add("a LIF neuron on a grid fires at the rate of its f-I curve", "implicit in rate codes")
def grid_rate(results: Results) -> Finding:
    """Rate under constant current against the closed form in continuous time."""
    found = results.table("neurons", input="constant")
    found = found[found["rate_closed_form_hz"] > 0]
    off = found["rate_brian2_hz"] / found["rate_closed_form_hz"] - 1
    return Finding(
        f"off by {off.abs().median():.2%} (median), since every interval is a whole number of steps",
        f"{off.min():+.1%} to {off.max():+.1%} over drives and steps",
        "does not hold: the error does not fall with the window" if off.abs().max() > 0.01 else "holds",
    )


@CLAIMS.add("Siegert's formula, corrected for the grid, is the rate under white noise", f"{OURS}; Siegert 1951")
def siegert(results: Results) -> Finding:
    """Rates of noisy neurons at the published point and others."""
    found = results.table("neurons").dropna(subset=["sigma_mv"])
    found = found[(found["sigma_mv"] > 0) & (found["rate_error_hz"] > 0)]
    if found.empty:
        raise Missing("no rate under noise scatters")
    off = (found["rate_brian2_hz"] - found["rate_predicted_hz"]) / found["rate_error_hz"]
    plain = found["rate_brian2_hz"] / found["rate_closed_form_hz"] - 1
    return Finding(
        "; ".join(
            f"{row.case} {row.rate_brian2_hz:.2f} Hz, formula {row.rate_predicted_hz:.2f}" for row in found.itertuples()
        ),
        f"{off.min():+.1f} to {off.max():+.1f} standard errors; without the correction {plain.min():+.1%} to "
        f"{plain.max():+.1%}",
        "holds" if (off.abs() < 4).all() else "does not hold: a first order in the root of the step",
    )


@CLAIMS.add("Brian2 and NEST give the same spikes where nothing is random", OURS)
def same_spikes(results: Results) -> Finding:
    """Verdicts of the deterministic cases."""
    found = results.table("neurons")
    found = found[found["input"] != "noise"]
    found = found[~found["input"].str.contains("noise")]
    differ = int(found["mismatches"].fillna(0).sum())
    spikes = int(found["spikes_brian2"].sum())
    longer = int((found["extra_steps"] == 1).sum())
    return Finding(
        f"{differ} of {spikes} spikes differ in {len(found)} cases; intervals one step longer in NEST in the {longer} "
        "cases with t_ref equal to the refractory period",
        "exact",
        "holds" if differ == 0 else "does not hold",
    )


@CLAIMS.add("Brian2 and NEST differ by no more than two seeds of one", OURS)
def same_statistics(results: Results) -> Finding:
    """Verdicts of the circuits."""
    found = results.table("summary")
    found = found[found["verdict"] != NOT_RUN]
    agree, differ = (found["verdict"] == word for word in ("agree", "differ"))
    named = ", ".join(found[differ]["circuit"] + " " + found[differ]["measure"])
    few = ", ".join(found[~agree & ~differ]["verdict"].unique())
    distances = found[found["measure"].str.startswith("ks_") & (found["seed_to_seed"] > 0)]
    ratio = (distances["difference"] / distances["seed_to_seed"]).median()
    return Finding(
        f"{int(agree.sum())} of {len(found)} measures agree"
        + (
            f"; Kolmogorov-Smirnov distances of intervals and counts {ratio:.2f} of those between seeds (median)"
            if np.isfinite(ratio)
            else ""
        ),
        f"ranks {found['rank'].min():.3f} to {found['rank'].max():.3f}" if found["rank"].notna().any() else "",
        f"does not hold: {named}" if differ.any() else f"{UNDECIDED}: {few}" if few else "holds",
    )
