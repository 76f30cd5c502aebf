"""Timesteps that reach an error, read off error curves, and the table of them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.theory import design_rule

Array = NDArray[np.float64]

EPS = {norm: tuple(largest / 2 ** (k / 2) for k in range(12)) for norm, largest in (("frobenius", 4.0), ("rms", 0.4))}
"""Errors asked for: root mean square over inputs of the Frobenius norm, and over their entries as well."""
KEYS = ["encoder", "circuit", "read_out", "norm"]
SUMMARY = ["input_set", "kind", *KEYS, "eps", "split", "d_eff", "ambient", "rank", "timesteps", "low", "high"]
SUMMARY += ["t_eps2", "predicted", "samples", "diagnostics"]
FEW_SAMPLES = 8
SILENT = 0.01
"""Fraction of rows without a spike above which a crossing says so."""


def timesteps_to_reach(squared: ArrayLike, timesteps: ArrayLike, eps: float) -> Array:
    """Timesteps from which on the error stays at or below eps.

    The curve is read from the right, so that a dip of a code that oscillates does not count, and interpolated between
    windows in log-log, where a power law is straight.

    Parameters
    ----------
    squared : array (..., windows)
        Mean squared error.
    timesteps : array (windows,)
        Increasing.
    eps
        Above 0.

    Returns
    -------
    array (...)
        0 where the first window reaches it already, inf where the last does not: censored on either side.

    Raises
    ------
    InputError
        If eps is not above 0, an error is NaN, or the timesteps do not increase from above 0.
    """
    squared, steps = np.asarray(squared, dtype=float), np.asarray(timesteps, dtype=float)
    if not eps > 0:
        raise InputError(f"eps must be above 0, got {eps}")
    if steps.ndim != 1 or not steps.size or steps[0] <= 0 or (np.diff(steps) <= 0).any():
        raise InputError(f"timesteps must increase from above 0, got {steps.tolist()}")
    if squared.shape[-1:] != steps.shape or np.isnan(squared).any():
        raise InputError(f"errors must be numbers for {steps.size} windows, got shape {squared.shape}")
    worst = np.maximum.accumulate(squared[..., ::-1], axis=-1)[..., ::-1]
    after = (worst > eps**2).sum(axis=-1)
    inner = np.clip(after, 1, steps.size - 1) if steps.size > 1 else np.zeros_like(after)
    before = np.maximum(inner - 1, 0)
    high, low = (
        np.log(np.maximum(np.take_along_axis(worst, k[..., None], axis=-1)[..., 0], 1e-300)) for k in (before, inner)
    )
    part = np.clip((high - np.log(eps**2)) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
    reached = np.exp(np.log(steps[before]) + part * np.log(steps[inner] / steps[before]))
    return np.asarray(np.where(after == 0, 0.0, np.where(after == steps.size, np.inf, reached)))


def curves(data: xr.Dataset) -> Iterator[tuple[dict[str, Any], Array, Array, str]]:
    """Every error curve: what it is of, squared errors (samples, windows), timesteps, and what to beware of."""
    order = ("run", "input_set", "split", "read_out", "sample", "checkpoint")
    steps, errors = data["timesteps"].values, data["squared_error"].transpose(*order).values
    for run, (encoder, circuit) in enumerate(zip(data["encoder"].values, data["circuit"].values, strict=True)):
        for place, name in enumerate(data["input_set"].values):
            one = {name: data[name].values[place] for name in ("kind", "d_eff", "ambient")}
            one |= {"input_set": name, "encoder": encoder, "circuit": circuit, "rank": data["rank"].values[run, place]}
            for s, split in enumerate(data["split"].values):
                measured = np.isfinite(errors[run, place, s, 0, 0])
                silent = data["silent"].values[run, place, s, measured]
                warning = f"up to {silent.max():.1%} of rows silent" if silent.max() > SILENT else ""
                for r, read_out in enumerate(data["read_out"].values):
                    found = one | {"split": split, "read_out": read_out}
                    yield found, errors[run, place, s, r][:, measured], steps[measured], warning


def crossings(data: xr.Dataset, resamples: int = 300, seed: int = 0) -> tuple[pd.DataFrame, Array]:
    """Timesteps for every input set, encoder, circuit, read-out, norm, error and half, with bootstrap intervals.

    Parameters
    ----------
    data
        Of `calibrate_design_rule.run`.
    resamples, seed
        Bootstrap over the samples of a half, the same samples for every eps.

    Returns
    -------
    table : DataFrame
        The columns of `SUMMARY` but `predicted`; `timesteps` is empty where it is censored.
    replicates : ndarray (rows, resamples)
        Bootstrap replicates of `timesteps`; 0 and inf as of `timesteps_to_reach`.
    """
    samples = data.sizes["sample"]
    drawn = np.random.default_rng(seed).multinomial(samples, np.full(samples, 1 / samples), size=resamples) / samples
    rows, replicates = [], []
    for what, squared, steps, warning in curves(data):
        for norm, errors in EPS.items():
            scale = what["ambient"] if norm == "rms" else 1.0
            for eps in errors:
                reached = float(timesteps_to_reach(squared.mean(axis=0) / scale, steps, eps))
                again = timesteps_to_reach(drawn @ squared / scale, steps, eps)
                low, high = np.quantile(again, [0.025, 0.975], method="inverted_cdf")
                known = 0 < reached < np.inf
                interval = {"low": low, "high": high}
                words = [
                    "" if reached > 0 else f"reached within the first window, {steps[0]}",
                    "" if reached < np.inf else f"not reached in {steps[-1]}",
                    f"samples < {FEW_SAMPLES}" if samples < FEW_SAMPLES else "",
                    warning,
                ]
                row = {"norm": norm, "eps": eps, "samples": samples, "diagnostics": "; ".join(filter(None, words))}
                row |= {"timesteps": reached if known else np.nan, "t_eps2": reached * eps**2 if known else np.nan}
                row |= {end: at if known and 0 < at < np.inf else np.nan for end, at in interval.items()}
                rows.append(what | row)
                replicates.append(again)
    return pd.DataFrame(rows), np.array(replicates)


def with_predictions(table: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """The table of ``summary.csv``: crossings with the timesteps that the rule and the fitted C predict."""
    joined = table.merge(fits[[*KEYS, "C"]], on=KEYS, how="left")
    known = joined["C"] > 0
    joined["predicted"] = np.nan
    mine = joined[known]
    joined.loc[known, "predicted"] = design_rule.timesteps(mine["d_eff"], mine["eps"], mine["C"])
    return joined[SUMMARY]
