"""What the comparison of frameworks means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from biospike.recording import versions as packages
from biospike.theory import paper
from biospike.theory.energy import AC, ARITHMETIC, DEVICES, MAC
from validation.frameworks.blocks import INPUT_RATE, MODELS
from validation.frameworks.energy_curve import ATTENTION_RATES, COLUMNS, CURVES, input_rate_for
from validation.frameworks.neurons import MUTANTS
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown

PUBLISHED_MASK = (0.348, 0.083)
"""QKFormer, stage 1: firing rates of the mask and of the masked keys."""


def report(
    summary: pd.DataFrame,
    stages: pd.DataFrame,
    energy: pd.DataFrame,
    facts: dict[str, Any],
    findings: Sequence[Finding] = (),
    curve: pd.DataFrame | None = None,
) -> str:
    """Return the report as Markdown.

    Parameters
    ----------
    summary, stages, energy
        The tables.
    facts
        ``seed``, ``target``, ``weights``, ``versions``, ``missing``, ``distances``, ``options``.
    findings, curve
        Of the claims, and of `energy_curve`.
    """
    parts = ["# Published spiking transformers, ML frameworks and membranes, spike for spike", _what(summary, facts)]
    parts += ["## Where identity is promised", _identity(summary), "![mismatches](mismatches.png)"]
    parts += ["## Where it is not, and why", *_reasons(summary), _mutants(summary)]
    if len(stages):
        parts += ["## What a membrane changes", *_membranes(summary, stages, facts), "![membranes](membranes.png)"]
        parts += ["![raster](raster.png)"]
        parts += ["## Firing rates", _rates(stages), markdown(_rate_table(stages))]
        parts += ["## Energy", *_energy(energy), "![energy](energy.png)", markdown(_energy_shown(energy))]
    if curve is not None:
        parts += ["## Energy over the rates that are not published", *_curve(curve), "![curve](energy_curve.png)"]
        parts += ["`energy_curve.csv`: " + described(COLUMNS)]
    softmax = summary[summary["block"].str.startswith("spike softmax")]
    if len(softmax):
        parts += ["## Spike softmax", _softmax(softmax)]
    parts += ["## All rows", markdown(summary), "## Claims", findings_text(findings), _made(facts)]
    return "\n\n".join(parts) + "\n"


def _what(summary: pd.DataFrame, facts: dict[str, Any]) -> str:
    left = f" Not installed, and left out: {', '.join(facts['missing'])}." if facts["missing"] else ""
    return (
        f"{summary['block'].nunique()} blocks on real input, weights of {facts['weights']}, seed {facts['seed']}. "
        "`spikes` are those of the reference (NumPy, float64, every sum in the order in which spikes arrive); "
        "`mismatches` counts neurons and timesteps that differ, over all spiking stages, and `mismatch_fraction` "
        "divides them by the spikes; `rate_biophysical` is the firing rate of the row's neurons, whatever they are; "
        "`attention_error` and `output_error` are the root-mean-square difference of the rates over the window, "
        "relative to the reference's (total variation for real probabilities); `sop` counts synaptic events." + left
    )


def _identity(summary: pd.DataFrame) -> str:
    mine = summary[_promised(summary)]
    broken = mine[mine["mismatches"] > 0]
    forms = ", ".join(sorted(set(mine["framework"])))
    text = (
        f"{len(mine)} rows ({forms}) must equal the reference in every spike of every stage, "
        f"{int(mine['spikes'].sum())} spikes in all. "
    )
    if broken.empty:
        return text + (
            "All do: 0 mismatches. The Brian2 networks are among them, so that every count against the reference is "
            "one against Brian2's discrete neurons too."
        )
    listed = "; ".join(
        f"{row.model} {row.block}, {row.framework} {row.convention}, {row.dt_ms:g} ms: {row.mismatches} mismatches"
        for row in broken.itertuples()
    )
    return text + f"**{len(broken)} do not:** {listed}."


def _promised(summary: pd.DataFrame) -> pd.Series:
    """Rows that must equal the reference."""
    first = summary["diagnostics"].str.split(";").str[0]
    return first.eq("identical") | first.str.startswith(("identical, ", "NOT IDENTICAL"))


def _reasons(summary: pd.DataFrame) -> list[str]:
    lines = []
    other = summary[summary["framework"].isin(["formula", "spikingjelly", "snntorch"]) & ~_promised(summary)]
    for (framework, convention), rows in other.groupby(["framework", "convention"], sort=False):
        different = rows[rows["mismatches"] > 0]
        reason = different["diagnostics"].iloc[0].split(":")[0] if len(different) else "no difference here"
        fired = rows.dropna(subset=["mismatch_fraction"])
        if fired.empty:
            lines.append(
                f"* **{framework}, {convention}:** the reference is silent in every block, so nothing is told."
            )
            continue
        worst = fired.loc[fired["mismatch_fraction"].idxmax()]
        lines.append(
            f"* **{framework}, {convention}:** {int(rows['mismatches'].sum())} mismatches in "
            f"{int(rows['spikes'].sum())} spikes of {len(rows)} blocks, at most {worst['mismatch_fraction']:.2%} "
            f"({worst['model']}, {worst['block']}). {reason[0].upper()}{reason[1:]}."
        )
    return ["\n".join(lines)] if lines else ["No framework was run."]


def _mutants(summary: pd.DataFrame) -> str:
    mutants = summary[summary["framework"] == "mutant"]
    lines = []
    for name in MUTANTS:
        mine = mutants[mutants["convention"] == name]
        if len(mine):
            caught = mine[mine["mismatches"] > 0]
            missed = ", ".join(mine[mine["mismatches"] == 0]["block"])
            lines.append(
                f"`{name}` is caught in {len(caught)} of {len(mine)} blocks, by {int(mine['mismatches'].sum())} spikes"
                + (f" (not in {missed}: no membrane meets the threshold exactly there)" if missed else "")
            )
    return "**Deliberate mutants.** " + "; ".join(lines) + "." if lines else ""


def _membranes(summary: pd.DataFrame, stages: pd.DataFrame, facts: dict[str, Any]) -> list[str]:
    mine = summary[summary["framework"] == "biophysical"]
    text = [
        "The discrete neuron is the exact solution of a membrane equation with tau_m = 1.44 timesteps (without leak "
        "for SpikingBERT), looked at once a timestep. Integrated with a step of one timestep, the membrane gives the "
        "same spikes; with a finer step it is a neuron that notices its threshold in time."
    ]
    for convention, rows in mine.groupby("convention", sort=False):
        finest = rows[rows["dt_ms"] == rows["dt_ms"].min()].dropna(subset=["mismatch_fraction"])
        middle = rows[rows["dt_ms"] == sorted(rows["dt_ms"].unique())[1]].dropna(subset=["mismatch_fraction"])
        if finest.empty:
            text.append(f"* **{convention}:** undecided, since the reference is silent in every block.")
            continue
        ratio = finest["rate_biophysical"] / finest["rate_reference"]
        text.append(
            f"* **{convention}, step {finest['dt_ms'].iloc[0]:g} ms:** {finest['mismatch_fraction'].min():.1%} to "
            f"{finest['mismatch_fraction'].max():.1%} of the spikes differ (median "
            f"{finest['mismatch_fraction'].median():.1%}; {middle['mismatch_fraction'].median():.1%} at "
            f"{middle['dt_ms'].iloc[0]:g} ms), the rate is {ratio.min():.2f} to {ratio.max():.2f} of the discrete "
            f"neurons', the relative error of the output {finest['output_error'].min():.2f} to "
            f"{finest['output_error'].max():.2f} (median {finest['output_error'].median():.2f})."
        )
    if mine["mismatch_fraction"].notna().any():
        text.append(
            "So the discrete neuron is not a coarse version of the membrane that a finer step would converge to: its "
            "timestep is a constant of the model, and what it computes belongs to it."
            if _stays(mine)
            else "The difference falls with the step: there the discrete neuron is a coarse version of the membrane."
        )
    found = stages.dropna(subset=["van_rossum"])
    if len(found):
        finest = found[found["dt_ms"] == found["dt_ms"].min()].groupby("convention", sort=False)
        text.append(
            "Distances of single spike trains (neurons that fire most, a missing spike counts 1): "
            + "; ".join(
                f"{convention}: van Rossum {rows['van_rossum'].mean():.2f}, Victor-Purpura "
                f"{rows['victor_purpura'].mean():.2f} on average over {int(rows['trains'].sum())} trains"
                for convention, rows in finest
            )
            + "."
        )
    elif not facts["distances"]:
        text.append("Distances of spike trains were left out: Elephant is not installed (pip install 'biospike[ml]').")
    return ["\n\n".join(text)]


def _stays(mine: pd.DataFrame) -> bool:
    """Whether the finest step differs from the discrete neuron as much as the one before it does."""
    medians = mine.groupby("dt_ms")["mismatch_fraction"].median().sort_index()
    return bool(medians.iloc[0] > 0.5 * medians.iloc[1])


def _rate_table(stages: pd.DataFrame) -> pd.DataFrame:
    reference = stages[stages["framework"] == "brian2"]
    table = reference.pivot_table(index=["model", "block"], columns="stage", values="rate_reference", sort=False)
    return table.reset_index()


def _rates(stages: pd.DataFrame) -> str:
    text = "Spikes of a neuron in a timestep, by stage. Queries, keys and values are fitted to the published rates."
    mine = stages[(stages["framework"] == "brian2") & stages["block"].str.startswith("QKTA")].set_index("stage")
    if {"mask", "masked"} <= set(mine.index):
        mask, masked = (float(mine.loc[[stage], "rate_reference"].iloc[0]) for stage in ("mask", "masked"))
        text += (
            f" What follows from them can be held against publication in QKFormer's first stage: the mask fires at "
            f"{mask:.3f} ({PUBLISHED_MASK[0]} published), the masked keys at {masked:.3f} ({PUBLISHED_MASK[1]})."
        )
    return text


def _energy(energy: pd.DataFrame) -> list[str]:
    arithmetic = energy[energy["device"] == energy["device"].iloc[0]]
    low, high = paper.ENERGY_RATIO
    inside = arithmetic[(arithmetic["canonical_ratio"] >= low)]
    need = arithmetic.iloc[0]
    least, most = arithmetic["canonical_ratio"].min(), arithmetic["canonical_ratio"].max()
    lines = [
        f"Counted as papers do ({MAC} pJ a MAC, {AC} pJ an addition, SOP = rate of the layer's input times T times "
        f"MAC, nothing else) these blocks cost {least:.2g} to {most:.2g} times less than the same layers with real "
        f"numbers. The paper claims {low:g} to {high:g} times: that needs {need['spikes_per_synapse_for_38']:.2f} to "
        f"{need['spikes_per_synapse_for_57']:.2f} spikes a synapse in one inference, and these have "
        f"{arithmetic['spikes_per_synapse'].min():.2f} to {arithmetic['spikes_per_synapse'].max():.2f}. "
        f"{len(inside)} of {len(arithmetic)} blocks reach it.",
    ]
    for device, rows in energy.groupby("device", sort=False):
        lines.append(
            f"* By events on {device} (every spike at every synapse it reaches, and every update of a neuron): "
            f"{rows['event_ratio'].min():.2g} to {rows['event_ratio'].max():.2g} times, median "
            f"{rows['event_ratio'].median():.2g}."
        )
    lines.append(
        "The conventional layer is charged for multiply-accumulates in 32-bit floating point at 45 nm, the "
        "neuromorphic devices for whole events with memory and routing, so only the first of these compares like with "
        "like; none counts the memory traffic of the conventional layer. SpikingBERT's events leave out its real "
        f"exponentials. The rate of the input, {INPUT_RATE:g} spikes a step, is chosen here: it is not published."
    )
    return lines


def _curve(curve: pd.DataFrame) -> list[str]:
    low, high = paper.ENERGY_RATIO
    lines = []
    for name in CURVES:
        model = MODELS[name]
        for attention in ATTENTION_RATES:
            needed = (input_rate_for(name, ratio, attention, DEVICES[ARITHMETIC.name]) for ratio in (low, high))
            said = [
                f"{ratio:g} times need {rate:.2g} input spikes a step"
                if rate > 0
                else f"{ratio:g} times are out of reach"
                for ratio, rate in zip((low, high), needed, strict=True)
            ]
            lines.append(f"* {model.model}, {model.block}, attention at {attention:g} a step: {', '.join(said)}.")
    most = curve.groupby("device", sort=False)["ratio"].max()
    return [
        "The ratio of papers follows from the firing rates of the layers' inputs, of which those of the block's input "
        "and of the attention are not published. At the published sizes and the mean of the published rates, by 45 nm "
        "arithmetic on both sides:",
        "\n".join(lines),
        "With the other devices the largest ratio at any of these rates is "
        + "; ".join(f"{value:.2g} on {device}" for device, value in most.items() if device != ARITHMETIC.name)
        + ". They charge a spiking event with its memory and routing, and the conventional layer without either, so "
        "that this is another comparison and no refutation: the figure depends on the comparator.",
    ]


def _energy_shown(energy: pd.DataFrame) -> pd.DataFrame:
    shown = energy[energy["device"] == energy["device"].iloc[0]]
    return shown[["model", "block", "macs", "spikes_per_synapse", "canonical_ratio", "sop", "updates", "event_ratio"]]


def _softmax(rows: pd.DataFrame) -> str:
    return "SpikedAttention's one-spike code as a network: " + "; ".join(
        f"{row.block}: {int(row.mismatches)} mismatches in {int(row.spikes)} spikes, mean TV to softmax "
        f"{row.attention_error:.4f}"
        for row in rows.itertuples()
    ) + ". Its error is the rounding of the logits to multiples of ln B, whatever the number of steps."  # fmt: skip


def _made(facts: dict[str, Any]) -> str:
    line = f"options {facts['options']}; networks on the target {facts['target']}"
    return made(line, packages=packages() | facts["versions"])
