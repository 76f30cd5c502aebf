"""The figure of the approximation study: error against timesteps, heads and spikes, beside the rate-domain limit.

`curves` draws into Axes and returns them; `approximation_figure` composes a page without pyplot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE
from biospike.theory import universal

TARGET_STYLE = ((BLUE, "o"), (RED, "s"), (GREEN, "^"), (PURPLE, "D"), (ORANGE, "v"), (SKY, "P"), ("black", "X"))
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "linewidth": 0.7}
NAMES = {"timesteps": "timesteps, $T$", "heads": "heads, $H$", "spikes_total": "spikes a sample, $N$"}
TOP = 1.2
"""Upper end of the error axis, just above what a constant can miss a function with values in [0, 1] by."""


def curves(axes: Axes, table: pd.DataFrame, x: str, *, band: bool = True, **line: Any) -> Axes:
    """Sup-norm error of each target against one column, log-log: a line with markers and its 95 % band.

    Parameters
    ----------
    table
        Rows of ``summary.csv`` to draw, all targets of one order.
    x
        Column of the abscissa.
    band
        Whether to draw intervals.
    **line
        Passed on to `matplotlib.axes.Axes.plot`.
    """
    for (name, curve), (colour, marker) in zip(table.groupby("target", sort=False), _styles(table), strict=False):
        shown = curve.sort_values(x)
        if band:
            axes.fill_between(shown[x], shown["sup_low"], shown["sup_high"], color=colour, alpha=0.13, linewidth=0)
        axes.plot(shown[x], shown["sup_error"], **({"color": colour, "marker": marker, "label": name} | line), zorder=3)
    axes.set(xscale="log", yscale="log", xlabel=NAMES.get(x, x))
    return axes


def approximation_figure(table: pd.DataFrame) -> Figure:
    """Three panels: error against timesteps with all heads, heads in the longest window, and spikes spent either way.

    Raises
    ------
    InputError
        If the table is empty or no error is above 0.
    """
    if table.empty or not (table["sup_error"] > 0).any():
        raise InputError("the table has no sup-norm error above 0")
    heads, timesteps = int(table["heads"].max()), int(table["timesteps"].max())
    most = float(table["spikes_total"].max())
    n, d, width = (int(table[name].iloc[0]) for name in ("tokens", "features", "width"))
    of_time, of_heads = table[table["heads"] == heads], table[table["timesteps"] == timesteps]
    lowest = float(table[["sup_error", "limit_sup_error"]].where(lambda errors: errors > 0).min().min())
    highest = float(table["sup_error"].max())
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 3.3))
        grid = {"left": 0.07, "right": 0.985, "bottom": 0.265, "top": 0.925, "wspace": 0.08}
        panels = figure.subplots(1, 3, sharey=True, gridspec_kw=grid)
        panels[0].set_ylim(lowest / 2, max(TOP, 1.3 * highest))
        curves(panels[0], of_time, "timesteps")
        curves(panels[1], of_heads, "heads")
        curves(panels[2], of_time, "spikes_total", band=False)
        curves(panels[2], of_heads, "spikes_total", band=False, **HOLLOW)
        for axes, shown, x in ((panels[0], of_time, "timesteps"), (panels[1], of_heads, "heads")):
            _limit(axes, shown, x, "limit_sup_error", "--")
        _limit(panels[1], of_heads, "heads", "limit_box_error", ":")
        _paper(panels[0], lambda T: universal.error_of_timesteps(n, width, T), r"paper, $n d_k T^{-1/2}$", timesteps)
        _paper(panels[1], lambda H: universal.error_of_heads(n, d, H), r"paper, $n d^{1/2} H^{-1/2}$", heads)
        _paper(
            panels[2],
            lambda N: universal.error_of_spikes(n, d, N),
            r"paper's lower bound, $(n d)^{1/2} N^{-1/2}$",
            most,
        )
        ticks = sorted(of_heads["heads"].unique())
        panels[1].set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
        panels[1].set_xticks([], minor=True)
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panels[0].yaxis.set_major_formatter("{x:g}")
        panels[0].yaxis.set_minor_formatter(NullFormatter())
        panels[0].set_ylabel("sup-norm error on unseen samples")
        titles = (f"more time, {heads} heads", f"more heads, {timesteps} timesteps", "spikes spent either way")
        for axes, letter, title in zip(panels, "abc", titles, strict=True):
            axes.set_title(f"{letter}  {title}")
            axes.label_outer()
        _legend(figure, table, heads, timesteps)
    return figure


def _styles(table: pd.DataFrame) -> list[tuple[str, str]]:
    count = table["target"].nunique()
    return [TARGET_STYLE[place % len(TARGET_STYLE)] for place in range(count)]


def _limit(axes: Axes, table: pd.DataFrame, x: str, column: str, linestyle: str) -> None:
    for (name, curve), (colour, _) in zip(table.groupby("target", sort=False), _styles(table), strict=False):
        shown = curve.sort_values(x)
        axes.plot(shown[x], shown[column], color=colour, linestyle=linestyle, linewidth=0.8,
                  label=f"{name}, {column}", zorder=2)  # fmt: skip


def _paper(axes: Axes, error: Callable[[ArrayLike], NDArray[np.float64]], text: str, last: float) -> None:
    """Line of the paper's formula; where it hardly enters the axes, words that say where it is."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x = np.geomspace(left, right, 200)
    seen = (error(x) > bottom) & (error(x) < top)
    if seen.mean() > 0.5:
        axes.plot(x[seen], error(x[seen]), color=GREY, linewidth=0.9, label="paper", zorder=1)
        middle = x[seen][len(x[seen]) // 2]
        axes.annotate(text, (middle, float(error(middle))), (3, 3), textcoords="offset points",
                      color="0.35", size=6)  # fmt: skip
        return
    value = float(error(last))
    height, va = (0.97, "top") if value >= bottom else (0.03, "bottom")
    axes.annotate(f"{text}:\n{value:.2g} at the last point", (0.97, height), xycoords="axes fraction",
                  ha="right", va=va, color="0.35", size=6)  # fmt: skip


def _legend(figure: Figure, table: pd.DataFrame, heads: int, timesteps: int) -> None:
    band, solid = Patch(color=GREY, alpha=0.3, linewidth=0), Line2D([], [], color=GREY, marker="o", linewidth=1.0)
    signs: dict[str, Any] = {
        name.replace("_", " "): Line2D([], [], color=colour, marker=marker)
        for name, (colour, marker) in zip(table["target"].unique(), _styles(table), strict=True)
    }
    signs |= {
        "measured, 95 % band": (band, solid),
        r"limit, $T = \infty$, same samples": Line2D([], [], color=GREY, linestyle="--", linewidth=0.8),
        "b: limit, worst found in the box": Line2D([], [], color=GREY, linestyle=":", linewidth=0.8),
        "paper, constants 1": Line2D([], [], color=GREY, linewidth=0.9),
        f"c: {heads} heads, more time": solid,
        f"c: {timesteps} timesteps, more heads": Line2D([], [], color=GREY, marker="o", **HOLLOW),
    }
    figure.legend(signs.values(), signs.keys(), loc="lower center", ncols=3, borderaxespad=0.2, columnspacing=1.2)
