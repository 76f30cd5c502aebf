"""What the study of trained models means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from validation.model.models import Model
from validation.model.options import Config
from validation.model.tables import BUDGET, HEADS, LAYERS, SECOND, SUMMARY
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown

MOST_HEADS = 12


def report(
    config: Config, models: Sequence[Model], tables: dict[str, pd.DataFrame], findings: Sequence[Finding]
) -> str:
    """Return the report as Markdown."""
    parts = [
        "# Trained models whose attention is spikes",
        f"Seed {config.seed}, {config.trials} draws, {config.probes} probes of the law at most. By simulate: "
        f"{config.duration} a row.",
        *(_one(model, tables) for model in models),
        "## Columns",
        "summary: " + described(SUMMARY), "second_order: " + described(SECOND), "layers: " + described(LAYERS),
        "heads: " + described(HEADS), "budget: " + described(BUDGET),
        "## Claims", findings_text(findings), made(f"seed {config.seed}"),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _one(model: Model, tables: dict[str, pd.DataFrame]) -> str:
    mine = {name: table[table["model"] == model.name].drop(columns="model") for name, table in tables.items()}
    summary = mine["summary"].dropna(axis=1, how="all")
    heads = mine["heads"].sort_values("S_a", ascending=False).head(MOST_HEADS)
    told = ", ".join(f"{name} {value}" for name, value in model.told.items())
    parts = [
        f"## {model.name}",
        f"{model.samples} samples, task {model.task.name}. {told}.",
        f"![{model.name}](model_{model.name}.png)",
        "a: error against spikes a row; dashed the law, horizontal the limits of circuits that are biased. b: the "
        "task. c: S_a of every head. d: S of every stage, by where the largest value of a train is taken.",
        markdown(summary.drop(columns=[name for name in ("cos", "task_sd", "draws") if name in summary])),
        "### Two windows", markdown(mine["second_order"]),
        "### Layers", markdown(mine["layers"]),
        "### Heads", markdown(heads),
        "### Budget", markdown(mine["budget"]),
    ]  # fmt: skip
    return "\n\n".join(parts)
