"""Spike trains, membranes and inhibition of one row: what a raster shows, from `biospike.record`."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits, softmax
from biospike.metrics import shares
from biospike.row_recording import record_rows

from brian2.units.fundamentalunits import Quantity


def record(
    circuit: Circuit,
    logits: ArrayLike,
    *,
    duration: Quantity | str,
    seed: int = 0,
    row: int = 0,
    traced: int = 3,
    target: str = "auto",
) -> xr.Dataset:
    """Simulate one row and keep everything a raster needs.

    Parameters
    ----------
    circuit
        As for `simulate`.
    logits
        Array (keys,), nats; NaN or -inf masks a key.
    duration
        Window.
    seed, row
        Trial 0 of row `row` of a study with this seed is reproduced spike by spike.
    traced
        Of how many keys, the ones of the largest logits first, the membrane is kept.
    target
        As of `biospike.record`.

    Returns
    -------
    xarray.Dataset
        `spike_time_ms` and `spike_key` (spike); `membrane` (trace_key, time) and `inhibition` (time) at `time_ms`;
        `share`, `softmax`, `limit` (key). Attributes: circuit, threshold, names and units of the traces.
    """
    if not isinstance(circuit, Circuit):
        raise InputError(f"circuit must be a Circuit such as Race(), got {circuit!r}")
    values = check_logits(logits)
    if values.shape[0] != 1:
        raise InputError(f"a raster shows one row of logits, got {values.shape[0]}")
    if isinstance(traced, bool) or not isinstance(traced, (int, np.integer)) or traced < 1:
        raise InputError(f"traced must be a whole number of at least 1, got {traced!r}")
    order = np.argsort(-np.nan_to_num(values[0], nan=-np.inf), kind="stable")
    shown = np.sort(order[: min(traced, int(np.isfinite(values).sum()))])
    found = record_rows(
        circuit, values, duration=duration, neurons=shown.tolist(), seed=seed, target=target, first_row=row
    )
    membrane, inhibition = found[f"keys_{circuit.membrane}"], found[f"hub_{circuit.inhibition}"]
    spike_key, units = found["spike_key"].values, {"1": ""}
    return xr.Dataset(
        {
            "spike_time_ms": ("spike", found["spike_time_ms"].values),
            "spike_key": ("spike", spike_key),
            "membrane": (("trace_key", "time"), membrane.values[0, 0]),
            "inhibition": ("time", inhibition.values[0, 0]),
            "share": ("key", shares(np.bincount(spike_key, minlength=values.shape[1]).astype(float))),
            "softmax": ("key", softmax(values)[0]),
            "limit": ("key", circuit.limit(values)[0]),
        },
        coords={"time_ms": ("time", found["time_ms"].values), "trace_key": shown},
        attrs={
            "circuit": circuit.name,
            "seed": seed,
            "membrane_units": units.get(membrane.attrs["units"], membrane.attrs["units"]),
            "inhibition_units": units.get(inhibition.attrs["units"], inhibition.attrs["units"]),
            "inhibition_name": circuit.inhibition,
            "threshold": circuit.threshold,
        },
    )
