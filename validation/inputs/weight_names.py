"""Weights and biases of queries, keys and values under the names of PyTorch and Hugging Face, and their orientation.

`W_q`, `W_k`, `W_v` are (features, heads*width). PyTorch's `*.weight` are (out, in), whatever the module is called;
`in_proj_weight` and `qkv.weight` hold all three, one after another. GPT-2's `c_attn.weight` is (in, out). The name says
it, so only a matrix of another name needs to be told, or be of a shape that leaves one possibility.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.arrays import plain_array, refuse_codes
from biospike.errors import InputError
from validation.inputs.archive import Archive

FloatArray = NDArray[np.float64]
Reader = Callable[[str, NDArray[Any]], Any]

IN_OUT, OUT_IN = "in-out", "out-in"
ORIENTATIONS = (IN_OUT, OUT_IN)
STREAMS = ("q", "k", "v")
PLAIN = {stream: (f"{stream}_proj", f"to_{stream}", f"{stream}_lin") for stream in STREAMS}
WORDS = {"q": ("query", "query_proj"), "k": ("key", "key_proj"), "v": ("value", "value_proj")}
MODULES = {stream: (stream, *PLAIN[stream], *WORDS[stream]) for stream in STREAMS}
"""Modules that project on a stream."""
FUSED = ("in_proj", "qkv", "to_qkv", "c_attn")
"""Modules that project on queries, keys and values at once."""


def check_orientation(orientation: str | None) -> None:
    """Raise `InputError` unless it is None or one of `ORIENTATIONS`."""
    if orientation is not None and orientation not in ORIENTATIONS:
        raise InputError(f"--orientation {orientation}: accepted are {' and '.join(ORIENTATIONS)}")


def take_weight(
    archive: Archive, stream: str, orientation: str | None, features: int | None = None
) -> FloatArray | None:
    """Weights (features, heads*width) of a stream, or None if the file has none.

    Parameters
    ----------
    archive
        What the file holds. Weights of all streams together stay in it until the last stream is taken.
    stream
        q, k or v.
    orientation
        Of matrices whose name does not say it: "in-out" or "out-in".
    features
        Inputs of the weights, where they are known.

    Raises
    ------
    InputError
        If the orientation is neither said nor the only one possible, is said against the name, or two names disagree.
    """

    def named(own: str) -> Reader:
        def read(name: str, value: NDArray[Any]) -> FloatArray:
            if orientation is not None and orientation != own:
                raise InputError(f"--orientation {orientation}: {name} is {own} by its name; leave the option out")
            return _fitting(name, _turned(matrix(name, value, own), own), own, features)

        return read

    def unnamed(name: str, value: NDArray[Any]) -> FloatArray:
        found = matrix(name, value, orientation or IN_OUT)
        own = orientation or _only_possible(name, found, features)
        return _fitting(name, _turned(found, own), own, features)

    readers: dict[str, Reader] = {f"W_{stream}": named(IN_OUT)}
    readers |= {f"{module}.weight": named(OUT_IN) for module in MODULES[stream]}
    readers[f"{stream}_proj_weight"] = named(OUT_IN)
    readers |= dict.fromkeys(_other_names(stream, told=orientation is not None), unnamed)
    fused = {"c_attn.weight": IN_OUT, "in_proj_weight": OUT_IN, "qkv.weight": OUT_IN, "to_qkv.weight": OUT_IN}
    third = {name: _third_of(stream, named(own), axis=int(own == IN_OUT)) for name, own in fused.items()}
    return _take_both(archive, stream, readers, third)


def take_bias(archive: Archive, stream: str) -> FloatArray | None:
    """Biases (heads*width,) of a stream, or None; as `take_weight`."""
    readers: dict[str, Reader] = {f"b_{stream}": _vector, f"{stream}_bias": _vector}
    readers |= {f"{module}.bias": _vector for module in MODULES[stream]}
    third = {f"{module}.bias": _third_of(stream, _vector) for module in FUSED[1:]}
    third["in_proj_bias"] = _third_of(stream, _vector)
    return _take_both(archive, stream, readers, third)


def matrix(name: str, value: NDArray[Any], orientation: str = OUT_IN) -> FloatArray:
    """Weights as a matrix, as they lie; the kernel of a convolution of size 1 is one."""
    value = plain_array(value, name)
    if value.ndim > 2 and all(size == 1 for size in value.shape[2:]):
        value = value.reshape(value.shape[:2])
    if value.ndim != 2 or value.dtype.kind not in "biuf":
        own = (
            "a matrix of the shape (features, heads*width) or a seed" if orientation == IN_OUT else "(units, features)"
        )
        raise InputError(f"{name} must be {own}, got {value.dtype} {value.shape}")
    values = value.astype(np.float64)
    refuse_codes(value, values, name)
    return values


def _take_both(archive: Archive, stream: str, own: dict[str, Reader], third: dict[str, Reader]) -> Any:
    """Take a stream's own array and its part of an array of all streams, which remains for the others."""
    shared = {name: value for name, value in archive.left.items() if _ends(name, third)}
    value = archive.take(own | third)
    if stream != STREAMS[-1]:
        archive.left |= shared
    return value


def _ends(name: str, known: dict[str, Reader]) -> bool:
    return any(name == one or name.endswith(f".{one}") for one in known)


def _third_of(stream: str, read: Reader, axis: int = 0) -> Reader:
    def part(name: str, value: NDArray[Any]) -> Any:
        if value.ndim <= axis or value.shape[axis] % 3:
            raise InputError(f"{name} must hold queries, keys and values one after another, got {value.shape}")
        return read(name, np.split(value, 3, axis=axis)[STREAMS.index(stream)])

    return part


def _other_names(stream: str, *, told: bool) -> list[str]:
    """Names that say what a matrix is and not how it lies; a bare one may be anything unless the user has told."""
    big = stream.upper()
    names = [f"{letter}{mark}{which}" for letter in "wW" for mark in ("", "_") for which in (stream, big)]
    names += [f"{module}_weight" for module in (stream, *WORDS[stream])] + list(PLAIN[stream])
    own = f"W_{stream}"
    return [name for name in names if name != own] + ([stream, big, *WORDS[stream]] if told else [])


def _turned(values: FloatArray, orientation: str) -> FloatArray:
    return values if orientation == IN_OUT else np.ascontiguousarray(values.T)


def _only_possible(name: str, values: FloatArray, features: int | None) -> str:
    rows, columns = values.shape
    if rows != columns and features in (rows, columns):
        return IN_OUT if rows == features else OUT_IN
    raise InputError(
        f"{name} {values.shape} may be (in, out) or (out, in): say --orientation {IN_OUT} or {OUT_IN}, or name it "
        "W_q, W_k, W_v (in, out) or q_proj.weight and so on (out, in)"
    )


def _fitting(name: str, values: FloatArray, orientation: str, features: int | None) -> FloatArray:
    if features is not None and len(values) != features:
        shape = values.shape if orientation == IN_OUT else values.shape[::-1]
        raise InputError(f"{name} {shape} is read as {orientation}, but the tokens have {features} features")
    return values


def _vector(name: str, value: NDArray[Any]) -> FloatArray:
    value = plain_array(value, name)
    if value.ndim != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise InputError(f"{name} must be finite numbers (heads*width,), got {value.dtype} {value.shape}")
    return value.astype(np.float64)
