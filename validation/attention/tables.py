"""Tables of the attention comparison, computed from its counts."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from biospike import metrics
from biospike.errors import InputError
from biospike.metrics import mean_of_known, pooled_floor
from biospike.tables import FEW_SPIKES, FEW_TRIALS, NO_LEVEL, columns_of, has_no_level
from biospike.verdicts import NO_ERROR, decide
from validation.attention import laws
from validation.attention.measures import Array, measure
from validation.attention.verdicts import METRICS, evidence

SUMMARY = [
    "mode",
    "softmax",
    "window_ms",
    "trials",
    "score_rmse",
    "attention_tv",
    "tv_low",
    "tv_high",
    "output_rmse",
    "rmse_low",
    "rmse_high",
    "spikes_total",
    "spikes_encoder",
    "spikes_qkv",
    "spikes_attention",
    "spikes_output",
    "diagnostics",
]
CONVERGENCE = [
    "mode",
    "softmax",
    "metric",
    "order",
    "order_low",
    "order_high",
    "r_squared",
    "floor",
    "floor_low",
    "floor_high",
    "limit",
    "order_of_law",
    "order_of_law_low",
    "order_of_law_high",
    "bias_resolvable",
    "trials_needed",
    "verdict",
    "reason",
]
POPULATIONS = ("encoder", "qkv", "attention", "output")
FITTED_SPIKES = 30
"""Orders are fitted in windows with at least so many attention spikes a row; in shorter ones no law holds yet."""


def summarise(data: xr.Dataset) -> pd.DataFrame:
    """One row a mode and window, with the columns of ``summary.csv``."""
    return pd.concat([_summarise(data, str(mode)) for mode in data["mode"].values], ignore_index=True)


def _summarise(data: xr.Dataset, mode: str) -> pd.DataFrame:
    found, mine = measure(data, mode), data.sel(mode=mode)
    (tv_low, tv_high), (rmse_low, rmse_high) = (metrics.t_interval(e) for e in (found.tv, found.output_rmse))
    few = has_no_level(~np.isnan(found.limit_logits))
    if few:
        tv_low, tv_high = tv_low * np.nan, tv_high * np.nan
    spikes = {f"spikes_{name}": mine[f"spikes_{name}"].mean(("trial", "sample")).values for name in POPULATIONS}
    table = pd.DataFrame(
        {
            "mode": mode,
            "softmax": data.attrs["softmax"],
            "window_ms": data["window_ms"].values,
            "trials": data.sizes["trial"],
            "score_rmse": found.score_rmse.mean(axis=-1),
            "attention_tv": found.tv.mean(axis=-1),
            "tv_low": tv_low,
            "tv_high": tv_high,
            "output_rmse": found.output_rmse.mean(axis=-1),
            "rmse_low": rmse_low,
            "rmse_high": rmse_high,
            "spikes_total": np.sum(list(spikes.values()), axis=0),
            **spikes,
        }
    )
    memory = float(data.attrs["tau_s_ms"]) if mode == "streaming" else 0.0
    table["diagnostics"] = [
        _diagnose(spikes, data.sizes["trial"], window < memory, few)
        for spikes, window in zip(found.spikes, data["window_ms"].values, strict=True)
    ]
    return table[SUMMARY]


def _diagnose(spikes: Array, trials: int, remembered: bool, few: bool) -> str:
    """Reasons not to trust a row of the table, or to read it with care."""
    silent = float((spikes == 0).mean())
    found = {
        f"N < {FEW_SPIKES}": spikes.mean() < FEW_SPIKES,
        f"{silent:.1%} silent": silent > 0,
        f"trials < {FEW_TRIALS}": trials < FEW_TRIALS,
        "window < tau_s": remembered,
        NO_LEVEL: few,
    }
    return "; ".join(words for words, holds in found.items() if holds)


def converge(data: xr.Dataset) -> pd.DataFrame:
    """One row a mode and metric, with the columns of ``convergence.csv``: error against the timesteps T.

    `limit` is the distance of the limit from ordinary softmax attention; the other columns are those of
    `biospike.tables.CONVERGENCE_MEANINGS`, of the errors in T. Where no law can be told the verdict is undecided, and
    `reason` says why.
    """
    timesteps, rows = data["timesteps"].values, []
    for mode in map(str, data["mode"].values):
        found, limits = measure(data, mode), limit_distances(data.sel(mode=mode))
        enough = timesteps[found.spikes.mean(axis=(1, 2)) >= FITTED_SPIKES]
        of_mode = evidence(data, mode, found)
        for metric, error in zip(METRICS, (found.tv, found.output_rmse), strict=True):
            row: dict[str, Any] = {"mode": mode, "softmax": data.attrs["softmax"], "metric": metric}
            row |= {"limit": limits[metric]} | columns_of(decide(of_mode[metric]))
            fit = _fit(timesteps, error, enough[0] if enough.size else np.inf)
            row["floor"] = getattr(fit, "floor_tv", None)
            rows.append(row | {name: getattr(fit, name, None) for name in CONVERGENCE if name not in row})
    return pd.DataFrame(rows).reindex(columns=CONVERGENCE)


def _fit(timesteps: Array, error: Array, least: float) -> metrics.OrderFit | None:
    """Fit of the errors (checkpoint, trial) from `least` timesteps on; None if there is none, or a single trial."""
    if np.isnan(error[-1]).any() or error[-1].mean() < NO_ERROR or error.shape[1] < 2:
        return None
    with contextlib.suppress(InputError):
        return metrics.fit_order(timesteps, error.T, minimum_spikes=least)
    return None


def limit_distances(data: xr.Dataset) -> dict[str, float]:
    """Distance of the limit from ordinary attention: mean TV of its rows, root mean square of its outputs."""
    tv = metrics.total_variation(data["limit_attention"].values, data["ordinary_attention"].values)
    return {
        "attention_tv": float(tv.mean()),
        "output_rmse": float(np.sqrt(((data["limit_output"] - data["ordinary_output"]) ** 2).mean())),
    }


def decompose(data: xr.Dataset) -> pd.DataFrame:
    """Where the error comes from, one row a mode and window.

    `score_tv` is the TV of softmax(measured scores) from the limit (where inhibition is subtracted, of the fixed point
    at the measured drive); `sampling_tv` that of the attention from
    softmax(measured scores), with its 95 % interval over trials and what theory expects of it; `tv_sampling` what
    sampling alone would leave if the scores were exact, `tv_expected` the same with the measured error of the scores;
    `output_score`, `output_sampling` and `output_expected` likewise for the output; `bias_tv` is the TV of the shares
    pooled over trials, `bias_floor` what their scatter leaves of it.
    """
    return pd.concat([_decompose(data, str(mode)) for mode in data["mode"].values], ignore_index=True)


def _decompose(data: xr.Dataset, mode: str) -> pd.DataFrame:
    found = measure(data, mode)
    scored, memory = found.asked, laws.remembered(data, mode, found)
    sampled = mean_of_known(metrics.total_variation(found.attention, scored), axis=-1)
    low, high = metrics.t_interval(sampled)
    score_tv = metrics.total_variation(scored, found.limit_attention).mean(axis=(1, 2))
    tv_sampling = laws.sampling_tv(found, np.broadcast_to(found.limit_attention, scored.shape))
    output_score = laws.output_of_scores(data, found).mean(axis=-1)
    output_sampling = laws.output_sampling(data, found).mean(axis=-1)
    pooled = metrics.shares(np.nansum(found.attention * found.spikes[..., None], axis=1))
    return pd.DataFrame(
        {
            "mode": mode,
            "window_ms": data["window_ms"].values,
            "timesteps": data["timesteps"].values,
            "spikes_per_row": found.spikes.mean(axis=(1, 2)),
            "score_tv": score_tv,
            "sampling_tv": mean_of_known(sampled, axis=-1),
            "sampling_low": low,
            "sampling_high": high,
            "sampling_expected": np.hypot(laws.sampling_tv(found, scored), np.sqrt(memory) * score_tv),
            "attention_tv": found.tv.mean(axis=-1),
            "tv_sampling": tv_sampling,
            "tv_expected": np.hypot(tv_sampling, np.sqrt(1 - memory) * score_tv),
            "output_score": output_score,
            "output_sampling": output_sampling,
            "output_expected": np.hypot(output_sampling, np.sqrt(1 - memory) * output_score),
            "bias_tv": mean_of_known(metrics.total_variation(pooled, found.limit_attention), axis=-1),
            "bias_floor": mean_of_known(pooled_floor(found.attention), axis=-1),
        }
    )
