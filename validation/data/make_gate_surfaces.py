"""Compute the surfaces that `validation.data.gate_surfaces` reads; about an hour on two cores.

    python -m validation.data.make_gate_surfaces [PARTS]

Every surface is kept in PARTS as soon as it is done, so that the work may be cut into several processes and resumed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import attrs
import numpy as np

from biospike.theory.barrage import tabulate
from validation.data.gate_surfaces import cases, neuron


def main(parts: Path) -> None:
    """Compute what is missing, then write all that is there."""
    parts.mkdir(parents=True, exist_ok=True)
    done = []
    for name, distance in cases():
        path = parts / f"{name}_{distance}.npz".replace(" ", "_")
        claim = path.with_suffix(".claimed")
        if not path.exists():
            try:
                claim.touch(exist_ok=False)  # by one of several processes
            except FileExistsError:
                continue
            surface = tabulate(attrs.evolve(neuron(name), distance=distance).barrage)
            temporary = path.with_name(f"{os.getpid()}.npz")
            np.savez(temporary, levels=surface.levels, currents=surface.currents, log_rates=surface.log_rates)
            temporary.replace(path)
            print(path.name, flush=True)
        done.append((name, distance, path))
    write(done)


def write(done: list[tuple[str, float | None, Path]]) -> None:
    """One file of all surfaces, padded to the longest."""
    loaded = [dict(np.load(path)) for _, _, path in done]
    most = max(len(one["currents"]) for one in loaded)
    padded = [np.pad(one["log_rates"], ((0, 0), (0, most - len(one["currents"])))) for one in loaded]
    np.savez_compressed(
        Path(__file__).parent / "gate_surfaces.npz",
        allow_pickle=False,
        neuron=np.array([name for name, _, _ in done]),
        distance=np.array([np.nan if distance is None else distance for _, distance, _ in done]),
        levels=np.array([one["levels"] for one in loaded]),
        currents=np.array([[one["currents"][0], one["currents"][-1], len(one["currents"])] for one in loaded]),
        log_rates=np.round(np.array(padded), 6),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "gate_surfaces_parts"))
