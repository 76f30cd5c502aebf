"""NEST's iaf_psc_delta and iaf_psc_exp, driven by weighted spikes through the shortest delay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.conventions.packages import Asked
from validation.conventions.probes import Drive, Neuron
from validation.simulators.nest import load_nest

Array = NDArray[Any]
DT = 0.1
"""ms."""
UNIT = {"E_L": 0.0, "V_th": 1.0, "V_reset": 0.0, "V_m": 0.0}


def _drive(model: str, **parameters: float) -> Drive:
    def drive(inputs: Array) -> Array:
        nest = load_nest()
        nest.ResetKernel()
        nest.resolution = DT
        nest.local_num_threads = 1
        n = inputs.shape[1]
        cells = nest.Create(model, n, params=UNIT | parameters)
        recorder = nest.Create("spike_recorder")
        nest.Connect(cells, recorder, syn_spec={"delay": DT})
        for neuron, cell in enumerate(cells):
            steps = np.flatnonzero(inputs[:, neuron])
            if len(steps):
                # A spike of step t is sent at t + 1 and there at t + 2, in steps: NEST sends nothing at 0.
                source = nest.Create("spike_generator", params={
                    "spike_times": np.round((steps + 1) * DT, 1), "spike_weights": inputs[steps, neuron].astype(float),
                })  # fmt: skip
                nest.Connect(source, cell, syn_spec={"delay": DT})
        nest.Simulate((len(inputs) + 2) * DT)
        events = recorder.events
        counts = np.zeros(inputs.shape, np.int64)
        step = np.rint(events["times"] / DT).astype(int) - 2
        there = (step >= 0) & (step < len(inputs))
        np.add.at(counts, (step[there], np.asarray(events["senders"])[there] - cells[0].global_id), 1)
        return counts

    return drive


def neurons() -> Iterator[Asked]:
    """Inputs that jump the membrane, without and with a refractory period, and those that jump a current."""
    nest = load_nest()
    nest.ResetKernel()
    cell = nest.Create("iaf_psc_delta", params={"V_th": 0.9, "I_e": 100.0})
    nest.Simulate(1.0)
    before = cell.V_m
    nest.Simulate(1.0)
    facts = {
        "rounding of parameters": f"{cell.V_th:.16g} (double)",
        "precision of the membrane": "float64",
        "state between calls": "kept" if cell.V_m > before else "not kept",
    }
    current = {"C_m": 1.0, "tau_m": 10.0, "tau_syn_ex": 2.0}
    for name, drive, tie in (
        ("iaf_psc_delta, t_ref=0", _drive("iaf_psc_delta", t_ref=0.0), 1.0),
        ("iaf_psc_delta, t_ref=2", _drive("iaf_psc_delta", t_ref=2.0), 1.0),
        ("iaf_psc_delta, t_ref=2, refractory_input", _drive("iaf_psc_delta", t_ref=2.0, refractory_input=True), 1.0),
        ("iaf_psc_exp, t_ref=2", _drive("iaf_psc_exp", t_ref=2.0, **current), np.nan),
    ):
        yield Asked(Neuron(name=name, drive=drive, dtype="float64", tie=tie, facts=facts))
        facts = {}
