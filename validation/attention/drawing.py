"""The figures of an attention block: error against timesteps, attention maps, and the spikes of its populations.

`convergence`, `attention_map` and `raster` draw into Axes and return them; the functions that end in ``_figure``
compose a page, as in `biospike.plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import style, transforms
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.plots import BLUE, GREY, RED, STYLE, _points

MODE_STYLE = {"staged": (BLUE, "o"), "streaming": (RED, "s")}
METRICS = {  # column of the summary: interval, expected and of sampling alone in the decomposition, label, title
    "attention_tv": ("tv_low", "tv_high", "tv_expected", "tv_sampling", "total variation from the limit", "attention"),
    "output_rmse": (
        "rmse_low", "rmse_high", "output_expected", "output_sampling", "rms error, units of the values", "output"
    ),
}  # fmt: skip
NOTHING = "0.85"
"""Colour of masked and silent entries."""
SIGNS = ("0.1", RED)
"""Colours of ON and OFF spikes."""
BANDS = {"encoder": "input $X$", 0: "queries $Q$", 1: "keys $K$", 2: "values $V$", "keys": "attention $A$",
         "outputs": "outputs $O$"}  # fmt: skip
SHOWN = {"feature": 16, "unit": 8}
"""At most so many lines a token; of the attention all keys are shown."""
GAP = 1
"""Empty lines between the groups of a raster."""


def convergence(
    axes: Axes, summary: pd.DataFrame, decomposition: pd.DataFrame, fits: pd.DataFrame, metric: str
) -> Axes:
    """Error against the timesteps of the window, log-log, one curve a mode.

    Markers and their 95 % band are measured, dashed is what theory expects with the measured error of the scores, grey
    what sampling alone would leave in the first mode, dotted the fitted floor if that is the verdict. The lines at the
    lower left have slopes -1/2 and -1.

    Parameters
    ----------
    summary, decomposition, fits
        The tables of ``summary.csv``, ``decomposition.csv`` and ``convergence.csv``.
    metric
        ``attention_tv`` or ``output_rmse``.
    """
    low, high, expected, sampling, label, _ = METRICS[metric]
    table = summary.merge(decomposition, on=["mode", "window_ms"], suffixes=("", "_again"))
    table = table[(table[metric] > 0) & np.isfinite(table[metric])]
    if table.empty:
        axes.set(xlabel="timesteps T", ylabel=label)
        axes.text(0.5, 0.5, "no window with an error above 0", transform=axes.transAxes, ha="center", size="small")
        return axes
    first = table[table["mode"] == table["mode"].iloc[0]]
    axes.plot(first["timesteps"], first[sampling], color="0.4", linestyle="-.", linewidth=0.8, label="sampling alone")
    for mode, curve in table.groupby("mode", sort=False):
        colour, marker = MODE_STYLE.get(str(mode), (GREY, "D"))
        steps, error = curve["timesteps"], curve[metric]
        axes.fill_between(steps, curve[low], curve[high], color=colour, alpha=0.25, linewidth=0)
        axes.plot(steps, error, linestyle="", marker=marker, markerfacecolor=colour, markeredgecolor="white",
                  markeredgewidth=0.3, label=str(mode), zorder=4)  # fmt: skip
        axes.plot(
            steps, curve[expected], color=colour, linestyle="--", linewidth=0.8, label=f"{mode}, expected", zorder=3
        )
        fit = fits[(fits["mode"] == mode) & (fits["metric"] == metric) & (fits["verdict"] == "floor")]
        if len(fit):
            axes.axhline(
                float(fit["floor"].iloc[0]), color=colour, linestyle=":", linewidth=0.8, label=f"{mode}, floor"
            )
    least = np.nanmin(table[[metric, sampling]].to_numpy())
    most = np.nanmax(table[[high, metric, expected]].to_numpy())
    axes.set(xscale="log", yscale="log", xlabel="timesteps $T$", ylabel=label)
    axes.set(xlim=(table["timesteps"].min() / 1.25, table["timesteps"].max() * 1.25), ylim=(least / 2, 1.4 * most))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    _slope_guides(axes)
    return axes


def convergence_figure(summary: pd.DataFrame, decomposition: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Figure of `convergence`: attention beside outputs."""
    modes = list(summary["mode"].unique())
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 3.1))
        panels = figure.subplots(1, 2, gridspec_kw={"left": 0.08, "right": 0.975, "bottom": 0.205, "top": 0.92})
        for axes, letter, metric in zip(panels, "ab", METRICS, strict=True):
            convergence(axes, summary, decomposition, fits, metric)
            axes.set_title(f"{letter}  {METRICS[metric][-1]}")
        signs: dict[str, Any] = {}
        for mode in modes:
            colour, marker = MODE_STYLE.get(mode, (GREY, "D"))
            point = Line2D([], [], linestyle="", marker=marker, markerfacecolor=colour, markeredgewidth=0)
            signs[f"{mode}, 95 % band"] = (Patch(color=colour, alpha=0.25, linewidth=0), point)
        signs["expected, with the error of the scores"] = Line2D([], [], color=GREY, linestyle="--", linewidth=0.8)
        signs["sampling alone"] = Line2D([], [], color="0.4", linestyle="-.", linewidth=0.8)
        if (fits["verdict"] == "floor").any():
            signs["fitted floor"] = Line2D([], [], color=GREY, linestyle=":", linewidth=0.8)
        figure.legend(signs.values(), signs.keys(), loc="lower center", ncols=len(signs), borderaxespad=0.2)
    return figure


