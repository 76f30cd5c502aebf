"""Figures of the comparison: which spikes differ, what the step of a membrane changes, what a block costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE
from biospike.theory import paper

COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, "black", "0.6")
MARKERS = "osDv^PX*<>hp8d"
RASTER_NEURONS = 24
MARKED = 8
"""Timesteps of which each has a tick."""
LIGHTEST, DARKEST = 0.03, 1.0


def _blocks(summary: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(summary["block"]))


def _labels(summary: pd.DataFrame) -> dict[str, str]:
    """Short label of every block: model without its size, block and input."""
    models = summary.drop_duplicates("block").set_index("block")["model"]
    return {block: f"{models[block].split(' ')[0]} {block}" for block in models.index}


def _forms(summary: pd.DataFrame) -> pd.Series:
    """Name of every way to run a block: membranes with their step."""
    membrane = summary["framework"] == "biophysical"
    plain = summary["framework"] + "\n" + summary["convention"]
    held = summary["convention"].str.extract(r"refractory (.*)", expand=False)
    return plain.where(~membrane, "membrane, dt " + summary["dt_ms"].map("{:g}".format) + " ms\nrefractory " + held)


def mismatch_figure(summary: pd.DataFrame) -> Figure:
    """Grid of blocks and ways to run them: spikes that differ, in percent of the reference's spikes."""
    table = summary[summary["framework"] != ""].assign(form=_forms(summary))
    labels = _labels(table)
    forms, blocks = list(dict.fromkeys(table["form"])), _blocks(table)
    softmax_rows = [block for block in blocks if block.startswith("spike softmax")]
    # What one code alone is compared by has no column of its own.
    forms = [form for form in forms if not form.startswith("brian2\none spike")]
    blocks = [block for block in blocks if block not in softmax_rows]
    with style.context(STYLE):
        width, height = 2.2 + 0.44 * max(len(forms), 1), 1.45 + 0.24 * max(len(blocks), 1)
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((2.1 / width, 0.1 / height, 1 - 2.15 / width, 1 - 1.4 / height))
        for x, form in enumerate(forms):
            for y, block in enumerate(blocks):
                cell = table[(table["form"] == form) & (table["block"] == block)]
                if len(cell):
                    _cell(axes, x, y, cell.iloc[0])
        axes.set(xlim=(-0.5, len(forms) - 0.5), ylim=(len(blocks) - 0.5, -0.5))
        axes.set_yticks(range(len(blocks)), [labels[block] for block in blocks])
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(forms)), forms, rotation=90, fontsize=5.5)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def _cell(axes: Axes, x: int, y: int, row: pd.Series) -> None:
    fraction = row["mismatch_fraction"]
    none = row["mismatches"] == 0
    shade = 0.0 if none or np.isnan(fraction) else LIGHTEST + (DARKEST - LIGHTEST) * min(fraction, 1.0) ** 0.5
    colour = (0, 0.62, 0.45, 0.18) if none else (0.835, 0.369, 0, 0.85 * shade)
    axes.add_patch(_square(x, y, colour))
    text = "0" if none else f"{100 * fraction:.2g} %" if fraction < 0.995 else f"{100 * fraction:.0f} %"
    axes.text(x, y, text, ha="center", va="center", fontsize=5.5)


def _square(x: int, y: int, colour: tuple[float, float, float, float]) -> Rectangle:
    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none")


