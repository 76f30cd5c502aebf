"""Evidence on the errors of an attention block, for the function that decides orders and floors."""

from __future__ import annotations

import numpy as np
import xarray as xr

from biospike import metrics
from biospike.bias import pool
from biospike.order import Laws, laws_of_rows
from biospike.verdicts import Evidence
from validation.attention import laws
from validation.attention.measures import Array, Measured

METRICS = ("attention_tv", "output_rmse")


def evidence(data: xr.Dataset, mode: str, found: Measured) -> dict[str, Evidence]:
    """Evidence on both errors of one mode, against the timesteps.

    Rows of a trial share the spikes of their keys, so that whole trials are what is flipped.
    """
    reference = _laws(data, mode, found)
    steps = data["timesteps"].values.astype(float)
    fired = np.flatnonzero((found.spikes[-1] > 0).all(axis=0))
    p, spikes = found.limit_attention[fired], found.spikes[-1][:, fired].sum(axis=0)
    bins = pool(np.zeros_like(p), p, spikes)[1]
    rows, free = fired[bins > 1], int((bins[bins > 1] - 1).sum())

    def attention(window: int, some: slice) -> Array:
        chosen = rows[some]
        deviations = np.nan_to_num(found.attention[window][:, chosen] - found.limit_attention[chosen])
        return pool(deviations, found.limit_attention[chosen], found.spikes[-1][:, chosen].sum(axis=0))[0]

    def output(window: int, some: slice) -> Array:
        return np.nan_to_num(found.output[window][:, some] - found.limit_output[some])

    return {
        "attention_tv": Evidence(
            errors=found.tv.T, deviations=attention, laws=reference["attention_tv"], rows=len(rows), free=free,
            n=steps, independent=False,
        ),
        "output_rmse": Evidence(
            errors=found.output_rmse.T, deviations=output, laws=reference["output_rmse"], rows=len(found.limit_output),
            free=found.limit_output.size, n=steps, independent=False,
        ),
    }  # fmt: skip


def _laws(data: xr.Dataset, mode: str, found: Measured) -> dict[str, Laws | None]:
    """Laws of both errors where they are known.

    None is of a leak, of scores that a membrane remembers, or of rows whose inhibition is subtracted.

    Scores of a staged block without a leak are means over T steps: of independent input their error falls as T^-1/2,
    of a regular one as 1/T, from what it is in the longest window. The sampling of the attention adds to it.
    """
    steps = data["timesteps"].values.astype(float)
    spikes = found.spikes.mean(axis=1)
    if (
        found.settled is not None
        or mode != "staged"
        or data.attrs["tau_m_ms"] != "none"
        or not (found.spikes[-1] > 0).all()
    ):
        return dict.fromkeys(METRICS)
    scores = metrics.total_variation(found.asked[-1], found.limit_attention).mean()
    sampled = laws_of_rows(found.limit_attention, spikes)
    outputs, output = laws.output_of_scores(data, found)[-1].mean(), laws.output_sampling(data, found).mean(axis=-1)
    fall = steps[-1] / steps
    return {
        "attention_tv": Laws(np.hypot(sampled.half, scores * np.sqrt(fall)), np.hypot(sampled.one, scores * fall)),
        "output_rmse": Laws(np.hypot(output, outputs * np.sqrt(fall)), np.hypot(output[-1], outputs) * fall),
    }
