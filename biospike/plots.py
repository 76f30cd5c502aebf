"""The two figures of a comparison: how the error falls with the spikes, and what the neurons do.

`convergence` and `raster` draw into Axes and return them; `convergence_figure` and `raster_figure` compose a page
without pyplot, so nothing global is touched and no display is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.metrics import total_variation
from biospike.recording import write_atomically

# Okabe and Ito's palette, safe for colour-blind readers, without its yellow, which is lost on white.
ORANGE, SKY, GREEN, BLUE, RED, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
CIRCUIT_STYLE = {
    "subtractive": (RED, "s"), "shunting": (ORANGE, "^"), "diffusive": (PURPLE, "D"),
    "race": (BLUE, "o"), "escape": (SKY, "v"), "integrate": (GREEN, "P"), "divisive": ("black", "X"),
    "none": ("0.6", "p"), "self_inhibition": ("0.4", "h"),
}  # fmt: skip
NEW_STYLE = ("0.3", "*")
TRACE_COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
GREY = "0.55"
RASTER_KEYS = 24
"""Keys of a row that a raster has room for."""
NO_FLOOR = 1e-6  # total variation below this is rounding
HOLLOW: dict[str, Any] = {"linestyle": "", "mfc": "white", "mec": "black", "mew": 0.5}
SILENT, LIMIT = HOLLOW | {"marker": "o"}, HOLLOW | {"marker": "d"}
# Matplotlib's defaults first, so that the user's own configuration does not show.
STYLE: list[str | Path] = ["default", Path(__file__).with_name("style.mplstyle")]


def convergence(
    axes: Axes, summary: pd.DataFrame, convergence_table: pd.DataFrame, circuits: Sequence[str] | None = None
) -> Axes:
    """Total variation from softmax against the spikes of a row, log-log.

    Per circuit: the line with markers and its 95 % band are measured, dashed is the error law, dotted the floor. The
    grey lines at the lower left have slopes -1/2 and -1.

    Parameters
    ----------
    summary, convergence_table
        The tables of ``summary.csv`` and ``convergence.csv``.
    circuits
        Which to draw; all by default. The limits of the axes are those of all circuits, so that panels compare.

    Raises
    ------
    InputError
        If nothing was measured.
    """
    floors = {name: floor(name, summary, convergence_table) for name in summary["circuit"].unique()}
    names = list(floors) if circuits is None else list(circuits)
    measured = summary[(summary["spikes_per_row"] > 0) & (summary["tv"] > 0)]
    if measured.empty:
        raise InputError("the summary has no checkpoint with spikes and a total variation above 0")
    names = [name for name in names if name in set(measured["circuit"])]
    most = float(measured["spikes_per_row"].max())
    lowest = min([float(measured["tv"].min()), *filter(None, floors.values())])
    # Below one spike the mean is over the few rows that are not silent: kept in the data, out of view.
    axes.set(xscale="log", yscale="log", xlim=(min(1.0, most / 10), 1.2 * most), ylim=(lowest / 1.8, 1.0))
    axes.set(xlabel="output spikes per row, $N$", ylabel="total variation from softmax")

    _slope_guides(axes)
    ends = {}
    for order, name in enumerate(names):
        curve = summary[summary["circuit"] == name].sort_values("spikes_per_row")
        curve = curve[["spikes_per_row", "tv", "tv_low", "tv_high", "tv_expected"]].astype(float)
        spikes, tv, low, high, law = curve.where(curve > 0).to_numpy().T  # 0 has no logarithm
        colour, marker = CIRCUIT_STYLE.get(name, NEW_STYLE)
        axes.fill_between(spikes, low, high, color=colour, alpha=0.25, linewidth=0)
        # Circuits that obey one law lie on one line: their markers alternate.
        axes.plot(spikes, tv, color=(colour, 0.45), marker=marker, label=name, markevery=(order % 2, 2), linewidth=1.2,
                  markerfacecolor=colour, markeredgecolor="white", markeredgewidth=0.2, zorder=3)  # fmt: skip
        if np.isfinite(law).any():
            axes.plot(spikes, law, color=colour, linestyle="--", linewidth=0.8, label=f"{name}, error law", zorder=4)
        if level := floors[name]:
            axes.axhline(level, color=colour, linestyle=":", linewidth=0.8, label=f"{name}, floor", zorder=1.5)
        if (seen := np.isfinite(spikes * tv)).any():
            ends[name] = (spikes[seen][-1], tv[seen][-1])
    _label_ends(axes, ends)
    return axes


def floor(name: str, summary: pd.DataFrame, convergence_table: pd.DataFrame) -> float | None:
    """Total variation that no spikes remove: the closed-form bias, else the fitted floor if that is the verdict."""
    limit = summary.loc[summary["circuit"] == name, "limit_tv"].astype(float).max()
    if limit > NO_FLOOR:
        return float(limit)
    fit = convergence_table[(convergence_table["circuit"] == name) & (convergence_table["verdict"] == "floor")]
    level = fit["floor_tv"].astype(float).max()
    return float(level) if level > NO_FLOOR else None


def convergence_figure(summary: pd.DataFrame, convergence_table: pd.DataFrame) -> Figure:
    """Figure of `convergence`: circuits with a floor in one panel, those that reach softmax in the other.

    Circuits without an error to draw, because they were not run or never stray, are named at the top.
    """
    said = {name: _without_error(name, summary, convergence_table) for name in summary["circuit"].unique()}
    missing = "; ".join(filter(None, said.values()))
    if all(said.values()):
        return _only_words(missing)
    summary = summary[[not said[name] for name in summary["circuit"]]]
    floors = {name: floor(name, summary, convergence_table) for name in summary["circuit"].unique()}
    biased = [name for name, level in floors.items() if level]
    groups = {"stopped by a floor": biased, "converging to softmax": [name for name in floors if name not in biased]}
    panels = [(title, names) for title, names in groups.items() if names]
    # Inches; names stand in the right margin.
    width, height, margin = 3.5 * len(panels), 3.1, max(0.68, 0.08 + 0.055 * max(map(len, floors)))
    panel = 3.08 - margin
    grid = {"left": 0.45 / width, "right": 1 - margin / width, "wspace": 3.5 / panel - 1,
            "bottom": 0.62 / height, "top": 1 - 0.25 / height}  # fmt: skip
    with style.context(STYLE):
        figure = Figure(figsize=(width, height))
        row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False, gridspec_kw=grid)[0]
        for axes, letter, (title, names) in zip(row, "ab", panels, strict=False):
            convergence(axes, summary, convergence_table, names)
            axes.set_title(f"{letter}  {title}" if len(panels) > 1 else title)
            axes.label_outer()
        line = Line2D([], [], color=(GREY, 0.7), marker="o", markerfacecolor=GREY, markeredgewidth=0, linewidth=1.2)
        signs: dict[str, Any] = {"measured, 95 % band": (Patch(color=GREY, alpha=0.4, linewidth=0), line)}
        if summary["tv_expected"].notna().any():
            signs["error law"] = Line2D([], [], color=GREY, linestyle="--", linewidth=0.8)
        if any(floors.values()):
            signs["floor"] = Line2D([], [], color=GREY, linestyle=":", linewidth=0.8)
        figure.legend(signs.values(), signs.keys(), loc="lower center", ncols=3, borderaxespad=0.2)
        if missing:
            figure.text(0.5, 0.995, missing, ha="center", va="top", size=5.5, wrap=True)
    return figure


def _without_error(name: str, summary: pd.DataFrame, convergence_table: pd.DataFrame) -> str:
    """Say why a circuit has no error above 0 in any window; empty if it has one."""
    mine = summary[summary["circuit"] == name]
    if ((mine["spikes_per_row"] > 0) & (mine["tv"] > 0)).any():
        return ""
    reasons = convergence_table.loc[convergence_table["circuit"] == name].get("reason", pd.Series(dtype=str))
    return f"{name}: {next((str(reason) for reason in reasons if reason), 'no error above 0')}"


def _only_words(text: str) -> Figure:
    with style.context(STYLE):
        figure = Figure(figsize=(3.5, 1.0))
        figure.text(0.5, 0.5, text.replace("; ", "\n"), ha="center", va="center")
    return figure


class RasterAxes(NamedTuple):
    """Where `raster` draws: the first three share the axis of time; spikes and share that of the keys."""

    spikes: Axes
    membrane: Axes
    inhibition: Axes
    share: Axes


def raster(axes: RasterAxes, trace: xr.Dataset) -> RasterAxes:
    """One row of logits: the spikes of all its keys, a few membranes, the inhibition, and the shares that result.

    Keys are drawn from the top in the order given, of a longer row the `RASTER_KEYS` largest, which the figure says.
    Those without a spike keep their line, with a ring at its end.

    Parameters
    ----------
    trace
        Variables ``spike_time_ms`` and ``spike_key`` (spike), ``membrane`` (trace_key, time), ``inhibition`` and
        ``time_ms`` (time), ``share``, ``softmax`` and ``limit`` (key); coordinate ``trace_key``; attributes
        ``circuit``, ``membrane_units``, ``inhibition_units``, ``inhibition_name`` and ``threshold``, NaN for none.
    """
    time, spike_time, spike_key = (trace[name].to_numpy() for name in ("time_ms", "spike_time_ms", "spike_key"))
    recorded = {int(key): TRACE_COLOURS[i % len(TRACE_COLOURS)] for i, key in enumerate(trace["trace_key"].to_numpy())}
    shown = shown_keys(trace)
    places = np.arange(len(shown))
    end = max(time[-1], spike_time.max(initial=time[-1]))
    for panel in axes[:3]:
        panel.set_xlim(time[0], end)

    trains = [spike_time[spike_key == key] for key in shown]
    axes.spikes.hlines(places, time[0], end, colors="0.88", linewidth=0.4, zorder=0)
    colours = [recorded.get(int(key), "0.25") for key in shown]
    # The offset of a single train would be 1 by default.
    axes.spikes.eventplot(trains, lineoffsets=places.tolist(), colors=colours, linelengths=0.8, linewidths=0.7)
    size = min(2.6, 0.7 * _points(axes.spikes) / len(shown))
    silent = [place for place, train in enumerate(trains) if not train.size]
    beside = axes.spikes.get_yaxis_transform()
    axes.spikes.plot([1.015] * len(silent), silent, transform=beside, clip_on=False, label="silent", ms=size, **SILENT)
    axes.spikes.set(ylim=(len(shown) - 0.4, -0.6), ylabel="key")
    _number_keys(axes.spikes, shown, recorded)
    if len(shown) < trace.sizes["key"]:
        note = f"{len(shown)} largest of {trace.sizes['key']} keys"
        axes.spikes.set_title(note, loc="right", weight="normal", size="small", color="0.35")

    if np.isfinite(threshold := trace.attrs["threshold"]):
        axes.membrane.axhline(threshold, color=GREY, linestyle=":", linewidth=0.7, label="threshold", zorder=3)
    for place, (key, membrane) in enumerate(zip(recorded, trace["membrane"].to_numpy(), strict=True)):
        axes.membrane.plot(time, membrane, color=recorded[key], linewidth=0.6, label=f"key {key}")
        axes.membrane.annotate(f"key {key}", (1, 1), (5, -8 - 7 * place), xycoords="axes fraction", va="top", size=5.5,
                               textcoords="offset points", color=recorded[key])  # fmt: skip
    axes.inhibition.plot(time, trace["inhibition"].to_numpy(), color="black", linewidth=0.6)
    axes.inhibition.set_xlabel("time (ms)")
    names = {"membrane": "v", "inhibition": trace.attrs["inhibition_name"]}
    for panel, (kind, name) in zip(axes[1:3], names.items(), strict=True):
        units = trace.attrs[f"{kind}_units"]
        panel.set_ylabel(name if units in ("", "1") else f"{name}\n({units})", size="small")

    ideal, share, limit = (trace[name].to_numpy()[shown] for name in ("softmax", "share", "limit"))
    colour, _ = CIRCUIT_STYLE.get(trace.attrs["circuit"], NEW_STYLE)
    axes.share.barh(places, ideal, height=0.86, color="0.8", label="softmax")
    axes.share.barh(places, share, height=0.4, color=colour, label="measured")
    axes.share.plot(limit, places, label="limit", clip_on=False, zorder=3, ms=size, **LIMIT)
    axes.share.set(xlim=(0, 1.08 * np.nanmax([ideal, share, limit])), ylim=axes.spikes.get_ylim())
    axes.share.set_title("share", weight="normal", size=mpl.rcParams["axes.labelsize"])
    axes.share.tick_params(left=False, labelleft=False)
    axes.share.locator_params(axis="x", nbins=3)
    axes.share.xaxis.set_major_formatter("{x:g}")
    return axes


def shown_keys(trace: xr.Dataset) -> NDArray[np.int64]:
    """Return the keys that `raster` shows, ascending: those recorded, then those of the largest softmax."""
    first = trace["trace_key"].to_numpy().astype(np.int64)
    by_share = np.argsort(-trace["softmax"].to_numpy(), kind="stable")
    order = np.concatenate([first, by_share[~np.isin(by_share, first)]])
    return np.sort(order[:RASTER_KEYS])


def raster_figure(traces: Mapping[str, xr.Dataset], left_out: Sequence[str] = ()) -> Figure:
    """Page of `raster`, two circuits abreast; the key to its signs takes the place after the last circuit.

    Parameters
    ----------
    traces
        Of every circuit, by name.
    left_out
        Circuits that were not run, which are named below the key.
    """
    if not traces:
        raise InputError("a raster figure needs at least one trace, got none")
    bands, height = len(traces) // 2 + 1, 2.27 * (len(traces) // 2 + 1)
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, height))
        cells = figure.add_gridspec(bands, 2, left=0.07, right=0.985, bottom=0.33 / height, top=1 - 0.2 / height,
                                    wspace=0.2, hspace=0.31)  # fmt: skip
        for place, (name, trace) in enumerate(traces.items()):
            cell = cells[divmod(place, 2)].subgridspec(
                3, 2, width_ratios=(2.7, 1), height_ratios=(2.1, 1, 0.6), wspace=0.06, hspace=0.14
            )
            spikes, membrane, inhibition = (figure.add_subplot(cell[band, 0]) for band in range(3))
            axes = RasterAxes(spikes, membrane, inhibition, figure.add_subplot(cell[0, 1]))
            raster(axes, trace)
            spikes.set_title(f"{chr(ord('a') + place)}  {name}")
            membrane.locator_params(axis="y", nbins=2)
            inhibition.locator_params(axis="y", nbins=1)
            longest = max(len(text.get_text()) for panel in axes[:3] for text in panel.get_yticklabels())
            for panel in axes[:3]:
                panel.tick_params(labelbottom=panel is inhibition)
                panel.yaxis.set_label_coords(-0.125, 0.5)
                if longest > 4:  # beside the numbers, and for want of room in one line
                    panel.yaxis.set_label_coords(-0.16 if longest == 5 else -0.185, 0.5)
                    panel.set_ylabel(panel.get_ylabel().replace("\n", " "), size="small")
            distance, bias = (float(total_variation(trace[which], trace["softmax"])) for which in ("share", "limit"))
            measured = "silent" if np.isnan(distance) else f"TV {distance:.3f}"
            limit = "no limit" if np.isnan(bias) else f"limit TV {bias:.3f}"
            inhibition.annotate(f"{trace.sizes['spike']} spikes\n{measured}\n{limit}", (1, 1),
                                (5, 0), xycoords="axes fraction", textcoords="offset points", va="top",
                                size="small", linespacing=1.3)  # fmt: skip
        signs = figure.add_subplot(cells[divmod(len(traces), 2)])
        _raster_legend(signs)
        if left_out:
            signs.set_title(f"not run: {', '.join(left_out)}", y=-0.1, weight="normal", size="small")
    return figure


def save_figure(figure: Figure, directory: str | Path, name: str) -> tuple[Path, Path]:
    """Write ``name.png`` and ``name.pdf`` atomically, without a date, return their paths, and clear the figure."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    png, pdf = Path(directory, f"{name}.png"), Path(directory, f"{name}.pdf")
    with style.context(STYLE):
        write_atomically(png, lambda path: figure.savefig(path, format="png"))
        write_atomically(pdf, lambda path: figure.savefig(path, format="pdf", metadata={"CreationDate": None}))
    figure.clear()
    return png, pdf


