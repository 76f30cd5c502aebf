"""Regressions of T*eps^2 on the effective and on the ambient dimension, and which of them the data prefer.

The rule T = C d_eff/eps^2 is a line through the origin. Beside it stand lines with an intercept on d_eff, on n*d, on
both and on neither. Every input set weighs the same, however many of its errors were reached: the errors of one set
repeat each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from validation.rule.powers import POWERS
from validation.rule.tables import KEYS

Array = NDArray[np.float64]

FEWEST_SETS = 4
"""Input sets that a fit needs."""
CLOSE = 2.0
"""Models within so much in AICc are told apart by nobody."""
MODELS: dict[str, tuple[str, ...]] = {
    "none": (), "d_eff": ("d_eff",), "ambient": ("ambient",), "both": ("d_eff", "ambient"), "rank": ("rank",),
}  # fmt: skip
FITS = [*KEYS, "sets", "points", "C", "C_low", "C_high", "C_ambient", "C_none", "slope", "intercept", "r_squared_rule"]
FITS += [f"r_squared_{name}" for name in MODELS if name != "none"] + [f"aicc_{name}" for name in MODELS]
FITS += [f"{name}{end}" for name in POWERS for end in ("", "_low", "_high")]
FITS += ["validated", "factor_d_eff", "factor_ambient", "factor_none", "verdict", "diagnostics"]


def through_origin(x: Array, y: Array, weight: Array) -> Array:
    """Slope of the weighted least-squares line through the origin, over the first axis."""
    return np.asarray((weight * x * y).sum(axis=0) / (weight * x**2).sum(axis=0))


def line(columns: Array, y: Array, weight: Array) -> tuple[Array, float]:
    """Weighted least-squares line with an intercept: coefficients (1 + columns,), and the sum of squares it leaves."""
    design = np.column_stack([np.ones(len(y)), columns])
    root = np.sqrt(weight)
    found = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    return found, float((weight * (y - design @ found) ** 2).sum())


def aicc(residual: float, sets: int, columns: int) -> float:
    """Akaike's criterion for small samples, of a line with normal scatter; the observations are the input sets."""
    k = columns + 2
    if sets - k - 1 <= 0 or residual <= 0:
        return float("nan")
    return float(sets * np.log(residual / sets) + 2 * k + 2 * k * (k + 1) / (sets - k - 1))


def fit(table: pd.DataFrame, replicates: Array, seed: int = 0) -> dict[str, Any]:
    """Fit the crossings of one encoder, circuit, read-out and norm.

    Parameters
    ----------
    table
        Rows of `rule_tables.crossings` of the calibration half; those without timesteps are left out.
    replicates : array (rows, resamples)
        Of the same rows.
    seed
        Of the bootstrap, which draws input sets with replacement, and for each the timesteps of resampled inputs.

    Returns
    -------
    dict
        The columns of `FITS` but the keys and what is said of the validation half. Without numbers for fewer than
        four sets with timesteps.
    """
    known = table["timesteps"].notna().to_numpy()
    names, number = np.unique(table.loc[known, "input_set"], return_inverse=True)
    missing = sorted(set(table["input_set"]) - set(names))
    found: dict[str, Any] = {"sets": len(names), "points": int(known.sum())}
    found["diagnostics"] = f"no eps within reach for {', '.join(missing)}" if missing else ""
    if len(names) < FEWEST_SETS:
        return found | {"verdict": "too few sets", "diagnostics": f"fewer than {FEWEST_SETS} sets reach any eps"}
    points = table[known]
    squared_eps, y = points["eps"].to_numpy() ** 2, points["t_eps2"].to_numpy()
    weight = 1.0 / np.bincount(number)[number]
    x = {name: points[name].to_numpy(dtype=float) for name in ("d_eff", "ambient", "rank")}

    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates.shape[1]).T
    again = replicates[known]
    again = np.where((again > 0) & np.isfinite(again), again * squared_eps[:, None], y[:, None])
    weights = drawn[number] * weight[:, None]
    constants = through_origin(x["d_eff"][:, None], again, weights)
    found |= {"C": float(through_origin(x["d_eff"], y, weight)), "C_none": float(np.average(y, weights=weight))}
    found |= {"C_ambient": float(through_origin(x["ambient"], y, weight))}
    found |= dict(zip(("C_low", "C_high"), np.quantile(constants, [0.025, 0.975]).tolist(), strict=True))

    total = line(np.empty((len(y), 0)), y, weight)[1]
    for model, columns in MODELS.items():
        chosen = np.column_stack([x[name] for name in columns]) if columns else np.empty((len(y), 0))
        coefficients, residual = line(chosen, y, weight)
        found[f"aicc_{model}"] = aicc(residual, len(names), len(columns))
        if columns:
            found[f"r_squared_{model}"] = 1 - residual / total if total > 0 else np.nan
        if model == "d_eff":
            found["intercept"], found["slope"] = coefficients.tolist()
    left = float((weight * (y - found["C"] * x["d_eff"]) ** 2).sum())
    found["r_squared_rule"] = 1 - left / total if total > 0 else np.nan
    return found | {"verdict": verdict(found)}


def verdict(found: dict[str, Any]) -> str:
    """Dimension on which T*eps^2 depends, by AICc: d_eff, ambient, both, none, or those that cannot be told apart."""
    criterion = {name: found[f"aicc_{name}"] for name in ("none", "d_eff", "ambient", "both")}
    criterion = {name: value for name, value in criterion.items() if np.isfinite(value)}
    if not criterion:
        return "exact or too few sets"
    least = min(criterion.values())
    return " or ".join(name for name, value in criterion.items() if value <= least + CLOSE)


def factors(validation: pd.DataFrame, found: dict[str, Any]) -> dict[str, float]:
    """Typical factor, exp(median abs(log)), between timesteps of the validation half and those predicted.

    Predicted by the constants of the calibration half: C d_eff/eps^2, C' n*d/eps^2, and C''/eps^2.
    """
    known = validation[validation["timesteps"].notna()]
    result: dict[str, float] = {"validated": len(known)}
    if known.empty or "C" not in found:
        return result
    for name, constant in (("d_eff", "C"), ("ambient", "C_ambient"), ("none", "C_none")):
        dimension = known[name].to_numpy(dtype=float) if name != "none" else 1.0
        ratio = known["t_eps2"].to_numpy() / (found[constant] * dimension)
        result[f"factor_{name}"] = float(np.exp(np.median(np.abs(np.log(ratio)))))
    return result


def fit_all(table: pd.DataFrame, replicates: Array, powers: pd.DataFrame) -> pd.DataFrame:
    """The table of ``fits.csv``, one row for every encoder, circuit, read-out and norm.

    Parameters
    ----------
    table, replicates
        Of `rule_tables.crossings`.
    powers
        Of `rule_powers.power_table`.
    """
    rows = []
    for keys, mine in table.groupby(KEYS, sort=False):
        calibration = mine[mine["split"] == "calibration"]
        found = fit(calibration, replicates[calibration.index])
        found |= factors(mine[mine["split"] == "validation"], found)
        rows.append(dict(zip(KEYS, keys, strict=True)) | found)
    return pd.DataFrame(rows).merge(powers, on=KEYS, how="left").reindex(columns=FITS)
