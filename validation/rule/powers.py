"""Powers of T ~ eps^-a d_eff^b (n*d)^c, from whole error curves; the rule is a = 2, b = 1, c = 0.

Fitted as the law of the error, eps^2 ~ T^-p d_eff^q (n*d)^r, with a = 2/p, b = q/p, c = r/p. The windows are chosen and
the error is measured, so nothing is censored. A fit of the crossings would be: their T lies between the first and the
last window, whatever the dimension, which pulls every power towards 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from validation.rule.tables import EPS, KEYS, curves

Array = NDArray[np.float64]

POWERS = ("eps_power", "d_eff_power", "ambient_power")
FEWEST_SETS = 4
"""Different input sets that a replicate of the bootstrap needs: one more than there are slopes of sets."""


def powers(squared: ArrayLike, timesteps: ArrayLike, d_eff: ArrayLike, ambient: ArrayLike, share: ArrayLike) -> Array:
    """Powers a, b, c of the least-squares fit to log errors.

    Parameters
    ----------
    squared : array (sets, windows)
        Mean squared error, above 0.
    timesteps : array (windows,)
    d_eff, ambient : array (sets,)
    share : array (sets,)
        Weights.

    Returns
    -------
    ndarray (3,)
        NaN where windows or sets do not tell the powers apart.
    """
    error, weight = np.log(np.asarray(squared, dtype=float)), np.asarray(share, dtype=float)
    steps = np.log(np.asarray(timesteps, dtype=float))
    sets = np.column_stack([np.ones(len(error)), np.log(d_eff), np.log(ambient)])
    if len(steps) < 2 or np.linalg.matrix_rank(sets[weight > 0], tol=1e-6) < sets.shape[1]:
        return np.full(len(POWERS), np.nan)
    # Every set has every window, so that the slopes of windows and sets are fitted one by one.
    root = np.sqrt(weight)
    fall = -np.polyfit(steps, weight @ error / weight.sum(), 1)[0]
    slopes = np.linalg.lstsq(sets * root[:, None], error.mean(axis=1) * root, rcond=None)[0][1:]
    return np.asarray([2.0, *slopes] / fall)


def power_table(data: xr.Dataset, resamples: int = 300, seed: int = 0) -> pd.DataFrame:
    """Powers for every encoder, circuit, read-out and norm, calibration half, with 95 % bootstrap intervals.

    Parameters
    ----------
    data
        Of `calibrate_design_rule.run`.
    resamples, seed
        Bootstrap over input sets and, in each, over its samples.
    """
    d_eff, ambient = data["d_eff"].values, data["ambient"].values
    sets, samples, rng = data.sizes["input_set"], data.sizes["sample"], np.random.default_rng(seed)
    drawn_sets = rng.multinomial(sets, np.full(sets, 1 / sets), size=resamples)
    drawn = rng.multinomial(samples, np.full(samples, 1 / samples), size=(resamples, sets)) / samples
    found: dict[tuple[str, str, str], list[tuple[Array, Array]]] = {}
    for what, squared, steps, _ in curves(data):
        if what["split"] == "calibration":
            found.setdefault((what["encoder"], what["circuit"], what["read_out"]), []).append((squared, steps))
    rows = []
    for keys, of_sets in found.items():
        squared, steps = np.stack([one for one, _ in of_sets]), of_sets[0][1]
        again = np.einsum("bks,ksw->bkw", drawn, squared)
        if not (squared.mean(axis=1) > 0).all():
            continue
        value = powers(squared.mean(axis=1), steps, d_eff, ambient, np.ones(sets))
        usable = ((drawn_sets > 0).sum(axis=1) >= FEWEST_SETS) & (again > 0).all(axis=(1, 2))
        boot = [powers(again[b], steps, d_eff, ambient, drawn_sets[b]) for b in np.flatnonzero(usable)]
        table = np.array([value, *(one for one in boot if np.isfinite(one).all())])
        for norm in EPS:
            # The mean over entries has one power of n*d less in eps^2, and so a/2 less in T.
            shifted = table - np.outer(table[:, 0], [0, 0, 0.5]) if norm == "rms" else table
            ends = np.quantile(shifted[1:], [0.025, 0.975], axis=0) if len(table) > 1 else np.full((2, 3), np.nan)
            row = dict(zip(KEYS, (*keys, norm), strict=True))
            for end, numbers in zip(("", "_low", "_high"), (shifted[0], *ends), strict=True):
                row |= {f"{name}{end}": number for name, number in zip(POWERS, numbers.tolist(), strict=True)}
            rows.append(row)
    columns = [*KEYS, *(f"{name}{end}" for name in POWERS for end in ("", "_low", "_high"))]
    return pd.DataFrame(rows, columns=columns)
