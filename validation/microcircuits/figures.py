"""Figures of the ladder: rasters of keys and interneurons, biases beside their limits, gates, operating points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import style
from matplotlib.figure import Figure

from biospike.plots import BLUE, GREEN, GREY, ORANGE, RED, STYLE
from circuits.softmax import SOFTMAX_CIRCUITS
from validation.microcircuits.rungs import PROBES, probes

COLOURS = (BLUE, RED, GREEN, ORANGE, "purple", "brown", "teal", "olive")
MARKERS = {"natural": "o", "peaked": "^", "flat": "s"}


ACROSS = 4
"""Rungs beside each other in a figure of rasters."""


def raster_figure(recordings: Sequence[xr.Dataset]) -> Figure:
    """A block of three panels a rung: keys above, interneurons in the middle, inhibition below."""
    across, down = min(len(recordings), ACROSS), -(-len(recordings) // ACROSS)
    with style.context(STYLE):
        drawn = Figure(figsize=(7.0, 3.6 * down))
        blocks: Any = drawn.subfigures(down, 1, squeeze=False)
        for first, block in zip(range(0, len(recordings), ACROSS), blocks[:, 0], strict=True):
            some = recordings[first : first + ACROSS]
            axes: Any = block.subplots(
                3, across, squeeze=False, sharex=True,
                gridspec_kw={"height_ratios": (4, 1.6, 1.2), "hspace": 0.15, "wspace": 0.5, "left": 0.09,
                             "right": 0.98, "bottom": 0.14, "top": 0.9},
            )  # fmt: skip
            for number, (column, data) in enumerate(zip(axes.T, some, strict=False)):
                _one(column, data)
                column[0].set_title(f"{chr(ord('a') + first + number)}  {data.attrs['circuit']}", loc="left")
            for left_over in axes.T[len(some) :].flat:
                left_over.set_visible(False)
            axes[0, 0].set_ylabel("key")
            axes[1, 0].set_ylabel("interneuron")
    return drawn


def _one(axes: Any, data: xr.Dataset) -> None:
    keys, pool, below = axes
    members = int(data.attrs["members"])
    number = data["spike_member"].values if "spike_member" in data else 0
    keys.plot(
        data["spike_time_ms"],
        data["spike_key"].values + 0.9 * np.asarray(number) / members,
        ".",
        color="black",
        markersize=1.6,
    )
    keys.set(ylim=(float(data["spike_key"].values.max(initial=0)) + 1.2, -0.3))
    keys.yaxis.get_major_locator().set_params(integer=True)
    if "interneuron_spike_time_ms" in data:
        pool.plot(data["interneuron_spike_time_ms"], data["interneuron_spike_member"], ".", color=BLUE, markersize=1.6)
    else:
        pool.text(
            0.5,
            0.5,
            "no interneurons",
            transform=pool.transAxes,
            ha="center",
            va="center",
            color=GREY,
            fontsize="small",
        )
        pool.set_yticks([])
    name = f"hub_{data.attrs['inhibition']}"
    below.plot(data["time_ms"], data[name].values[0, 0], color=RED, linewidth=0.7)
    units = data[name].attrs["units"]
    below.set(xlabel="time (ms)", ylabel=data.attrs["inhibition"] + ("" if units == "1" else f" ({units})"))


def ladder_figure(tables: dict[str, pd.DataFrame]) -> Figure:
    """Bias against realism, multiplicativity, operating point."""
    ladder, operating = tables["ladder"], tables["operating"]
    with style.context(STYLE):
        drawn = Figure(figsize=(7.0, 3.0))
        left, middle, right = drawn.subplots(1, 3, gridspec_kw={
            "left": 0.07, "right": 0.99, "bottom": 0.33, "top": 0.9, "wspace": 0.32})  # fmt: skip
        colours = dict(zip(dict.fromkeys(ladder["circuit"]), COLOURS, strict=False))
        _biases(left, ladder, colours)
        for name, colour in colours.items():
            limit = SOFTMAX_CIRCUITS[name]().limit(probes())[:, : len(PROBES)]
            middle.plot(PROBES, np.log(limit[1] / limit[0]), "o-", color=colour, markersize=3, label=name)
        middle.axhline(-np.log(2), color=GREY, linewidth=0.8, linestyle="--")
        middle.set(xlabel="logit of the key (nats)", ylabel="ln of the ratio of shares")
        middle.legend(fontsize="x-small")
        for name, mine in operating.groupby("circuit", sort=False):
            colour = colours.get(str(name), GREY)
            right.plot(mine["rate_per_neuron"], mine["limit_tv"], "--", color=colour, linewidth=0.8)
            right.plot(mine["rate_per_neuron"], mine["expected_tv"], "-", color=colour, label=name)
            some = mine.dropna(subset=["tv"])
            error = np.maximum([some["tv"] - some["tv_low"], some["tv_high"] - some["tv"]], 0)
            right.errorbar(some["rate_per_neuron"], some["tv"], error, fmt="o", color=colour, markersize=3)
        dashed = right.plot([], [], "--", color=GREY, linewidth=0.8, label="bias")
        right.legend(handles=dashed + right.plot([], [], "-", color=GREY, label="expected error"), fontsize="x-small")
        right.set(ylim=(operating["limit_tv"].min() / 3, None))
        right.set(xscale="log", yscale="log", xlabel="rate of a neuron alone (Hz)", ylabel="total variation")
        for axes, title in ((left, "a  bias"), (middle, "b  gates"), (right, "c  operating point")):
            axes.set_title(title, loc="left")
    return drawn


def _biases(axes: Any, ladder: pd.DataFrame, colours: dict[str, str]) -> None:
    labels = []
    for place, ((name, members), mine) in enumerate(ladder.groupby(["circuit", "neurons_per_key"], sort=False)):
        for shift, (kind, marker) in enumerate(MARKERS.items()):
            row = mine[mine["rows_kind"] == kind]
            if row.empty:
                continue
            x, one = place + 0.22 * (shift - 1), row.iloc[0]
            axes.plot(
                x, one["limit_tv"], "_", color="black", markersize=9, label="limit" if not place + shift else None
            )
            axes.errorbar(x, one["tv"], [[max(one["tv"] - one["tv_low"], 0)], [max(one["tv_high"] - one["tv"], 0)]],
                          fmt=marker, color=colours.get(str(name), GREY), markersize=3,
                          label=kind if not place else None)  # fmt: skip
        labels.append(f"{name}, M {members}")
    least = min(ladder["tv"].min(), ladder["limit_tv"].min())
    axes.set(yscale="log", ylabel="total variation", ylim=(least / 3, None))
    axes.set_xticks(range(len(labels)), labels, fontsize="x-small", rotation=90)
    axes.legend(fontsize="x-small", ncols=2)
