"""The two figures of the effective dimension: spectra, and convergence with the sample size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE
from validation.dimension.tables import FEW_SAMPLES, STATED, Claim

SET_COLOURS = (ORANGE, SKY, BLUE, GREEN, RED, PURPLE)
ESTIMATOR_STYLE = {
    "pca": ("principal components", BLUE, "o"),
    "participation_ratio": ("participation ratio", RED, "s"),
    "effective_rank": ("effective rank", GREEN, "^"),
    "two_nn": ("TwoNN", ORANGE, "D"),
    "mle": ("maximum likelihood", PURPLE, "v"),
}
PANELS_A_ROW = 4
TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 3000)
LOWEST_SHARE = 1e-6
"""Smaller shares of the variance are below what matters, and out of view."""


def _large(summary: pd.DataFrame) -> list[str]:
    """Sets with samples enough to show each by itself; all if there is none."""
    samples = summary.groupby("data", sort=False)["samples"].first()
    return list(samples.index[samples >= FEW_SAMPLES]) or list(samples.index)


def scree(shares: Axes, left: Axes, table: pd.DataFrame, summary: pd.DataFrame, variance: float) -> tuple[Axes, Axes]:
    """Share of the variance in each component, and what the components up to it leave out, both log-log.

    Sets of fewer than 100 samples are thin grey lines; the ring marks the component at which the threshold is passed.
    """
    large = _large(summary)
    reached = summary[summary["estimator"] == "pca"].set_index("data")["dimension"]
    size = summary.groupby("data", sort=False)[["samples", "ambient"]].first()
    for name, mine in table.groupby("data", sort=False):
        component = mine["component"].to_numpy()
        share, missing = mine["share"].to_numpy(), 1 - mine["cumulative"].to_numpy()
        small = name not in large
        colour = GREY if small else SET_COLOURS[large.index(name) % len(SET_COLOURS)]
        look: dict[str, Any] = {"color": colour, "linewidth": 0.5 if small else 1.1, "zorder": 1 if small else 2}
        label = "_small" if small else f"{name}: {reached[name]:.0f} of {size.loc[name, 'ambient']}"
        shares.plot(component, np.where(share > LOWEST_SHARE, share, np.nan), label=label, **look)
        left.plot(component, np.where(missing > LOWEST_SHARE, missing, np.nan), label=label, **look)
        if not small:
            at = int(reached[name])
            left.plot(at, max(missing[at - 1], LOWEST_SHARE), "o", mfc="white", mec=colour, mew=1.0, zorder=3)
    few = [name for name in reached.index if name not in large]
    if few:
        shares.plot([], [], color=GREY, linewidth=0.5, label=f"n < {FEW_SAMPLES} ({len(few)} sets)")
    if variance < 1:
        left.axhline(1 - variance, color="black", linestyle=":", linewidth=0.8)
        beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "size": "small"}
        left.annotate(f"{100 * (1 - variance):.3g} % left out", (0.99, 1 - variance), (0, 2), ha="right", **beside)
    for axes, title in ((shares, "a  spectrum"), (left, "b  what the first components leave out")):
        axes.set(xscale="log", yscale="log", xlabel="principal component", ylim=(LOWEST_SHARE, 1.0), title=title)
        axes.set_xlim(0.9, 1.1 * table["component"].max())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    shares.set_ylabel("share of the variance")
    left.set_ylabel("share of the variance left out")
    return shares, left


def scree_figure(table: pd.DataFrame, summary: pd.DataFrame, variance: float) -> Figure:
    """Figure of `scree`; the legend gives the components needed, of the features there are."""
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 2.9), layout="constrained")
        shares, left = figure.subplots(1, 2)
        scree(shares, left, table, summary, variance)
        title = f"components for {100 * variance:g} %"
        shares.legend(loc="lower left", handlelength=1.4, title=title, title_fontsize="small", alignment="left")
    return figure


def convergence(axes: Axes, table: pd.DataFrame) -> Axes:
    """Estimates of one set against the number of samples, log-log: means, and the range over repeats as a band."""
    for estimator, (label, colour, marker) in ESTIMATOR_STYLE.items():
        mine = table[table["estimator"] == estimator].sort_values("samples")
        if mine.empty:
            continue
        n, mean, low, high = mine[["samples", "dimension", "low", "high"]].to_numpy(dtype=float).T
        axes.fill_between(n, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(n, mean, color=colour, marker=marker, markersize=2.8, linewidth=0.9, label=label)
    axes.set(xscale="log", yscale="log")
    return axes


def convergence_figure(table: pd.DataFrame, summary: pd.DataFrame, claimed: Mapping[str, Claim]) -> Figure:
    """Panels of `convergence`, one a set with samples enough, on one axis of dimensions.

    Parameters
    ----------
    claimed
        Published figure of a set, by its name: a grey line with its standard deviation.
    """
    names = _large(summary)
    columns = min(PANELS_A_ROW, len(names))
    rows = -(-len(names) // columns)
    ambient = summary.groupby("data", sort=False)["ambient"].first()
    with style.context(STYLE):
        figure = Figure(figsize=(max(1.75 * columns, 3.5), 2.0 * rows + 0.45), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, name in zip(panels.flat, names, strict=False):
            convergence(axes, table[table["data"] == name])
            axes.set_title(f"{name} ({ambient[name]} features)")
            axes.set_xlabel("samples")
            if name in claimed:
                stated = claimed[name]
                label = next(key for key, value in STATED.items() if value == stated)
                axes.axhspan(stated.mean - stated.sd, stated.mean + stated.sd, color=GREY, alpha=0.3, linewidth=0)
                axes.axhline(stated.mean, color=GREY, linestyle="--", linewidth=0.8)
                axes.annotate(f"claimed for {label}", (0.03, stated.mean), (0, 2), size="small", va="bottom",
                              xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
        for axes in panels.flat[len(names) :]:
            axes.set_axis_off()
        for axes in panels[:, 0]:
            axes.set_ylabel("dimension")
        shown = table[table["data"].isin(names)]
        low, high = shown["low"].min(), max([shown["high"].max(), *(c.mean + c.sd for c in claimed.values())])
        for axes in panels.flat:
            axes.set_ylim(max(low / 1.2, 0.5), high * 1.2)
            axes.set_yticks([tick for tick in TICKS if low / 1.2 <= tick <= high * 1.2])
            axes.yaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        present = set(shown["estimator"])
        signs = [
            Line2D([], [], color=colour, marker=marker, markersize=2.8, label=label)
            for estimator, (label, colour, marker) in ESTIMATOR_STYLE.items()
            if estimator in present
        ]
        figure.legend(handles=signs, loc="outside lower center", ncols=len(signs) if columns > 2 else 2)
    return figure
