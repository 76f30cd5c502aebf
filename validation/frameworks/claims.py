"""Claims about published models and frameworks, as read off the tables of the study."""

from __future__ import annotations

from biospike.theory import paper
from validation.study.claims import OURS, PAPER, Claims, Finding
from validation.study.results import Missing, Results
from validation.study.words import between

CLAIMS = Claims()
SILENT = 0.01
"""A population that fires less a step is dead."""


@CLAIMS.add("the LIF neurons of papers and frameworks are one model", "implicit in comparisons")
def conventions(results: Results) -> Finding:
    """Fraction of spikes that the paper's reset changes."""
    found = results.table("summary", framework="formula")["mismatch_fraction"].dropna()
    return Finding(
        f"{found.median():.1%} of the spikes of a block differ with the paper's reset (median of {len(found)})",
        f"{found.min():.1%} to {found.max():.1%} over blocks",
        "does not hold" if found.median() > 0.01 else "holds",
    )


@CLAIMS.add(">= and > at the threshold are the same", "implicit in snnTorch against SpikingJelly")
def strictness(results: Results) -> Finding:
    """Bits of QKFormer's masks that a strict threshold flips."""
    found = results.table("stages", framework="mutant", convention="strict >", stage="mask")
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


@CLAIMS.add("a discrete LIF is a membrane seen coarsely", "implicit in 'biologically plausible'")
def coarse(results: Results) -> Finding:
    """Spikes that differ from the discrete neuron as the step falls."""
    found = results.table("summary", framework="biophysical", convention="membrane, refractory 1 ms")
    medians = found.groupby("dt_ms")["mismatch_fraction"].median().sort_index()
    finest = found[found["dt_ms"] == medians.index[0]]["mismatch_fraction"].dropna()
    holds = medians.iloc[0] < 0.5 * medians.iloc[1]
    return Finding(
        f"{medians.iloc[0]:.1%} of the spikes differ at a step of {medians.index[0]:g} ms, {medians.iloc[1]:.1%} at "
        f"{medians.index[1]:g} ms, {medians.iloc[-1]:.1%} at {medians.index[-1]:g} ms",
        f"{finest.min():.1%} to {finest.max():.1%} over blocks",
        "holds" if holds else "does not hold: the timestep is a constant of the model",
    )


@CLAIMS.add("the frameworks run the published blocks alike", "implicit")
def frameworks(results: Results) -> Finding:
    """Rows of the frameworks that are identical, and those that are not."""
    found = results.table("summary", framework=["spikingjelly", "snntorch"])
    forms = found.assign(same=found["mismatches"] == 0).groupby(["framework", "convention"], sort=False)["same"]
    same, of = forms.sum(), forms.size()
    listed = "; ".join(f"{name[0]}, {name[1]}: {same[name]} of {of[name]}" for name in same.index)
    return Finding(f"blocks without a mismatch: {listed}", "exact", "holds" if (same == of).all() else
                   "depends: on precision, threshold and reset")  # fmt: skip


@CLAIMS.add("Brian2 networks equal the published blocks spike for spike", OURS)
def networks(results: Results) -> Finding:
    """Mismatches of the discrete networks."""
    found = results.table("summary", framework="brian2")
    wrong = int(found["mismatches"].sum())
    return Finding(
        f"{wrong} mismatches in {int(found['spikes'].sum())} spikes of {len(found)} blocks", "exact",
        "holds" if wrong == 0 else "does not hold",
    )  # fmt: skip


@CLAIMS.add("Spikformer's SSA is dead at rates near 5 %", OURS)
def dead(results: Results) -> Finding:
    """Firing rate of the attention by input."""
    found = results.table("stages", framework="brian2", stage="attention")
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


@CLAIMS.add("QKFormer's mask fires at 0.348, masked keys at 0.083 (stage 1)", "arXiv:2403.16552")
def mask_rates(results: Results) -> Finding:
    """Rates that follow from the published ones of queries and keys."""
    found = results.table("stages", framework="brian2", stage=["mask", "masked"])
    found = found[found["block"].str.startswith("QKTA")].set_index("stage")["rate_reference"]
    if found.empty:
        raise Missing("QKFormer was not run")
    return Finding(
        f"{found['mask']:.3f} and {found['masked']:.3f} with random weights at the published rates of Q and K", "",
        "holds" if abs(found["mask"] / 0.348 - 1) < 0.2 and abs(found["masked"] / 0.083 - 1) < 0.2 else "does not hold",
    )  # fmt: skip


@CLAIMS.add("the time average of softmax is the softmax of the average", "implicit in SpikingBERT's rates")
def averages(results: Results) -> Finding:
    """TV between the two orders of averaging."""
    row = results.table("summary", convention="softmax of the average scores").iloc[0]
    return Finding(
        f"TV {row['attention_error']:.3f} apart in {row['block']}", "",
        "does not hold" if row["attention_error"] > 0.01 else "holds",
    )  # fmt: skip


@CLAIMS.add("SpikedAttention's one-spike softmax errs by TV 0.015 (B = 1.15), 0.036 (B = 1.4)", OURS)
def one_spike(results: Results) -> Finding:
    """TV to softmax on the shipped rows."""
    found = results.table("summary", model="SpikedAttention")
    listed = "; ".join(f"{row.attention_error:.4f}" for row in found.itertuples())
    return Finding(listed, "", "depends: on the rows" if (found["attention_error"] < 0.05).all() else "does not hold")


@CLAIMS.add(
    f"{paper.ENERGY_RATIO[0]:g} to {paper.ENERGY_RATIO[1]:g} times less energy than a conventional transformer", PAPER
)
def energy(results: Results) -> Finding:
    """Canonical and event-exact ratios of the blocks."""
    found = results.table("energy")
    first = found[found["device"] == found["device"].iloc[0]]
    curve = results.table("energy_curve")
    own = curve[curve["device"] == first["device"].iloc[0]]
    enough = own[own["ratio"] >= paper.ENERGY_RATIO[0]]
    verdict = (
        "does not hold: at none of the rates" if enough.empty
        else "holds" if (curve["ratio"] >= paper.ENERGY_RATIO[0]).all()
        else "depends: on the input rate, which is not published, and on the comparator"
    )  # fmt: skip
    at = [
        f"{model} at {rows['input_rate'].max():g} a step of the input and below, with {attention:g} of the attention"
        for (model, attention), rows in enough.groupby(["model", "attention_rate"], sort=False)
    ]
    return Finding(
        f"{first['canonical_ratio'].median():.2g} times as papers count, {first['event_ratio'].median():.2g} by events "
        f"with neuron updates (median of {len(first)} attention blocks, at input rates chosen here); of the rates of "
        f"the curve {paper.ENERGY_RATIO[0]:g} times are reached by {'; '.join(at) or 'none'}",
        f"{between(first['canonical_ratio'].min(), first['canonical_ratio'].max())} and "
        f"{between(first['event_ratio'].min(), first['event_ratio'].max())} over blocks",
        verdict,
        threshold=paper.ENERGY_RATIO[0],
        threshold_from="the paper's abstract",
        conditions="45 nm arithmetic on both sides; T and sizes as published",
    )
