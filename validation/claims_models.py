"""Claims about neurons, simulators and published models, as read off the tables."""

from __future__ import annotations

import numpy as np

from biospike.theory.energy import CLAIMED_RATIO
from validation.study.claims import Finding, Missing, Results, between, claim

SHEET = "biospike"
PAPER = "arXiv:2604.15769"
SILENT = 0.01
"""A population that fires less a step is dead."""


# Neurons


@claim("the LIF neurons of papers and frameworks are one model", "implicit in comparisons", "compare_frameworks")
def conventions(results: Results) -> Finding:
    """Fraction of spikes that the paper's reset changes."""
    found = results.table("compare_frameworks", framework="formula")["mismatch_fraction"].dropna()
    return Finding(
        f"{found.median():.1%} of the spikes of a block differ with the paper's reset (median of {len(found)})",
        f"{found.min():.1%} to {found.max():.1%} over blocks",
        "does not hold" if found.median() > 0.01 else "holds",
    )


@claim(">= and > at the threshold are the same", "implicit in snnTorch against SpikingJelly", "compare_frameworks")
def strictness(results: Results) -> Finding:
    """Bits of QKFormer's masks that a strict threshold flips."""
    found = results.table("compare_frameworks", "stages", framework="mutant", convention="strict >", stage="mask")
    flipped = found[found["block"].str.startswith("QK")]
    if flipped.empty:
        raise Missing("QKFormer was not run")
    bits = flipped["spikes"] / flipped["rate_reference"]
    fraction = flipped["mismatches"].sum() / bits.sum()
    listed = zip(flipped["block"], flipped["mismatches"] / bits, strict=True)
    return Finding(
        f"a strict threshold flips {fraction:.1%} of the mask bits of QKFormer",
        "; ".join(f"{block} {value:.1%}" for block, value in listed),
        "does not hold" if fraction > 0.01 else "holds",
    )


@claim("a discrete LIF is a membrane seen coarsely", "implicit in 'biologically plausible'", "compare_frameworks")
def coarse(results: Results) -> Finding:
    """Spikes that differ from the discrete neuron as the step falls."""
    found = results.table("compare_frameworks", framework="biophysical", convention="membrane, refractory 1 ms")
    medians = found.groupby("dt_ms")["mismatch_fraction"].median().sort_index()
    finest = found[found["dt_ms"] == medians.index[0]]["mismatch_fraction"].dropna()
    holds = medians.iloc[0] < 0.5 * medians.iloc[1]
    return Finding(
        f"{medians.iloc[0]:.1%} of the spikes differ at a step of {medians.index[0]:g} ms, {medians.iloc[1]:.1%} at "
        f"{medians.index[1]:g} ms, {medians.iloc[-1]:.1%} at {medians.index[-1]:g} ms",
        f"{finest.min():.1%} to {finest.max():.1%} over blocks",
        "holds" if holds else "does not hold: the timestep is a constant of the model",
    )


@claim("interval on Brian2's grid: (refractory/dt - 1 + ceil(T_th/dt))*dt", SHEET, "compare_simulators")
def grid_interval(results: Results) -> Finding:
    """Intervals under constant current, as whole steps."""
    found = results.table("compare_simulators", "neurons", input="constant").dropna(subset=["interval_brian2_ms"])
    found = found[np.isfinite(found["interval_predicted_ms"])]
    wrong = int((np.abs(found["interval_brian2_ms"] - found["interval_predicted_ms"]) > 1e-6).sum())
    verdict = "does not hold" if wrong else "holds"
    return Finding(f"{wrong} of {len(found)} cells deviate", "exact, in steps", verdict)


@claim("a LIF neuron on a grid fires at the rate of its f-I curve", "implicit in rate codes", "compare_simulators")
def grid_rate(results: Results) -> Finding:
    """Rate under constant current against the closed form in continuous time."""
    found = results.table("compare_simulators", "neurons", input="constant")
    found = found[found["rate_closed_form_hz"] > 0]
    off = found["rate_brian2_hz"] / found["rate_closed_form_hz"] - 1
    return Finding(
        f"off by {off.abs().median():.2%} (median), since every interval is a whole number of steps",
        f"{off.min():+.1%} to {off.max():+.1%} over drives and steps",
        "does not hold: the error does not fall with the window" if off.abs().max() > 0.01 else "holds",
    )


@claim("Siegert's formula, corrected for the grid, is the rate under white noise", f"{SHEET}; Siegert 1951",
       "compare_simulators")  # fmt: skip
def siegert(results: Results) -> Finding:
    """Rates of noisy neurons at the published point and others."""
    found = results.table("compare_simulators", "neurons").dropna(subset=["sigma_mv"])
    found = found[found["sigma_mv"] > 0]
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


@claim("Brian2 and NEST give the same spikes where nothing is random", SHEET, "compare_simulators")
def same_spikes(results: Results) -> Finding:
    """Verdicts of the deterministic cases."""
    found = results.table("compare_simulators", "neurons")
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


@claim("Brian2 and NEST differ by no more than two seeds of one", SHEET, "compare_simulators")
def same_statistics(results: Results) -> Finding:
    """Verdicts of the circuits."""
    found = results.table("compare_simulators")
    agree = found["verdict"].str.startswith("agree")
    differ = ", ".join(found[~agree]["circuit"] + " " + found[~agree]["measure"])
    distances = found[found["measure"].str.startswith("ks_")]
    return Finding(
        f"{int(agree.sum())} of {len(found)} measures agree; Kolmogorov-Smirnov distances of intervals and counts "
        f"{(distances['difference'] / distances['seed_to_seed']).median():.2f} of those between seeds (median)",
        f"ranks {found['rank'].min():.3f} to {found['rank'].max():.3f}",
        "holds" if agree.all() else f"does not hold: {differ}",
    )


