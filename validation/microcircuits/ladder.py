"""The ladder: every rung on every kind of rows, beside its limit, its error law and exact integration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.circuit import Circuit
from biospike.distributions import student_quantile
from biospike.ideal.softmax import softmax
from biospike.packing import Plan
from biospike.share_verdicts import window_biases
from biospike.simulation import plan
from biospike.tables import converge, summarise
from circuits.softmax import Integrate
from validation.microcircuits.rungs import (
    PROBES,
    Preset,
    interneurons_of,
    kappa,
    loop,
    probes,
    rows_for,
    stable,
)

import brian2 as b2

Array = NDArray[np.float64]

WINDOWS = 12
FEWEST_TRIALS = 4
ERROR = 0.05
"""Of the spikes that are asked for."""
MOST_SPIKES = 1e8
COLUMNS = [
    *("circuit", "rows_kind", "rows", "trials", "neurons_per_key", "interneurons", "rate_per_neuron", "tv", "bias"),
    *("bias_low", "bias_high", "limit_tv", "multiplicativity", "spread", "spikes_for_tv_05", "energy_ratio", "stable"),
    *("onset_gain", "onset_predicted", "verdict", "reason", "rate_row", "loop_gain", "kappa", "tv_low", "tv_high"),
    *("multiplicativity_low", "multiplicativity_high", "from_limit", "from_limit_low", "from_limit_high", "law_ratio"),
    *("interneuron_rate", "interneuron_limit"),
]


def ladder_plans(circuits: Sequence[Circuit], kinds: dict[str, Array], preset: Preset, seed: int) -> list[Plan]:
    """Of every rung: all its rows at once, kind after kind, and then its probes."""
    plans = []
    for circuit in circuits:
        rows = np.concatenate([rows_for(circuit, kind, rows) for kind, rows in kinds.items()])
        duration = preset.seconds * b2.second
        plans.append(plan(circuit, rows, duration=duration, trials=preset.trials, seed=seed, checkpoints=WINDOWS))
        plans.append(plan(circuit, probes(), duration=duration, trials=preset.probe_trials, seed=seed + 1,
                          checkpoints=1))  # fmt: skip
    return plans


def ladder_rows(
    circuit: Circuit, kinds: dict[str, Array], data: xr.Dataset, probed: xr.Dataset, seconds: float
) -> list[dict[str, Any]]:
    """Rows of the ladder of one rung, without what the study of the onset adds."""
    gate = multiplicativity(probed["spike_count"].isel(checkpoint=-1).transpose("trial", "row", "key").values)
    shared = {
        "circuit": circuit.name, "neurons_per_key": circuit.members, "interneurons": interneurons_of(circuit),
        "rate_per_neuron": float(getattr(circuit, "rate", np.nan)), "kappa": kappa(circuit), "onset_gain": np.nan,
        "spread": spread(circuit), **gate,
    }  # fmt: skip
    rows, first = [], 0
    for kind, logits in kinds.items():
        count = len(rows_for(circuit, kind, logits))
        if count:
            some = data.isel(row=slice(first, first + count))
            rows.append(shared | {"rows_kind": kind} | _of_rows(circuit, some, seconds))
        first += count
    return rows


def _of_rows(circuit: Circuit, data: xr.Dataset, seconds: float) -> dict[str, Any]:
    p, limit = softmax(data["logits"].values), data["limit"].values
    counts = data["spike_count"].transpose("checkpoint", "trial", "row", "key").values
    summary = summarise(data, circuit)
    last, decided = summary.iloc[-1], converge(data, summary)
    gain, onset = loop(circuit, data["logits"].values)
    settled = stable(circuit, data["logits"].values)
    row = {
        "loop_gain": gain, "onset_predicted": onset, "stable": settled,
        "rows": counts.shape[2], "trials": counts.shape[1], "tv": last["tv"], "tv_low": last["tv_low"],
        "tv_high": last["tv_high"], "limit_tv": last["limit_tv"], "rate_row": last["spikes_per_row"] / seconds,
        "verdict": decided["verdict"], "reason": decided["reason"],
    }  # fmt: skip
    if counts.shape[1] < FEWEST_TRIALS:
        row |= {"verdict": "undecided", "reason": "few trials"}
    row |= _bias("bias", counts[-1:], p)
    if "interneuron_count" in data:
        fired = data["interneuron_count"].isel(checkpoint=-1).values
        row["interneuron_rate"] = float(fired.mean()) / seconds / interneurons_of(circuit)
    if not settled:
        empty = ("bias", "bias_low", "bias_high", "limit_tv")
        return row | dict.fromkeys(empty, np.nan) | {"verdict": "", "reason": "not stable"}
    if np.isnan(limit).all():
        return row
    row |= _bias("from_limit", counts[-1:], limit)
    spikes = counts[-1].sum(axis=-1).astype(float)
    law = circuit.expected_tv(limit, spikes)
    if law is not None:
        row["law_ratio"] = float(metrics.total_variation(metrics.shares(counts[-1]), limit).mean() / np.mean(law))
        needed, exact = spikes_for(circuit, limit, p), spikes_for(Integrate(), p, p)
        others = float(data["interneuron_count"].isel(checkpoint=-1).mean() / spikes.mean()) if (
            "interneuron_count" in data) else 0.0  # fmt: skip
        row |= {"spikes_for_tv_05": needed, "energy_ratio": needed * (1 + others) / exact}
    if hasattr(circuit, "mean_field") and interneurons_of(circuit):
        row["interneuron_limit"] = float(np.mean(circuit.mean_field(data["logits"].values)[1]))
    return row


def _bias(name: str, counts: NDArray[Any], p: Array) -> dict[str, float]:
    """Rms L2 distance of a row's expected shares from p, signed, with its interval."""
    found = window_biases(counts, p, independent=True)[0]
    return {
        name: float(np.sign(found.squared) * np.sqrt(abs(found.squared))),
        f"{name}_low": found.low,
        f"{name}_high": found.high,
    }


