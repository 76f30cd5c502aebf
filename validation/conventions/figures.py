"""The conventions as a picture: a row a neuron, a column a question, one colour an answer."""

from __future__ import annotations

import pandas as pd
from matplotlib import style
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from biospike.plots import BLUE, GREEN, RED, STYLE
from validation.conventions.tables import by_neuron

SHOWN = {
    "spike test": "at threshold",
    "reset": "reset",
    "order of decay and input": "decay and input",
    "steps from input to spike": "steps to spike",
    "interval at saturation": "interval",
    "spikes in one step": "a step",
}
"""Probes that the figure shows, and their headings."""
COLOURS = (BLUE, RED, GREEN, "0.5", "tab:olive", "tab:purple")
"""Of the answers to a probe, the commonest first; the last again for all that follow."""


def figure(table: pd.DataFrame) -> Figure:
    """Answers of every neuron to the questions that decide a spike train."""
    wide = by_neuron(table)
    probes = [name for name in SHOWN if name in wide]
    with style.context(STYLE):
        made = Figure(figsize=(11.0, 0.55 + 0.21 * len(wide)))
        axes = made.add_axes((0.43, 0.02, 0.56, 0.93))
        for column, probe in enumerate(probes):
            answers = wide[probe].str.split(" (", regex=False).str[0]
            colours = [*COLOURS, *[COLOURS[-1]] * len(wide)]
            chosen = dict(zip(answers[answers != ""].value_counts().index, colours, strict=False))
            for row, answer in enumerate(answers):
                face = to_rgba(chosen[answer], 0.25) if answer else "white"
                axes.add_patch(Rectangle((column - 0.49, row - 0.46), 0.98, 0.92, facecolor=face, edgecolor="none"))
                axes.text(column, row, answer, ha="center", va="center", fontsize=6)
        axes.set(xlim=(-0.5, len(probes) - 0.5), ylim=(len(wide) - 0.5, -0.5))
        axes.set_xticks(range(len(probes)), [SHOWN[name] for name in probes])
        axes.set_yticks(range(len(wide)), wide["package"] + " " + wide["version"] + ": " + wide["model"], fontsize=6)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return made
