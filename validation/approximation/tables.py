"""Table of the approximation study, computed from its counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from biospike.order import Laws
from biospike.theory import universal
from biospike.verdicts import Evidence
from validation.approximation.readout import TOP, Readout, fit_readout, sup_interval

SUMMARY = [
    "target",
    "mode",
    "softmax",
    "heads",
    "timesteps",
    "spikes_total",
    "sup_error",
    "sup_low",
    "sup_high",
    "rms_error",
    "limit_sup_error",
    "limit_rms_error",
    "limit_box_error",
    "constant_sup_error",
    "paper_L",
    "paper_H",
    "paper_T",
    "paper_spikes",
    "tokens",
    "features",
    "width",
    "samples",
    "trials",
    "silent_fraction",
    "ridge",
    "diagnostics",
]
FEWEST_POINTS = 3
"""Points that a slope needs."""


def slope(x: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[float, float, float]:
    """Slope of log(error) on log(x) with the 95 % interval of the scatter about the line; NaN for too few points."""
    usable = error > 0
    if usable.sum() < FEWEST_POINTS:
        return np.nan, np.nan, np.nan
    fit = stats.linregress(np.log(x[usable]), np.log(error[usable]))
    half = stats.t.ppf(0.975, usable.sum() - 2) * fit.stderr
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


def head_counts(heads: int) -> list[int]:
    """Numbers of heads to report: powers of two up to all of them."""
    return sorted({*(2**k for k in range(heads.bit_length())), heads})


def spiking_features(data: xr.Dataset) -> NDArray[np.float64]:
    """Output spikes per attention spike of their row, (trial, sample, query, head, unit, sign, checkpoint).

    0 where a row is silent: it has routed nothing. Not divided by the scales of the values, since the noise of all
    outputs is then alike, as ridge regression wants it; a linear read-out does not care otherwise.
    """
    outputs = data["output_count"].transpose("trial", "sample", "query", "head", "unit", "sign", "checkpoint")
    rows = _row_spikes(data)
    return np.asarray(outputs.values / np.maximum(rows, 1)[..., None, None, :])


def limit_features(data: xr.Dataset) -> NDArray[np.float64]:
    """What `spiking_features` tend to, (sample, query, head, unit, sign)."""
    return np.asarray(data["limit_feature"].transpose("sample", "query", "head", "unit", "sign").values)


def feature_noise(data: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Root mean square of the deviation of features from their limit, and its law, (checkpoint,) each.

    Law: every attention spike of a row is a draw that finds a value spike with probability m, the limit of the feature,
    so that the variance is m(1 - m)/N at N attention spikes. Noise of the scores adds to it, the regularity of the
    values' spikes takes from it. Rows that have spiked.
    """
    limit = limit_features(data)[..., None]
    spikes = _row_spikes(data)[..., None, None, :]
    fired = np.broadcast_to(spikes > 0, spiking_features(data).shape)
    square = np.where(fired, (spiking_features(data) - limit) ** 2, 0.0)
    law = np.where(fired, limit * (1 - limit) / np.maximum(spikes, 1), 0.0)
    axes = tuple(range(fired.ndim - 1))
    rows = np.maximum(fired.sum(axis=axes), 1)
    return np.sqrt(square.sum(axis=axes) / rows), np.sqrt(law.sum(axis=axes) / rows)


def noise_evidence(data: xr.Dataset) -> Evidence:
    """Evidence on the noise of the features against the timesteps, for `biospike.verdicts.decide`.

    Laws: independent draws, as of `feature_noise`, and 1/T from what these leave in the longest window. Tokens of a
    sample share spikes, so that whole trials are what is flipped.
    """
    deviations = spiking_features(data) - limit_features(data)[..., None]
    trials, windows = deviations.shape[0], deviations.shape[-1]
    entries = deviations.reshape(trials, -1, int(np.prod(deviations.shape[3:-1])), windows)
    steps, law = data["timesteps"].values.astype(float), feature_noise(data)[1]
    silent = (_row_spikes(data) == 0).any(axis=(1, 2, 3))
    errors = np.sqrt((entries**2).mean(axis=(1, 2)))
    return Evidence(
        n=steps, errors=np.where(silent, np.nan, errors), deviations=lambda at, some: entries[:, some, :, at],
        laws=Laws(law, law[-1] * steps[-1] / steps), rows=entries.shape[1], free=entries[0, ..., 0].size,
        independent=False,
    )  # fmt: skip


def of_heads(features: NDArray[np.float64], heads: int) -> NDArray[np.float64]:
    """Outputs of the first heads side by side, from (..., head, unit, sign) to (..., features)."""
    return features[..., :heads, :, :].reshape(*features.shape[:-3], -1)


def limit_readout(data: xr.Dataset, heads: int) -> Readout:
    """Read-out of the first heads, fitted to all samples in the rate-domain limit."""
    return fit_readout(of_heads(limit_features(data), heads), _values(data))


