"""What theory expects of a spiking attention block: laws of its sampling, and of scores that a membrane remembers.

The error of the attention has two parts: the rows sample N spikes from softmax(u), and u misses the logits. Both are
put together as root of squares.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from biospike.metrics import mean_of_known
from validation.attention.measures import Array, Measured, root_mean_square

INDEPENDENT = ("race", "escape")
"""Softmax circuits whose attention spikes are independent draws from the row's shares."""


def remembered(data: xr.Dataset, mode: str, found: Measured) -> Array:
    """Part of the squared error of a window's scores that is not in the mean of its membranes, by window.

    In the streaming mode u filters the coincidences with exp(-t/tau_s). The mean of u over a window T and the mean of
    the coincidences in it weigh white noise differently, since the membrane remembers what came before T and has yet to
    pass on what came last. With r = (tau_s/T)*(1 - exp(-T/tau_s)) their difference has r, and the mean of u has 1 - r
    times the variance of the scores. The scatter over trials tells noise from bias, which the membranes hold in full.
    In the staged mode r = 0, and where inhibition is subtracted: what those scores ask for is read off the membranes.
    """
    if mode == "staged" or found.settled is not None:
        return np.zeros(data.sizes["checkpoint"])
    relative = float(data.attrs["tau_s_ms"]) / data["window_ms"].values
    r = relative * (1 - np.exp(-1 / relative))
    trials = data.sizes["trial"]
    if trials < 2:
        return np.asarray(r)
    error = np.nanmean((found.logits - found.limit_logits) ** 2, axis=(1, 2, 3))
    noise = np.nanmean((found.logits - found.logits.mean(axis=1, keepdims=True)) ** 2, axis=(1, 2, 3))
    return np.asarray(r * np.minimum(noise * trials / (trials - 1) / np.where(error > 0, error, np.inf), 1.0))


def sampling_tv(found: Measured, p: Array) -> Array:
    """Expected TV of the attention from p by sampling, mean over trials and rows that fired, (checkpoint,)."""
    law = found.circuit.pinned_tv(p, np.maximum(found.spikes, 1.0))
    assert law is not None  # every circuit that a block can have has one
    return mean_of_known(np.where(found.spikes > 0, law, np.nan), axis=(1, 2))


def _by_head(data: xr.Dataset) -> tuple[Array, Array, Array]:
    """Signed rates, their sums and the scales of the values, (sample, head, key, unit) and (head, 1, 1)."""
    rates = data["value_rates"].transpose("sample", "head", "key", "unit", "sign").values
    return rates[..., 0] - rates[..., 1], rates.sum(axis=-1), data["scales"].values[2][:, None, None]


def output_of_scores(data: xr.Dataset, found: Measured) -> Array:
    """Root mean square error of what the measured scores ask for times the exact values, (checkpoint, trial)."""
    signed, _, scale = _by_head(data)
    shift = found.asked - found.limit_attention
    blocks = shift.reshape(*shift.shape[:2], *signed.shape[:2], -1, shift.shape[-1])
    return root_mean_square((blocks @ (signed / scale)).reshape(*shift.shape[:3], -1))


def output_sampling(data: xr.Dataset, found: Measured) -> Array:
    """Root mean square error of the output that sampling leaves if the scores are exact, (checkpoint, trial).

    An attention spike i -> j adds the value spikes of token j in its step to the output: a number of mean r = r+ - r-
    and mean square r+ + r-, the rates of ON and OFF. The mean over N spikes that draw j from p has the variance
    (sum_j p_j (r+_j + r-_j) - (sum_j p_j r_j)^2)/N; circuits that share out their spikes regularly save the part that
    lies between the tokens. Value spikes of different steps are not quite independent: over long times their counts
    vary as the input of the membrane does, s^2 = sum_f x_f (1 - x_f) W_f^2 a step for Bernoulli input without a leak,
    which adds sum_j p_j^2 (s_j^2 - (r+_j + r-_j) + r_j^2)/T. For other input, and with a leak, that term is left out.
    """
    signed, total, scale = _by_head(data)
    p = found.limit_attention.reshape(*signed.shape[:2], -1, signed.shape[2])
    lost = (p @ signed) ** 2 if data.attrs["softmax"] in INDEPENDENT else p @ signed**2
    per_spike = (p @ total - lost) / scale**2
    per_step = np.zeros_like(per_spike)
    if data.attrs["encoder"] == "bernoulli" and data.attrs["tau_m_ms"] == "none":
        x = data["tokens"].transpose("sample", "query", "feature").values
        weights = data["W_value"].values.reshape(x.shape[-1], data.sizes["head"], -1)
        slow = np.einsum("sjf,fhu->shju", x * (1 - x), weights**2) * scale**2
        per_step = p**2 @ (slow - total + signed**2) / scale**2
    spike, step = (values.reshape(-1, values.shape[-1]).mean(axis=-1) for values in (per_spike, per_step))
    spikes = np.where(found.spikes > 0, found.spikes, np.nan)
    variance = spike / spikes + step / data["timesteps"].values[:, None, None]
    return np.sqrt(mean_of_known(np.maximum(variance, 0.0), axis=-1))
