"""Spikes of Loihi's compartment by two simulators that know its integers: nengo-loihi's emulator, and lava-nc.

``python tests/oracles/golden_loihi.py lava-nc`` writes ``tests/oracles/neurons/lava-nc.npz`` in an environment with
lava-nc 0.10.0, which needs Python 3.10. `emulate` runs nengo-loihi, where it is installed. Nothing of ours is used.

======================== =========== =======
feature                  nengo-loihi lava-nc
======================== =========== =======
decay of u and v, bias   yes         yes
spike test, reset        yes         yes
refractory period        yes         no
clip of v                yes         no
vmin                     yes         no
wrap of u                yes         no
wraps of the two inputs  yes         no
======================== =========== =======

What lava-nc does beyond 24 bits is its own, so its inputs here stay within.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).resolve().parent / "neurons" / "lava-nc.npz"
STEPS, NEURONS = 200, 200
CASES: dict[str, dict[str, int]] = {
    "integrator": {"du": 4095, "dv": 0, "vth": 100, "bias_mant": 0, "bias_exp": 0},
    "leaky": {"du": 4095, "dv": 1024, "vth": 60, "bias_mant": 0, "bias_exp": 0},
    "current": {"du": 700, "dv": 300, "vth": 400, "bias_mant": -9, "bias_exp": 3},
    "biased": {"du": 2000, "dv": 4095, "vth": 20, "bias_mant": 77, "bias_exp": 4},
}


def inputs() -> np.ndarray:
    """Weighted spikes (STEPS, NEURONS), as whole numbers that Loihi shifts by 6 bits: ties with vth are common."""
    return np.random.RandomState(5).randint(-40, 61, (STEPS, NEURONS))


def emulate(given: np.ndarray, *, vmin: int, refractory: int = 0, **parameters: int) -> np.ndarray:
    """Spikes (T, n) of nengo-loihi's compartments under inputs (T, n), which are already shifted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a newer nengo, which this does not use
        from nengo_loihi.block import LoihiBlock  # noqa: PLC0415
        from nengo_loihi.emulator.interface import BlockInfo, CompartmentState  # noqa: PLC0415

    n = given.shape[1]
    block = LoihiBlock(n)
    compartment = block.compartment
    compartment.decay_u = np.full(n, parameters["du"], np.int32)
    compartment.decay_v = np.full(n, parameters["dv"], np.int32)
    compartment.vth = np.full(n, 64 * parameters["vth"], np.int32)
    compartment.bias = np.full(n, parameters["bias_mant"] * 2 ** parameters["bias_exp"], np.int32)
    compartment.refract_delay = np.full(n, refractory, np.int32)
    compartment.vmin, compartment.vmax = vmin, 2**23 - 1
    compartment.scale_u = compartment.scale_v = False
    state, spikes = CompartmentState(BlockInfo([block]), strict=False), np.zeros(given.shape, np.int8)
    for t, row in enumerate(given):
        state.input[0] = row
        state.update(np.random.RandomState(0))
        spikes[t] = state.spiked
    return spikes


def _lava(given: np.ndarray, **parameters: int) -> np.ndarray:
    from lava.magma.core.run_conditions import RunSteps  # noqa: PLC0415
    from lava.magma.core.run_configs import Loihi1SimCfg  # noqa: PLC0415
    from lava.proc.io.sink import RingBuffer as Sink  # noqa: PLC0415
    from lava.proc.io.source import RingBuffer as Source  # noqa: PLC0415
    from lava.proc.lif.process import LIF  # noqa: PLC0415

    steps, n = given.shape
    source, lif = Source(data=given.T), LIF(shape=(n,), **parameters)
    sink = Sink(shape=(n,), buffer=steps)
    source.s_out.connect(lif.a_in)
    lif.s_out.connect(sink.a_in)
    lif.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi1SimCfg(select_tag="fixed_pt"))
    spikes = sink.data.get().T.astype(np.int8)
    lif.stop()
    return spikes


def read() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Spikes of every case by lava-nc, (STEPS, NEURONS), and the versions that made them."""
    with np.load(FILE, allow_pickle=False) as archive:
        spikes = {name: archive[name] for name in archive.files if name != "versions"}
        return spikes, json.loads(str(archive["versions"]))


def main() -> None:
    """Run every case by lava-nc, and write the file."""
    spikes: dict[str, Any] = {name: _lava(inputs(), **case) for name, case in CASES.items()}
    print({name: int(one.sum()) for name, one in spikes.items()})
    versions = {name: importlib.metadata.version(name) for name in ("lava-nc", "numpy")}
    versions["python"] = sys.version.split()[0]
    np.savez_compressed(FILE, versions=json.dumps(versions), **spikes)


if __name__ == "__main__":
    main()