def spread(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Nearest positions, in the least squares, to ascending `heights` that are at least `gap` apart."""
    from scipy.optimize import isotonic_regression  # noqa: PLC0415  (a tenth of a second that most need not spend)

    steps = gap * np.arange(heights.size)
    return np.asarray(steps + isotonic_regression(heights - steps).x) if heights.size else heights


def _slope_guides(axes: Axes) -> None:
    """Fan of slopes -1/2 and -1 in the lower left corner, which no curve reaches: none falls faster than 1/N."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    length = min(10.0, (right / left) ** 0.5, (top / bottom) ** 0.5)
    spikes = np.array([1.4 * left, 1.4 * left * length])
    for slope, text in ((-0.5, "$N^{-1/2}$"), (-1.0, "$N^{-1}$")):
        tv = 1.5 * bottom * length * (spikes / spikes[0]) ** slope
        axes.plot(spikes, tv, color=GREY, linewidth=0.8, label=f"slope {slope:g}", zorder=1)
        axes.annotate(text, (spikes[1], tv[1]), (2, 0), textcoords="offset points", color="0.35", va="center")


def _label_ends(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Name each curve in the right margin, at the height of its last point or as near as the other names allow."""
    names = sorted(ends, key=lambda name: ends[name][1])
    bottom, top = np.log(axes.get_ylim())
    heights = (np.log([ends[name][1] for name in names]) - bottom) / (top - bottom)
    for name, height in zip(names, spread(heights, 1.25 * mpl.rcParams["font.size"] / _points(axes)), strict=True):
        colour, _ = CIRCUIT_STYLE.get(name, NEW_STYLE)
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)}
        # As text the pale colours need to be darker.
        axes.annotate(name, ends[name], (1.04, height), textcoords="axes fraction", annotation_clip=False, va="center",
                      color=tuple(0.75 * channel for channel in to_rgb(colour)), arrowprops=line)  # fmt: skip


def _points(axes: Axes) -> float:
    """Height of the axes in points."""
    return float(axes.get_window_extent().transformed(axes.figure.dpi_scale_trans.inverted()).height * 72)


def _number_keys(axes: Axes, keys: NDArray[np.int64], recorded: Mapping[int, str]) -> None:
    """Label the recorded keys in their colours, and as many of the others as fit without touching."""
    apart = int(np.ceil(5 * len(keys) / _points(axes)))
    numbered: list[int] = []
    for place in [*np.flatnonzero(np.isin(keys, list(recorded))), *range(len(keys))]:
        if all(abs(place - other) >= apart for other in numbered):
            numbered.append(int(place))
    axes.set_yticks(numbered, [str(keys[place]) for place in numbered], size=5)
    for place, label in zip(numbered, axes.get_yticklabels(), strict=True):
        label.set_color(recorded.get(int(keys[place]), "black"))


def _raster_legend(axes: Axes) -> None:
    axes.set_axis_off()
    handles = [
        Line2D([], [], linestyle="", marker="|", markersize=6, color="0.25", label="spike"),
        Line2D([], [], color=BLUE, label="a recorded key: spikes and membrane $v$"),
        Line2D([], [], color=GREY, linestyle=":", label="threshold"),
        Line2D([], [], color="black", label="inhibition of the row"),
        Line2D([], [], label="silent key", ms=2.6, **SILENT),
        Patch(color="0.8", label="softmax"),
        Patch(color="0.25", label="measured share, in the circuit's colour"),
        Line2D([], [], label="limit of the circuit", ms=2.6, **LIMIT),
    ]
    axes.legend(handles=handles, loc="center", labelspacing=0.7)
