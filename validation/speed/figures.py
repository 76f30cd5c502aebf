"""Figures of the benchmark, from its tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from biospike.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE
from validation.speed.peers import CEILING, PEERS, REFERENCE
from validation.speed.tables import longest

COLOURS = {
    "loop": ("black", "s"),
    "loop_skipping": (GREY, "s"),
    "biospike": (BLUE, "o"),
    "biospike_cores": (SKY, "o"),
    "numpy": (GREEN, "^"),
    "fused": (BLUE, "*"),
    "numba": ("#BCBD22", "<"),
    "jax": ("#17BECF", ">"),
    "brian2": (ORANGE, "D"),
    "nest": (PURPLE, "P"),
    "snntorch": (RED, "v"),
    "spikingjelly": ("#8C564B", "X"),
}
LINES = {"race": "-", "escape": "--", "integrate": ":"}
COST = "ns per neuron and step"
LONG = 4
"""Powers of ten from this one on are labelled as powers."""
SHORT_AXIS = 30.0
"""Ratio of the limits of an axis below which it is labelled at 1, 2 and 5, not only once a decade."""


def logarithmic(axes: Axes, which: str = "xy") -> None:
    """Logarithmic axes, to be called after drawing: plain labels, a few on every axis, and no minor ticks."""
    for name in which:
        getattr(axes, f"set_{name}scale")("log")
        axis = getattr(axes, f"{name}axis")
        low, high = getattr(axes, f"get_{name}lim")()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < SHORT_AXIS else (1,), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_locator(NullLocator())


def number(value: float) -> str:
    """Number on an axis: powers of ten as such where they would be long."""
    exponent = math.log10(value)
    return f"$10^{{{exponent:.0f}}}$" if exponent >= LONG and exponent.is_integer() else f"{value:,.10g}"


def at_values(axes: Axes, values: Sequence[float]) -> None:
    """Label the x axis at the values that were measured."""
    axes.set_xticks(values, [f"{int(value):,}" for value in values])


def draw_comparison(axes: Axes, costs: pd.DataFrame) -> Axes:
    """Cost of stepping of every peer and circuit, one line a peer, with its spread."""
    table = costs[costs["part"] == "compare"]
    peers = [name for name in PEERS if name in set(table["peer"])]
    circuits = [name for name in LINES if name in set(table["circuit"])]
    for number, circuit in enumerate(circuits):
        mine = table[table["circuit"] == circuit].set_index("peer")
        shown = [peer for peer in peers if peer in mine.index]
        y = np.array([peers.index(peer) for peer in shown]) + 0.22 * (number - (len(circuits) - 1) / 2)
        cost = mine.loc[shown, "loop_ns_per_neuron_step"].to_numpy()
        spread = [
            cost - mine.loc[shown, "loop_ns_per_neuron_step_min"].to_numpy(),
            mine.loc[shown, "loop_ns_per_neuron_step_max"].to_numpy() - cost,
        ]
        colour, marker = ((BLUE, "o"), (SKY, "v"), (GREEN, "P"))[number % 3]
        axes.errorbar(cost, y, xerr=spread, fmt=marker, color=colour, label=circuit, linewidth=0.8, capsize=1.5)
    logarithmic(axes, "x")
    axes.set_yticks(range(len(peers)), [PEERS[peer].label for peer in peers])
    axes.invert_yaxis()
    axes.set_xlabel(f"cost of stepping ({COST})")
    axes.legend(loc="upper right")
    return axes


def draw_curve(axes: Axes, costs: pd.DataFrame, part: str, label: str) -> Axes:
    """Cost against one size: colour is the peer, line the circuit."""
    table = costs[costs["part"] == part]
    for (peer, circuit), runs in table.groupby(["peer", "circuit"], sort=False):
        curve = longest(runs, part)
        colour, marker = COLOURS[peer]
        y = curve["loop_ns_per_neuron_step"]
        axes.plot(curve[part], y, color=colour, marker=marker, linestyle=LINES.get(circuit, "-"), markersize=3)
        low, high = curve["loop_ns_per_neuron_step_min"], curve["loop_ns_per_neuron_step_max"]
        axes.fill_between(curve[part], low, high, color=colour, alpha=0.2, linewidth=0)
    logarithmic(axes)
    if part != "neurons":
        at_values(axes, sorted(set(table[part])))
    axes.set(xlabel=label, ylabel=COST)
    return axes


def draw_attention(axes: Axes, attention: pd.DataFrame) -> Axes:
    """Time of one step of one presentation against the tokens, beside the square law through the last point."""
    table = attention.groupby("tokens")["loop_us_per_presentation_step"].agg(["median", "min", "max"])
    tokens = table.index.to_numpy(dtype=float)
    axes.plot(tokens, table["median"], color=BLUE, marker="o", label="measured")
    axes.fill_between(tokens, table["min"], table["max"], color=BLUE, alpha=0.2, linewidth=0)
    for power, line, label in ((1, ":", "tokens"), (2, "--", "tokens$^2$")):
        law = table["median"].iloc[-1] * (tokens / tokens[-1]) ** power
        axes.plot(tokens, law, color=GREY, linestyle=line, linewidth=0.8, label=label)
    logarithmic(axes)
    at_values(axes, list(tokens))
    axes.set(xlabel="tokens of the attention block", ylabel="µs per step")
    axes.legend(loc="upper left")
    return axes


def draw_memory(axes: Axes, memory: pd.DataFrame) -> Axes:
    """Peak memory above that of the imports, and of a compiled process, against the number of neurons."""
    table = memory[memory["against"] == "neurons"].sort_values("neurons")
    grown = table["peak_mib"] - table["before_mib"]
    axes.plot(table["neurons"], grown.where(grown > 0), color=BLUE, marker="o", label="process, above its imports")
    axes.plot(table["neurons"], table["binary_peak_mib"], color=RED, marker="s", label="one compiled process")
    law = grown.iloc[-1] * table["neurons"] / table["neurons"].iloc[-1]
    axes.plot(table["neurons"], law, color=GREY, linestyle=":", linewidth=0.8, label="in proportion")
    logarithmic(axes)
    axes.set(xlabel="neurons", ylabel="peak memory (MiB)")
    axes.legend(loc="upper left")
    return axes


def benchmark_figure(costs: pd.DataFrame, memory: pd.DataFrame, attention: pd.DataFrame) -> Figure:
    """One page: the comparison, and a panel for every curve that was measured."""
    panels: list[tuple[str, Any]] = []
    measured = set(costs["part"]) if len(costs) else set()
    for part, label in (
        ("keys", "keys per row"),
        ("neurons", "neurons (rows × trials × keys)"),
        ("checkpoints", "checkpoints"),
    ):
        if part in measured:
            panels.append((f"against {part}", lambda axes, p=part, x=label: draw_curve(axes, costs, p, x)))
    if len(attention):
        panels.append(("attention block", lambda axes: draw_attention(axes, attention)))
    if len(memory):
        panels.append(("memory of biospike", lambda axes: draw_memory(axes, memory)))
    with style.context(STYLE):
        compared = "compare" in measured
        rows = int(compared) + -(-len(panels) // 3)
        figure = Figure(figsize=(7, 0.3 + 2.3 * rows), layout="constrained")
        grid = figure.add_gridspec(rows, 6)
        letters = iter("abcdefgh")
        if compared:
            axes = figure.add_subplot(grid[0, :])
            draw_comparison(axes, costs).set_title(f"{next(letters)}  {_base(costs)}")
        for number, (title, draw) in enumerate(panels):
            row, column = divmod(number, 3)
            last = panels[row * 3 :][:3]
            width = 6 // len(last)
            axes = figure.add_subplot(grid[row + int(compared), column * width : (column + 1) * width])
            draw(axes).set_title(f"{next(letters)}  {title}")
        _legend(figure, costs)
    return figure


def _base(costs: pd.DataFrame) -> str:
    first = costs[costs["part"] == "compare"].iloc[0]
    return f"{first['neurons']:,} neurons in rows of {first['keys']}, {first['steps']:,} steps, one core unless said"


def _legend(figure: Figure, costs: pd.DataFrame) -> None:
    """What colours and lines of the curves mean, below all panels."""
    curves = costs[costs["part"].isin(["keys", "neurons", "checkpoints"])] if len(costs) else costs
    if not len(curves):
        return
    peers: Sequence[str] = [name for name in PEERS if name in set(curves["peer"])]
    circuits = [name for name in LINES if name in set(curves["circuit"])]
    any_axes = figure.axes[0]
    handles = [
        any_axes.plot([], [], color=COLOURS[name][0], marker=COLOURS[name][1], label=PEERS[name].label)[0]
        for name in sorted(peers, key=lambda name: name not in (CEILING, REFERENCE))
    ]
    handles += [any_axes.plot([], [], color="0.3", linestyle=LINES[name], label=name)[0] for name in circuits]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
