"""snnTorch's Leaky."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from biospike.ideal.frameworks.installed import load, one_thread
from biospike.ideal.lif import SnnTorch
from validation.conventions.packages import Asked
from validation.conventions.packages.torch_layers import kind_of, rounding, second_call, stepped
from validation.conventions.probes import Neuron


def _leaky(**options: Any) -> Callable[[], Any]:
    """A Leaky that keeps its membrane itself, with which a layer is written without any state."""

    def make() -> Any:
        snntorch = load("snntorch")
        leaky = snntorch.Leaky(beta=0.75, init_hidden=True, **options)
        snntorch.SpikingNeuron.instances.remove(leaky)  # a list of all neurons ever made
        return leaky

    return make


def neurons() -> Iterator[Asked]:
    """The default, its reset without the delay, and the reset to zero."""
    with one_thread("snntorch") as torch:
        leaky = load("snntorch").Leaky(beta=0.9)
        _, membrane = leaky(torch.ones((1, 1), dtype=torch.float64), torch.zeros((1, 1), dtype=torch.float64))
        facts = {
            "rounding of parameters": rounding(leaky.beta),
            "precision of the membrane": kind_of(membrane),
            "state between calls": "init_hidden=True: " + second_call(_leaky(), 1.0),
        }
        load("snntorch").SpikingNeuron.instances.remove(leaky)
    for options, formula in (
        ({}, SnnTorch(beta=0.75)),
        ({"reset_delay": False}, None),
        ({"reset_mechanism": "zero"}, SnnTorch(beta=0.75, reset="zero")),
        ({"reset_mechanism": "zero", "reset_delay": False}, None),
    ):
        told = "".join(f", {name}={value!r}" for name, value in options.items())
        neuron = Neuron(name=f"Leaky(beta=0.75{told})", drive=stepped("snntorch", _leaky(**options)), tie=1.0,
                        facts=facts)  # fmt: skip
        yield Asked(neuron, "snntorch" if formula else "", formula)
        facts = {}
