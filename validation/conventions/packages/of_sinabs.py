"""Sinabs' LIF and IAF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from biospike.ideal.framework_lif import Sinabs
from biospike.ideal.frameworks.installed import load, one_thread
from validation.conventions.packages import Asked
from validation.conventions.packages.torch_layers import Step, kind_of, rounding, second_call, stepped
from validation.conventions.probes import Neuron


def _layer(name: str, **options: Any) -> Callable[[], Step]:
    """A layer, which takes (batch, time, ...), one step at a time."""

    def make() -> Step:
        layer = getattr(load("sinabs.layers"), name)(**options)
        return lambda x: layer(x[:, None])[:, 0]

    return make


def neurons() -> Iterator[Asked]:
    """Two layers with their defaults, and without the factor of the input."""
    with one_thread("sinabs") as torch:
        layer = load("sinabs.layers").LIF(tau_mem=0.9)
        layer(torch.ones((1, 1, 1), dtype=torch.float64))
        facts = {
            "rounding of parameters": rounding(layer.tau_mem),
            "precision of the membrane": kind_of(layer.v_mem),
            "state between calls": second_call(_layer("IAF"), 1.0),
        }
    for name, make, tie, formula in (
        ("LIF(tau_mem=20)", _layer("LIF", tau_mem=20.0), np.nan, Sinabs()),
        ("LIF(tau_mem=20, norm_input=False)", _layer("LIF", tau_mem=20.0, norm_input=False), 1.0,
         Sinabs(norm_input=False)),
        ("IAF()", _layer("IAF"), 1.0, Sinabs(alpha=1, norm_input=False)),
    ):  # fmt: skip
        yield Asked(Neuron(name=name, drive=stepped("sinabs", make), tie=tie, facts=facts), "sinabs", formula)
        facts = {}
