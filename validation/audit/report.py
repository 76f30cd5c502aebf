"""What an audit means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from biospike.auditing.energy import COLUMNS as ENERGY_COLUMNS
from biospike.auditing.measure import COLUMNS
from biospike.auditing.replay import LEAK, NOISE, RELAXATIONS, SPREAD, SUBSTEPS
from biospike.auditing.run import Audit
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown

ATTENTION = ["layer", "head", "circuit", "rows", "spikes_tv_05", "low", "high", "timesteps_low", "timesteps_high",
             "simulated_tv", "law_tv", "S", "predicted_error", "d_eff", "energy_low", "energy_high"]  # fmt: skip
NODES = ["layer", "kind", "rows", *(f"survival_{name}" for name in RELAXATIONS)]


def report(text: str, found: Audit, findings: Sequence[Finding], options: str) -> str:
    """Return the report as Markdown."""
    table = found.table
    heads, others = table[table["head"].notna()], table[table["head"].isna()]
    nodes = others[others["survival_leak"].notna()]
    parts = [
        "# Audit of a model",
        f"{text[:1].upper()}{text[1:]}. {' '.join(f'{note}.' for note in found.notes)}".strip(),
    ]
    parts.append("![audit](audit.png)")
    if not heads.empty:
        parts += ["## Attention", rows_text(heads), markdown(heads[ATTENTION].dropna(axis=1, how="all"))]
    if not nodes.empty:
        parts += ["## Nodes", nodes_text(nodes), markdown(nodes[NODES])]
    if not found.energy.empty:
        parts += ["## Energy", markdown(found.energy), described(ENERGY_COLUMNS)]
    notes = table[table["note"].notna() & (table["note"] != "")].drop_duplicates(["layer", "note"])
    if not notes.empty:
        parts += ["## What is to be known of layers", markdown(notes[["layer", "kind", "note"]])]
    parts += ["## Columns of audit.csv", described(COLUMNS), "## Claims", findings_text(findings), made(options)]
    return "\n\n".join(parts) + "\n"


def rows_text(heads: pd.DataFrame) -> str:
    """What rows ask, and what the output feels."""
    least, most = heads["spikes_tv_05"].min(), heads["spikes_tv_05"].max()
    lines = [
        f"For a mean total variation of .05 from softmax the median row of a head asks {least:.0f} to {most:.0f} "
        f"spikes, with a median over heads of {heads['spikes_tv_05'].median():.0f}."
    ]
    known = heads[heads["predicted_error"].notna()]
    if not known.empty:
        total, top = known["predicted_error"].sum(), known.loc[known["S"].idxmax()]
        lines.append(
            f"With them in every row at once the model's output has 1 - cos of {total:.2g} to first order; "
            f"the head that it feels most is {top['head']:.0f} of {top['layer']}, "
            f"{top['S'] / known['S'].sum():.1%} of the whole."
        )
    return " ".join(lines)


def nodes_text(nodes: pd.DataFrame) -> str:
    """What spikes survive, from the idealisation that matters most."""
    means = {name: nodes[f"survival_{name}"].mean() for name in RELAXATIONS}
    told = ", ".join(f"{name} {means[name]:.2f}" for name in sorted(means, key=lambda name: means[name]))
    return (
        f"Mean fraction of a layer's spikes that stay where they are: {told}. Each layer has its own currents; leak: "
        f"without it, or with one of {LEAK:g} steps; noise and spread: {NOISE:g} and {SPREAD:g} thresholds; dt: "
        f"{SUBSTEPS} steps for one."
    )
