"""Scores, attention and outputs of the spikes of one mode, as plain arrays beside their limits."""

from __future__ import annotations

import attrs
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.circuit import Circuit
from biospike.ideal.softmax import softmax
from biospike.metrics import mean_of_known
from circuits.attention import SpikingAttention, softmax_circuit
from circuits.attention_rows import DrivenRows

Array = NDArray[np.float64]


@attrs.frozen(eq=False)
class Measured:
    """One mode in arrays whose first axes are (checkpoint, trial); a row is one query of one head of one sample.

    Attributes
    ----------
    logits, attention : ndarray (checkpoint, trial, row, key)
        Scores in nats, NaN where masked; shares of the attention spikes, NaN where the row is silent.
    output : ndarray (checkpoint, trial, row, unit)
    spikes : ndarray (checkpoint, trial, row)
        Attention spikes.
    limit_logits, limit_attention : ndarray (row, key)
    limit_output : ndarray (row, unit)
    circuit : Circuit
        Of the rows.
    settled : ndarray (checkpoint, trial, row, key), optional
        Rates of the fixed point at the measured mean drive, spikes a step, of rows whose inhibition is subtracted.
    counts : ndarray (checkpoint, trial, row, key)
        Attention spikes by key.
    """

    logits: Array
    attention: Array
    output: Array
    spikes: Array
    limit_logits: Array
    limit_attention: Array
    limit_output: Array
    circuit: Circuit
    counts: Array
    settled: Array | None = None

    @property
    def tv(self) -> Array:
        """Mean TV of the attention from its limit, (checkpoint, trial)."""
        return mean_of_known(metrics.total_variation(self.attention, self.limit_attention), axis=-1)

    @property
    def output_rmse(self) -> Array:
        """Root mean square over the entries of the output, (checkpoint, trial)."""
        return root_mean_square(self.output - self.limit_output)

    @property
    def score_rmse(self) -> Array:
        """Root mean square over the unmasked scores, (checkpoint, trial)."""
        return root_mean_square(self.logits - self.limit_logits)

    @property
    def asked(self) -> Array:
        """Shares that the measured scores ask for, (checkpoint, trial, row, key).

        Under a common gate their exact softmax; where inhibition is subtracted, those of the fixed point.
        """
        if self.settled is not None:
            return metrics.shares(self.settled)
        return softmax(self.logits.reshape(-1, self.logits.shape[-1])).reshape(self.logits.shape)


def root_mean_square(error: Array) -> Array:
    """Over the last two axes, entries that are not NaN."""
    return np.sqrt(mean_of_known(error**2, axis=(-2, -1)))


def stored_bias(data: xr.Dataset, stream: str) -> Array | None:
    """Bias of a stream of ``counts.nc``; None in files that were written before blocks had any."""
    return data[f"b_{stream}"].values if f"b_{stream}" in data else None


def measure(data: xr.Dataset, mode: str) -> Measured:
    """Scores, attention and outputs of one mode of ``counts.nc``."""
    mine = data.sel(mode=mode)
    block = SpikingAttention(
        W_q=data["W_query"].values,
        W_k=data["W_key"].values,
        W_v=data["W_value"].values,
        b_q=stored_bias(data, "query"),
        b_k=stored_bias(data, "key"),
        b_v=stored_bias(data, "value"),
        heads=data.sizes["head"],
        score_scale=float(data.attrs["score_scale"]),
        scales=data["scales"].values,
        softmax=softmax_circuit(data.attrs["softmax"]),
    )
    rows = ("sample", "head", "query")
    read = block.read_out(mine).assign(spikes=mine["attention_count"].sum("key"))

    def flat(array: xr.DataArray, *rest: str) -> Array:
        leading = [name for name in ("checkpoint", "trial") if name in array.dims]
        ordered = array.transpose(*leading, *rows, *rest).values.astype(float)
        return ordered.reshape(*ordered.shape[: len(leading)], -1, *ordered.shape[len(leading) + len(rows) :])

    logits, settled = flat(read["logits"].where(mine["unmasked"]), "key"), None
    if isinstance(block.rows, DrivenRows):
        drive = flat(mine["driven"] / mine["timesteps"], "key")
        settled = block.rows.settled(drive, np.broadcast_to(~np.isnan(logits), drive.shape))
    return Measured(
        logits=logits,
        attention=flat(read["attention"], "key"),
        output=flat(read["output"], "unit"),
        spikes=flat(read["spikes"]),
        limit_logits=flat(mine["limit_logits"], "key"),
        limit_attention=flat(mine["limit_attention"], "key"),
        limit_output=flat(mine["limit_output"], "unit"),
        circuit=block.softmax,
        counts=flat(mine["attention_count"], "key"),
        settled=settled,
    )
