"""What the study of attention that ages means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from validation.ageing.measure import BLOCK, LAYERS, RESCALED, SUMMARY
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown


def report(preset: str, seed: int, tables: dict[str, pd.DataFrame], findings: Sequence[Finding]) -> str:
    """Return the report as Markdown."""
    simulated = tables["block"].dropna()
    parts = [
        "# SpikeGPT: attention that ages",
        f"Preset {preset}, seed {seed}. Every key holds its level for ever; forgetting is a jump of the "
        "row's inhibition at every token.",
        "![ageing](ageing.png)",
        "Left: error of the shares against the decay, with the law of the circuit. Middle: a block of "
        f"{len(tables['block'])} channels, all by the law, {len(simulated)} simulated. Right: spikes of {LAYERS} "
        "blocks that the rescaling of the released code for inference changes.",
        markdown(tables["summary"]), described(SUMMARY),
        "## A block", markdown(simulated), described(BLOCK),
        "## Rescaling", markdown(tables["rescaling"]), described(RESCALED),
        "## Claims", findings_text(findings), made(f"seed {seed}"),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"
