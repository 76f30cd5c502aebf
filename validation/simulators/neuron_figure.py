"""Figure of the single neurons: f-I curve on the grid, frozen input, white noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from biospike.plots import BLUE, GREEN, GREY, RED, STYLE
from validation.simulators.mapping import milliseconds
from validation.simulators.tables import CaseResult

FROZEN_WINDOW_MS = 400.0
FROZEN_NEURONS = 10
FI_CASE = "2 ms refractory"
FROZEN_CASE = "frozen spikes, delta"
DOT: dict[str, Any] = {"linestyle": "", "marker": "o"}
FILLED = DOT | {"ms": 3, "color": BLUE, "mew": 0}
OPEN = DOT | {"ms": 5, "mfc": "none", "mec": RED, "mew": 0.8}
AS_GIVEN = DOT | {"marker": "s", "ms": 3.4, "mfc": "none", "mec": GREEN, "mew": 0.8}


def neurons_figure(results: list[CaseResult], table: pd.DataFrame) -> Figure:
    """Three panels, of the cases that were run."""
    with style.context(STYLE):
        figure = Figure(figsize=(7.0, 2.75))
        panels = figure.subplots(1, 3, width_ratios=(1, 1.1, 0.9))
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.31, top=0.91, wspace=0.34)
        _rate_error(panels[0], table[(table["case"] == FI_CASE) & (table["spikes_brian2"] > 0)])
        for result in results:
            if result.case.name == FROZEN_CASE:
                _frozen(panels[1], result)
        _noise(panels[2], table[table["input"] == "noise"])
        for axes, letter, title in zip(
            panels, "abc", ("constant current", "frozen input spikes", "white noise"), strict=True
        ):
            axes.set_title(f"{letter}  {title}")
        signs = {
            "Brian2": Line2D([], [], **FILLED),
            "NEST, t_ref one step less": Line2D([], [], **OPEN),
            "NEST, same t_ref": Line2D([], [], **AS_GIVEN),
            "formula on the grid": Line2D([], [], color=GREY, linewidth=0.9),
        }
        figure.legend(signs.values(), signs.keys(), loc="lower center", ncols=4, borderaxespad=0.2)
    return figure


def _rate_error(axes: Axes, table: pd.DataFrame) -> None:
    """Rates against the closed form in continuous time, which rounding up to the grid lowers."""
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="drive above rest (mV)", ylabel="rate less closed form (%)")
    if table.empty:
        return

    def error(rate: pd.Series, rows: pd.DataFrame) -> NDArray[np.float64]:
        return np.asarray(100 * (rate / rows["rate_closed_form_hz"] - 1), dtype=float)

    faithful = table[table["extra_steps"] == 0]
    given = table[table["extra_steps"] > 0]
    for rows in (faithful, given):
        predicted = 1e3 / (rows["interval_predicted_ms"] + rows["extra_steps"] * rows["dt_ms"])
        axes.plot(rows["v_inf_mv"], error(predicted, rows), color=GREY, linewidth=0.9, zorder=1)
    axes.plot(faithful["v_inf_mv"], error(faithful["rate_brian2_hz"], faithful), **FILLED)
    axes.plot(faithful["v_inf_mv"], error(faithful["rate_nest_hz"], faithful), **OPEN)
    axes.plot(given["v_inf_mv"], error(given["rate_nest_hz"], given), **AS_GIVEN)


def _frozen(axes: Axes, result: CaseResult) -> None:
    """Spikes of both simulators on one line a neuron, Brian2's above, NEST's below."""
    case = result.case
    n = min(FROZEN_NEURONS, len(case.v_inf))
    for spikes, lift, colour in ((result.brian2, -0.22, BLUE), (result.nest, 0.22, RED)):
        trains = [train * milliseconds(case.dt) for train in spikes.trains(len(case.v_inf))[:n]]
        trains = [train[train < FROZEN_WINDOW_MS] for train in trains]
        axes.eventplot(trains, lineoffsets=list(np.arange(n) + lift), linelengths=0.4, linewidths=0.8, colors=colour)
    axes.set(xlim=(0, min(FROZEN_WINDOW_MS, case.steps * milliseconds(case.dt))), ylim=(n - 0.4, -0.6))
    axes.set(xlabel="time (ms)", ylabel="neuron")


def _noise(axes: Axes, table: pd.DataFrame) -> None:
    """Rates against Siegert's formula, with standard errors."""
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(ylabel="rate less Siegert (%)")
    for place, row in enumerate(table.itertuples()):
        siegert: Any = row.rate_closed_form_hz
        expected = 100 * (row.rate_predicted_hz / siegert - 1)
        axes.hlines(expected, place - 0.32, place + 0.32, color=GREY, linewidth=0.9)
        error = 100 * row.rate_error_hz / siegert
        for rate, shift, look in ((row.rate_brian2_hz, -0.12, FILLED), (row.rate_nest_hz, 0.12, OPEN)):
            value = 100 * (rate / siegert - 1)
            axes.errorbar(place + shift, value, yerr=error, ecolor=look.get("color", RED), elinewidth=0.8, **look)
    axes.set_xticks(
        range(len(table)), [f"{s:.3g} mV\n{dt:g} ms" for s, dt in zip(table["sigma_mv"], table["dt_ms"], strict=True)]
    ) if len(table) else axes.set_xticks([])
    axes.set_xlabel("$\\sigma$, step")
    axes.set_xlim(-0.6, max(len(table), 1) - 0.4)
