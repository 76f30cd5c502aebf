"""Brian2: a leaky neuron that synapses drive, with the default schedule and no delay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike import runtime
from biospike.session import assemble
from validation.conventions.packages import Asked
from validation.conventions.probes import Drive, Neuron

import brian2 as b2

Array = NDArray[Any]
DT = 0.1 * b2.ms
LEAKY = "dv/dt = -v/(10*ms) : 1"


def _drive(cell: str, refractory: float, reset: str = "v = 0") -> Drive:
    def drive(inputs: Array) -> Array:
        step, neuron = np.nonzero(inputs)
        n = inputs.shape[1]
        with runtime.preferences("numpy", float(DT)):
            group = b2.NeuronGroup(
                n, cell, threshold="v > 1", reset=reset, refractory=refractory * b2.ms, method="exact", dt=DT
            )
            source = b2.SpikeGeneratorGroup(max(len(step), 1), np.arange(len(step)), step * DT, dt=DT)
            synapses = b2.Synapses(source, group, "w : 1", on_pre="v_post += w", dt=DT)
            synapses.connect(i=np.arange(len(step)), j=neuron)
            synapses.w = inputs[step, neuron]
            spikes = b2.SpikeMonitor(group)
            assemble(group, source, synapses, spikes).run(len(inputs) * DT, namespace={})
            counts = np.zeros(inputs.shape, np.int64)
            np.add.at(counts, (np.rint(np.asarray(spikes.t / DT)).astype(int), np.asarray(spikes.i)), 1)
        return counts

    return drive


def neurons() -> Iterator[Asked]:
    """Without leak, where a tie is exact, and leaky with refractory periods."""
    facts = _facts()
    for name, drive, tie in (
        ("v : 1, v > 1, v_post += w, reset v -= 1", _drive("v : 1", 0.0, "v -= 1"), 1.0),
        ("dv/dt, v > 1, v_post += w, reset v = 0", _drive(LEAKY, 0.0), np.nan),
        ("dv/dt, ..., refractory=0.1*ms (one step)", _drive(LEAKY, 0.1), np.nan),
        ("dv/dt, ..., refractory=2*ms", _drive(LEAKY, 2.0), np.nan),
        ("dv/dt (unless refractory), ..., refractory=2*ms", _drive(f"{LEAKY} (unless refractory)", 2.0), np.nan),
    ):
        yield Asked(Neuron(name=name, drive=drive, tie=tie, facts=facts))
        facts = {}


def _facts() -> dict[str, str]:
    group = b2.NeuronGroup(1, "dv/dt = 1/second : 1\na : 1 (constant)", method="euler", dt=DT)
    group.a = 0.9
    with runtime.preferences("numpy", float(DT)):
        network, seen = assemble(group), []
        for _ in range(2):
            network.run(10 * DT, namespace={})
            seen.append(float(group.v[0]))
    return {
        "rounding of parameters": f"{float(group.a[0]):.16g} ({group.variables['a'].dtype.__name__})",
        "precision of the membrane": group.variables["v"].dtype.__name__,
        "state between calls": "kept" if seen[1] > seen[0] > 0 else "not kept",
    }
