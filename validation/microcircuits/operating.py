"""The rate of a neuron at which a rung does best: its bias grows with the rate, its sampling error falls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from biospike.packing import Plan
from biospike.simulation import plan
from biospike.tables import summarise
from validation.microcircuits.rungs import FEWER, Preset

import brian2 as b2

Array = NDArray[np.float64]

RATES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 40.0, 80.0)
"""Hz of a neuron that is alone in its row."""
MEMBERS = 16


def at_rates(circuits: Sequence[Circuit], rows: Array) -> list[Circuit]:
    """Every kind of rung once, with `MEMBERS` neurons a key, at every rate that it takes on these rows."""
    found = []
    for kind in dict.fromkeys(type(circuit) for circuit in circuits):
        fields = {field.name for field in attrs.fields(kind)}
        for rate in RATES if {"rate", "members"} <= fields else ():
            try:
                circuit = kind(rate=rate * b2.Hz, members=MEMBERS)  # type: ignore[call-arg]
                circuit.check(circuit.dt)
                circuit.check_rows(rows, circuit.dt)
            except InputError:
                continue
            found.append(circuit)
    return found


def simulated(circuits: Iterable[Circuit], preset: Preset) -> list[Circuit]:
    """Those of them that are simulated: not of rungs whose neurons cost too much for all rows."""
    return [circuit for circuit in circuits if _rate(circuit) in preset.rates and circuit.name not in FEWER]


def operating_plans(circuits: Iterable[Circuit], rows: Array, preset: Preset, seed: int) -> list[Plan]:
    """Of every circuit of `simulated`."""
    duration = preset.seconds * b2.second
    return [
        plan(circuit, rows, duration=duration, trials=preset.trials, seed=seed + 2, checkpoints=1)
        for circuit in simulated(circuits, preset)
    ]


def operating_table(
    circuits: Sequence[Circuit], rows: Array, results: Iterable[xr.Dataset], preset: Preset
) -> pd.DataFrame:
    """Bias and expected error at every rate, and what was simulated."""
    p, table = softmax(rows), []
    for circuit in circuits:
        limit = circuit.limit(rows)
        spikes = circuit.members * _rate(circuit) * preset.seconds
        law = circuit.expected_tv(limit, np.full(len(rows), spikes), p)
        table.append({
            "circuit": circuit.name, "rate_per_neuron": _rate(circuit), "neurons_per_key": circuit.members,
            "spikes": spikes, "limit_tv": float(total_variation(limit, p).mean()),
            "expected_tv": np.nan if law is None else float(np.mean(law)), "tv": np.nan, "tv_low": np.nan,
            "tv_high": np.nan,
        })  # fmt: skip
    for circuit, data in zip(simulated(circuits, preset), results, strict=True):
        last = summarise(data, circuit).iloc[-1]
        table[circuits.index(circuit)] |= {name: last[name] for name in ("tv", "tv_low", "tv_high")}
    return _with_best(table)


def _rate(circuit: Any) -> float:
    return float(circuit.rate)


def _with_best(table: list[dict[str, Any]]) -> pd.DataFrame:
    least: dict[str, float] = {}
    for row in table:
        if row["expected_tv"] < least.get(row["circuit"], np.inf):
            least[row["circuit"]] = row["expected_tv"]
    columns = ["circuit", "rate_per_neuron", "neurons_per_key", "spikes", "limit_tv", "expected_tv", "best", "tv",
               "tv_low", "tv_high"]  # fmt: skip
    return pd.DataFrame(
        [row | {"best": row["expected_tv"] == least.get(row["circuit"])} for row in table], columns=columns
    )
