"""Figure of an audit: spikes that heads ask, how much the output feels them, and what survives in layers of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from biospike.auditing.replay import RELAXATIONS
from biospike.plots import BLUE, GREEN, ORANGE, PURPLE, RED, STYLE

COLOURS = dict(zip(RELAXATIONS, (BLUE, RED, GREEN, ORANGE, PURPLE), strict=True))
LONGEST = 22
"""Letters of a layer's name that are shown, its last ones."""


def figure(table: pd.DataFrame) -> Figure:
    """Panels for what there is: attention rows, the sensitivity of the output, nodes."""
    heads = table[table["head"].notna()]
    heads = heads[heads["circuit"] == heads["circuit"].iloc[0]] if len(heads) else heads
    nodes = table[table["survival_leak"].notna()]
    panels: list[tuple[Any, ...]] = []
    if len(heads):
        panels.append((head_map, heads, "spikes_tv_05", "spikes for a total variation of .05"))
        if heads["S"].notna().any():
            panels.append((head_map, heads, "S", "S of the output"))
    if len(nodes):
        panels.append((survivors, nodes))
    with style.context(STYLE):
        shown = Figure(figsize=(max(3.6 * len(panels), 3.6), 3.4), layout="constrained")
        if not panels:
            shown.text(0.5, 0.5, "no row and no spike was measured", ha="center")
            return shown
        for letter, axes, (draw, *what) in zip("abc", np.ravel(shown.subplots(1, len(panels), squeeze=False)), panels,
                                               strict=False):  # fmt: skip
            draw(axes, *what)
            axes.set_title(f"{letter}  {axes.get_title(loc='left')}", loc="left")
    return shown


def head_map(axes: Axes, heads: pd.DataFrame, column: str, title: str) -> Axes:
    """Layers by heads, in the logarithm."""
    wide = heads.pivot_table(index="layer", columns="head", values=column, sort=False, dropna=False)
    values = np.where(np.isfinite(wide) & (wide > 0), wide, np.nan)
    image = axes.imshow(values, aspect="auto", norm=LogNorm() if np.isfinite(values).any() else None, cmap="viridis")
    axes.set(xlabel="head")
    axes.set_yticks(range(len(wide)), [str(name)[-LONGEST:] for name in wide.index], fontsize="x-small")
    axes.set_title(title, loc="left")
    if np.isfinite(values).any() and axes.figure is not None:
        axes.figure.colorbar(image, ax=axes)
    return axes


def survivors(axes: Axes, nodes: pd.DataFrame) -> Axes:
    """Fraction of spikes that survive, by layer, with intervals."""
    places = np.arange(len(nodes))
    for offset, name in zip(np.linspace(-0.3, 0.3, len(RELAXATIONS)), RELAXATIONS, strict=True):
        value, low, high = (nodes[f"survival_{name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
        error = np.abs(np.nan_to_num([value - low, high - value]))
        axes.errorbar(value, places + offset, xerr=error, fmt="o", markersize=2.5, color=COLOURS[name], label=name)
    axes.set_yticks(places, [str(name)[-LONGEST:] for name in nodes["layer"]], fontsize="x-small")
    axes.set(xlabel="spikes that survive", xlim=(-0.03, 1.03), ylim=(len(nodes) - 0.5, -0.5))
    axes.legend(fontsize="x-small", loc="lower left")
    axes.set_title("nodes", loc="left")
    return axes