def _slope_guides(axes: Axes) -> None:
    """Slopes -1/2 and -1 in the lower left corner, below the curves."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    length = min(4.0, (right / left) ** 0.5, (top / bottom) ** 0.5)
    steps = np.array([1.15 * left, 1.15 * left * length])
    for slope, text in ((-0.5, "$T^{-1/2}$"), (-1.0, "$T^{-1}$")):
        error = 1.15 * bottom * length * (steps / steps[0]) ** slope
        axes.plot(steps, error, color=GREY, linewidth=0.8, label=f"slope {slope:g}", zorder=1)
        axes.annotate(text, (steps[1], error[1]), (2, 0), textcoords="offset points", color="0.35", va="center")


def attention_map(axes: Axes, shares: ArrayLike, labels: Sequence[str], norm: Normalize, cmap: str | Colormap) -> Axes:
    """One map, queries down and keys across, with as many tokens named as fit; NaN is grey."""
    values = np.ma.masked_invalid(np.asarray(shares, dtype=float))
    colours = mpl.colormaps[cmap] if isinstance(cmap, str) else cmap
    axes.imshow(values, norm=norm, cmap=colours.with_extremes(bad=NOTHING), interpolation="nearest")
    apart = max(1, int(np.ceil(6.0 * len(labels) / _points(axes))))
    places = range(0, len(labels), apart)
    axes.set_xticks(places, [labels[place] for place in places], rotation=90, size=5)
    axes.set_yticks(places, [labels[place] for place in places], size=5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
    return axes


def attention_figure(
    exact: NDArray[np.float64], measured: Mapping[str, NDArray[np.float64]], labels: Sequence[str], caption: str = ""
) -> Figure:
    """Exact attention of every head beside that of the spikes in every mode and their difference.

    Parameters
    ----------
    exact : ndarray (head, query, key)
        Shares; NaN where masked.
    measured
        By mode, of the same shape; NaN also where a row is silent.
    labels
        Names of the tokens.
    caption
        What the maps show, above them.
    """
    heads, columns = len(exact), 1 + 2 * len(measured)
    differences = {mode: values - exact for mode, values in measured.items()}
    most = max(float(np.nanmax(values)) for values in (exact, *measured.values()))
    off = max(1e-3, *(float(np.nanmax(np.abs(values))) for values in differences.values()))
    shares, errors = Normalize(0, np.ceil(10 * most) / 10), Normalize(-np.ceil(50 * off) / 50, np.ceil(50 * off) / 50)
    names = 3.0 / 72 * max(map(len, labels))  # inches, as all that follow; titles of the maps take `title` above each
    left, right, top, gap, title, bottom = names + 0.27, 0.08, 0.42, 0.07, 0.17, names + 0.57
    cell = min((7.0 - left - right - (columns - 1) * gap) / columns, max(1.0, min(2.0, 8.0 / heads)))
    height = top + heads * (cell + title) + bottom
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, height))
        for head in range(heads):
            maps: list[tuple[str, NDArray[np.float64], Normalize, str]] = [("exact", exact[head], shares, "Blues")]
            for mode, values in measured.items():
                distance = np.nanmean(np.nansum(np.abs(differences[mode][head]), axis=-1)) / 2
                maps.append((mode, values[head], shares, "Blues"))
                maps.append((f"difference, TV {distance:.3f}", differences[mode][head], errors, "RdBu_r"))
            for column, (name, values, norm, cmap) in enumerate(maps):
                x, y = left + column * (cell + gap), height - top - head * (cell + title) - cell
                axes = figure.add_axes((x / 7.0, y / height, cell / 7.0, cell / height))
                attention_map(axes, values, labels, norm, cmap)
                axes.set_title(name, weight="normal", size=6, loc="center", pad=2)
                axes.tick_params(labelleft=column == 0, labelbottom=head == heads - 1)
                if column == 0:
                    axes.set_ylabel(f"head {head + 1}", weight="bold")
                    axes.yaxis.set_label_coords(-(left - 0.13) / cell, 0.5)
        figure.text(left / 7.0, 1 - 0.14 / height, caption, va="top", size=7)
        for start, norm, cmap, text in ((0.06, shares, "Blues", "share of the row"),
                                        (0.56, errors, "RdBu_r", "spiking minus exact")):  # fmt: skip
            bar = figure.add_axes((left / 7.0 + start * (1 - left / 7.0), 0.36 / height, 0.32, 0.09 / height))
            ticks = np.linspace(float(norm.vmin or 0.0), float(norm.vmax or 1.0), 5)
            drawn = ScalarMappable(norm, cmap)
            figure.colorbar(drawn, cax=bar, orientation="horizontal", label=text, ticks=ticks, format="{x:.3g}")
    return figure


def raster(
    panels: Mapping[Any, Axes], trace: xr.Dataset, head: int, tokens: Sequence[int], labels: Sequence[str]
) -> Mapping[Any, Axes]:
    """Spikes of all populations of one head, aligned in time: a band a population, in it a group of lines a token.

    Inputs are those of the queries if each stream has its own; of queries, keys, values and outputs the first units are
    drawn, ON and OFF on one line. In the band of the attention a group is a query, and its lines are all keys.

    Parameters
    ----------
    panels
        Axes by the keys of `BANDS`: of the groups ``encoder``, ``keys`` and ``outputs``, and of the streams 0, 1, 2.
    trace
        As of `circuits.spike_record.record_spikes`.
    head, tokens
        Which to draw; tokens from the top.
    labels
        Names of all tokens.
    """
    for band, axes in panels.items():
        group = "neurons" if isinstance(band, int) else band
        own = trace[[name for name in trace if str(name).startswith(f"{group}_")]]
        own = own.rename({name: str(name).removeprefix(f"{group}_") for name in own})
        if band == "encoder":
            own = own.sel(encoder_spike=own["copy"] == 0)
        else:
            own = own.sel({f"{group}_spike": own["head"] == head})
        if isinstance(band, int):
            own = own.sel(neurons_spike=own["stream"] == band)
        row, place = ("query" if "query" in own else "token"), {"encoder": "feature", "keys": "key"}.get(group, "unit")
        lines = _lines(trace, group, place)
        sign = own["sign"].values if "sign" in own else np.zeros(own["time_ms"].size, dtype=int)
        offsets = [(number, inner) for number in range(len(tokens)) for inner in range(lines)]
        for kind, colour in enumerate(SIGNS[: 1 + ("sign" in own)]):
            mine = own.isel({f"{group}_spike": sign == kind})
            token, within, time = (mine[name].values for name in (row, place, "time_ms"))
            trains = [time[(token == tokens[number]) & (within == inner)] for number, inner in offsets]
            heights = [number * (lines + GAP) + inner for number, inner in offsets]
            axes.eventplot(trains, colors=colour, lineoffsets=heights, linelengths=0.8, linewidths=0.8)
        _name_lines(axes, band, lines, [labels[token] for token in tokens], labels)
        axes.set_xlim(-trace.attrs["dt_ms"], trace.attrs["shown_ms"] + trace.attrs["dt_ms"])
    return panels


def _lines(trace: xr.Dataset, group: str, place: str) -> int:
    """Lines of a token in the band of a group, whose neurons differ by `place`."""
    return min(int(trace.attrs[f"{group}_{place}"]), SHOWN.get(place, 2**31))


def _name_lines(axes: Axes, band: Any, lines: int, groups: Sequence[str], labels: Sequence[str]) -> None:
    """Name every group of lines by its token, part the groups, and name each key within the attention."""
    starts = (lines + GAP) * np.arange(len(groups))
    axes.hlines(starts[1:] - (1 + GAP) / 2, 0, 1, transform=axes.get_yaxis_transform(), colors=GREY, linewidth=0.4)
    axes.set_ylim(starts[-1] + lines - 0.4, -0.6)
    middles = starts + (lines - 1) / 2
    if band == "keys":
        line = _points(axes) / (lines * len(groups))
        shown = np.arange(0, lines, max(1, int(np.ceil(3.8 / line))))
        named = [labels[int(key)] for key in shown] * len(groups)
        axes.set_yticks((starts[:, None] + shown).ravel(), named, size=min(5.0, max(0.9 * line, 3.6)))
        axes.tick_params(axis="y", length=0, pad=1)
        beside = -3.0 * max(map(len, labels)) - 6
        for middle, name in zip(middles, groups, strict=True):
            axes.annotate(f"{name} →", (0, middle), (beside, 0), xycoords=axes.get_yaxis_transform(), va="center",
                          ha="right", textcoords="offset points", size=5.5, annotation_clip=False)  # fmt: skip
    else:
        axes.set_yticks(middles, groups, size=5.5)
        axes.tick_params(axis="y", length=0)


def raster_figure(
    traces: Mapping[str, xr.Dataset], head: int, tokens: Sequence[int], labels: Sequence[str], caption: str = ""
) -> Figure:
    """Page of `raster`, modes side by side, with a caption above them."""
    if not traces:
        raise InputError("a raster figure needs at least one trace, got none")
    trace = next(iter(traces.values()))
    units = _lines(trace, "neurons", "unit")
    lines = dict.fromkeys(BANDS, units) | {"encoder": _lines(trace, "encoder", "feature"),
                                           "keys": 2 * _lines(trace, "keys", "key")}  # fmt: skip
    weights = [len(tokens) * (lines[band] + GAP) for band in BANDS]
    inner = min(6.6, 0.1 * sum(weights))  # inches
    # On the left the names of the keys, those of the queries, and of the band.
    left = (6.0 * max(map(len, labels)) + 36) / 72
    gaps, top, bottom, right = 0.09 * (len(BANDS) - 1), 0.42, 0.52, 0.1
    height = inner + gaps + top + bottom
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, height))
        grid = figure.subplots(len(BANDS), len(traces), sharex="col", squeeze=False, gridspec_kw={
            "left": left / 7.0, "right": 1 - right / 7.0, "bottom": bottom / height, "top": 1 - top / height,
            "height_ratios": weights, "hspace": 0.09 / (inner / len(BANDS)), "wspace": 0.07,
        })  # fmt: skip
        for column, (mode, trace) in enumerate(traces.items()):
            panels = dict(zip(BANDS, grid[:, column], strict=True))
            raster(panels, trace, head, tokens, labels)
            panels["encoder"].set_title(f"{chr(ord('a') + column)}  {mode}" if len(traces) > 1 else mode)
            panels["outputs"].set_xlabel("time in the window (ms)")
            for band, axes in panels.items():
                axes.spines["bottom"].set_visible(band == "outputs")
                axes.tick_params(axis="x", bottom=band == "outputs")
                if column:
                    axes.tick_params(axis="y", labelleft=False)
                    for note in axes.texts:
                        note.set_visible(False)
                else:
                    axes.set_ylabel(BANDS[band], weight="bold")
                    axes.yaxis.set_label_coords(12 / 72 / 7.0, 0.5, transform=transforms.blended_transform_factory(
                        figure.transFigure, axes.transAxes))  # fmt: skip
        figure.text(left / 7.0, 1 - 0.08 / height, caption, va="top", size=7)
        off = any((trace["neurons_sign"] == 1).any() for trace in traces.values())
        handles = [
            Line2D([], [], linestyle="", marker="|", markersize=6, color=colour, label=name)
            for colour, name in list(zip(SIGNS, ("spike", "spike of an OFF unit"), strict=True))[: 1 + off]
        ]
        figure.legend(handles=handles, loc="lower center", ncols=2, borderaxespad=0.2)
    return figure
