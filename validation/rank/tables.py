"""Tables of the rank study: dispersion and rank of every layer, and what they are over their laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from biospike.metrics import t_interval
from biospike.theory.rank import share_factor

RANK = ["stack", "window", "layer", "trials", "spikes", "dispersion", "low", "high", "floor_law", "rank",
        "rank_corrected"]  # fmt: skip
MEANINGS = {
    "stack": "how a layer is made, see above",
    "window": "steps in which attention spikes are counted, empty for exact attention",
    "spikes": "attention spikes a row, harmonic mean",
    "dispersion": "norm of the centred tokens over that of the tokens, root mean square over trials; `low` and `high` "
    "its 95 % interval (Student's t of the squares over trials)",
    "floor_law": "what value spikes leave to equal tokens, likewise; of `network`, if its values were Bernoulli trains",
    "rank": "dimension of the flat of the tokens, mean over trials",
    "rank_corrected": "of it what noise does not explain, with a chance of .01 of one too many; empty where the noise "
    "is not known",
}
"""Columns of ``rank.csv``."""
COLLAPSE = ["stack", "window", "quantity", "value", "low", "high", "trials", "spikes"]
COLLAPSE_MEANINGS = {
    "quantity": "`exponent`: log of the dispersion over that of the layer before, in the last layer above rounding; "
    "`factor over law`: rms of the dispersion over that of the layer before, over sqrt((1 - 1/n)/N), behind the second "
    "layer; `floor over law`: rms of the dispersion over its floor, behind the first layer, of `residual` in the last",
}
"""Columns of ``collapse.csv``."""
ROUNDING = 1e-14
"""Dispersion below which is rounding."""
FLOORED = ("values", "residual", "network")


def summarise(layers: pd.DataFrame) -> pd.DataFrame:
    """One row a stack, window and layer, columns `RANK`."""
    rows = []
    for (stack, window, layer), mine in layers.groupby(["stack", "window", "layer"], sort=False):
        value, low, high = _root_mean(mine["dispersion"].to_numpy() ** 2)
        law = mine["floor_law"]
        rows.append({
            "stack": stack, "window": window or np.nan, "layer": layer, "trials": len(mine),
            "spikes": mine["spikes"].iloc[0], "dispersion": value, "low": low, "high": high,
            "floor_law": float(np.sqrt((law**2).mean())) if law.notna().all() else np.nan,
            "rank": mine["rank"].mean(), "rank_corrected": mine["rank_corrected"].mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)[RANK]


def collapse(layers: pd.DataFrame, tokens: int) -> pd.DataFrame:
    """One row a stack and window, columns `COLLAPSE`."""
    rows = []
    for (stack, window), mine in layers.groupby(["stack", "window"], sort=False):
        wide = mine.pivot_table(index="trial", columns="layer", values="dispersion").to_numpy()
        spikes = float(mine["spikes"].mean())
        if stack.startswith("exact"):
            found: tuple[str, Any] = ("exponent", _mean(_exponents(wide)))
        elif stack == "shares":
            squares = (wide[:, 2:] / wide[:, 1:-1]) ** 2
            found = ("factor over law", _root_mean(squares.mean(axis=1) / share_factor(tokens, spikes) ** 2))
        elif stack in FLOORED:
            first = -1 if stack == "residual" else 1
            law = mine.pivot_table(index="trial", columns="layer", values="floor_law").to_numpy()
            found = ("floor over law", _root_mean(((wide / law)[:, first:] ** 2).mean(axis=1)))
        else:
            continue
        rows.append([stack, window or np.nan, found[0], *found[1], len(wide), spikes])
    return pd.DataFrame(rows, columns=COLLAPSE)


def _exponents(dispersion: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of every trial, in the last layer in which no trial is at rounding; NaN if that is the first, or none."""
    last = int((dispersion > ROUNDING).all(axis=0).sum()) - 1
    if last < 1:
        return np.full(len(dispersion), np.nan)
    return np.asarray(np.log(dispersion[:, last]) / np.log(dispersion[:, last - 1]))


def _mean(values: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    low, high = t_interval(values[None])
    return float(values.mean()), float(low[0]), float(high[0])


def _root_mean(squares: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """Root of the mean of squares over trials, and its interval."""
    mean, low, high = _mean(squares)
    return float(np.sqrt(mean)), float(np.sqrt(max(low, 0.0))), float(np.sqrt(high))
