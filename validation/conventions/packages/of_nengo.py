"""Nengo's LIF, by the step of the neuron type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.conventions.packages import Asked
from validation.conventions.packages.quietly import imported
from validation.conventions.probes import Drive, Neuron

Array = NDArray[Any]
DT = 1e-3


def _drive(**options: float) -> Drive:
    def drive(inputs: Array) -> Array:
        nengo = imported("nengo")
        lif = nengo.LIF(**options, initial_state={"voltage": nengo.dists.Choice([0])})
        n = inputs.shape[1]
        state = lif.make_state(n, dtype=np.float64)
        output, counts = np.zeros(n), np.zeros(inputs.shape, np.int64)
        for t, current in enumerate(inputs):
            lif.step(DT, current, output, **state)
            counts[t] = np.rint(output * DT)  # a spike is 1/dt
        return counts

    return drive


def neurons() -> Iterator[Asked]:
    """The default, and a time constant with which a step takes half of the input."""
    nengo = imported("nengo")
    network = nengo.Network(seed=0)
    with network:
        one = nengo.Ensemble(1, 1, neuron_type=nengo.LIF(), gain=[1.0], bias=[1.2])
        probe = nengo.Probe(one.neurons, "voltage")
    with nengo.Simulator(network, dt=DT, progress_bar=False) as simulator:
        simulator.run(5 * DT)
        simulator.run(5 * DT)
        voltage = simulator.data[probe]
    facts = {
        "rounding of parameters": f"{nengo.LIF(tau_rc=0.9).tau_rc:.16g} (Python number)",
        "precision of the membrane": f"{voltage.dtype} in the reference simulator",
        "state between calls": "kept" if voltage[5, 0] > voltage[4, 0] > 0 else "not kept",
    }
    half = DT / np.log(2)
    tie = 2.0 if -np.expm1(-DT / half) == 0.5 else np.nan
    yield Asked(Neuron(name="LIF()", drive=_drive(), dtype="float64", unit=20.0, facts=facts))
    name = "LIF(tau_rc=dt/ln 2, tau_ref=0)"
    yield Asked(Neuron(name=name, drive=_drive(tau_rc=half, tau_ref=0.0), dtype="float64", tie=tie))
