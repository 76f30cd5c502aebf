"""A module of torch that is left as it was: hooks, modes, states, gradients, buffers and random numbers."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

KEPT_BY_TORCH = ("_parameters", "_modules")
"""Of a module's dict: parameters are not written to here, and modules have a turn of their own."""


@contextlib.contextmanager
def untouched(torch: Any, module: Any) -> Iterator[list[Any]]:
    """Yield a list for handles of hooks; at the end they are removed, and everything else is as it was.

    Inside, the module is in evaluation mode; torch's fast path of encoders, which passes by hooks, is off, and its
    notice that there is no Triton, which a first step of SpikingJelly sets off, is not shown.
    """
    states = [(one, _kept(torch, vars(one))) for one in module.modules()]
    leaves = [(leaf, leaf.requires_grad, leaf.grad) for leaf in module.parameters()]
    fast = torch.backends.mha.get_fastpath_enabled()
    notices = logging.getLogger("torch._library.triton")
    level = notices.level
    handles: list[Any] = []
    ours, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - that which a model may use
    try:
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.backends.mha.set_fastpath_enabled(False)
            notices.setLevel(logging.ERROR)
            module.eval()
            yield handles
    finally:
        for handle in handles:
            handle.remove()
        torch.backends.mha.set_fastpath_enabled(fast)
        notices.setLevel(level)
        random.setstate(ours)
        np.random.set_state(legacy)  # noqa: NPY002
        for one, restore in states:
            restore(vars(one))
        for leaf, wanted, gradient in leaves:
            if leaf.requires_grad != wanted:
                leaf.requires_grad_(wanted)
            leaf.grad = gradient


def _kept(torch: Any, values: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Remember a dict of a module, its tensors by value; return what puts it back."""

    def copied(value: Any) -> Any:
        return value.detach().clone() if isinstance(value, torch.Tensor) else None

    flat = {name: (value, copied(value)) for name, value in values.items() if name not in KEPT_BY_TORCH}
    inner: dict[str, Any] = {
        name: _kept(torch, value) if isinstance(value, dict) else list(value)
        for name, value in values.items()
        if name not in KEPT_BY_TORCH and isinstance(value, dict | list)
    }

    def restore(now: dict[str, Any]) -> None:
        for name in set(now) - set(flat) - set(KEPT_BY_TORCH):
            del now[name]
        for name, (value, copy) in flat.items():
            if copy is not None and not (value.shape == copy.shape and torch.equal(value, copy)):
                with torch.no_grad():
                    value.copy_(copy)
            if isinstance(value, dict) and name in inner:
                inner[name](value)
            elif isinstance(value, list):
                value[:] = inner[name]
            now[name] = value

    return restore
