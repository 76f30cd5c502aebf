"""One attention layer in a file of weights, on tokens that it is handed: no model, and no torch but for ``.pt``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.arrays import float_array, refuse_not_finite
from biospike.auditing import Attention
from biospike.errors import InputError
from biospike.ideal.frameworks.installed import load
from validation.inputs import archive, weight_names
from validation.inputs.archive import Archive
from validation.inputs.array_files import load_arrays
from validation.inputs.safetensors import read_safetensors

Array = NDArray[np.float64]

STREAMS = "qkv"
ENDINGS = (".safetensors", ".npz", ".pt", ".pth", ".bin")
OUT = ("out_proj", "o_proj", "c_proj", "to_out.0", "proj", "out_lin")
"""Modules that project a layer's outputs: no row depends on them."""
NOTE = "a layer without its model: nothing to hold what was read against"


def layer_of_files(
    weights: Path, tokens: Path | None, *, layer: str | None, heads: int | None, causal: bool
) -> tuple[Attention, str]:
    """Attention of one layer on tokens.

    Parameters
    ----------
    weights
        ``.safetensors``, ``.npz`` or, with torch, ``.pt`` that holds weights only; names as of
        `validation.inputs.weight_names`, with the path of the layer before them.
    tokens
        ``.npy`` (tokens, features) or (samples, tokens, features), of any sign.
    layer
        Path of the layer in the file; default the only one.
    heads
        Their number, where the file does not say it.
    causal
        Whether a token attends only to itself and those before it.

    Raises
    ------
    InputError
        If a file cannot be read, the layer is not there or not the only one, or its names are not understood.
    """
    if tokens is None:
        raise InputError(f"--weights {weights} needs --tokens FILE.npy, what the layer is handed")
    arrays = read_weights(weights)
    X = float_array(load_arrays(tokens, "--tokens", (".npy",)), "tokens")
    if X.ndim not in (2, 3) or X.size == 0:
        raise InputError(
            f"--tokens {tokens}: expected (tokens, features) or (samples, tokens, features), got {X.shape}"
        )
    refuse_not_finite(X, f"--tokens {tokens}")
    X = X if X.ndim == 3 else X[None]
    found = layers(arrays)
    chosen = _chosen(weights, layer, found)
    file = Archive({name: arrays[name] for name in found[chosen]})
    try:
        projections: dict[str, Any] = {
            f"W_{stream}": weight_names.take_weight(file, stream, None, X.shape[-1]) for stream in STREAMS
        }
        missing = [name for name, value in projections.items() if value is None]
        if missing:
            raise InputError(f"{', '.join(missing)} missing; found {', '.join(found[chosen])}")
        projections |= {f"b_{stream}": weight_names.take_bias(file, stream) for stream in STREAMS}
        own = file.take(archive.HEADS)
        number = heads if heads is not None else own
        if number is None:
            raise InputError("the file does not say how many heads there are: give --heads")
        for name in [name for name in file.left if _is_output(name)]:
            del file.left[name]
        file.require_nothing_left(("weights and biases of queries, keys, values and of the output projection",))
        return as_record(chosen or weights.stem, "weights", X, projections, number, causal=causal), (
            f"layer {chosen or weights.stem} of {weights.name}, tokens of {tokens.name}"
        )
    except InputError as error:
        raise InputError(f"--weights {weights}: {error}") from None


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a file of weights, by name.

    Raises
    ------
    InputError
        If it cannot be read, or holds objects: those are refused unread.
    """
    if path.suffix not in ENDINGS:
        raise InputError(f"--weights {path}: expected a file that ends in {', '.join(ENDINGS)}")
    if path.suffix == ".safetensors":
        return read_safetensors(path, "--weights")
    if path.suffix == ".npz":
        loaded = load_arrays(path, "--weights", (".npz",))
        assert isinstance(loaded, dict)
        return loaded
    if not path.is_file():
        raise InputError(f"--weights {path}: there is no such file")
    torch = load("torch")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(
            f"--weights {path}: holds more than weights, or is no file of torch, and is not read any further: save "
            f"model.state_dict() ({said})"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise InputError(
            f"--weights {path}: expected the state_dict of a model, tensors by name, got {type(state).__name__}"
        )
    return {name: one.float().numpy() if one.is_floating_point() else one.numpy() for name, one in state.items()}


def layers(arrays: Mapping[str, Any]) -> dict[str, list[str]]:
    """Attention layers by their path, and the names that belong to each.

    A path is what comes before the name of a projection of queries, or of all three.
    """
    heads = [f"{module}.weight" for module in (*weight_names.MODULES["q"], "qkv", "to_qkv", "c_attn")]
    heads += ["W_q", "in_proj_weight", "q_proj_weight"]
    paths: dict[str, None] = {}
    for name in arrays:
        known = next((known for known in heads if name == known or name.endswith(f".{known}")), None)
        if known is not None:
            paths[name.removesuffix(known).removesuffix(".")] = None
    return {path: [name for name in arrays if not path or name.startswith(f"{path}.")] for path in paths}


def _chosen(weights: Path, layer: str | None, found: dict[str, list[str]]) -> str:
    if not found:
        raise InputError(
            f"--weights {weights}: no attention layer; understood are names such as q_proj.weight, query.weight, "
            "in_proj_weight, qkv.weight, c_attn.weight, W_q, after the path of a layer"
        )
    if layer is None and len(found) == 1:
        return next(iter(found))
    if layer is None or layer not in found:
        told = "several layers" if layer is None else f"no layer {layer}"
        raise InputError(f"--weights {weights}: {told}; give --layer, one of {', '.join(map(repr, found))}")
    return layer


def _is_output(name: str) -> bool:
    return any(name.endswith(f"{module}.{kind}") for module in OUT for kind in ("weight", "bias"))


def as_record(
    layer: str, kind: str, X: Array, projections: Mapping[str, Any], heads: int, *, causal: bool
) -> Attention:
    """Attention of projections on tokens (samples, tokens, features), as the audit takes it.

    Raises
    ------
    InputError
        If the heads do not divide the units, or shapes disagree.
    """
    units = []
    for stream in STREAMS:
        matrix, bias = projections[f"W_{stream}"], projections.get(f"b_{stream}")
        if heads < 1 or matrix.shape[1] % heads:
            raise InputError(f"heads must divide the {matrix.shape[1]} units of W_{stream}, got {heads}")
        if bias is not None and bias.shape != (matrix.shape[1],):
            raise InputError(f"b_{stream} has the shape {bias.shape}; accepted is ({matrix.shape[1]},)")
        made = X @ matrix + (0.0 if bias is None else bias)
        units.append(made.reshape(*X.shape[:2], heads, -1).swapaxes(1, 2))
    q, k, v = units
    if q.shape != k.shape:
        raise InputError(
            f"queries of {q.shape[-1]} units a head and keys of {k.shape[-1]}: grouped queries are not understood"
        )
    number = X.shape[1]
    mask = np.where(np.tri(number, dtype=bool), 0.0, -np.inf) if causal else np.zeros((number, number))
    record = Attention(
        layer=layer, kind=kind, q=q, k=k, v=v, scale=q.shape[-1] ** -0.5, bias=mask[None, None],
        real=np.ones(X.shape[:2], dtype=bool), output=np.zeros((*X.shape[:2], heads * v.shape[-1])), notes=(NOTE,),
    )  # fmt: skip
    for sample, queries in record.blocks():
        record.output[sample, queries] = record.projected(record.shares(sample, queries) @ v[sample])
    return record
