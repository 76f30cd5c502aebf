"""Figure of one trained model: error against spikes with its law and floors, the task, heads, and the budget."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STYLE

COLOURS = (BLUE, GREEN, ORANGE, PURPLE, RED)
TERMS = {"S_a": "row spikes", "S_v": "value spikes", "S_vx": "values shared", "S_s": "scores"}


def model_figure(name: str, tables: dict[str, pd.DataFrame]) -> Figure:
    """Four panels: error, task, S of layers and heads, S of stages by the scale of trains."""
    mine = {file: table[table["model"] == name] for file, table in tables.items()}
    with style.context(STYLE):
        drawn = Figure(figsize=(7.2, 5.2))
        room = {"left": 0.09, "right": 0.97, "bottom": 0.09, "top": 0.94, "wspace": 0.3, "hspace": 0.42}
        (errors, task), (heads, budget) = drawn.subplots(2, 2, gridspec_kw=room)
        _errors(errors, mine["summary"])
        _task(task, mine["summary"])
        _heads(heads, mine["heads"])
        _budget(budget, mine["budget"])
        panels = ((errors, "a  output"), (task, "b  task"), (heads, "c  row spikes by head"), (budget, "d  stages"))
        for axes, title in panels:
            axes.set_title(title, loc="left")
    return drawn


def _by_circuit(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame, str]]:
    rows = table[(table["block"] == "attention") & (table["by"] == "shares")]
    curves = [(str(name), own) for name, own in rows.groupby("circuit", sort=False) if len(own) > 1]
    return [(name, own, COLOURS[place % len(COLOURS)]) for place, (name, own) in enumerate(curves)]


def _errors(axes: Axes, table: pd.DataFrame) -> None:
    for name, own, colour in _by_circuit(table):
        axes.plot(own["spikes"], own["error"], "o", color=colour, label=name, markersize=3.5)
        axes.plot(own["spikes"], own["law"], "--", color=colour, linewidth=0.8)
    simulated = table[table["by"] == "simulate"]
    axes.plot(simulated["spikes"], simulated["error"], "x", color="black", label="simulated", markersize=4)
    for place, row in enumerate(table[table["by"] == "limit"].to_dict("records")):
        axes.axhline(
            row["error"], color=GREY, linewidth=0.8, linestyle=("-", "--", ":")[place % 3], label=row["circuit"]
        )
    axes.set(xscale="log", yscale="log", xlabel="spikes a row", ylabel="1 - cos")
    axes.legend(fontsize="x-small", ncols=2)


def _task(axes: Axes, table: pd.DataFrame) -> None:
    for name, own, colour in _by_circuit(table):
        error = np.maximum([own["task"] - own["task_low"], own["task_high"] - own["task"]], 0)
        axes.errorbar(
            own["spikes"], own["task"], error, marker="o", color=colour, label=name, markersize=3.5, linewidth=0.8
        )
    exact = table[table["by"] == "exact"]
    axes.axhline(float(exact["task"].iloc[0]), color="black", linewidth=0.8, label="exact")
    for place, row in enumerate(table[table["by"] == "limit"].to_dict("records")):
        axes.axhline(
            row["task"], color=GREY, linewidth=0.8, linestyle=("-", "--", ":")[place % 3], label=row["circuit"]
        )
    axes.set(xscale="log", xlabel="spikes a row", ylabel="task")
    axes.legend(fontsize="x-small", ncols=2)


def _heads(axes: Axes, table: pd.DataFrame) -> None:
    grid = table.pivot(index="layer", columns="head", values="S_a")
    image = axes.imshow(grid, cmap="Blues", vmin=0, aspect="auto")
    axes.set(xlabel="head", ylabel="layer", xticks=range(grid.shape[1]), yticks=range(grid.shape[0]))
    axes.figure.colorbar(image, ax=axes, label="$S_a$")


def _budget(axes: Axes, table: pd.DataFrame) -> None:
    width = 0.8 / len(table)
    for place, row in enumerate(table.to_dict("records")):
        at = np.arange(len(TERMS)) + (place - (len(table) - 1) / 2) * width
        axes.bar(at, [row[term] for term in TERMS], width, color=COLOURS[place], label=row["scale"])
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xticks(range(len(TERMS)), list(TERMS.values()), fontsize="small")
    axes.set_ylabel("S")
    axes.legend(fontsize="small", title="largest of")
