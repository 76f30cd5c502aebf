"""Figure of attention that ages."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from biospike.plots import BLUE, GREEN, GREY, ORANGE, RED, STYLE


def ageing_figure(tables: dict[str, pd.DataFrame]) -> Figure:
    """Left, error against the decay; middle, law of every channel of a block; right, spikes that rescaling changes."""
    with style.context(STYLE):
        drawn = Figure(figsize=(7.2, 2.7))
        room = {"left": 0.08, "right": 0.99, "bottom": 0.19, "top": 0.88, "wspace": 0.35}
        left, middle, right = drawn.subplots(1, 3, gridspec_kw=room)
        for (name, mine), colour in zip(tables["summary"].groupby("rows", sort=False), (BLUE, GREEN, RED), strict=True):
            error = np.maximum([mine["tv"] - mine["low"], mine["high"] - mine["tv"]], 0)  # of rounding
            left.errorbar(mine["decay"], mine["tv"], error, marker="o", linestyle="", color=colour, label=name,
                          markersize=3.5)  # fmt: skip
            left.plot(mine["decay"], mine["law"], "--", color=colour, linewidth=0.8)
        left.set(xscale="log", yscale="log", xlabel="decay, nats a token", ylabel="total variation")
        left.legend(fontsize="small")
        table = tables["block"]
        middle.plot(table["decay"], table["law"], ".", color=GREY, markersize=2, label="law, every channel")
        middle.plot(table["decay"], table["tv"], "o", color=BLUE, markersize=3.5, label="simulated")
        middle.set(xscale="log", yscale="log", xlabel="decay, nats a token", ylabel="total variation")
        middle.legend(fontsize="small")
        for (aimed, mine), colour in zip(tables["rescaling"].dropna().groupby("aimed"), (ORANGE, BLUE), strict=True):
            right.plot(mine["layers"], mine["differ"], "o-", color=colour, label=f"rate {aimed:g}", markersize=3.5)
        right.set(xlim=(-0.3, 2.4), ylim=(-0.03, 1.03), xlabel="blocks", ylabel="spikes that differ")
        right.legend(fontsize="small")
        for axes, title in ((left, "a  decays"), (middle, "b  a block"), (right, "c  rescaled")):
            axes.set_title(title, loc="left")
    return drawn
