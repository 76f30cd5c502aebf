"""Spiking interneurons in NEST: the same neurons and synapses, from key to interneuron and back without any hub.

Voltages are counted from rest and C_m has the value of tau_m, as `validation.simulators.mapping` says; a synapse is a
current of ``iaf_psc_exp``, which NEST integrates exactly within a step. Every measure is one number, or one sample of
numbers, a seed; how far the two simulators are apart is ranked among the distances of relabelled seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike import record
from biospike.circuit import Batch
from biospike.ideal.softmax import softmax
from circuits.softmax import Interneurons
from validation.simulators import measures
from validation.simulators import nest as simulator
from validation.simulators.cases import Spikes
from validation.simulators.mapping import lif_parameters, milliseconds, noise_amplitude

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

SEEDS = 8
SECONDS = 3.0
SETTLE = 0.2
"""Seconds that are left out: the synapses of NEST start empty."""
WINDOW = 0.1
"""Seconds of the windows of the Fano factor."""
BIN = 0.005
"""Seconds of the bins of the correlation."""
PAIRS = 10
"""Interneurons whose pairs are correlated."""
NEST = {
    "measure": "of keys, or of interneurons: rate, Hz; cv of the intervals of a neuron; fano, variance of the spikes "
    f"of all of them in windows of {WINDOW:g} s over their mean; correlation of two interneurons in bins of {BIN:g} s; "
    "shares",
    "brian2, nest": "mean over seeds; of a sample (`sample of`) mean Kolmogorov-Smirnov distance between seeds; of "
    "shares total variation from softmax",
    "difference, low, high": "of the means, 95 % interval (Welch); of a sample or shares distance between the two, and "
    "95 % of it among relabelled seeds",
    "seed_to_seed": "standard deviation, or distance, between seeds of one simulator",
    "rank": "fraction of relabelled seeds that are as far apart: small if the simulators differ",
}


load_nest = simulator.load_nest
ROW = np.array([0.0, -0.2, -0.5, -0.8, -1.2, -1.6, -2.0, -2.5, -3.0, -3.5])
"""Logits of ten keys."""


def run_nest(nest: Any, circuit: Interneurons, logits: Array, *, steps: int, seed: int) -> tuple[Spikes, Spikes]:
    """Spikes of the neurons of all keys of a row, member after member, and of its interneurons."""
    dt, members = circuit.dt, circuit.members
    state = circuit.state(Batch(logits[None], np.zeros(1, int), np.zeros(1, int), seed), dt)
    simulator._reset(nest, dt, seed)
    keys = _cells(nest, circuit.cell, np.repeat(state["keys.mean"][0], members), state["keys.v"][0].ravel(), dt,
                  circuit.siegert_sigma, tau_syn_in=milliseconds(circuit.tau_gaba))  # fmt: skip
    pool = _cells(nest, circuit.interneuron, np.full(circuit.interneurons, state["interneurons.drive"]),
                  state["interneurons.v"][0], dt, np.sqrt(2) * circuit.sigma_i,
                  tau_syn_ex=milliseconds(circuit.tau_ampa))  # fmt: skip
    delay = milliseconds(circuit.delay)
    excite = float(circuit.point().j_ei / float(circuit.tau_ampa)) * 1e3
    inhibit = float(circuit.inhibition_level / circuit.interneuron_rate / circuit.tau_gaba) * 1e3
    nest.Connect(keys, pool, "all_to_all", {"weight": excite, "delay": delay})
    nest.Connect(pool, keys, "all_to_all", {"weight": -inhibit / circuit.interneurons, "delay": delay})
    recorders = [nest.Create("spike_recorder") for _ in range(2)]
    for cells, recorder in zip((keys, pool), recorders, strict=True):
        nest.Connect(cells, recorder, syn_spec={"delay": milliseconds(dt)})
    nest.Simulate(round(steps * milliseconds(dt), 9))
    return _read(recorders[0], keys, dt), _read(recorders[1], pool, dt)


def _cells(nest: Any, cell: Any, drive: Array, v: Array, dt: Quantity, sigma: Quantity, **synapse: float) -> Any:
    parameters = lif_parameters(cell, dt, drive * b2.volt) | {"V_m": (v - float(cell.v_rest)) * 1e3} | synapse
    cells = nest.Create("iaf_psc_exp", len(drive), simulator._listed(parameters))
    simulator._add_noise(nest, cells, noise_amplitude(sigma, cell.tau_m, dt), dt)
    return cells


def _read(recorder: Any, cells: Any, dt: Quantity) -> Spikes:
    events = recorder.events
    step = np.rint(np.asarray(events["times"]) / milliseconds(dt)).astype(np.int64) - 1
    neuron = np.asarray(events["senders"], dtype=np.int64) - int(cells[0].global_id)
    order = np.lexsort((neuron, step))
    return Spikes(step[order], neuron[order])


def run_brian2(
    circuit: Interneurons, logits: Array, *, steps: int, seed: int, target: str
) -> list[tuple[Spikes, Spikes]]:
    """The same of `SEEDS` trials."""
    data = record(circuit, logits[None], duration=steps * circuit.dt, trials=range(SEEDS), neurons=[0],
                  variables=("v",), every=0.1 * b2.second, seed=seed, target=target)  # fmt: skip
    return [(_of_trial(data, "", trial, circuit.members), _of_trial(data, "interneuron_", trial, 0))
            for trial in range(SEEDS)]  # fmt: skip


def _of_trial(data: xr.Dataset, prefix: str, trial: int, members: int) -> Spikes:
    mine = data[f"{prefix}spike_trial"].values == trial
    step, member = (data[f"{prefix}spike_{name}"].values[mine] for name in ("step", "member"))
    key = data["spike_key"].values[mine] * members if members else 0
    return Spikes(step, key + member)


def measured(found: tuple[Spikes, Spikes], circuit: Interneurons, keys: int, steps: int) -> dict[str, Any]:
    """Numbers and samples of one seed."""
    dt, first = float(circuit.dt), round(SETTLE / float(circuit.dt))
    values: dict[str, Any] = {}
    length = (steps - first) * dt
    for name, spikes, cells in zip(("keys", "interneurons"), found, (keys * circuit.members, circuit.interneurons),
                                   strict=True):  # fmt: skip
        late = spikes.step >= first
        step, neuron = spikes.step[late] - first, spikes.neuron[late]
        count = np.bincount(neuron, minlength=cells)
        windows = np.bincount(step // round(WINDOW / dt), minlength=int(length / WINDOW + 1e-9))[: int(length / WINDOW)]
        cvs = _cvs(step, neuron, cells)
        values |= {f"rate of {name}": count.mean() / length, f"fano of {name}": windows.var(ddof=1) / windows.mean(),
                   f"cv of {name}": float(cvs.mean()), f"sample of rates of {name}": count / length,
                   f"sample of cv of {name}": cvs}  # fmt: skip
        if name == "interneurons":
            values |= _correlation(step, neuron, round(BIN / dt), steps - first)
        else:
            values["counts"] = count.reshape(keys, circuit.members).sum(axis=1)
    return values


def _cvs(step: NDArray[np.int64], neuron: NDArray[np.int64], cells: int) -> Array:
    order = np.lexsort((step, neuron))
    gap, own = np.diff(step[order]), neuron[order][1:]
    same = np.diff(neuron[order]) == 0
    number, total, square = (np.bincount(own[same], weights=gap[same].astype(float) ** power, minlength=cells)
                             for power in (0, 1, 2))  # fmt: skip
    some = number >= 5
    mean = total[some] / number[some]
    return np.asarray(np.sqrt(np.maximum(square[some] / number[some] - mean**2, 0)) / mean)


def _correlation(step: NDArray[np.int64], neuron: NDArray[np.int64], width: int, steps: int) -> dict[str, Any]:
    binned = np.zeros((PAIRS, steps // width))
    some = (neuron < PAIRS) & (step < steps // width * width)
    np.add.at(binned, (neuron[some], step[some] // width), 1)
    pairs = np.corrcoef(binned)[np.triu_indices(PAIRS, 1)]
    return {"correlation of interneurons": float(pairs.mean()), "sample of correlations of interneurons": pairs}


def nest_table(circuit: Interneurons, logits: Array, *, seed: int, target: str) -> pd.DataFrame:
    """Columns `NEST`: the agreement of NEST and Brian2 on a row without masked keys.

    Raises
    ------
    InputError
        If NEST is not installed.
    """
    nest, keys, steps = simulator.load_nest(), len(logits), round(SECONDS / float(circuit.dt))
    theirs = [run_nest(nest, circuit, logits, steps=steps, seed=seed + one + 1) for one in range(SEEDS)]
    ours = run_brian2(circuit, logits, steps=steps, seed=seed, target=target)
    both = [[measured(one, circuit, keys, steps) for one in some] for some in (ours, theirs)]
    ways, rows = measures.labels(SEEDS, SEEDS), []
    for name in both[0][0]:
        values = [[one[name] for one in some] for some in both]
        if name == "counts":
            mine, others = (np.array(some)[:, None] for some in values)
            found = measures.compare_shares(mine, others, softmax(logits[None]), ways)
        elif name.startswith("sample"):
            found = measures.compare_distances(measures.ks_distances([*values[0], *values[1]]), SEEDS, ways)
        else:
            found = measures.compare_scalar(np.array(values[0]), np.array(values[1]), ways)
        rows.append({"measure": "shares" if name == "counts" else name} | found._asdict())
    return pd.DataFrame(rows)
