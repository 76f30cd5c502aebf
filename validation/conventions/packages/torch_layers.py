"""What the packages on torch share: stepping through inputs, and facts about state and precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.ideal.frameworks.installed import load, one_thread

Array = NDArray[Any]
Step = Callable[[Any], Any]


def stepped(framework: str, make: Callable[[], Step]) -> Callable[[Array], Array]:
    """Drive of a neuron: `make` gives a function from the input of a step, (1, n), to its spikes, and keeps state."""

    def drive(inputs: Array) -> Array:
        with one_thread(framework) as torch:
            step = make()
            rows = [step(row[None].clone())[0] for row in torch.from_numpy(inputs)]
            return torch.stack([row.to(torch.float64) for row in rows]).numpy().astype(np.int64)

    return drive


def rounding(value: Any) -> str:
    """What is inside where .9 was handed over."""
    torch = load("torch")
    if isinstance(value, torch.Tensor):
        return f"{float(value):.16g} ({str(value.dtype).removeprefix('torch.')})"
    return f"{value:.16g} (Python number)"


def kind_of(state: Any) -> str:
    """Type of a state, for an input in float64."""
    return f"{str(state.dtype).removeprefix('torch.')} under an input in float64"


def second_call(make: Callable[[], Step], unit: float) -> str:
    """Two inputs of three quarters of what fires, without a word between the calls, then one of another batch size."""
    torch = load("torch")
    step = make()
    once = [bool(step(torch.full((1, 1), 0.75 * unit)).any()) for _ in range(2)]
    kept = "kept" if once == [False, True] else f"not kept (fires {once})"
    step = make()
    try:
        step(torch.full((1, 1), 0.75 * unit))
        wider = bool(step(torch.full((2, 1), 0.75 * unit)).any())
    except (RuntimeError, ValueError, AssertionError) as error:
        return f"{kept}; another batch size: {type(error).__name__}"
    return f"{kept}; another batch size: {'kept' if wider else 'set to rest silently'}"
