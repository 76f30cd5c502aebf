"""Claims about neurons, circuits, attention and published models, as read off the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from biospike.ideal.softmax import softmax
from biospike.theory.energy import CLAIMED_RATIO
from biospike.theory.lyapunov import V, sampling_floor
from circuits import SOFTMAX_CIRCUITS
from validation.claims import Finding, Missing, Results, between, claim

SHEET = "biospike"
PAPER = "arXiv:2604.15769"
GATES = [name for name, circuit in SOFTMAX_CIRCUITS.items() if circuit.common_gate]
LATER = 2.0
"""A bias is resolved above this many times what sampling leaves of it."""
SILENT = 0.01
"""A population that fires less a step is dead."""
CLOSE = 0.05
"""A law holds if the measurement is within this fraction of it."""


def last(results: Results, study: str, by: str, **where: object) -> pd.DataFrame:
    """Longest window of every group, indexed by it."""
    table = results.table(study, "summary", **where)
    return table.groupby(by, sort=False).tail(1).set_index(by)


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
    fraction = flipped["mismatches"].sum() / flipped["spikes"].sum()
    listed = "; ".join(f"{row.block} {row.mismatch_fraction:.1%}" for row in flipped.itertuples())
    return Finding(
        f"{fraction:.1%} of the mask spikes of QKFormer differ", listed, "does not hold" if fraction > 0.01 else "holds"
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


# Exponential, Lemma 2


@claim("coincidences of Bernoulli spikes give e^z", f"{PAPER}, Lemma 2", "compare_exponential")
def taylor(results: Results) -> Finding:
    """Worst estimate of the series, with independent and with identical copies."""
    worst = {}
    for copies in ("independent", "identical"):
        rows = results.table("compare_exponential", circuit=f"taylor {copies}")
        rows = rows[rows["relative_sd_predicted"] > 0]
        off = (rows["estimate"] / rows["exact"]).to_numpy()
        inside = rows["exact"].between(rows["low"], rows["high"])
        worst[copies] = off[np.abs(np.log(off)).argmax()], int(inside.sum()), len(rows)
    (independent, inside, of), (identical, _, _) = worst["independent"], worst["identical"]
    return Finding(
        f"independent copies: at worst {independent:.3g} of e^z; identical copies: {identical:.3g} of e^z",
        f"e^z within the 95 % interval in {inside} of {of} readings of independent copies",
        "depends: on independent copies" if abs(np.log(identical)) > 0.1 else "holds",
    )


@claim("the error of Lemma 2 does not grow with the range of the logits", f"{PAPER}, Lemma 2", "compare_exponential")
def taylor_range(results: Results) -> Finding:
    """Relative scatter of a reading at the smallest and the largest range."""
    rows = results.table("compare_exponential", circuit="taylor independent").groupby("M")["relative_sd"].max()
    ratio = rows.iloc[-1] / rows.iloc[0]
    return Finding(
        f"scatter of a reading, relative to e^z, {rows.iloc[0]:.3g} at M = {rows.index[0]:g} and {rows.iloc[-1]:.3g} "
        f"at M = {rows.index[-1]:g} nats",
        "",
        "does not hold" if ratio > 2 else "holds",
    )


# Softmax, Lemma 3


@claim("subtractive lateral inhibition normalises exactly", f"{PAPER}, Lemma 3", "compare_softmax")
def subtractive(results: Results) -> Finding:
    """Error of the circuit as printed in the longest window."""
    row = last(results, "compare_softmax", "circuit").loc["subtractive"]
    return Finding(
        f"TV {row['tv']:.4f} after {row['spikes_per_row']:.0f} spikes a row; its fixed point predicts "
        f"{row['limit_tv']:.4f}",
        between(row["tv_low"], row["tv_high"]),
        "does not hold: a threshold-linear function" if row["tv_low"] > 0.01 else "holds",
    )


@claim("inhibition by a common factor gives softmax exactly, whatever its delay", SHEET, "compare_softmax")
def common_gate(results: Results) -> Finding:
    """Bias of the shares pooled over trials against what sampling leaves."""
    rows = last(results, "compare_softmax", "circuit", circuit=GATES)
    ratio = rows["bias_tv"] / rows["bias_floor"]
    biased = ", ".join(ratio[ratio >= LATER].index)
    return Finding(
        "; ".join(f"{name} {row.bias_tv:.4f}" for name, row in rows.iterrows()),
        "sampling leaves " + "; ".join(f"{row.bias_floor:.4f}" for _, row in rows.iterrows()),
        f"does not hold: {biased}" if biased else "holds: no bias resolved",
    )


@claim("the error of softmax circuits falls as 1/sqrt(T)", f"{PAPER}, Theorem 1", "compare_softmax")
def orders(results: Results) -> Finding:
    """Orders of every circuit."""
    rows = results.table("compare_softmax", "convergence").dropna(subset=["order"])
    verdicts = rows.groupby("verdict", sort=False)["circuit"].agg(", ".join)
    root = rows[rows["verdict"] == "1/sqrt(N)"]
    return Finding(
        "; ".join(f"{verdict}: {names}" for verdict, names in verdicts.items()),
        "; ".join(f"{row.circuit} {row.order_low:.2f} to {row.order_high:.2f}" for row in root.itertuples()),
        "holds" if len(root) == len(rows) else "depends: true of Poisson codes under a common gate only",
    )


@claim("TV = (2 pi N)^-1/2 sum sqrt(p(1-p)) for stochastic keys, nothing fitted", SHEET, "compare_softmax")
def multinomial(results: Results) -> Finding:
    """Race and escape against the multinomial law."""
    rows = last(results, "compare_softmax", "circuit", circuit=["race", "escape"])
    off, low, high = (rows[column] / rows["tv_expected"] - 1 for column in ("tv", "tv_low", "tv_high"))
    return Finding(
        "; ".join(f"{name} {value:+.1%}" for name, value in off.items()),
        "; ".join(f"{low[name]:+.1%} to {high[name]:+.1%}" for name in rows.index),
        "holds" if (off.abs() < CLOSE).all() else "does not hold",
    )


@claim("regular keys under a common gate reach 1/N", SHEET, "compare_softmax")
def regular_keys(results: Results) -> Finding:
    """Integrate and divisive."""
    rows = results.table("compare_softmax", "convergence", circuit=["integrate", "divisive"])
    return Finding(
        "; ".join(f"{row.circuit} order {row.order:.3f}" for row in rows.itertuples()),
        "; ".join(between(row.order_low, row.order_high) for row in rows.itertuples()),
        "holds" if (rows["verdict"] == "1/N").all() else "does not hold",
    )


@claim("V(r) = sum (r_i - p_i)^2 decays to zero under lateral inhibition", f"{PAPER}, Lemma 3", "compare_softmax")
def decay(results: Results) -> Finding:
    """Lyapunov function of the rates between the last two windows, and what sampling leaves of it."""
    data = results.dataset("compare_softmax", "counts")
    p, found = softmax(data["logits"].values), {}
    for name in ("subtractive", "race"):
        if name not in data["circuit"]:
            raise Missing(f"{name} was not run")
        counts = data["spike_count"].sel(circuit=name).transpose("trial", "row", "key", "checkpoint").values
        late = (counts[..., -1] - counts[..., 0]).sum(axis=0)
        spikes = late.sum(axis=-1)
        fired = spikes > 0
        rates = late[fired] / spikes[fired, None]
        found[name] = V(rates, p[fired]).mean(), sampling_floor(p[fired], spikes[fired]).mean()
    (stuck, floor), (race, race_floor) = found["subtractive"], found["race"]
    return Finding(
        f"V = {stuck:.3g} with subtraction (sampling leaves {floor:.1g}), {race:.2g} in a race ({race_floor:.2g})", "",
        "does not hold: V stays at the distance of the fixed point" if stuck > LATER * floor else "holds",
    )  # fmt: skip


@claim("shunting inhibition divides rates", "textbooks; against it Holt and Koch 1997", "compare_softmax")
def shunting(results: Results) -> Finding:
    """Floor of the conductance circuit."""
    row = last(results, "compare_softmax", "circuit").loc["shunting"]
    return Finding(f"TV {row['tv']:.4f}", between(row["tv_low"], row["tv_high"]),
                   "does not hold" if row["tv_low"] > 0.01 else "holds")  # fmt: skip


@claim("noisy LIF neurons with global inhibition compute softmax", f"{SHEET}: where the f-I curve is exponential",
       "compare_softmax")  # fmt: skip
def diffusive(results: Results) -> Finding:
    """Bias of the diffusive circuit against its mean field."""
    row = last(results, "compare_softmax", "circuit").loc["diffusive"]
    predicted = float(np.hypot(row["limit_tv"], row["bias_floor"]))
    return Finding(
        f"pooled bias TV {row['bias_tv']:.4f}; mean field {row['limit_tv']:.4f}, {predicted:.4f} with sampling",
        f"TV of a window {between(row['tv_low'], row['tv_high'])}",
        "does not hold at this rate" if row["limit_tv"] > 0.01 else "holds",
    )


# Attention


def _attention(results: Results, mode: str, metric: str) -> Finding:
    fit = results.table("compare_attention", "convergence", mode=mode, metric=metric).iloc[0]
    row = last(results, "compare_attention", "mode").loc[mode]
    error = row["attention_tv"] if metric == "attention_tv" else row["output_rmse"]
    near = abs(fit["order"] + 0.5) < 0.1
    return Finding(
        f"order {fit['order']:.3f} in T, error {error:.4f} at {row['window_ms']:g} ms; limit {fit['limit']:.2g} from "
        "ordinary attention",
        between(fit["order_low"], fit["order_high"]),
        "holds" if near and fit["verdict"] != "floor" else "does not hold",
    )


@claim("staged spiking attention approximates softmax attention as 1/sqrt(T)", f"{PAPER}, Theorem 1",
       "compare_attention")  # fmt: skip
def staged(results: Results) -> Finding:
    """Order of the attention of the theorem's arrangement."""
    return _attention(results, "staged", "attention_tv")


