"""The figure of the audit: one panel an assumption, bias against the knob from ideal to realistic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from biospike.errors import InputError
from biospike.plots import BLUE, GREEN, GREY, PURPLE, RED, STYLE
from validation.assumptions.sweep import LIMIT, Sweep

COLOURS = (RED, BLUE, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D")
COLUMNS = 4
LINEAR = 1e-3
"""The axis of the bias is linear below this, so that 0 and negative estimates have a place."""
TOP = 8.0
"""Above 1, the largest total variation, there is room for the names of the circuits."""


def panel(axes: Axes, sweeps: Sequence[Sweep]) -> Axes:
    """One assumption: every sweep over its own knob values, evenly spaced in the order from ideal to realistic.

    Markers and bars are the measured bias and its interval, dashed lines the closed form, the grey rule is `LIMIT`.
    """
    axes.axhline(LIMIT, color=GREY, linestyle=(0, (4, 2)), linewidth=0.7, zorder=1, label="0.01")
    axes.axhline(0, color="0.85", linewidth=0.5, zorder=0)
    most = max(len(sweep.points) for sweep in sweeps)
    for number, sweep in enumerate(sweeps):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        # Sweeps of fewer values are stretched over the panel; neighbours are set apart so that their bars show.
        x = np.linspace(0, most - 1, len(sweep.points)) + 0.12 * (number - (len(sweeps) - 1) / 2)
        bias, low, high, law = np.array([(p.bias, p.low, p.high, p.predicted) for p in sweep.points]).T
        shown = np.maximum(bias, -0.9 * LINEAR)
        axes.errorbar(x, shown, (np.maximum(shown - low, 0), high - shown), color=colour, marker=marker, markersize=3,
                      linestyle="", elinewidth=0.9, capsize=1.5, label=sweep.label, zorder=3)  # fmt: skip
        if np.isfinite(law).any():
            axes.plot(x, law, color=colour, linestyle="--", linewidth=0.8, zorder=2)
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=0.6)
    axes.set(ylim=(-LINEAR, TOP), xlim=(-0.45, most - 0.55))
    axes.set_yticks([0, 1e-3, 1e-2, 1e-1, 1], ["0", "0.001", "0.01", "0.1", "1"])
    axes.minorticks_off()
    _knobs(axes, sweeps, most)
    return axes


def _knobs(axes: Axes, sweeps: Sequence[Sweep], most: int) -> None:
    """Values of the knobs, a line below the axis for each different scale; in the colour of its sweep if not of all."""
    scales: dict[tuple[str, tuple[Any, ...]], str] = {}
    for number, sweep in enumerate(sweeps):
        scales.setdefault((_knob(sweep), tuple(point.value for point in sweep.points)), COLOURS[number % len(COLOURS)])
    below = axes.get_xaxis_transform()
    for line, ((_, values), colour) in enumerate(scales.items()):
        place = np.linspace(0, most - 1, len(values))
        shown = "black" if len(scales) == 1 else colour
        if line == 0:
            axes.set_xticks(place, [_text(value) for value in values], color=shown)
        else:
            for x, value in zip(place, values, strict=True):
                axes.text(x, -0.06 - 0.085 * line, _text(value), transform=below, color=shown, ha="center", va="top",
                          size=mpl.rcParams["xtick.labelsize"])  # fmt: skip
    names = list(dict.fromkeys(name for name, _ in scales))
    axes.set_xlabel(" / ".join(names), labelpad=2 + 8.5 * (len(scales) - 1))


def _knob(sweep: Sweep) -> str:
    return f"{sweep.knob} ({sweep.unit})" if sweep.unit else sweep.knob


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "∞" if math.isinf(value) else f"{value:g}"


def figure(sweeps: Sequence[Sweep]) -> Figure:
    """Page of `panel`, one assumption each.

    Raises
    ------
    InputError
        If there is no sweep.
    """
    if not sweeps:
        raise InputError("an audit figure needs at least one sweep, got none")
    names = list(dict.fromkeys(sweep.assumption for sweep in sweeps))
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    width, height = 2.35 * columns + 0.4, 2.2 * rows + 0.4
    with style.context(STYLE):
        page = Figure(figsize=(width, height))
        grid = page.subplots(rows, columns, squeeze=False, sharey=True, gridspec_kw={
            "left": 0.5 / width, "right": 1 - 0.1 / width, "bottom": 0.9 / height, "top": 1 - 0.22 / height,
            "wspace": 0.1, "hspace": 0.65,
        })  # fmt: skip
        for axes, name in zip(grid.ravel(), names, strict=False):
            mine = [sweep for sweep in sweeps if sweep.assumption == name]
            panel(axes, mine)
            axes.set_title(name)
            axes.legend(*_signs(mine), loc="upper left", handlelength=1, borderaxespad=0.1, labelspacing=0.2)
        for axes in grid.ravel()[len(names) :]:
            axes.remove()
        for axes in grid[:, 0]:
            axes.set_ylabel("bias")
        signs = {
            "measured, 95 % interval": Line2D([], [], color=GREY, marker="o", markersize=3, linestyle=""),
            "closed form": Line2D([], [], color=GREY, linestyle="--", linewidth=0.8),
            "0.01": Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=0.7),
        }
        page.legend(signs.values(), signs.keys(), loc="lower center", ncols=3, borderaxespad=0.2)
    return page


def _signs(sweeps: Sequence[Sweep]) -> tuple[list[Line2D], list[str]]:
    size = mpl.rcParams["lines.markersize"] * 0.8
    lines = [
        Line2D([], [], color=COLOURS[n % len(COLOURS)], marker=MARKERS[n % len(MARKERS)], linestyle="", markersize=size)
        for n in range(len(sweeps))
    ]
    return lines, [sweep.label for sweep in sweeps]
