"""Errors of the attention block that more trials do not average away: shared input spikes, and a fluctuating membrane.

Both tables are computed from the counts of a study, in its longest window.
"""

from __future__ import annotations

import attrs
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike import metrics
from biospike.ideal.softmax import softmax
from biospike.metrics import mean_of_known, pooled_floor
from circuits.coincidence import Coincidence
from validation.attention.measures import measure, stored_bias

Array = NDArray[np.float64]


def diagonal(data: xr.Dataset) -> pd.DataFrame:
    """Bias of the scores where a token meets itself (i = j) and elsewhere, in nats; two rows a mode.

    `bias` is the mean error of these scores, with its 95 % interval over trials; `expected` what shared input spikes
    add on the diagonal, where the closed form holds. Since weights are signed, biases of several scores may cancel:
    `abs_bias` is the mean absolute error of the scores averaged over trials, and `abs_floor` what their scatter leaves
    of it.
    """
    rows = []
    for mode in map(str, data["mode"].values):
        found = measure(data, mode)
        error = found.logits[-1] - found.limit_logits
        tokens = error.shape[-1]
        same = np.arange(error.shape[-2])[:, None] % tokens == np.arange(tokens)
        known = np.isfinite(found.limit_logits)
        for name, chosen in (("i = j", same & known), ("i != j", ~same & known)):
            if not chosen.any():
                continue
            errors = error[:, chosen]
            low, high = metrics.t_interval(errors.mean(axis=1))
            rows.append(
                {
                    "mode": mode,
                    "scores": name,
                    "bias": errors.mean(),
                    "low": float(low),
                    "high": float(high),
                    "expected": shared_input_bias(data) if name == "i = j" else 0.0,
                    "abs_bias": np.abs(errors.mean(axis=0)).mean(),
                    # Of one number instead of the shares of a row, whose TV is half the sum.
                    "abs_floor": 2 * pooled_floor(errors[None, ..., None]).mean(),
                }
            )
    return pd.DataFrame(rows)


def shared_input_bias(data: xr.Dataset) -> float:
    """Mean over the diagonal of what shared input spikes add to a score, in nats; NaN where no closed form is known."""
    if data.attrs["encoders"] == "separate":
        return 0.0
    if data.attrs["encoder"] != "bernoulli" or data.attrs["tau_m_ms"] != "none":
        return np.nan
    circuit = Coincidence(
        W_q=data["W_query"].values,
        W_k=data["W_key"].values,
        b_q=stored_bias(data, "query"),
        b_k=stored_bias(data, "key"),
        heads=data.sizes["head"],
        scales=data["scales"].values[:2],
        encoders="shared",
        delay=f"{data.attrs['delay_ms']} ms",
    )
    try:
        bias = circuit.shared_input_bias(data["tokens"].values)
    except ValueError:  # signed weights, biases, or a delay
        return np.nan
    return float(bias.mean()) * float(data.attrs["score_scale"])


@attrs.frozen
class Fluctuations:
    """What the fluctuations of the score membranes do to the streaming attention; see `fluctuations`.

    Attributes
    ----------
    sd : float
        Standard deviation of a score membrane, nats.
    fast_tv, slow_tv : float
        Mean TV of the expected attention from softmax(mean scores), if inhibition normalises every moment or only the
        mean.
    found, low, high : float
        Measured deviation from softmax(mean scores) along the fast bias, as a fraction of it, with its 95 % interval
        over trials.
    """

    sd: float
    fast_tv: float
    slow_tv: float
    found: float
    low: float
    high: float


def fluctuations(data: xr.Dataset) -> Fluctuations:
    """Jensen bias of the streaming attention: expected from the measured noise of the scores, and found.

    The membrane is a filter of the coincidences, whose noise is white: with keep = exp(-dt/tau_s) its variance is that
    of the coincidences of a step, in nats, times (1 - keep)/(1 + keep). The noise is taken from the differences between
    successive windows, which are independent. A fast inhibition gives E[softmax(u)], a slow one E[exp u]/sum E[exp u].
    Every sample of the noise enters with both signs, so that its mean adds nothing. Both are held against the softmax
    of the mean measured scores, and not against the limit, so that a bias of the scores does not enter.
    """
    found = measure(data, "streaming")
    mean = found.logits[-1].mean(axis=0)
    target = softmax(mean)
    steps = data["timesteps"].values.astype(float)
    keep = np.exp(-float(data.attrs["dt_ms"]) / float(data.attrs["tau_s_ms"]))
    cumulated = (found.logits - mean) * steps[:, None, None, None]
    per_step = np.diff(cumulated, axis=0, prepend=0) / np.sqrt(np.diff(steps, prepend=0))[:, None, None, None]
    noise = per_step.reshape(-1, *mean.shape) * np.sqrt((1 - keep) / (1 + keep))
    membrane = np.concatenate([mean + noise, mean - noise])
    fast = softmax(membrane.reshape(-1, membrane.shape[-1])).reshape(membrane.shape).mean(axis=0)
    intensity = np.nan_to_num(np.exp(membrane - np.nanmax(mean, axis=-1, keepdims=True))).mean(axis=0)
    slow = intensity / intensity.sum(axis=-1, keepdims=True)
    share = _along(fast - target, found.attention[-1] - target)
    low, high = metrics.t_interval(share)
    return Fluctuations(
        sd=float(np.nanstd(noise)),
        fast_tv=float(metrics.total_variation(fast, target).mean()),
        slow_tv=float(metrics.total_variation(slow, target).mean()),
        found=float(share.mean()),
        low=float(low),
        high=float(high),
    )


def _along(bias: Array, deviation: Array) -> Array:
    """Projection of deviations (trial, row, key) on a bias (row, key), in units of it, by trial.

    It weighs every share by the bias expected of it, and so finds a bias that the TV of pooled shares does not show.
    """
    by_row = (deviation * bias).sum(axis=-1)
    size = (bias**2).sum(axis=-1).mean()
    return mean_of_known(by_row, axis=-1) / size if size > 0 else np.full(len(deviation), np.nan)
