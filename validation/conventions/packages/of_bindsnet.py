"""BindsNET's LIFNodes, in a network of one layer, and behind a connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.ideal.framework_lif import BindsNET
from biospike.ideal.frameworks.installed import load, one_thread
from validation.conventions.packages import Asked
from validation.conventions.packages.torch_layers import kind_of, rounding
from validation.conventions.probes import Drive, Neuron

Array = NDArray[Any]


def _network(torch: Any, n: int, *, behind: bool = False, **options: Any) -> tuple[Any, Any]:
    """A network with one layer of nodes that takes its input itself, or through a connection of weight 1."""
    network, nodes = load("bindsnet.network").Network(dt=1.0), load("bindsnet.network.nodes")
    layer = nodes.LIFNodes(n=n, **options)
    network.add_layer(layer, name="nodes")
    if behind:
        source = nodes.Input(n=n)
        network.add_layer(source, name="source")
        topology = load("bindsnet.network.topology")
        network.add_connection(topology.Connection(source, layer, w=torch.eye(n)), source="source", target="nodes")
    monitor = load("bindsnet.network.monitors").Monitor(layer, ["s"])
    network.add_monitor(monitor, name="spikes")
    return network, monitor


def _drive(behind: bool = False, **options: Any) -> Drive:
    def drive(inputs: Array) -> Array:
        with one_thread("bindsnet") as torch:
            network, monitor = _network(torch, inputs.shape[1], behind=behind, **options)
            rows = torch.from_numpy(inputs)[:, None].clone()
            network.run(inputs={"source" if behind else "nodes": rows}, time=len(inputs))
            return monitor.get("s")[:, 0].numpy().astype(np.int64)

    return drive


def neurons() -> Iterator[Asked]:
    """The defaults, without refractory period, on dyadic numbers, and behind a connection."""
    with one_thread("bindsnet") as torch:
        network, monitor = _network(torch, 1, thresh=0.9, rest=0.0, reset=0.0, refrac=0)
        layer = network.layers["nodes"]
        twice = []
        for _ in range(2):
            network.run(inputs={"nodes": torch.full((1, 1, 1), 0.6)}, time=1)
            twice.append(bool(monitor.get("s").any()))
        layer(torch.ones((1, 1), dtype=torch.float64))
        facts = {
            "rounding of parameters": rounding(layer.thresh),
            "precision of the membrane": kind_of(layer.v),
            "state between calls": "kept" if twice == [False, True] else "not kept",
        }
    zero: dict[str, Any] = {"rest": 0.0, "reset": 0.0, "thresh": 1.0}
    formula = {"rest": 0.0, "v_reset": 0.0, "thresh": 1.0}
    for name, drive, tie, unit, kind in (
        ("LIFNodes(n)", _drive(), np.nan, 13.0, BindsNET()),
        ("LIFNodes(n, rest=0, reset=0, thresh=1, refrac=0)", _drive(refrac=0, **zero), 1.0, 1.0,
         BindsNET(refrac=0, **formula)),
        ("LIFNodes(n, rest=0, reset=0, thresh=1), by a Connection", _drive(behind=True, **zero), 1.0, 1.0, None),
    ):  # fmt: skip
        yield Asked(Neuron(name=name, drive=drive, tie=tie, unit=unit, facts=facts), "bindsnet" if kind else "", kind)
        facts = {}
