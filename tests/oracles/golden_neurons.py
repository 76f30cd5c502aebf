"""Spikes of other packages' own neurons, as files that tests read where no such package is installed.

``python tests/oracles/golden_neurons.py PACKAGE`` writes ``tests/oracles/neurons/PACKAGE.npz`` in an environment that
has the package: for every case the number of spikes of every step and neuron, and the versions that made them. Nothing
of ours is used: neurons are made and driven as the package's documentation does, in its own precision.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILES = Path(__file__).resolve().parent / "neurons"
STEPS, NEURONS = 100, 500
SCALES = {
    "LIFCell": 8.0, "LIFCell dyadic": 2.0, "LIFBoxCell": 16.0, "LIFBoxCell dyadic": 2.0,
    "LIF": 16.0, "LIF norm_input=False": 1.0, "IAF": 1.0,
    "LIFNodes": 8.0,
}  # fmt: skip
"""Factor of the inputs of every case, so that neurons fire and the dyadic half meets the threshold exactly."""


def inputs(scale: float) -> np.ndarray:
    """Random inputs, then multiples of 1/8, times `scale`: (STEPS, 2*NEURONS) in float32, half of the 10^5 each."""
    draws = np.random.RandomState(20)  # whose stream is the same for ever
    both = [draws.uniform(-0.5, 2, (STEPS, NEURONS)), draws.randint(-4, 17, (STEPS, NEURONS)) / 8]
    return (scale * np.hstack(both)).astype(np.float32)


def read(package: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Numbers of spikes of every case of a package, (STEPS, 2*NEURONS), and the versions that made them."""
    with np.load(FILES / f"{package}.npz", allow_pickle=False) as archive:
        counts = {name: archive[name] for name in archive.files if name != "versions"}
        return counts, json.loads(str(archive["versions"]))


def _norse() -> dict[str, Callable[[Any], Any]]:
    import norse.torch as norse  # noqa: PLC0415
    import torch  # noqa: PLC0415

    def run(cell: Any) -> Callable[[Any], Any]:
        def drive(x: Any) -> Any:
            spikes, state = [], None
            for row in torch.from_numpy(x):
                z, state = cell(row, state)
                spikes.append(z.detach())
            return torch.stack(spikes)

        return drive

    half = torch.as_tensor(500.0)
    return {
        "LIFCell": run(norse.LIFCell()),
        "LIFCell dyadic": run(norse.LIFCell(norse.LIFParameters(tau_mem_inv=half, tau_syn_inv=half))),
        "LIFBoxCell": run(norse.LIFBoxCell()),
        "LIFBoxCell dyadic": run(norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=half))),
    }


def _sinabs() -> dict[str, Callable[[Any], Any]]:
    import torch  # noqa: PLC0415
    from sinabs import layers  # noqa: PLC0415

    def run(layer: Any) -> Callable[[Any], Any]:
        return lambda x: layer(torch.from_numpy(x)[None])[0].detach()

    return {
        "LIF": run(layers.LIF(tau_mem=20.0)),
        "LIF norm_input=False": run(layers.LIF(tau_mem=20.0, norm_input=False)),
        "IAF": run(layers.IAF()),
    }


def _bindsnet() -> dict[str, Callable[[Any], Any]]:
    import torch  # noqa: PLC0415
    from bindsnet.network import Network  # noqa: PLC0415
    from bindsnet.network.monitors import Monitor  # noqa: PLC0415
    from bindsnet.network.nodes import LIFNodes  # noqa: PLC0415

    def drive(x: Any) -> Any:
        network, nodes = Network(dt=1.0), LIFNodes(n=x.shape[1])
        network.add_layer(nodes, name="nodes")
        network.add_monitor(Monitor(nodes, ["s"], time=len(x)), name="spikes")
        network.run(inputs={"nodes": torch.from_numpy(x)[:, None]}, time=len(x))
        return network.monitors["spikes"].get("s")[:, 0]

    return {"LIFNodes": drive}


MAKERS = {"norse": _norse, "sinabs": _sinabs, "bindsnet": _bindsnet}


def main(package: str) -> None:
    """Run every case of a package and write the file."""
    counts: dict[str, Any] = {}
    for name, drive in MAKERS[package]().items():
        counts[name] = drive(inputs(SCALES[name])).numpy().astype(np.int8)
        print(f"{package} {name}: {int(counts[name].sum())} spikes")
    versions = {name: importlib.metadata.version(name) for name in (package, "torch", "numpy")}
    np.savez_compressed(FILES / f"{package}.npz", versions=json.dumps(versions), **counts)


if __name__ == "__main__":
    main(sys.argv[1])