def total_spikes(data: xr.Dataset, heads: int) -> NDArray[np.float64]:
    """Spikes of all neurons a sample needs with the first heads, from the start of a run to the end of the window.

    Counts of queries, keys and values are kept for all heads together, and divided among them by their expected rates;
    those of attention and outputs by what each head spiked in the window.

    Returns
    -------
    array (checkpoint,)
        Mean over trials and samples.
    """
    of_qkv = data["rate_of_head"].isel(head=slice(heads)).sum("head") / data["rate_of_head"].sum("head")
    total = data["spikes_encoder"] + data["spikes_qkv"] * of_qkv
    for name in ("attention", "output"):
        counts = data[f"{name}_count"]
        by_head = counts.sum([dim for dim in counts.dims if dim not in ("trial", "sample", "head", "checkpoint")])
        everything = by_head.sum("head")
        of_heads = by_head.isel(head=slice(heads)).sum("head") / everything.where(everything > 0)
        total = total + data[f"spikes_{name}"] * of_heads.fillna(heads / data.sizes["head"])
    return np.asarray(total.mean(("trial", "sample")).transpose("checkpoint").values)


def summarise(data: xr.Dataset) -> pd.DataFrame:
    """One row a target, number of heads and window, with the columns of ``summary.csv``."""
    values, fold = _values(data), data["fold"].values
    spiking, limit = spiking_features(data), limit_features(data)
    # Trials of a sample are rows beside its tokens: they are left out together.
    repeated = np.concatenate([values] * len(spiking), axis=1)
    silent = (_row_spikes(data) == 0).mean(axis=(0, 1, 2))
    constant = _unseen_errors(np.zeros((*values.shape[:2], 0)), values, fold)[0].max(axis=(0, 1))
    rows = []
    for heads in head_counts(data.sizes["head"]):
        in_limit, _ = _unseen_errors(of_heads(limit, heads), values, fold)
        spikes = total_spikes(data, heads)
        for c, timesteps in enumerate(data["timesteps"].values):
            trials = list(of_heads(spiking[..., c], heads))
            errors, ridge = _unseen_errors(np.concatenate(trials, axis=1), repeated, fold)
            of_sample = errors.reshape(len(errors), len(trials), -1, errors.shape[-1]).max(axis=2)
            low, high = (bound.mean(axis=0) for bound in sup_interval(np.moveaxis(of_sample, 0, -1)))
            for f, name in enumerate(data["function"].values):
                rows.append(
                    {
                        "target": str(name),
                        "heads": heads,
                        "timesteps": int(timesteps),
                        "spikes_total": spikes[c],
                        "sup_error": of_sample[..., f].max(axis=0).mean(),
                        "sup_low": low[f],
                        "sup_high": high[f],
                        "rms_error": np.sqrt((errors[..., f] ** 2).mean()),
                        "limit_sup_error": in_limit[..., f].max(),
                        "limit_rms_error": np.sqrt((in_limit[..., f] ** 2).mean()),
                        "limit_box_error": float(data["limit_box_error"].sel(function=name, head_count=heads)),
                        "constant_sup_error": constant[f],
                        "silent_fraction": silent[:heads, c].mean(),
                        "ridge": ridge[f],
                    }
                )
    return _complete(pd.DataFrame(rows), data)


def _complete(table: pd.DataFrame, data: xr.Dataset) -> pd.DataFrame:
    """Add what Theorem 7 asks for at the measured error, what was run, and diagnostics; in the order of `SUMMARY`."""
    n, d, width = (data.sizes[dim] for dim in ("query", "coordinate", "unit"))
    eps = table["sup_error"].where(table["sup_error"] > 0)
    table["paper_L"], table["paper_H"] = universal.layers(eps), universal.heads(n, d, eps)
    table["paper_T"], table["paper_spikes"] = universal.timesteps(n, width, eps), universal.spikes(n, d, eps)
    table = table.assign(
        mode=data.attrs["mode"],
        softmax=data.attrs["softmax"],
        tokens=n,
        features=d,
        width=width,
        samples=data.sizes["sample"],
        trials=data.sizes["trial"],
    )
    table["diagnostics"] = [_diagnose(row) for row in table.itertuples()]
    order = {name: place for place, name in enumerate(data["function"].values)}
    return table.sort_values("target", key=lambda names: names.map(order), kind="stable", ignore_index=True)[SUMMARY]


def _diagnose(row: Any) -> str:
    """Reasons not to trust a row of the table, or to read it with care."""
    found = {
        f"samples <= {TOP}": row.samples <= TOP,
        f"{row.silent_fraction:.1%} of rows silent": row.silent_fraction > 0,
        "no better than a constant": row.sup_error >= row.constant_sup_error,
    }
    return "; ".join(words for words, holds in found.items() if holds)


def _row_spikes(data: xr.Dataset) -> NDArray[np.int64]:
    """Attention spikes of every row, (trial, sample, query, head, checkpoint)."""
    rows = data["attention_count"].sum("key")
    return np.asarray(rows.transpose("trial", "sample", "query", "head", "checkpoint").values)


def _values(data: xr.Dataset) -> NDArray[np.float64]:
    """Targets, (sample, query, function)."""
    return np.asarray(data["value"].transpose("sample", "query", "function").values)


def _unseen_errors(
    features: NDArray[np.float64], values: NDArray[np.float64], fold: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Absolute errors (samples, rows, functions) of read-outs fitted to the other folds, and median penalties."""
    errors, ridges = np.empty_like(values), []
    for number in np.unique(fold):
        unseen = fold == number
        readout = fit_readout(features[~unseen], values[~unseen])
        errors[unseen] = np.abs(readout(features[unseen]) - values[unseen])
        ridges.append(readout.ridge)
    return errors, np.median(ridges, axis=0)
