"""Figure of the calibration: verdicts by truth, and false ones by cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STYLE
from biospike.verdicts import BETWEEN, FLOOR, HALF, ONE, UNDECIDED
from validation.verdicts.tables import FALSE

COLOURS = {HALF: BLUE, BETWEEN: ORANGE, ONE: GREEN, FLOOR: PURPLE, UNDECIDED: "0.85"}


def calibration_figure(calibration: pd.DataFrame, cells: pd.DataFrame) -> Figure:
    """Left, how often each verdict comes out, by the truth of the code, mean over cells; right, false ones by cell."""
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 3.0))
        left, right = figure.subplots(1, 2, gridspec_kw={"left": 0.13, "right": 0.985, "bottom": 0.16, "top": 0.84,
                                                         "wspace": 0.25})  # fmt: skip
        verdicts(left, calibration)
        false_verdicts(right, cells)
    return figure


def verdicts(axes: Axes, calibration: pd.DataFrame) -> None:
    """Bars of the fraction of every verdict, one a truth."""
    names = {"none": "", "constant": ", bias", "transient": ", start"}
    truths = [(truth, fall) for fall in names for truth in sorted(calibration["truth"].unique(), reverse=True)]
    mean = calibration.groupby(["truth", "fall", "verdict"])["fraction"].mean()
    shown = [one for one in truths if one in mean.index.droplevel("verdict")]
    start = np.zeros(len(shown))
    for word, colour in COLOURS.items():
        width = np.array([mean.get((*one, word), 0.0) for one in shown])
        axes.barh(range(len(shown)), width, left=start, color=colour, label=word, height=0.8)
        start += width
    axes.set_yticks(range(len(shown)), [f"$N^{{{truth:g}}}${names[fall]}" for truth, fall in shown])
    axes.set(xlim=(0, 1), xlabel="fraction of studies, mean over cells", ylim=(len(shown) - 0.4, -0.6))
    axes.set_title("a  what comes out", loc="left", y=1.13)
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=0.8, handlelength=0.8)


def false_verdicts(axes: Axes, cells: pd.DataFrame) -> None:
    """False verdicts of every cell with their intervals, in order of size."""
    ordered = cells.sort_values("false", ignore_index=True)
    place = np.arange(len(ordered))
    axes.vlines(place, ordered["low"], ordered["high"], color=GREY, linewidth=0.6)
    axes.plot(place, ordered["false"], ".", color=BLUE, markersize=3, label="false verdicts of a cell, 95 % interval")
    axes.axhline(FALSE, color=RED, linewidth=0.8, label=f"{FALSE:.0%}")
    axes.set(xlabel="cells, in order", ylabel="fraction of studies", ylim=(0, max(0.2, ordered["high"].max() * 1.05)))
    axes.set_title("b  false verdicts", loc="left", y=1.13)
    axes.legend(loc="upper left")
