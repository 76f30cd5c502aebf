"""SpikingJelly's LIFNode and IFNode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from biospike.ideal.frameworks.installed import load, one_thread
from biospike.ideal.lif import SpikingJellyHard, SpikingJellySoft
from validation.conventions.packages import Asked
from validation.conventions.packages.torch_layers import kind_of, rounding, second_call, stepped
from validation.conventions.probes import Neuron


def _node(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: getattr(load("spikingjelly.activation_based.neuron"), name)(**options)


def neurons() -> Iterator[Asked]:
    """Two neurons with their defaults, and the options that change a convention."""
    with one_thread("spikingjelly") as torch:
        node = _node("LIFNode", v_threshold=0.9)()
        node(torch.ones((1, 1), dtype=torch.float64))
        facts = {
            "rounding of parameters": rounding(node.v_threshold),
            "precision of the membrane": kind_of(node.v),
            "state between calls": second_call(_node("IFNode"), 1.0),
        }
    for name, make, tie, formula in (
        ("LIFNode(tau=4)", _node("LIFNode", tau=4.0), 4.0, SpikingJellyHard(tau=4)),
        ("LIFNode(tau=4, decay_input=False)", _node("LIFNode", tau=4.0, decay_input=False), 1.0,
         SpikingJellyHard(tau=4, decay_input=False)),
        ("LIFNode(tau=4, v_reset=None)", _node("LIFNode", tau=4.0, v_reset=None), 4.0, SpikingJellySoft(tau=4)),
        ("IFNode()", _node("IFNode"), 1.0, SpikingJellyHard(tau=math.inf, decay_input=False)),
    ):  # fmt: skip
        convention = "spikingjelly_soft" if isinstance(formula, SpikingJellySoft) else "spikingjelly_hard"
        neuron = Neuron(name=name, drive=stepped("spikingjelly", make), tie=tie, facts=facts)
        yield Asked(neuron, convention, formula)
        facts = {}