@claim("the same in one streaming network", SHEET, "compare_attention")
def streaming(results: Results) -> Finding:
    """Order of the attention when all stages run at once."""
    return _attention(results, "streaming", "attention_tv")


@claim("its output approximates as 1/sqrt(T)", f"{PAPER}, Theorem 1", "compare_attention")
def output(results: Results) -> Finding:
    """Order of the staged output."""
    return _attention(results, "staged", "output_rmse")


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


@claim("the same of softmax attention by spikes, at the accuracy of its window", PAPER, "compare_attention")
def attention_energy(results: Results) -> Finding:
    """Energy of the recorded spikes of the attention block in its longest window."""
    found = results.table("compare_attention", "energy", device="45 nm arithmetic", mode="staged")
    row, least = found.iloc[-1], found["canonical_ratio"].max()
    return Finding(
        f"{1 / row['canonical_ratio']:.3g} times the energy by additions alone, {1 / row['event_ratio']:.3g} with "
        f"neuron updates, at attention TV {row['attention_tv']:.3f} (T = {row['timesteps']})",
        f"at best {1 / least:.3g} times, in the shortest window",
        "holds" if row["canonical_ratio"] >= CLAIMED_RATIO[0] else "does not hold",
    )


@claim("self-attention heads with O(n^2 d/eps^2) heads and O(n^2 d_k^2/eps^2) steps approximate any function",
       f"{PAPER}, Theorem 7", "approximate_function")  # fmt: skip
def universal(results: Results) -> Finding:
    """Error of spiking heads with a linear read-out."""
    found = results.table("approximate_function")
    final = found[(found["heads"] == found["heads"].max()) & (found["timesteps"] == found["timesteps"].max())]
    better = (final["sup_error"] < final["constant_sup_error"]).all()
    return Finding(
        f"sup error with {int(final['heads'].iloc[0])} heads and T = {int(final['timesteps'].iloc[0])}: "
        + "; ".join(f"{row.target} {row.sup_error:.3f}" for row in final.itertuples()),
        "; ".join(between(row.sup_low, row.sup_high) for row in final.itertuples()),
        "holds on these targets, constants and order unverified" if better else "does not hold",
    )
