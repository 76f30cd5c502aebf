"""Figure of what shares cannot tell: error over one constant, rate of the row, Lemma 3's floor, and the CV law."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biospike.plots import BLUE, CIRCUIT_STYLE, GREEN, NEW_STYLE, ORANGE, PURPLE, RED, STYLE
from biospike.verdicts import NO_ERROR
from validation.study.thresholds import CLOSE

RATES = {
    "rate_spread": ("spread over rows", BLUE, "o"),
    "rate_shift": ("logits 1 nat lower", RED, "s"),
    "rate_scale": ("logits halved", GREEN, "^"),
}
PALETTE = (BLUE, RED, GREEN, PURPLE, ORANGE)
FEEDBACK_STYLE = {"mean": (RED, "s"), "sum": (BLUE, "o")}


def control_figure(summary: pd.DataFrame, curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Longest windows of ``summary.csv``, and ``floor_curve`` and ``regularity`` if they are there.

    Returns
    -------
    Figure
        Panel a: error of the shares (filled) and of the rates over one constant (hollow), which share no axis with
        panel b: how the row's rate differs between rows and follows a shift and a scale of the logits, 0 where the
        circuit holds it. Panel c: floor of Lemma 3 against its weight, closed form as lines. Panel d: error over the
        law of the CV, for members of one family of known CV.
    """
    last = summary.groupby("circuit", sort=False).tail(1)
    last = last[last["tv"].notna()]
    drawn = [(draw, curves[name]) for name, draw in CURVES.items() if name in curves]
    panels = 2 + len(drawn)
    with style.context(STYLE):
        figure = Figure(figsize=(2.6 * panels, 2.9), layout="constrained")
        row = figure.subplots(1, panels)
        _errors(row[0], last)
        _rates(row[1], last)
        for axes, letter, (draw, table) in zip(row[2:], "cd", drawn, strict=False):
            draw(axes, table)
            axes.set_title(f"{letter}  {axes.get_title('left')}", loc="left")
        # Found once, and not again for every file.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
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
    axes.set(xscale="log", xlabel="$w/v_{th}$", ylabel="total variation")
    if floors["tv_law"].min() > NO_ERROR:  # rows of one key, or of equal ones, have no floor
        axes.set(yscale="log", ylim=(0.5 * floors["tv_law"].min(), 1))
    axes.set_title("floor of Lemma 3", loc="left")
    axes.legend(fontsize=6)


def _regularity(axes: Axes, table: pd.DataFrame) -> None:
    axes.axhspan(1 - CLOSE, 1 + CLOSE, color="0.9", zorder=0)
    known = table[(table["cv_law"] > NO_ERROR) & (table["tv"] > NO_ERROR)]
    for (k, rows), colour, marker in zip(known.groupby("k"), PALETTE, "osD^v", strict=False):
        axes.plot(rows["spikes_per_row"], rows["tv"] / rows["cv_law"], color=colour, marker=marker, label=f"k = {k:g}")
    axes.set(xscale="log", xlabel="spikes a row, $N$", ylabel="TV / (CV x multinomial)")
    if len(known):
        axes.set_yscale("log")
    axes.set_title("the law of the CV", loc="left")
    if len(known):
        axes.legend(fontsize=6)


CURVES: dict[str, Callable[[Axes, pd.DataFrame], None]] = {"floor_curve": _floors, "regularity": _regularity}


def _name(axes: Axes, last: pd.DataFrame) -> None:
    axes.set_xticks(range(len(last)), list(last["circuit"]), rotation=60, ha="right")
    axes.set_xlim(-0.6, len(last) - 0.4)
