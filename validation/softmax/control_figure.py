"""Figure of what shares cannot tell: the error over one constant, the rate of the row, and Lemma 3's floor."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biospike.plots import BLUE, CIRCUIT_STYLE, GREEN, NEW_STYLE, RED, STYLE
from biospike.tables import NO_ERROR

RATES = {
    "rate_spread": ("spread over rows", BLUE, "o"),
    "rate_shift": ("logits 1 nat lower", RED, "s"),
    "rate_scale": ("logits halved", GREEN, "^"),
}
FEEDBACK_STYLE = {"mean": (RED, "s"), "sum": (BLUE, "o")}


def control_figure(summary: pd.DataFrame, floors: pd.DataFrame | None) -> Figure:
    """Longest windows of ``summary.csv``, and ``floor_curve.csv`` if there is one.

    Returns
    -------
    Figure
        Panel a: error of the shares (filled) and of the rates over one constant (hollow), which share no axis with
        panel b: how the row's rate differs between rows and follows a shift and a scale of the logits, 0 where the
        circuit holds it. Panel c: floor of Lemma 3 against its weight, closed form as lines.
    """
    last = summary.groupby("circuit", sort=False).tail(1)
    last = last[last["tv"].notna()]
    panels = 2 if floors is None else 3
    with style.context(STYLE):
        figure = Figure(figsize=(2.6 * panels, 2.9), layout="constrained")
        row = figure.subplots(1, panels)
        _errors(row[0], last)
        _rates(row[1], last)
        if floors is not None:
            _floors(row[2], floors)
    return figure


def _errors(axes: Axes, last: pd.DataFrame) -> None:
    for place, one in enumerate(last.itertuples()):
        colour, marker = CIRCUIT_STYLE.get(str(one.circuit), NEW_STYLE)
        axes.plot(place, max(float(one.tv), NO_ERROR), marker, color=colour)
        axes.plot(place, max(float(one.tv_fixed), NO_ERROR), marker, color=colour, mfc="white")
    axes.plot([], [], "o", color="0.4", label="shares $N_i/N$")
    axes.plot([], [], "o", color="0.4", mfc="white", label="$N_i$ over one constant")
    axes.set(yscale="log", ylabel="total variation from softmax", title="a  what the read-out does")
    axes.legend(fontsize=6)
    _name(axes, last)


def _rates(axes: Axes, last: pd.DataFrame) -> None:
    for step, (column, (label, colour, marker)) in enumerate(RATES.items()):
        axes.plot(np.arange(len(last)) + 0.2 * (step - 1), last[column], marker, color=colour, label=label)
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.set(ylabel="cv; nats", title="b  rate of the row, 0 if held")
    axes.legend(fontsize=6)
    _name(axes, last)


def _floors(axes: Axes, floors: pd.DataFrame) -> None:
    for feedback, rows in floors.groupby("feedback", sort=False):
        colour, marker = FEEDBACK_STYLE[str(feedback)]
        axes.plot(rows["w"], rows["tv_law"], color=colour, linewidth=0.8)
        axes.plot(rows["w"], rows["tv"], marker, color=colour, mfc="white", label=f"by the {feedback}")
    axes.set(xscale="log", yscale="log", xlabel="$w/v_{th}$", ylabel="total variation", title="c  floor of Lemma 3")
    axes.legend(fontsize=6)


def _name(axes: Axes, last: pd.DataFrame) -> None:
    axes.set_xticks(range(len(last)), list(last["circuit"]), rotation=60, ha="right")
    axes.set_xlim(-0.6, len(last) - 0.4)
