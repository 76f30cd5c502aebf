"""Figure of the rank study: collapse over depth, what stops it, and what spike times tell of heads."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, STYLE

STACK_STYLE = {
    "exact": ("exact softmax", "black", "x"),
    "exact layer norm": ("exact, layer norm", GREY, "+"),
    "shares": ("sampled shares", BLUE, "o"),
    "values": ("value spikes", RED, "s"),
    "residual": ("value spikes, residual", ORANGE, "^"),
    "layer norm": ("value spikes, layer norm", GREEN, "v"),
    "network": ("one network", PURPLE, "D"),
}
COUPLING_STYLE = {"independent": (BLUE, "o"), "one gate": (GREEN, "s"), "routed": (RED, "^"), "dead time": (GREY, "v")}
LEAST = 1e-10
"""Dispersion that is shown."""


def rank_figure(rank: pd.DataFrame, heads: pd.DataFrame) -> Figure:
    """Dispersion over layers in the longest window; behind the last layer over spikes; correlation over CV."""
    with style.context(STYLE):
        figure = Figure(figsize=(7.2, 3.1))
        axes = figure.subplots(
            1, 3, gridspec_kw={"left": 0.075, "right": 0.99, "bottom": 0.3, "top": 0.9, "wspace": 0.3}
        )
        depth(axes[0], rank)
        floors(axes[1], rank)
        trains(axes[2], heads)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=4, loc="lower left", bbox_to_anchor=(0.06, 0.0), fontsize="small")
    return figure


def depth(axes: Axes, rank: pd.DataFrame) -> Axes:
    """Dispersion of the tokens behind every layer, in the longest window."""
    longest = rank["window"].max()
    for stack, (label, colour, marker) in STACK_STYLE.items():
        mine = rank[(rank["stack"] == stack) & (rank["window"].isna() | (rank["window"] == longest))]
        shown = mine["dispersion"].where(mine["dispersion"] > LEAST)
        axes.plot(mine["layer"], shown, marker=marker, color=colour, label=label, markersize=3.5)
    axes.set(yscale="log", xlabel="layer", ylabel="dispersion of the tokens", ylim=(LEAST, 1))
    axes.set_title("a  collapse", loc="left")
    return axes


def floors(axes: Axes, rank: pd.DataFrame) -> Axes:
    """Dispersion behind the last layer against spikes, with the law of the floor."""
    for stack in ("values", "residual", "layer norm", "network"):
        _, colour, marker = STACK_STYLE[stack]
        mine = rank[rank["stack"] == stack].groupby("window", sort=True).tail(1)
        error = np.abs(mine[["low", "high"]].T.to_numpy() - mine["dispersion"].to_numpy())
        axes.errorbar(mine["spikes"], mine["dispersion"], error, linestyle="", marker=marker, color=colour,
                      markersize=3.5)  # fmt: skip
        if mine["floor_law"].notna().all():
            axes.plot(mine["spikes"], mine["floor_law"], "--", color=colour, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="attention spikes a row")
    for axis, ticks in ((axes.xaxis, (30, 100, 300, 1000)), (axes.yaxis, (0.01, 0.02, 0.05, 0.1, 0.2))):
        low, high = axis.get_view_interval()
        axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.set_title("b  floor, law dashed", loc="left")
    return axes


def trains(axes: Axes, heads: pd.DataFrame) -> Axes:
    """Held-out correlation against the variation of the intervals of one head's train."""
    for coupling, (colour, marker) in COUPLING_STYLE.items():
        mine = heads[heads["coupling"] == coupling].sort_values("cv")
        error = np.abs(mine[["low", "high"]].T.to_numpy() - mine["correlation"].to_numpy())
        axes.errorbar(
            mine["cv"], mine["correlation"], error, marker=marker, color=colour, label=coupling, markersize=3.5
        )
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set(xlabel="CV of a head's intervals", ylabel="correlation with the share", ylim=(-0.4, 1.05))
    axes.set_title("c  do spike times tell heads?", loc="left")
    axes.legend(loc="lower left", fontsize="small")
    return axes
