"""Figure of the sorting study: trees against samples, and all other systems by method."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STYLE
from validation.sort.tables import POOR, TREE

METHOD_STYLE = {
    "score_schur": (BLUE, "o"),
    "blocks": (GREEN, "s"),
    "kernel": (ORANGE, "^"),
    "variance": (RED, "v"),
    "lags": (PURPLE, "D"),
    "random": (GREY, "x"),
}
LINES = {TREE: "-", POOR: "--"}


def sort_figure(orders: pd.DataFrame) -> Figure:
    """Left, exact orders of trees of 20 nodes against samples; right, violated edges of every other system."""
    with style.context(STYLE):
        figure = Figure(figsize=(7.2, 3.4))
        room = {"left": 0.075, "right": 0.99, "bottom": 0.23, "top": 0.92, "wspace": 0.75, "width_ratios": (1, 1.2)}
        left, right = figure.subplots(1, 2, gridspec_kw=room)
        trees(left, orders[(orders["size"] == 20) & orders["system"].isin(LINES)])
        others(right, orders[~orders["system"].isin(LINES)])
        handles = {label: handle for axes in (left, right)
                   for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}  # fmt: skip
        figure.legend(handles.values(), handles.keys(), ncols=6, loc="lower center", fontsize="small")
    return figure


def trees(axes: Axes, orders: pd.DataFrame) -> Axes:
    """Fraction of exact orders; dashed for weak weights."""
    for (system, method), mine in orders.groupby(["system", "method"], sort=False):
        colour, marker = METHOD_STYLE[method]
        error = np.abs(mine[["low", "high"]].T.to_numpy() - mine["exact"].to_numpy())
        axes.errorbar(mine["samples"], mine["exact"], error, linestyle=LINES[system], marker=marker, color=colour,
                      label=method, markersize=3.5)  # fmt: skip
    axes.set(xscale="log", xlabel="samples", ylabel="exact orders", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(FixedLocator(sorted(orders["samples"].unique())))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("a  trees of 20 nodes", loc="left")
    return axes


def others(axes: Axes, orders: pd.DataFrame) -> Axes:
    """Violated edges by system, one marker a method."""
    names = list(dict.fromkeys(zip(orders["system"], orders["size"], strict=True)))
    for method, mine in orders.groupby("method", sort=False):
        colour, marker = METHOD_STYLE[method]
        place = [names.index(one) for one in zip(mine["system"], mine["size"], strict=True)]
        axes.plot(mine["violated"], place, marker, color=colour, label=method, markersize=3.5, clip_on=False)
    axes.set_yticks(range(len(names)), [f"{system}, {size}" for system, size in names], fontsize="x-small")
    axes.set(xlabel="edges violated", xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
    axes.set_title("b  other systems", loc="left")
    return axes
