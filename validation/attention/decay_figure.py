"""The Lyapunov function against time, once where an exponential and once where a power of time would be straight."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from biospike.plots import BLUE, RED, STYLE

COLOURS = {"fitted": (BLUE, "o"), "scores": (RED, "s")}
NAMES = {"fitted": "constant drive", "scores": "streaming scores"}
DEEPEST = 5.0
"""Factor below a value at which its band ends, and above the largest at which a fit does."""
EARLY = 130
"""Timesteps that a linear axis shows: the rest is level."""
SCALES = {"exponential": "linear", "power": "log"}


def decay(axes: Axes, curve: pd.DataFrame, fits: pd.DataFrame, law: str) -> Axes:
    """V against the timesteps since the attention neurons were let go, and the fits of one law to it.

    Filled markers are V of all spikes so far, with its 95 % band; open ones V of the rates at that time; lines are the
    fits, dotted the V of the limit.

    Parameters
    ----------
    curve, fits
        The tables of ``decay.csv`` and ``decay_fit.csv``.
    law
        exponential or power.
    """
    for drive, mine in curve.groupby("drive", sort=False):
        colour, marker = COLOURS[str(drive)]
        known = mine[mine["V"] > 0]
        low = np.maximum(known["low"], known["V"] / DEEPEST)
        axes.fill_between(known["timesteps"], low, known["high"], color=colour, alpha=0.25, linewidth=0)
        axes.plot(known["timesteps"], known["V"], linestyle="", marker=marker, color=colour, label=NAMES[str(drive)])
        rates = mine[mine["V_rate"] > 0]
        axes.plot(rates["timesteps"], rates["V_rate"], linestyle="", marker=marker, markerfacecolor="none",
                  markeredgecolor=colour, label=f"{NAMES[str(drive)]}, rates at that time")  # fmt: skip
        if (limit := float(mine["V_limit"].iloc[0])) > 0:
            axes.axhline(
                limit, color=colour, linestyle=":", linewidth=0.8, label=f"{NAMES[str(drive)]}, limit of the circuit"
            )
        _draw_fit(axes, known, fits[(fits["drive"] == drive) & (fits["reading"] == "V") & (fits["law"] == law)], colour)
    axes.set(xscale=SCALES[law], yscale="log", xlabel="timesteps since the attention was let go",
             ylabel=r"$V=\sum_i (r_i-p_i)^2$")  # fmt: skip
    if law == "exponential":
        axes.set_xlim(0, min(EARLY, float(curve["timesteps"].max())))
    return axes


def _draw_fit(axes: Axes, known: pd.DataFrame, fits: pd.DataFrame, colour: str) -> None:
    """Line of a fit, where there is one, within the range of what it is fitted to."""
    if fits.empty or not np.isfinite(fits["rate"].iloc[0]) or known.empty:
        return
    row = fits.iloc[0]
    times = np.geomspace(known["timesteps"].min(), known["timesteps"].max(), 200)
    falling = np.exp(-row["rate"] * times) if row["law"] == "exponential" else times ** -row["rate"]
    values = row["floor"] + row["amplitude"] * falling
    shown = values <= DEEPEST * known["V"].max()
    axes.plot(times[shown], values[shown], color=colour, linewidth=0.8, label=f"{NAMES[row['drive']]}, fit")


def decay_figure(curve: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Page of `decay`, with time linear and logarithmic."""
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 3.2))
        places = {"left": 0.11, "right": 0.98, "bottom": 0.29, "top": 0.91}
        panels = figure.subplots(1, 2, sharey=True, gridspec_kw=places)
        for axes, letter, law in zip(panels, "ab", SCALES, strict=True):
            decay(axes, curve, fits, law)
            axes.set_title(f"{letter}  fit of {'an exponential' if law == 'exponential' else 'a power of time'}")
        panels[1].set_ylabel("")
        handles = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=3, borderaxespad=0.2)
    return figure
