"""Full spike trains, membranes and inhibition of one row: what a raster shows.

The seeds and equations are those of `biospike.simulation.simulate`, so the spikes are the same; only the row is
recorded spike by spike, on the numpy target, which needs no build.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from biospike import execution, runtime
from biospike.circuit import Batch, Circuit, Shape, check_rows
from biospike.errors import InputError, RunError
from biospike.ideal.softmax import check_logits, softmax
from biospike.metrics import shares
from biospike.parameters import parse_quantity

import brian2 as b2
from brian2.units.fundamentalunits import Quantity, get_dimensions

SHOWN_UNITS = {"mV": b2.mV, "Hz": b2.Hz, "ms": b2.ms, "nS": b2.nS, "nA": b2.nA}
"""Units in which traces are shown; anything else is dimensionless."""


def record(
    circuit: Circuit, logits: ArrayLike, *, duration: Quantity | str, seed: int = 0, row: int = 0, traced: int = 3
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
    window = parse_quantity(duration, like=0.2 * b2.second)
    if window <= 0 * b2.second:
        raise InputError(f"duration must be above 0 s, got {window}")
    execution.check_counts(1, seed)
    for name, value, least in (("row", row, 0), ("traced", traced, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    check_rows(row + 1, values.shape[1])
    dt = circuit.dt
    circuit.check(dt)
    circuit.check_rows(values, dt)
    keys = values.shape[1]
    order = np.argsort(-np.nan_to_num(values[0], nan=-np.inf), kind="stable")
    shown = np.sort(order[: min(traced, int(np.isfinite(values).sum()))])
    batch = Batch(values, np.zeros(1, dtype=np.int64), np.full(1, row), seed)
    with runtime.preferences("numpy", float(dt)):
        network = circuit.build(Shape(1, keys, 1))
        runtime.assign(
            network,
            {
                **circuit.state(batch, dt),
                "keys.seed": seed,
                "keys.trial": 0,
                "keys.index": batch.index,
                "keys.checkpoint_0": 0,
            },
            circuit.name,
        )
        spikes = b2.SpikeMonitor(network["keys"], name="spikes")
        # Before the resets, so that the crossing of the threshold is seen.
        membrane = b2.StateMonitor(
            network["keys"], circuit.membrane, record=shown, when="after_thresholds", name="membrane"
        )
        inhibition = b2.StateMonitor(
            network["hub"], circuit.inhibition, record=[0], when="after_thresholds", name="hub_trace"
        )
        network.add(spikes, membrane, inhibition)
        network.run(window, namespace={})
        runtime.check_ending(network, circuit.name)
        spike_key = np.array(spikes.i[:])
        masked = np.isnan(values[0, spike_key])
        if masked.any():
            raise RunError(f"{circuit.name}: key {spike_key[masked][0]}, which is masked, spiked")
        data = xr.Dataset(
            {
                "spike_time_ms": ("spike", np.array(spikes.t / b2.ms)),
                "spike_key": ("spike", spike_key),
                "membrane": (("trace_key", "time"), np.array(getattr(membrane, f"{circuit.membrane}_"))),
                "inhibition": ("time", np.array(getattr(inhibition, f"{circuit.inhibition}_")[0])),
                "share": ("key", shares(np.bincount(spike_key, minlength=keys).astype(float))),
                "softmax": ("key", softmax(values)[0]),
                "limit": ("key", circuit.limit(values)[0]),
            },
            coords={"time_ms": ("time", np.array(membrane.t / b2.ms)), "trace_key": shown},
        )
        dimensions = {
            "membrane": network["keys"].variables[circuit.membrane].dim,
            "inhibition": network["hub"].variables[circuit.inhibition].dim,
        }
    units = {}
    for name, dimension in dimensions.items():
        unit = next((unit for unit in SHOWN_UNITS if get_dimensions(SHOWN_UNITS[unit]) is dimension), "")
        units[name] = unit
        data[name] = data[name] / float(SHOWN_UNITS.get(unit, 1.0))
    data.attrs = {
        "circuit": circuit.name,
        "seed": seed,
        "membrane_units": units["membrane"],
        "inhibition_units": units["inhibition"],
        "inhibition_name": circuit.inhibition,
        "threshold": circuit.threshold,
    }
    return data
