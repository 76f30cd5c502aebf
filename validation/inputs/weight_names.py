"""Weights and biases of queries, keys and values under the names of PyTorch and Hugging Face, and their orientation.

`W_q`, `W_k`, `W_v` are (features, heads*width). PyTorch's `*.weight` are (out, in), whatever the module is called;
`in_proj_weight` and `qkv.weight` hold all three, one after another. The name says it, so only a matrix of another name
needs to be told, or be of a shape that leaves one possibility. So does `c_attn.weight`, which is (in, 3*out) in GPT-2
and (3*out, in) in nanoGPT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.arrays import plain_array, refuse_codes, refuse_not_finite
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
FUSED_WEIGHTS = {"in_proj_weight": OUT_IN, "qkv.weight": OUT_IN, "to_qkv.weight": OUT_IN, "c_attn.weight": None}
"""Weights of all three and how they lie, None where two libraries disagree."""


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
            _agree(name, own, orientation)
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
    third = {name: _of_three(stream, own, orientation, features) for name, own in FUSED_WEIGHTS.items()}
    return _take_both(archive, stream, readers, third)


def take_bias(archive: Archive, stream: str) -> FloatArray | None:
    """Biases (heads*width,) of a stream, or None; as `take_weight`."""
    readers: dict[str, Reader] = {f"b_{stream}": _vector, f"{stream}_bias": _vector}
    readers |= {f"{module}.bias": _vector for module in MODULES[stream]}
    third = dict.fromkeys(("in_proj_bias", *(f"{module}.bias" for module in FUSED[1:])), _third_of_bias(stream))
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
    refuse_not_finite(values, name)
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


def _of_three(stream: str, own: str | None, orientation: str | None, features: int | None) -> Reader:
    """Weights of one stream out of those of all."""

    def read(name: str, value: NDArray[Any]) -> FloatArray:
        whole = matrix(name, value)
        if own is not None:
            _agree(name, own, orientation)
        said = own or orientation
        ways = [way for way in ([said] if said else ORIENTATIONS) if _holds_three(whole.shape, way, features)]
        if len(ways) != 1:
            inputs = "features" if features is None else str(features)
            shapes = {IN_OUT: f"({inputs}, 3*heads*width)", OUT_IN: f"(3*heads*width, {inputs})"}
            accepted = shapes[said] if said else " and ".join(shapes.values())
            advice = f"; say --orientation {IN_OUT} or {OUT_IN}" if ways else ""
            raise InputError(
                f"{name} {whole.shape} must hold queries, keys and values one after another: accepted "
                f"{'is' if said else 'are'} {accepted}{' and it may be either' if ways else ''}{advice}"
            )
        parts = np.split(whole, 3, axis=1 if ways[0] == IN_OUT else 0)
        return _turned(parts[STREAMS.index(stream)], ways[0])

    return read


def _holds_three(shape: tuple[int, ...], way: str, features: int | None) -> bool:
    inputs, units = shape if way == IN_OUT else shape[::-1]
    return units % 3 == 0 and features in (None, inputs)


def _agree(name: str, own: str, orientation: str | None) -> None:
    if orientation is not None and orientation != own:
        raise InputError(f"--orientation {orientation}: {name} is {own} by its name; leave the option out")


def _third_of_bias(stream: str) -> Reader:
    def part(name: str, value: NDArray[Any]) -> Any:
        if value.ndim != 1 or value.size % 3:
            raise InputError(f"{name} must hold queries, keys and values one after another, got {value.shape}")
        return np.split(_vector(name, value), 3)[STREAMS.index(stream)]

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
    if value.ndim != 1 or value.dtype.kind not in "iuf":
        raise InputError(f"{name} must be finite numbers (heads*width,), got {value.dtype} {value.shape}")
    refuse_not_finite(value.astype(np.float64), name)
    return value.astype(np.float64)
