"""Norse's LIFCell and LIFBoxCell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from biospike.ideal.framework_lif import Norse, NorseBox
from biospike.ideal.frameworks.installed import load, one_thread
from biospike.ideal.lif import DiscreteLIF
from validation.conventions.packages import Asked
from validation.conventions.packages.torch_layers import Step, kind_of, rounding, stepped
from validation.conventions.probes import Neuron


def _cell(name: str, parameters: str, **options: Any) -> Callable[[], Step]:
    """A cell whose state is handed back to it in every step."""

    def make() -> Step:
        norse, torch = load("norse.torch"), load("torch")
        given = {key: torch.as_tensor(float(value)) for key, value in options.items()}
        cell, state = getattr(norse, name)(getattr(norse, parameters)(**given)), None

        def step(x: Any) -> Any:
            nonlocal state
            spikes, state = cell(x, state)
            return spikes

        return step

    return make


def neurons() -> Iterator[Asked]:
    """The defaults, then rates with which numbers are dyadic and the current is gone after a step."""
    with one_thread("norse") as torch:
        norse = load("norse.torch")
        cell = norse.LIFBoxCell(norse.LIFBoxParameters(v_th=torch.as_tensor(0.9)))
        _, state = cell(torch.ones((1, 1), dtype=torch.float64))
        _, anew = cell(torch.ones((1, 1)))
        facts = {
            "rounding of parameters": rounding(cell.p.v_th),
            "precision of the membrane": kind_of(state.v),
            "state between calls": "handed back by the caller" if float(anew.v) == float(np.float32(0.1)) else "kept",
        }
    kinds: list[tuple[str, dict[str, float], float, DiscreteLIF]] = [
        ("LIFCell", {}, np.nan, Norse()),
        ("LIFCell", {"tau_mem_inv": 250, "tau_syn_inv": 1000}, 4.0, Norse(tau_mem_inv=250, tau_syn_inv=1000)),
        ("LIFBoxCell", {}, np.nan, NorseBox()),
        ("LIFBoxCell", {"tau_mem_inv": 250}, 4.0, NorseBox(tau_mem_inv=250)),
    ]
    for cell_name, options, tie, formula in kinds:
        parameters = "LIFBoxParameters" if "Box" in cell_name else "LIFParameters"
        told = ", ".join(f"{name}={value:g}" for name, value in options.items())
        drive = stepped("norse", _cell(cell_name, parameters, **options))
        neuron = Neuron(name=f"{cell_name}({told})", drive=drive, tie=tie, facts=facts)
        yield Asked(neuron, "norse_box" if "Box" in cell_name else "norse", formula)
        facts = {}
