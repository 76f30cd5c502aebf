"""The module and the input that the user gives to the audit: checked, unpacked, cut into parts; torch is handed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from biospike.auditing.records import Flags
from biospike.errors import InputError

NARROW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
PADDING = {"attention_mask": 1, "src_key_padding_mask": 0, "key_padding_mask": 0}
"""Masks of tokens among the inputs, and what is a token in them, True or False."""


def checked_module(torch: Any, module: Any) -> tuple[Any, list[str]]:
    """The module that can be audited, and what is to be said of it.

    Raises
    ------
    InputError
        If it is none, scripted or quantised, or has weights that are not finite or of low precision.
    """
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"module must be an nn.Module of torch, or records of attention, got {type(module).__name__}")
    notes = []
    if hasattr(module, "_orig_mod"):
        module = module._orig_mod
        notes.append("compiled: audited as it was before")
    for name, one in module.named_modules():
        place = name or type(one).__name__
        if isinstance(one, torch.jit.ScriptModule):
            raise InputError(f"{place} is scripted: no hook sees into it; give the module that it was made of")
        if hasattr(one, "_orig_mod"):
            raise InputError(f"{place} is compiled: no hook sees into it; give the model as it was before")
        if "quantized" in type(one).__module__ or callable(getattr(one, "weight", None)):
            raise InputError(f"{place} is quantised ({type(one).__name__}): give the model of floating point")
    for name, weight in (*module.named_parameters(), *module.named_buffers()):
        _check_tensor(torch, f"{name} of the module", weight)
    if any(one.training for one in module.modules()):
        notes.append("in training mode: audited in evaluation mode")
    return module, notes


def _check_tensor(torch: Any, what: str, tensor: Any) -> None:
    tensor = tensor.detach()
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind in NARROW:
        raise InputError(
            f"{what} is {kind}, whose rounding hides an error of 1e-5: convert module and inputs by .float()"
        )
    if kind in ("quint8", "qint8", "qint32") or tensor.is_complex():
        raise InputError(f"{what} is {kind}; accepted are float32 and float64, and whole numbers for embeddings")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()) and "mask" not in what:
        raise InputError(f"{what} is not finite: {int((~torch.isfinite(tensor)).sum())} values are NaN or infinite")


def unpacked(torch: Any, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by place and by name, arrays as tensors.

    Raises
    ------
    InputError
        If there is nothing in them, or a tensor is of low precision or not finite.
    """
    args = inputs if isinstance(inputs, tuple) else () if _is_dict(inputs) else (inputs,)
    kwargs = dict(inputs) if _is_dict(inputs) else {}
    found = tuple(_tensor(torch, f"input {number}", one) for number, one in enumerate(args))
    named = {name: _tensor(torch, f"input {name!r}", one) for name, one in kwargs.items()}
    if not found and not named:
        raise InputError("inputs must be a tensor, a tuple of arguments or a dict of named ones, got nothing")
    return found, named


def _is_dict(inputs: Any) -> bool:
    return hasattr(inputs, "keys") and hasattr(inputs, "__getitem__")  # also what tokenizers return


def _tensor(torch: Any, what: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise InputError(f"{what} is an array of {value.dtype}; accepted are numbers")
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, torch.Tensor):
        if value.numel() == 0:
            raise InputError(f"{what} is empty, of shape {tuple(value.shape)}: the audit needs a sample")
        _check_tensor(torch, what, value)
        if value.is_inference():
            with torch.inference_mode(False):
                value = value.clone()
        value = value.detach()
    return value


def parts_of(
    torch: Any, args: tuple[Any, ...], kwargs: dict[str, Any], size: int | None, axis: int
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The input in parts of so many samples; whatever has not that axis, or one value on it, goes into every part.

    Raises
    ------
    InputError
        If the size is below 1, or nothing has the axis.
    """
    if size is None:
        yield args, kwargs
        return
    lengths = [
        one.shape[axis] for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor) and one.dim() > axis >= 0
    ]
    if size < 1 or not lengths:
        raise InputError(
            f"batch_size must be at least 1, of inputs that have the axis batch_axis, got {size} and {axis}"
        )
    number = lengths[0]

    def cut(value: Any, start: int) -> Any:
        if isinstance(value, torch.Tensor) and value.dim() > axis and value.shape[axis] == number:
            return value.narrow(axis, start, min(size, number - start))
        return value

    for start in range(0, number, size):
        yield tuple(cut(one, start) for one in args), {name: cut(one, start) for name, one in kwargs.items()}


def padding(torch: Any, kwargs: dict[str, Any]) -> Flags | None:
    """Tokens (batch, tokens) that are padding, by the masks among the named inputs."""
    for name, token in PADDING.items():
        mask = kwargs.get(name)
        if isinstance(mask, torch.Tensor) and mask.dim() == 2 and not mask.is_floating_point():
            return np.asarray(mask.cpu().numpy().astype(bool) != bool(token))
    return None