def membrane_figure(summary: pd.DataFrame, stages: pd.DataFrame) -> Figure:
    """Blocks with membranes against the step of their integration: spikes that differ, rates, attention, distance."""
    table = summary[summary["framework"] == "biophysical"]
    trains = stages[stages["framework"] == "biophysical"].dropna(subset=["van_rossum"])
    mean = trains.groupby(["block", "convention", "dt_ms"])["van_rossum"].mean().rename("van_rossum").reset_index()
    table = table.merge(mean, how="left", on=["block", "convention", "dt_ms"])
    table = table.assign(rate=table["rate_biophysical"] / table["rate_reference"])
    panels = {
        "mismatch_fraction": "spikes that differ\n/ spikes of the reference",
        "rate": "firing rate\n/ rate of the reference",
        "attention_error": "relative error of attention\n(SpikingBERT: TV)",
        "van_rossum": "van Rossum distance\n(a missing spike: 1)",
    }
    labels = _labels(summary)
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 4.1))
        grid = figure.subplots(2, 4, sharex=True, sharey="col", gridspec_kw={
            "left": 0.075, "right": 0.99, "bottom": 0.27, "top": 0.9, "wspace": 0.3, "hspace": 0.14,
        })  # fmt: skip
        for row, convention in zip(list(grid), dict.fromkeys(table["convention"]), strict=False):
            mine = table[table["convention"] == convention]
            for axes, (column, label) in zip(row, panels.items(), strict=True):
                for number, block in enumerate(_blocks(mine)):
                    line = mine[mine["block"] == block].sort_values("dt_ms")
                    axes.plot(line["dt_ms"], line[column], color=COLOURS[number % len(COLOURS)],
                              marker=MARKERS[number % len(MARKERS)], markersize=3, linewidth=0.8)  # fmt: skip
                axes.set_xscale("log")
                if axes in grid[0]:
                    axes.set_title(label, loc="center", fontweight="normal")
                axes.set_xlim(1.5, 0.0065)
                axes.set_xticks([1, 0.1, 0.01], ["1", "0.1", "0.01"])
                axes.minorticks_off()
                if column == "rate":
                    axes.axhline(1, color=GREY, linestyle="--", linewidth=0.7, zorder=0)
            row[0].set_ylabel(convention)
        for axes in grid[-1]:
            axes.set_xlabel("step of the membrane, ms")
        handles = [
            Line2D([], [], color=COLOURS[n % len(COLOURS)], marker=MARKERS[n % len(MARKERS)], markersize=3,
                   linewidth=0.8, label=labels[block])
            for n, block in enumerate(_blocks(table))
        ]  # fmt: skip
        figure.legend(handles=handles, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 0.0), fontsize=6)
    return figure


def energy_figure(energy: pd.DataFrame) -> Figure:
    """How many times less than a conventional layer a block costs: as papers count it, and by its events."""
    blocks = list(dict.fromkeys(energy["block"]))
    labels = _labels(energy)
    with style.context(STYLE):
        height = 0.9 + 0.22 * len(blocks)
        figure = Figure(figsize=(5.6, height))
        axes = figure.add_axes((0.39, 0.42 / height, 0.58, 1 - 0.85 / height))
        axes.axvspan(*paper.ENERGY_RATIO, color=GREY, alpha=0.25, linewidth=0)
        axes.axvline(1, color=GREY, linewidth=0.7, linestyle="--")
        counts = energy.drop_duplicates("block").set_index("block")["canonical_ratio"]
        axes.plot(counts[blocks], range(len(blocks)), "o", color=BLUE, label="canonical: rate x T x MAC")
        shapes = dict(zip(dict.fromkeys(energy["device"]), ("s", "^", "v"), strict=False))
        for (device, marker), colour in zip(shapes.items(), (RED, GREEN, ORANGE), strict=False):
            ratio = energy[energy["device"] == device].set_index("block")["event_ratio"]
            axes.plot(ratio[blocks], range(len(blocks)), marker, color=colour, label=f"events, {device}", alpha=0.85)
        axes.set(xscale="log", ylim=(len(blocks) - 0.4, -0.6), xlabel="energy of the conventional layer / of the block")
        axes.set_yticks(range(len(blocks)), [labels[block] for block in blocks])
        axes.text(np.sqrt(np.prod(paper.ENERGY_RATIO)), -0.55, "claimed\n38-57", ha="center", va="bottom", fontsize=6)
        axes.legend(loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=2, handletextpad=0.2, columnspacing=1.0)
    return figure


