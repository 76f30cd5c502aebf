"""Errors of values whose rates lie within [rho, 1 - rho], as the theory assumes of all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike.encoding import ENCODERS
from biospike.metrics import t_interval
from validation.bounds import laws

Array = NDArray[np.float64]

RHO = (0.0, 0.01, 0.05, 0.1, 0.25, 0.4)
RATE_BANDS = {
    "code": "encoder",
    "rho": "rates of the values lie within [rho, 1 - rho]; 0: all values",
    "values": "in a trial, mean",
    "error": "mean absolute, of the longest window; `low`, `high` its 95 % interval (Student's t over trials)",
    "relative": "the same error over the rate, mean",
    "margin": "largest ratio over the windows of an error to that which Hoeffding's inequality promises; `margin_low`, "
    "`margin_high`: of that window",
}
"""Columns of ``rate_bands.csv``."""
COLUMNS = [
    "code", "rho", "values", "trials", "timesteps", "error", "low", "high", "relative", "margin", "margin_low",
    "margin_high",
]  # fmt: skip


def rate_bands(raw: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Rows of ``rate_bands.csv``, one an encoder and rho; bands without a value in some trial are left out."""
    rows = []
    for data in raw.values():
        if data.attrs.get("code") not in ENCODERS:
            continue
        x = data["x"].transpose("trial", "value").values
        deviation = np.abs(data["estimate"].transpose("point", "trial", "value").values - x)
        promised = laws.hoeffding_mean_error(data["full_count"].values)
        for rho in RHO:
            inside = (x >= rho) & (x <= 1 - rho)
            if inside.any(axis=1).all():
                row = _band(deviation, x, inside, promised)
                timesteps = int(data["timesteps"].values[-1])
                rows.append({"code": data.attrs["code"], "rho": rho, "timesteps": timesteps} | row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _band(deviation: Array, x: Array, inside: NDArray[np.bool_], promised: Array) -> dict[str, float]:
    """Numbers of the values of a band, from deviations (point, trial, value)."""
    number = inside.sum(axis=1)
    errors = (deviation * inside).sum(axis=-1) / number  # (point, trial)
    low, high = t_interval(errors)
    ratio = errors.mean(axis=1) / promised
    worst = int(ratio.argmax())
    relative = (np.divide(deviation[-1], x, where=inside, out=np.zeros_like(x))).sum(axis=-1) / number
    return {
        "values": float(number.mean()), "trials": len(number), "error": float(errors[-1].mean()),
        "low": float(low[-1]), "high": float(high[-1]), "relative": float(relative.mean()),
        "margin": float(ratio[worst]), "margin_low": float(low[worst] / promised[worst]),
        "margin_high": float(high[worst] / promised[worst]),
    }  # fmt: skip
