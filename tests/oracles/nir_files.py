"""NIR files that other packages' own exporters wrote, and the spikes that those packages emitted.

``python tests/oracles/nir_files.py PACKAGE`` writes ``tests/oracles/nir/NAME_nir-VERSION.nir`` for every network of the
package, and ``NAME_nir-VERSION.npz`` with the spikes of its last neurons and the versions. Two layers of weights in
multiples of 1/8 and two of neurons are shown 0 and 1; nothing of ours is used.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FILES = Path(__file__).resolve().parent / "nir"
STEPS, SIZES = 400, (6, 8, 5)


def inputs() -> np.ndarray:
    """Spikes of the input, (STEPS, SIZES[0])."""
    return (np.random.RandomState(7).uniform(size=(STEPS, SIZES[0])) < 0.4).astype(np.float32)


def weights(layer: int) -> np.ndarray:
    """Weights of a layer, (units, features): multiples of 1/8."""
    draws = np.random.RandomState(11 + layer)
    return (draws.randint(-3, 8, (SIZES[layer + 1], SIZES[layer])) / 8).astype(np.float32)


def _linear(torch: Any, layer: int, gain: float, bias: float) -> Any:
    linear = torch.nn.Linear(SIZES[layer], SIZES[layer + 1], bias=bias != 0)
    linear.weight.data = torch.from_numpy(gain * weights(layer))
    if bias:
        linear.bias.data[:] = bias
    return linear


def _snntorch(torch: Any) -> Iterator[tuple[str, Any, Any]]:
    import snntorch  # noqa: PLC0415
    from snntorch.export_nir import export_to_nir  # noqa: PLC0415

    for name, options in (("snntorch_subtract", {}), ("snntorch_zero", {"reset_mechanism": "zero"})):
        net = torch.nn.Sequential(
            _linear(torch, 0, 1, 0),
            snntorch.Leaky(
                beta=0.9 * torch.ones(SIZES[1]), threshold=torch.ones(SIZES[1]), init_hidden=True, **options
            ),
            _linear(torch, 1, 1, 0.125),
            snntorch.Leaky(
                beta=torch.tensor([0.5, 0.75, 0.5, 0.75, 0.5]),
                threshold=torch.ones(SIZES[2]),
                init_hidden=True,
                **options,
            ),
        )
        graph = export_to_nir(net, torch.zeros(SIZES[0]))
        for layer in (net[1], net[3]):
            layer.reset_mem()  # the export has run the model, and leaves its state
        yield name, graph, lambda x, net=net: torch.stack([net(row) for row in x])


def _spikingjelly(torch: Any) -> Iterator[tuple[str, Any, Any]]:
    from spikingjelly.activation_based import functional, neuron  # noqa: PLC0415
    from spikingjelly.activation_based.nir_exchange import export_to_nir  # noqa: PLC0415

    net = torch.nn.Sequential(
        _linear(torch, 0, 2, 0),
        neuron.LIFNode(tau=2.0),
        _linear(torch, 1, 1, 0.125),
        neuron.IFNode(),
    )
    lossy = torch.nn.Sequential(
        _linear(torch, 0, 1, 0),
        neuron.LIFNode(tau=3.0, decay_input=False, v_reset=-0.25),
        _linear(torch, 1, 2, 0.125),
        neuron.LIFNode(tau=4.0),
    )
    for name, one in (("spikingjelly", net), ("spikingjelly_whole_input", lossy)):
        graph = export_to_nir(one, torch.zeros(1, SIZES[0]), save_path=None)
        functional.reset_net(one)
        yield name, graph, lambda x, one=one: torch.stack([one(row) for row in x])


def _norse(torch: Any) -> Iterator[tuple[str, Any, Any]]:
    import norse.torch as norse  # noqa: PLC0415

    def parameters(kind: Any, n: int, **options: float) -> Any:
        filled = {"v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0} | options
        return kind(**{name: torch.full((n,), value) for name, value in filled.items()})

    for name, first, second in (
        ("norse_box", norse.LIFBoxCell(parameters(norse.LIFBoxParameters, SIZES[1], tau_mem_inv=500.0)),
         norse.LIFBoxCell(parameters(norse.LIFBoxParameters, SIZES[2], tau_mem_inv=250.0))),
        ("norse_cell", norse.LIFCell(parameters(norse.LIFParameters, SIZES[1], tau_mem_inv=100.0, tau_syn_inv=200.0)),
         norse.LIFBoxCell(parameters(norse.LIFBoxParameters, SIZES[2], tau_mem_inv=500.0))),
    ):  # fmt: skip
        layers = [_linear(torch, 0, 2, 0), first, _linear(torch, 1, 3, 0.125), second]
        net = norse.SequentialState(*layers)
        for dt in (0.001, 1.0) if name == "norse_box" else (0.001,):
            graph = norse.to_nir(net, torch.zeros(1, SIZES[0]), dt=dt)

            def run(x: Any, net: Any = net) -> Any:
                spikes, state = [], None
                for row in x:
                    z, state = net(row, state)
                    spikes.append(z)
                return torch.stack(spikes)

            yield name if dt == 0.001 else f"{name}_dt1", graph, run


def _sinabs(torch: Any) -> Iterator[tuple[str, Any, Any]]:
    from sinabs import layers, nir  # noqa: PLC0415

    for name, norm in (("sinabs_norm", True), ("sinabs_whole_input", False)):
        net = torch.nn.Sequential(
            _linear(torch, 0, 8 if norm else 1, 0),
            layers.LIF(tau_mem=torch.full((SIZES[1],), 8.0), spike_threshold=torch.ones(SIZES[1]), norm_input=norm),
            _linear(torch, 1, 1, 0.125),
            layers.IAF(spike_threshold=torch.ones(SIZES[2])),
        )
        graph = nir.to_nir(net, torch.zeros(1, 1, SIZES[0]))
        for layer in (net[1], net[3]):
            layer.reset_states()
        yield name, graph, lambda x, net=net: net(x[None])[0]


MAKERS = {"snntorch": _snntorch, "spikingjelly": _spikingjelly, "norse": _norse, "sinabs": _sinabs}


def main(package: str) -> None:
    """Write every network of a package, and its spikes."""
    import nir  # noqa: PLC0415
    import torch  # noqa: PLC0415

    version = importlib.metadata.version("nir")
    names = (package, "torch", "nir", "nirtorch", "numpy")
    versions = json.dumps({name: importlib.metadata.version(name) for name in names})
    for name, graph, run in MAKERS[package](torch):
        stem = FILES / f"{name}_nir-{version}"
        nir.write(f"{stem}.nir", graph)
        with torch.no_grad():
            spikes = run(torch.from_numpy(inputs())).numpy().astype(np.int8)
        np.savez_compressed(f"{stem}.npz", spikes=spikes, versions=versions)
        print(stem.name, graph.edges, spikes.sum(axis=0))


if __name__ == "__main__":
    main(sys.argv[1])