def energy_curve_figure(curve: pd.DataFrame) -> Figure:
    """Canonical ratio against the input rate, one panel a model; colours are devices, dashes attention rates."""
    models = list(dict.fromkeys(curve["model"]))
    with style.context(STYLE):
        figure = Figure(figsize=(2.1 * len(models), 2.6), layout="constrained")
        for axes, model in zip(figure.subplots(1, len(models), sharey=True, squeeze=False)[0], models, strict=True):
            mine = curve[curve["model"] == model]
            axes.axhspan(*paper.ENERGY_RATIO, color=GREY, alpha=0.25, linewidth=0)
            axes.axhline(1, color=GREY, linewidth=0.7, linestyle="--")
            for (device, of_device), colour in zip(
                mine.groupby("device", sort=False), (RED, GREEN, ORANGE), strict=False
            ):
                for (rate, rows), dash in zip(
                    of_device.groupby("attention_rate", sort=False), ("-", "--", ":"), strict=False
                ):
                    label = f"{device}, {rate:g}" if axes is figure.axes[0] else None
                    axes.plot(rows["input_rate"], rows["ratio"], color=colour, linestyle=dash, label=label)
                    axes.fill_between(rows["input_rate"], rows["low"], rows["high"], color=colour, alpha=0.15, lw=0)
            axes.set(xscale="log", yscale="log", xlabel="spikes a step of the input", title=model)
        figure.axes[0].set_ylabel("conventional / spiking")
        figure.legend(loc="outside lower center", ncols=3, fontsize=6, title="device, spikes a step of the attention")
    return figure


def raster_figure(raster: list[tuple[str, NDArray[np.uint8]]], title: str) -> Figure:
    """Spikes of some neurons in every form, those that differ most often; red where a spike differs."""
    reference = raster[0][1]
    # The reference, the network that equals it, and what differs.
    raster = [form for n, form in enumerate(raster) if n < 2 or (form[1] != reference).any()]
    # Neurons that fire, those first on which the most forms differ.
    active = np.flatnonzero(reference.any(axis=0))
    spread = np.sum([(spikes != reference).sum(axis=0) for _, spikes in raster], axis=0)
    chosen = active[np.argsort(-spread[active], kind="stable")[:RASTER_NEURONS]]
    columns = 6
    rows = -(-len(raster) // columns)
    with style.context(STYLE):
        height = 0.75 + 1.7 * rows
        figure = Figure(figsize=(7.0, height))
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        figure.subplots_adjust(
            left=0.06, right=0.99, top=1 - 0.75 / height, bottom=0.35 / height, wspace=0.12, hspace=0.55
        )
        for axes in grid[len(raster) :]:
            axes.set_visible(False)
        for axes, (name, spikes) in zip(grid, raster, strict=False):
            step, neuron = np.nonzero(spikes[:, chosen])
            wrong = spikes[step, chosen[neuron]] != reference[step, chosen[neuron]]
            missing = np.nonzero((spikes[:, chosen] == 0) & (reference[:, chosen] > 0))
            axes.plot(step[~wrong] + 1, neuron[~wrong], "|", color="black", markersize=3.5)
            axes.plot(step[wrong] + 1, neuron[wrong], "|", color=RED, markersize=3.5)
            axes.plot(missing[0] + 1, missing[1], ".", color=RED, markersize=2)
            axes.set_title(name.replace(", ", "\n"), fontsize=5.5, fontweight="normal")
            axes.set(xlim=(0.4, len(reference) + 0.6), ylim=(-1, len(chosen)))
        for axes in grid[max(len(raster) - columns, 0) : len(raster)]:
            axes.set_xlabel("timestep")
            if len(reference) <= MARKED:
                axes.set_xticks(range(1, len(reference) + 1))
            axes.tick_params(labelbottom=True)
        for axes in grid[::columns]:
            axes.set_ylabel("neuron")
        figure.suptitle(f"{title}: red, an additional spike; red dot, a missing one", fontsize=7, x=0.06, ha="left")
    return figure
