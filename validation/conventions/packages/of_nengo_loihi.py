"""The compartments of nengo-loihi's emulator, without synapses: inputs are what weights add up to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.ideal.hardware_lif import Loihi
from validation.conventions.packages import Asked
from validation.conventions.packages.quietly import imported
from validation.conventions.probes import Drive, Neuron

Array = NDArray[Any]
VTH = 100


def _drive(kind: Loihi) -> Drive:
    def drive(inputs: Array) -> Array:
        blocks, emulator = imported("nengo_loihi.block"), imported("nengo_loihi.emulator.interface")
        n = inputs.shape[1]
        block = blocks.LoihiBlock(n)
        compartment = block.compartment
        whole = {"decay_u": kind.du, "decay_v": kind.dv, "vth": 64 * kind.vth, "bias": 0}
        for name, value in (whole | {"refract_delay": kind.refractory}).items():
            setattr(compartment, name, np.full(n, value, np.int32))
        compartment.vmin, compartment.vmax = kind.vmin, 2**23 - 1
        compartment.scale_u = compartment.scale_v = False
        with np.errstate(invalid="ignore"):  # it fills whole numbers with NaN first
            state = emulator.CompartmentState(emulator.BlockInfo([block]), strict=False)
        spikes, draws = np.zeros(inputs.shape, np.int64), np.random.RandomState(0)
        for t, row in enumerate(inputs):
            state.input[0] = row
            state.update(draws)
            spikes[t] = state.spiked
        return spikes

    return drive


def neurons() -> Iterator[Asked]:
    """A membrane that keeps three quarters in a step, without and with a refractory period."""
    facts = {"precision of the membrane": "int32, 24 bits of it", "state between calls": "kept"}
    for refractory in (0, 5):
        kind = Loihi(dv=1024, vth=VTH, refractory=refractory, input_wraps=True)
        neuron = Neuron(name=f"compartment, decay_v=1024, refract_delay={refractory}", drive=_drive(kind),
                        dtype="int64", unit=64.0 * VTH, tie=64.0 * VTH, facts=facts)  # fmt: skip
        yield Asked(neuron, "loihi", kind)
        facts = {}