def spikes_for(circuit: Circuit, limit: Array, p: Array, error: float = ERROR) -> float:
    """Spikes of a row for an expected total variation, mean over rows; NaN if its bias is larger, or without a law."""

    def tv(spikes: float) -> float:
        law = circuit.expected_tv(limit, np.full(len(p), spikes), p)
        return np.nan if law is None else float(np.mean(law))

    if not tv(MOST_SPIKES) < error:
        return np.nan
    low, high = 0.0, np.log(MOST_SPIKES)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if tv(float(np.exp(middle))) < error else (middle, high)
    return float(np.exp(high))


def spread(circuit: Circuit) -> float:
    """Of the log-ratios of the limit's shares with and without competitors, over that of a gate."""
    limit = circuit.limit(probes())[:, : len(PROBES)]
    ratio = np.log(limit[1] / limit[0])
    return float(np.ptp(ratio) / np.log(2))


def multiplicativity(counts: NDArray[np.int64]) -> dict[str, float]:
    """Slope of the log-ratio of rates on a key's logit, from counts (trial, row, key) of the two rows of probes."""

    def slope(total: NDArray[np.int64]) -> float:
        alone, beside = (total[row, : len(PROBES)].astype(float) for row in (0, 1))
        seen = (alone > 0) & (beside > 0)
        if seen.sum() < 2:
            return np.nan
        depth, alone, beside = np.array(PROBES)[seen], alone[seen], beside[seen]
        weight = alone * beside / (alone + beside)  # inverse variance of the log-ratio of two counts
        weight, ratio = weight / weight.sum(), np.log(beside / alone)
        centred = depth - (weight * depth).sum()
        return float((weight * centred * ratio).sum() / (weight * centred**2).sum())

    whole, trials = counts.sum(axis=0), len(counts)
    found = slope(whole)
    without = np.array([slope(whole - one) for one in counts])
    half = student_quantile(trials - 1) * np.sqrt((trials - 1) * without.var()) if trials > 2 else np.nan
    return {
        "multiplicativity": found,
        "multiplicativity_low": found - half,
        "multiplicativity_high": found + half,
    }


def ladder_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Table of the ladder, empty where a rung has no such number."""
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
