"""What the spikes of an attention block cost, beside ordinary attention and beside what its accuracy costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from biospike.theory import paper
from biospike.theory.energy import (
    AC,
    DEVICES,
    MAC,
    attention_fan_out,
    attention_macs,
    conventional_energy,
    event_energy,
)

POPULATIONS = {"encoder": "encoder", "qkv": "query", "attention": "attention", "output": "output"}
"""Recorded population -> the one whose fan-out it has: a spike of a query, key or value reaches as many synapses."""


def energy_table(data: xr.Dataset, summary: pd.DataFrame) -> pd.DataFrame:
    """One row a mode, window and device.

    ``mode, timesteps, device, attention_tv, sop, updates, conventional_pj, canonical_pj, canonical_ratio, event_pj,
    event_ratio``, for one presentation from the start of the run to the end of the window. The canonical figure is the
    events of all spikes at 0.9 pJ, without neuron updates: with recorded spikes, rate * T * fan-out is their number.
    """
    tokens, heads = data.sizes["query"], data.sizes["head"]
    features, units = data["W_query"].shape
    width = units // heads
    conventional = conventional_energy(sum(attention_macs(tokens, features, heads, width).values()))
    fan_out = attention_fan_out(tokens, heads, width)
    reached = {name: fan_out[kind] for name, kind in POPULATIONS.items()}
    streams = 1 if data.attrs["encoders"] == "shared" else 3
    neurons = tokens * (streams * features + 2 * 3 * units + heads * tokens + 2 * units)
    rows = []
    for mode in map(str, data["mode"].values):
        mine, tv = data.sel(mode=mode), summary[summary["mode"] == mode]["attention_tv"].to_numpy()
        spikes = {name: mine[f"spikes_{name}"].mean(("trial", "sample")).values for name in POPULATIONS}
        for c, timesteps in enumerate(data["timesteps"].values):
            counted = {name: float(found[c]) for name, found in spikes.items()}
            updates = neurons * float(mine["steps"][c])
            events = sum(counted[name] * reached[name] for name in counted)
            for device in DEVICES.values():
                spent = event_energy(counted, reached, updates, device)["total"]
                rows.append(
                    {
                        "mode": mode, "timesteps": int(timesteps), "device": device.name, "attention_tv": tv[c],
                        "sop": events, "updates": updates, "conventional_pj": conventional,
                        "canonical_pj": AC * events,
                        "canonical_ratio": conventional / (AC * events) if events else np.nan,
                        "event_pj": spent, "event_ratio": conventional / spent,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def energy_text(table: pd.DataFrame) -> str:
    """Say what the longest and the cheapest windows cost."""
    first = table[table["device"] == table["device"].iloc[0]]
    lines = []
    for mode, rows in first.groupby("mode", sort=False):
        last, least = rows.iloc[-1], rows.iloc[0]
        lines.append(
            f"* **{mode}:** with T = {last['timesteps']} ({_tv(last)}) {_cost(last['canonical_ratio'])} by additions "
            f"alone and {_cost(last['event_ratio'])} with neuron updates; with T = {least['timesteps']} ({_tv(least)}) "
            f"{_cost(least['canonical_ratio'])} and {_cost(least['event_ratio'])}."
        )
    low, high = paper.ENERGY_RATIO
    return (
        f"Every spike at every synapse it reaches ({AC} pJ), inhibition and gates included, and every update of a "
        f"neuron ({MAC} pJ), beside {MAC} pJ a multiply-accumulate of ordinary attention without its softmax; the "
        f"paper claims {low:g} to {high:g} times less.\n\n" + "\n".join(lines)
    )


def _tv(row: pd.Series) -> str:
    return f"attention TV {row['attention_tv']:.3f}" if np.isfinite(row["attention_tv"]) else "no attention spikes"


def _cost(ratio: float) -> str:
    if np.isnan(ratio):
        return "nothing"
    return f"{ratio:.3g} times less" if ratio >= 1 else f"{1 / ratio:.3g} times more"
