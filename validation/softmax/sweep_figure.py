"""Figure of a sweep: the error against each quantity that was varied."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from biospike.plots import CIRCUIT_STYLE, NEW_STYLE, STYLE

UNITS = {"rate": "Hz", "duration_s": "s", "dt_s": "s", "t_inh": "s", "w": "nats", "regularity": ""}
NAMES = {"duration_s": "duration", "dt_s": "dt"}
MOST_PANELS = 8
FEW_VALUES = 6
"""Up to this many values stand as ticks on the axis."""
DECADE = 5.0
"""Values that span more than this factor are shown on a logarithmic axis."""


def sweep_figure(table: pd.DataFrame, swept: list[str]) -> Figure | None:
    """TV in the longest window against each swept quantity: all points, and the mean over the others.

    Parameters
    ----------
    table
        One row a point, with `circuit`, `tv` and the columns of `swept`.
    swept
        Names of columns; those of text are left out.

    Returns
    -------
    Figure or None
        None if nothing that is a number was swept.
    """
    shown = [name for name in swept if name != "seed" and pd.api.types.is_numeric_dtype(table[name])][:MOST_PANELS]
    if not shown:
        return None
    columns = min(len(shown), 4)
    lines = -(-len(shown) // columns)
    with style.context(STYLE):
        figure = Figure(figsize=(max(3.5, 1.75 * columns + 0.4), 1.9 * lines + 0.3), layout="constrained")
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, shown, strict=False):
            values = _draw(axes, table[np.isfinite(table[name])], name)
            if len(values) <= FEW_VALUES:
                axes.set_xticks(values, [f"{value:g}" for value in values])
                axes.set_xticks([], minor=True)
            unit = UNITS.get(name, "SI")
            axes.set(yscale="log", xlabel=NAMES.get(name, name) + (f" ({unit})" if unit else ""))
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        grid[0, 0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        grid[0, 0].yaxis.set_major_formatter(FormatStrFormatter("%g"))
        grid[0, 0].yaxis.set_minor_locator(NullLocator())
        for axes in grid[:, 0]:
            axes.set_ylabel("total variation from softmax")
        handles = {
            label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    return figure


def _draw(axes: Axes, table: pd.DataFrame, name: str) -> list[float]:
    """Draw the circuits for which the quantity varies, and return its values."""
    drawn: set[float] = set()
    for circuit, mine in table.groupby("circuit", sort=False):
        if mine[name].nunique() < 2:
            continue
        colour, marker = CIRCUIT_STYLE.get(str(circuit), NEW_STYLE)
        mean = mine.groupby(name)["tv"].mean()
        axes.plot(mine[name], mine["tv"], linestyle="", marker=".", color=(colour, 0.3), markersize=2)
        axes.plot(mean.index, mean, color=colour, marker=marker, label=str(circuit))
        drawn |= set(mean.index)
    if drawn and min(drawn) > 0 and max(drawn) / min(drawn) > DECADE:
        axes.set_xscale("log")
    return sorted(drawn)
