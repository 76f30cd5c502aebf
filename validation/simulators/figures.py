"""Figures of the comparison of simulators: single neurons, rasters, shares and intervals, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray
from scipy import stats
from scipy.special import entr

from biospike import metrics
from biospike.ideal.softmax import softmax
from biospike.plots import GREY, STYLE
from biospike.tables import NOT_RUN
from validation.simulators.data import Recorded
from validation.simulators.isi_figure import COLOURS, isi_figure
from validation.simulators.measures import Rows, counts
from validation.simulators.neuron_figure import neurons_figure

RASTER_SPIKES = 70
"""A raster shows about so many spikes."""
LEAST_COUNT = 20.0
"""Keys of at least so many spikes in both simulators are compared in standard errors."""
ROUNDING = 1e-9
PLUS: dict[str, Any] = {"linestyle": "", "marker": "+", "ms": 3, "mew": 0.5, "color": "black"}
LIMIT: dict[str, Any] = {"marker": "|", "ms": 6, "color": "black", "mew": 0.7}


def draw(results: Recorded, tables: dict[str, pd.DataFrame]) -> dict[str, Figure]:
    """Every figure by its name."""
    figures = {"neurons": neurons_figure(results.cases, tables["neurons"])} if results.cases else {}
    if results.circuits:
        circuits = {"raster": raster_figure(results), "shares": shares_figure(results), "isi": isi_figure(results)}
        _name_left_out(circuits.values(), tables["summary"])
        figures |= circuits
    return figures


def _name_left_out(figures: Iterable[Figure], summary: pd.DataFrame) -> None:
    names = summary.loc[summary["verdict"] == NOT_RUN, "circuit"].unique()
    if len(names):
        for figure in figures:
            figure.text(0.995, 0.995, f"not run: {', '.join(names)}", ha="right", va="top", size="small")


def shown_row(logits: NDArray[np.float64]) -> int:
    """Row that the rasters show: the one of median entropy among the shorter half of the rows."""
    p = softmax(logits)
    entropy = entr(p).sum(axis=-1)
    keys = (~np.isnan(logits)).sum(axis=-1)
    short = np.flatnonzero(keys <= np.median(keys))
    return int(short[np.argsort(entropy[short], kind="stable")[len(short) // 2]])


def raster_figure(results: Recorded) -> Figure:
    """The same row of logits in both simulators, one seed each, and its shares over all seeds."""
    row = shown_row(results.logits)
    keys = np.flatnonzero(~np.isnan(results.logits[row]))
    p = softmax(results.logits)[row, keys]
    n = len(results.circuits)
    height = 0.65 + 1.75 * n
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, height))
        grid = figure.add_gridspec(
            n, 3, width_ratios=(1, 1, 0.55), left=0.075, right=0.985, bottom=0.62 / height, top=1 - 0.25 / height,
            hspace=0.42, wspace=0.08,
        )  # fmt: skip
        for band, (name, result) in enumerate(results.circuits.items()):
            rows = result.rows(results.logits)
            first = None
            shares = {}
            for place, (simulator, recordings) in enumerate(result.simulators.items()):
                axes = figure.add_subplot(grid[band, place], sharex=first, sharey=first)
                first = first or axes
                offset = int(rows.unmasked[:row].sum())
                total = np.sum([counts(spikes, rows) for spikes in recordings], axis=0)[row, keys]
                shares[simulator] = metrics.shares(total)
                window = min(rows.seconds, RASTER_SPIKES * rows.seconds * len(recordings) / max(total.sum(), 1)) * 1e3
                if place == 0:
                    axes.set_xlim(0, window)
                _raster(axes, recordings[0], rows, offset, len(keys), COLOURS[simulator])
                axes.set_title(f"{chr(ord('a') + 3 * band + place)}  {name}, {simulator}")
                axes.tick_params(labelleft=place == 0)
            assert first is not None
            first.set_ylabel("key")
            last = figure.add_subplot(grid[band, 2])
            _share_bars(last, p, result.circuit.limit(results.logits)[row, keys], shares)
            last.set_ylim(first.get_ylim())
            last.set_title(f"{chr(ord('a') + 3 * band + 2)}  share")
        signs: dict[str, Any] = {"softmax": Patch(color="0.85"), "limit": Line2D([], [], linestyle="", **LIMIT)}
        signs |= {f"{name}, all seeds": Line2D([], [], linestyle="", **_marker(name)) for name in COLOURS}
        figure.legend(signs.values(), signs.keys(), loc="lower right", ncols=4, borderaxespad=0.2)
        figure.text(0.075, 0.09 / height, f"one row of {len(keys)} keys; one seed of each simulator", size="small")
    return figure


def _raster(axes: Axes, spikes: Any, rows: Rows, offset: int, keys: int, colour: str) -> None:
    end = axes.get_xlim()[1]
    mine = (spikes.neuron >= offset) & (spikes.neuron < offset + keys)
    time, key = spikes.step[mine] * rows.dt_ms, spikes.neuron[mine] - offset
    axes.hlines(range(keys), 0, end, colors="0.9", linewidth=0.4, zorder=0)
    trains = [time[(key == number) & (time <= end)] for number in range(keys)]
    axes.eventplot(trains, colors=colour, linelengths=0.8, linewidths=0.8)
    axes.set(ylim=(keys - 0.4, -0.6), xlabel="time (ms)")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _marker(name: str) -> dict[str, Any]:
    """Brian2's points are filled, NEST's open, so that both show where they coincide."""
    colour = COLOURS[name]
    face = colour if name == "Brian2" else "none"
    return {"marker": "o", "ms": 2.3 if name == "Brian2" else 4.0, "mfc": face, "mec": colour, "mew": 0.7}


def _share_bars(
    axes: Axes, p: NDArray[np.float64], limit: NDArray[np.float64], shares: dict[str, NDArray[np.float64]]
) -> None:
    axes.barh(range(len(p)), p, height=0.86, color="0.85", label="softmax")
    axes.plot(limit, range(len(p)), linestyle="", label="limit", **LIMIT)
    for name, share in shares.items():
        axes.plot(share, range(len(p)), linestyle="", label=name, clip_on=False, **_marker(name))
    largest = max(p.max(), *(np.nanmax(share, initial=0.0) for share in shares.values()))  # a silent row has none
    axes.set_xlim(0, 1.1 * largest)
    axes.set_xlabel("share")
    axes.tick_params(left=False, labelleft=False)
    axes.xaxis.set_major_locator(MaxNLocator(3))


def shares_figure(results: Recorded) -> Figure:
    """Shares over all seeds against softmax in both simulators, and their differences in standard errors."""
    p, n = softmax(results.logits), len(results.circuits)
    with style.context(STYLE):
        figure = Figure(figsize=(0.55 + 2.2 * n, 3.9))
        grid = figure.subplots(2, n, sharex=True, sharey="row", squeeze=False, height_ratios=(1.7, 1))
        figure.subplots_adjust(
            left=0.48 / figure.get_figwidth(), right=0.985, bottom=0.155, top=0.945, hspace=0.13, wspace=0.08
        )
        lowest = 0.1
        for column, (name, result) in enumerate(results.circuits.items()):
            rows = result.rows(results.logits)
            n_seed = {
                simulator: np.stack([counts(s, rows)[rows.unmasked] for s in recordings]).astype(float)
                for simulator, recordings in result.simulators.items()
            }
            total = {
                simulator: np.stack([counts(s, rows).sum(axis=1) for s in recordings]).sum(axis=0)
                for simulator, recordings in result.simulators.items()
            }
            owner = np.nonzero(rows.unmasked)[0]
            ideal = p[rows.unmasked]
            upper, lower = grid[:, column]
            share = {one: n_seed[one].sum(axis=0) / np.maximum(total[one][owner], 1) for one in n_seed}
            for simulator in n_seed:
                seen = share[simulator] > 0
                upper.plot(ideal[seen], share[simulator][seen], linestyle="", label=simulator, **_marker(simulator))
            limit = result.circuit.limit(results.logits)[rows.unmasked]
            if np.abs(limit - ideal).max() > ROUNDING:
                upper.plot(ideal, np.where(limit > 0, limit, np.nan), **PLUS)
            ends = np.array([ideal.min(), 1.0])
            upper.plot(ends, ends, color=GREY, linewidth=0.8, zorder=0)
            upper.set(xscale="log", yscale="log")
            lowest = min(lowest, *(0.5 / max(t.max(), 1) for t in total.values()))
            upper.set_title(f"{chr(ord('a') + column)}  {name}")
            _deviations(lower, ideal, n_seed, total, owner)
            lower.set_xlabel("softmax $p$")
            for axis in (upper.xaxis, upper.yaxis, lower.xaxis):
                axis.set_minor_locator(NullLocator())
        grid[0, 0].set(ylabel="share, all seeds", ylim=(lowest, 1.5))
        grid[1, 0].set(ylabel="NEST - Brian2\n(standard errors)")
        signs: dict[str, Any] = {name: Line2D([], [], linestyle="", **_marker(name)) for name in COLOURS}
        signs |= {
            "limit of the circuit, if it is not softmax": Line2D([], [], **PLUS),
            "share = softmax": Line2D([], [], color=GREY, linewidth=0.8),
            "95 % if both are the same": Patch(color="0.88"),
        }
        figure.legend(signs.values(), signs.keys(), loc="lower center", ncols=5, borderaxespad=0.2)
    return figure


def share_deviations(
    counts_of: dict[str, NDArray[np.float64]], total: dict[str, NDArray[np.int64]], owner: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Difference of the pooled shares of every key, NEST less Brian2, in standard errors; NaN below `LEAST_COUNT`.

    The error is that of a ratio of sums over seeds, from the scatter of the seeds about it.
    """
    value, variance = {}, {}
    for name, n in counts_of.items():
        seeds = len(n)
        share = n.sum(axis=0) / np.maximum(total[name][owner], 1)
        row_spikes = np.stack([np.bincount(owner, weights=one, minlength=len(total[name]))[owner] for one in n])
        residual = (n - share * row_spikes) / np.maximum(row_spikes.mean(axis=0), 1e-300)
        value[name], variance[name] = share, (residual**2).sum(axis=0) / (seeds * max(seeds - 1, 1))
    enough = np.min([n.sum(axis=0) for n in counts_of.values()], axis=0) >= LEAST_COUNT
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (value["NEST"] - value["Brian2"]) / np.sqrt(variance["NEST"] + variance["Brian2"])
    return np.where(enough, z, np.nan)


def _deviations(axes: Axes, ideal: Any, counts_of: Any, total: Any, owner: Any) -> None:
    z = share_deviations(counts_of, total, owner)
    # Standard errors of few seeds scatter themselves: Student's t instead of 1.96.
    half = stats.t.ppf(0.975, max(sum(len(n) for n in counts_of.values()) - 2, 1))
    axes.axhspan(-half, half, color="0.88", linewidth=0)
    axes.plot(ideal, z, linestyle="", marker=".", ms=2.5, color="0.2")
    known = z[np.isfinite(z)]
    if known.size:
        beyond = (np.abs(known) > half).mean()
        axes.annotate(f"{beyond:.1%} of {known.size} keys beyond", (0.03, 0.97), xycoords="axes fraction", va="top",
                      size=5.5)  # fmt: skip
    bound = max(5.0, 1.6 * np.abs(known).max(initial=0))
    axes.set_ylim(-bound, bound)
