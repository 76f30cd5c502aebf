"""Measure the f-I curves that `circuits.softmax.stored_curves` stores: keys of a circuit, with the loop open.

    python validation/data/measure_curves.py adex hodgkin_huxley

Every drive is a row of its own; the row's inhibition is held at 0. Slow drives are run for longer. It takes some
minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import standalone
from biospike.circuit import KEY_STRIDE, Batch, Shape
from biospike.theory.barrage import tabulate
from circuits.softmax.adex import AdEx
from circuits.softmax.conductance import Conductance
from circuits.softmax.hodgkin_huxley import HodgkinHuxley
from circuits.softmax.stored_curves import cell_parameters
from circuits.softmax.subtracted import Subtracted

import brian2 as b2

KEYS = 4096
ROWS = 16
ONSET = 1.0
"""Seconds that are not counted: seven time constants of the adaptation."""
SECONDS = {"adex": (4.0, 60.0), "hodgkin_huxley": (0.5, 0.5)}
"""How long, beyond the onset, the fast and the slow half of the drives are run."""
DRIVES = {"adex": np.linspace(-70e-3, -39e-3, 2 * ROWS), "hodgkin_huxley": np.linspace(-74e-3, -40e-3, 2 * ROWS)}
"""Volt."""
LEAST_SPIKES = 20
"""Of a drive whose rate is stored."""


def measure(circuit: Subtracted, drives: NDArray[np.float64], seconds: float, seed: int) -> NDArray[np.int64]:
    """Spikes of every drive in `seconds`, of the same number of keys each."""
    dt = circuit.dt
    row = np.repeat(np.arange(ROWS), KEYS // ROWS)
    state: dict[str, Any] = start(circuit, drives[row], dt) | {
        "keys.mean": drives[row],
        "keys.unmasked": True,
        "keys.occupied": KEYS,
        "keys.seed": seed,
        "keys.hub_index": row,
        "keys.trial": 0,
        "keys.index": row * KEY_STRIDE + np.arange(KEYS) % (KEYS // ROWS),
        "keys.checkpoint_0": round(ONSET / float(dt)),
        "hub.I": 0.0,
        "hub.activity": 0.0,
        "hub.w": 0.0,
        "hub.R0": float(circuit.rate),
        "hub.tau_inh": float(circuit.tau_inh),
    }
    binary = standalone.build(attrs.evolve(circuit, members=1), Shape(ROWS, KEYS, 1))
    names = ["keys.spike_count", "keys.count_0"]
    found = standalone.run(binary, state, float(dt), ONSET + seconds, names)
    late = found["keys.spike_count"] - found["keys.count_0"]
    return np.bincount(row, weights=late, minlength=ROWS).astype(np.int64)


def start(circuit: Subtracted, drive: NDArray[np.float64], dt: Any) -> dict[str, Any]:
    """State of a circuit's keys, all at one potential under the onset of a spike."""
    rest = np.minimum(drive, -65e-3)
    if isinstance(circuit, HodgkinHuxley):
        return {"keys.v": rest, **circuit.constants(rest, dt)}
    one = Batch(np.zeros((1, 1)), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 0)
    return attrs.evolve(circuit, members=1).state(one, dt) | {"keys.v": rest, "keys.adaptation": 0.0}


def table(circuit: Subtracted, seed: int = 1) -> str:
    """Lines of the stored file."""
    drives, spikes, seconds = DRIVES[circuit.name], [], []
    for half, time in zip((drives[ROWS:], drives[:ROWS]), SECONDS[circuit.name], strict=True):
        spikes.append(measure(circuit, half, time, seed))
        seconds.append(np.full(ROWS, time * KEYS / ROWS))
    counts, spans = np.concatenate(spikes[::-1]), np.concatenate(seconds[::-1])
    lines = [f"# measured by validation/data/measure_curves.py {circuit.name}, seed {seed}, Brian2 {b2.__version__}"]
    lines += [f"# {name} = {value!r}" for name, value in cell_parameters(circuit).items()]
    lines += ["drive_volt,rate_hz,spikes"]
    lines += [f"{d:.6g},{c / t:.8g},{c}" for d, c, t in zip(drives, counts, spans, strict=True) if c >= LEAST_SPIKES]
    return "\n".join(lines) + "\n"


def surface_table() -> str:
    """Lines of the stored file of `conductance`, which is computed."""
    barrage = Conductance().barrage
    surface = tabulate(barrage)
    told = attrs.asdict(barrage.cell) | attrs.asdict(barrage.background) | {"v_barrage": barrage.v_barrage}
    lines = ["# computed by validation/data/measure_curves.py conductance"]
    lines += [f"# {name} = {value!r}" for name, value in told.items()]
    lines += ["level,current_ampere,log_rate_hz"]
    for level, row in zip(surface.levels, surface.log_rates, strict=True):
        lines += [
            f"{float(level)!r},{float(current)!r},{value:.8f}"
            for current, value in zip(surface.currents, row, strict=True)
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the tables of the named circuits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("circuits", nargs="+", choices=("adex", "conductance", "hodgkin_huxley"))
    folder = Path(__file__).parents[2] / "circuits" / "softmax" / "curves"
    measured = {"adex": AdEx(), "hodgkin_huxley": HodgkinHuxley()}
    for name in parser.parse_args().circuits:
        text = table(measured[name]) if name in measured else surface_table()
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
