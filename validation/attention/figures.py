"""Stored results of the attention comparison, read and drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import entr

from biospike import metrics
from validation.attention import drawing

LONGEST = 12
"""Letters of a token's name in a figure."""


def raster_selection(attention: NDArray[np.float64]) -> tuple[int, list[int]]:
    """Head and tokens that a raster shows, by the entropy of their rows (head, query, key).

    The head that spreads its attention most, so that many keys spike, and in it the tokens in the middle of the lower,
    the middle and the upper third.
    """
    entropy = entr(attention).sum(axis=-1)
    head = int(entropy.mean(axis=-1).argmax())
    order = np.argsort(entropy[head], kind="stable")
    return head, sorted({int(order[int(len(order) * place)]) for place in (1 / 6, 1 / 2, 5 / 6)})


def plot(data: xr.Dataset, tables: dict[str, pd.DataFrame], traces: dict[str, xr.Dataset]) -> dict[str, Figure]:
    """Draw the three figures from counts, tables (summary, convergence, decomposition) and spikes, each by its name."""
    labels = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in map(str, data["label"].values)]
    # Where inhibition is subtracted the limit is another for each mode: maps show what it is held against.
    name = "ordinary_attention" if "mode" in data["limit_attention"].dims else "limit_attention"
    exact = data[name].isel(sample=0).transpose("head", "query", "key").values
    masked = ~data["unmasked"].isel(sample=0).values
    counts = data["attention_count"].isel(trial=0, sample=0, checkpoint=-1).transpose("mode", "head", "query", "key")
    maps = {
        str(mode): np.where(masked, np.nan, metrics.shares(counts.sel(mode=mode).values))
        for mode in data["mode"].values
    }
    spikes = float(counts.sum("key").mean())
    caption = f"One presentation, T = {data['timesteps'].values[-1]} timesteps, {spikes:.0f} attention spikes a row"
    head, tokens = raster_selection(exact)
    units = min(data.sizes["unit"], drawing.SHOWN["unit"])
    shown = (
        f"Head {head + 1} of {len(exact)}, {units} of {data.sizes['unit']} units, {len(tokens)} of {len(labels)} tokens"
    )
    return {
        "convergence": drawing.convergence_figure(tables["summary"], tables["decomposition"], tables["convergence"]),
        "attention": drawing.attention_figure(np.where(masked, np.nan, exact), maps, labels, caption),
        "raster": drawing.raster_figure(traces, head, tokens, labels, shown),
    }
