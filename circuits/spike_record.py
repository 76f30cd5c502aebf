"""Full spike trains of an attention block: what a raster of its populations shows.

The seeds, equations and windows are those of `circuits.presentation.present`, so the spikes are the ones it counts;
only here every spike is kept, of one presentation, on the numpy target, which needs no build.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import execution, runtime
from biospike.errors import InputError
from circuits.attention import SpikingAttention
from circuits.presentation import plan_presentation
from circuits.projection import BlockShape

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

ROUTING = 1
"""Steps from an attention spike to the outputs that it causes, by which their window is later."""


def layout(circuit: SpikingAttention, shape: BlockShape) -> dict[str, dict[str, int]]:
    """How the neurons of every population lie in their group, without the slots: names and lengths of the axes."""
    n, h, d = shape.tokens, shape.heads, shape.width
    return {
        "encoder": {"token": n, "copy": circuit.copies, "feature": shape.features},
        "neurons": {"token": n, "stream": len(circuit.streams), "head": h, "unit": d, "sign": 2},
        "keys": {"head": h, "query": n, "key": n},
        "outputs": {"query": n, "head": h, "unit": d, "sign": 2},
    }


def record_spikes(
    circuit: SpikingAttention,
    tokens: ArrayLike,
    *,
    duration: Quantity | str,
    seed: int = 0,
    shown: Quantity | str | None = None,
    key_mask: ArrayLike | None = None,
) -> xr.Dataset:
    """Present tokens once and keep every spike of the window.

    Parameters
    ----------
    circuit, tokens, duration, seed, key_mask
        As of `circuits.presentation.present`, whose trial 0 is reproduced spike by spike; tokens of one sample.
    shown
        How much of the window is recorded, from its onset; None for all of it.

    Returns
    -------
    xarray.Dataset
        One dimension a population, ``encoder_spike``, ``neurons_spike``, ``keys_spike`` and ``outputs_spike``, with
        the time of each spike since the onset, such as ``encoder_time_ms``, and the coordinates of its neuron:
        ``encoder_token``, ``_copy`` (the stream that it drives, if encoders are separate), ``_feature``;
        ``neurons_token``, ``_stream``, ``_head``, ``_unit``, ``_sign`` (0 ON, 1 OFF); ``keys_head``, ``_query``,
        ``_key``; ``outputs_query``, ``_head``, ``_unit``, ``_sign``. The window of the outputs begins and ends one step
        later than that of the others, as it does in `present`. Attributes: lengths of these axes, ``shown_ms``,
        ``window_ms``, ``dt_ms``, ``seed``.

    Raises
    ------
    InputError
        On bad input, naming the value and what is accepted.
    """
    circuit = circuit.fitted(tokens)
    plan = plan_presentation(circuit, tokens, duration=duration, seed=seed, windows=1, key_mask=key_mask)
    if len(plan.x) > 1:
        raise InputError(f"spikes are recorded of the tokens of one sample, got {len(plan.x)} samples")
    window = int(plan.marks[-1])
    kept = window if shown is None else execution.count_steps(shown, circuit.dt, like=1 * b2.ms)
    if kept > window:
        raise InputError(f"shown = {shown} is longer than the window, {duration}")
    onset = circuit.timing(window, circuit.dt).onset
    axes = layout(circuit, plan.shape())
    with runtime.preferences("numpy", plan.dt):
        network = circuit.build(plan.shape())
        runtime.assign(network, plan.state(0), circuit.name)
        # What comes before the onset is long in the streaming mode, and not shown.
        network.run(onset * circuit.dt, namespace={})
        monitors = {name: b2.SpikeMonitor(network[name], name=f"{name}_spikes") for name in axes}
        network.add(*monitors.values())
        network.run((kept + ROUTING) * circuit.dt, namespace={})
        trains = {
            name: (np.rint(np.asarray(monitor.t_) / plan.dt).astype(np.int64) - onset, np.asarray(monitor.i[:]))
            for name, monitor in monitors.items()
        }
    data = xr.Dataset(
        attrs={
            **{f"{name}_{axis}": length for name, lengths in axes.items() for axis, length in lengths.items()},
            "shown_ms": kept * plan.dt * 1e3,
            "window_ms": window * plan.dt * 1e3,
            "dt_ms": plan.dt * 1e3,
            "seed": int(seed),
        }
    )
    for name, (step, neuron) in trains.items():
        data = data.assign(_population(name, step, neuron, kept, axes[name], plan.dt))
    return data


def _population(
    name: str, step: NDArray[np.int64], neuron: NDArray[np.int64], kept: int, axes: dict[str, int], dt: float
) -> dict[str, Any]:
    """Variables of one population, spikes within its window only."""
    first = ROUTING if name == "outputs" else 0
    inside = (step >= first) & (step < first + kept)
    places = np.unravel_index(neuron[inside], tuple(axes.values()))
    time = (step[inside] * dt * 1e3).astype(np.float32)
    coordinates = {axis: place.astype(np.int32) for axis, place in zip(axes, places, strict=True)}
    return {
        f"{name}_time_ms": (f"{name}_spike", time, {"units": "ms"}),
        **{f"{name}_{axis}": (f"{name}_spike", place) for axis, place in coordinates.items()},
    }
