"""Figure of the intervals: their distribution in both simulators, and the distances between seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from biospike.plots import BLUE, RED, STYLE
from circuits.softmax import CommonGate
from validation.simulators.data import Recorded
from validation.simulators.measures import Rows, counts, intervals, ks_distances
from validation.simulators.tables import CircuitResult

KS_NAMES = {"row": "row\nintervals", "key": "key\nintervals", "count": "spikes\nof a key"}
RAREST = 1e-4
"""Intervals rarer than this are not shown."""
COLOURS = {"Brian2": BLUE, "NEST": RED}
LOOKS: dict[str, Any] = {
    "Brian2": {"linewidth": 2.2, "alpha": 0.45},
    "NEST": {"linewidth": 0.9, "linestyle": "--"},
}
LAW: dict[str, Any] = {"color": "black", "linewidth": 0.7, "linestyle": ":"}


def isi_figure(results: Recorded) -> Figure:
    """Distribution of the intervals of a key, and the distances between seeds within and across simulators."""
    n = len(results.circuits)
    with style.context(STYLE):
        figure = Figure(figsize=(0.65 + 2.2 * n, 4.1))
        grid = figure.subplots(2, n, squeeze=False, height_ratios=(1.15, 1))
        figure.subplots_adjust(
            left=0.62 / figure.get_figwidth(), right=0.985, bottom=0.16, top=0.95, hspace=0.42, wspace=0.2
        )
        for column, (name, result) in enumerate(results.circuits.items()):
            rows = result.rows(results.logits)
            upper, lower = grid[:, column]
            upper.set_title(f"{chr(ord('a') + column)}  {name}")
            _survival(upper, result, rows)
            if isinstance(result.circuit, CommonGate):
                _law(upper, result, rows, result.circuit.limit(results.logits))
            _distances(lower, result, rows)
            lower.set_title(f"{chr(ord('a') + n + column)}")
        grid[0, 0].set_ylabel("fraction of intervals\nthat are longer")
        grid[1, 0].set_ylabel("Kolmogorov-Smirnov distance\nof two seeds")
        signs: dict[str, Any] = {
            "Brian2": Line2D([], [], color=BLUE, **LOOKS["Brian2"]),
            "NEST": Line2D([], [], color=RED, **LOOKS["NEST"]),
            "Poisson keys": Line2D([], [], **LAW),
            "two Brian2 seeds": Line2D([], [], linestyle="", marker="o", ms=2.2, mew=0, color=BLUE),
            "two NEST seeds": Line2D([], [], linestyle="", marker="o", ms=2.2, mew=0, color=RED),
            "one of each": Line2D([], [], linestyle="", marker="o", ms=2.2, mew=0, color="0.2"),
            "mean": Line2D([], [], color="black", linewidth=1.2),
        }
        figure.legend(signs.values(), signs.keys(), loc="lower center", ncols=7, borderaxespad=0.2, columnspacing=1.2)
    return figure


def _survival(axes: Axes, result: CircuitResult, rows: Rows) -> None:
    longest = 0.0
    for name, recordings in result.simulators.items():
        gaps = np.sort(np.concatenate([intervals(spikes, rows, "key") for spikes in recordings]))
        if not gaps.size:
            continue
        longer = 1 - np.arange(1, len(gaps) + 1) / len(gaps)
        seen = longer >= RAREST
        longest = max(longest, float(gaps[seen][-1]) if seen.any() else 0.0)
        axes.plot(gaps[seen], longer[seen], color=COLOURS[name], label=name, **LOOKS[name])
    axes.set(yscale="log", xlabel="interval of a key (ms)", ylim=(RAREST, 1.3))
    axes.set_xlim(0, longest or 1.0)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(4))


def poisson_survival(rate: NDArray[np.float64], window: float, longer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of the intervals within a window that are longer than `longer`, of Poisson trains of the given rates.

    A train of rate r has r*(T - s)*exp(-r*s) - exp(-r*s) + exp(-r*T) intervals above s on average: those that start
    before T - s, less those that the end of the window cuts off.

    Parameters
    ----------
    rate : ndarray (trains,)
        Hz.
    window
        Second.
    longer : ndarray (points,)
        Second, at most the window.
    """
    r, s = rate[:, None], longer[None, :]
    expected = (r * (window - s) * np.exp(-r * s) - np.exp(-r * s) + np.exp(-r * window)).sum(axis=0)
    return np.asarray(expected / (rate * window - 1 + np.exp(-rate * window)).sum())


def _law(axes: Axes, result: CircuitResult, rows: Rows, limit: NDArray[np.float64]) -> None:
    """Intervals of keys that divide the spikes of their row by lot, at the row rates of both simulators together."""
    both = [*result.brian2, *result.nest]
    row_rate = np.sum([counts(spikes, rows).sum(axis=1) for spikes in both], axis=0) / len(both) / rows.seconds
    if not row_rate.any():
        return
    rate = (row_rate[:, None] * limit)[rows.unmasked]
    at = np.linspace(0, min(axes.get_xlim()[1] * 1e-3, rows.seconds), 400)
    axes.plot(1e3 * at, poisson_survival(rate, rows.seconds, at), **LAW)


def _distances(axes: Axes, result: CircuitResult, rows: Rows) -> None:
    both = [*result.brian2, *result.nest]
    first = len(result.brian2)
    random = np.random.default_rng(0)
    for place, of in enumerate(KS_NAMES):
        samples = [
            counts(spikes, rows)[rows.unmasked].astype(float) if of == "count" else intervals(spikes, rows, of)
            for spikes in both
        ]
        distance = ks_distances(samples)
        groups = {
            BLUE: distance[:first, :first][np.triu_indices(first, 1)],
            RED: distance[first:, first:][np.triu_indices(len(both) - first, 1)],
            "0.2": distance[:first, first:].ravel(),
        }
        for offset, (colour, values) in zip((-0.26, 0.0, 0.26), groups.items(), strict=True):
            x = place + offset + random.uniform(-0.08, 0.08, len(values))
            axes.plot(x, values, linestyle="", marker="o", ms=1.8, mew=0, color=colour, alpha=0.6)
            if values.size:
                axes.hlines(values.mean(), place + offset - 0.12, place + offset + 0.12, color="black", linewidth=1.2)
    axes.set_xticks(range(len(KS_NAMES)), list(KS_NAMES.values()))
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, None)
    axes.set_xlim(-0.5, len(KS_NAMES) - 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(4))