# Published models


@claim("the frameworks run the published blocks alike", "implicit", "compare_frameworks")
def frameworks(results: Results) -> Finding:
    """Rows of the frameworks that are identical, and those that are not."""
    found = results.table("compare_frameworks", framework=["spikingjelly", "snntorch"])
    forms = found.assign(same=found["mismatches"] == 0).groupby(["framework", "convention"], sort=False)["same"]
    same, of = forms.sum(), forms.size()
    listed = "; ".join(f"{name[0]}, {name[1]}: {same[name]} of {of[name]}" for name in same.index)
    return Finding(f"blocks without a mismatch: {listed}", "exact", "holds" if (same == of).all() else
                   "depends: on precision, threshold and reset")  # fmt: skip


@claim("Brian2 networks equal the published blocks spike for spike", SHEET, "compare_frameworks")
def networks(results: Results) -> Finding:
    """Mismatches of the discrete networks."""
    found = results.table("compare_frameworks", framework="brian2")
    wrong = int(found["mismatches"].sum())
    return Finding(
        f"{wrong} mismatches in {int(found['spikes'].sum())} spikes of {len(found)} blocks", "exact",
        "holds" if wrong == 0 else "does not hold",
    )  # fmt: skip


@claim("Spikformer's SSA is dead at rates near 5 %", SHEET, "compare_frameworks")
def dead(results: Results) -> Finding:
    """Firing rate of the attention by input."""
    found = results.table("compare_frameworks", "stages", framework="brian2", stage="attention")
    found = found[found["model"].str.startswith("Spikformer")]
    if found.empty:
        raise Missing("Spikformer was not run")
    listed = "; ".join(f"{row.block} {row.rate_reference:.4f}" for row in found.itertuples())
    rates = found["rate_reference"]
    verdict = (
        "holds" if rates.max() < SILENT
        else "does not hold" if rates.min() >= SILENT
        else "depends: on the number of tokens in which keys and values coincide"
    )  # fmt: skip
    return Finding(f"attention spikes a step: {listed}, with Q, K and V at 0.08 to 0.14", "", verdict)


@claim("QKFormer's mask fires at 0.348, masked keys at 0.083 (stage 1)", "arXiv:2403.16552", "compare_frameworks")
def mask_rates(results: Results) -> Finding:
    """Rates that follow from the published ones of queries and keys."""
    found = results.table("compare_frameworks", "stages", framework="brian2", stage=["mask", "masked"])
    found = found[found["block"].str.startswith("QKTA")].set_index("stage")["rate_reference"]
    if found.empty:
        raise Missing("QKFormer was not run")
    return Finding(
        f"{found['mask']:.3f} and {found['masked']:.3f} with random weights at the published rates of Q and K", "",
        "holds" if abs(found["mask"] / 0.348 - 1) < 0.2 and abs(found["masked"] / 0.083 - 1) < 0.2 else "does not hold",
    )  # fmt: skip


@claim(
    "the time average of softmax is the softmax of the average", "implicit in SpikingBERT's rates", "compare_frameworks"
)
def averages(results: Results) -> Finding:
    """TV between the two orders of averaging."""
    row = results.table("compare_frameworks", convention="softmax of the average scores").iloc[0]
    return Finding(
        f"TV {row['attention_error']:.3f} apart in {row['block']}", "",
        "does not hold" if row["attention_error"] > 0.01 else "holds",
    )  # fmt: skip


@claim("SpikedAttention's one-spike softmax errs by TV 0.015 (B = 1.15), 0.036 (B = 1.4)", SHEET,
       "compare_frameworks")  # fmt: skip
def one_spike(results: Results) -> Finding:
    """TV to softmax on the shipped rows."""
    found = results.table("compare_frameworks", model="SpikedAttention")
    listed = "; ".join(f"{row.attention_error:.4f}" for row in found.itertuples())
    return Finding(listed, "", "depends: on the rows" if (found["attention_error"] < 0.05).all() else "does not hold")


@claim(f"{CLAIMED_RATIO[0]:g} to {CLAIMED_RATIO[1]:g} times less energy than a conventional transformer", PAPER,
       "compare_frameworks")  # fmt: skip
def energy(results: Results) -> Finding:
    """Canonical and event-exact ratios of the blocks."""
    found = results.table("compare_frameworks", "energy")
    first = found[found["device"] == found["device"].iloc[0]]
    reach = int((first["canonical_ratio"] >= CLAIMED_RATIO[0]).sum())
    need, found_activity = first["spikes_per_synapse_for_38"].iloc[0], first["spikes_per_synapse"].median()
    return Finding(
        f"{first['canonical_ratio'].median():.2g} times as papers count, {first['event_ratio'].median():.2g} by events "
        f"with neuron updates (median of {len(first)} attention blocks)",
        f"{between(first['canonical_ratio'].min(), first['canonical_ratio'].max())} and "
        f"{between(first['event_ratio'].min(), first['event_ratio'].max())} over blocks",
        f"depends: {reach} of {len(first)} blocks reach it" if reach
        else f"does not hold: needs at most {need:.2f} spikes a synapse, found {found_activity:.2f}",
    )  # fmt: skip
