"""Weights of torch's own attention as plain arrays; torch itself is not imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.arrays import float_array
from biospike.errors import InputError

STREAMS = "qkv"


def plain(tensor: Any) -> NDArray[np.float64]:
    """Array of a tensor, of a parameter, or of anything that is one, in double precision."""
    return float_array(tensor.detach() if hasattr(tensor, "detach") else tensor, "weights")


def multihead_projections(module: Any) -> dict[str, Any]:
    """`W_q`, `W_k`, `W_v` (features, heads*width), and `b_q`, `b_k`, `b_v` or None, of an ``nn.MultiheadAttention``.

    Raises
    ------
    InputError
        If it is none, or adds keys of its own (`bias_k`, `add_zero_attn`).
    """
    if not all(hasattr(module, name) for name in ("in_proj_weight", "in_proj_bias", "num_heads", "out_proj")):
        raise InputError(f"expected an nn.MultiheadAttention of torch, got {type(module).__name__}")
    if module.bias_k is not None or module.add_zero_attn:
        raise InputError(
            "MultiheadAttention with bias_k or add_zero_attn attends to keys that are no tokens: not understood"
        )
    if module.in_proj_weight is not None:
        matrices = np.split(plain(module.in_proj_weight), 3)
    else:
        matrices = [plain(getattr(module, f"{stream}_proj_weight")) for stream in STREAMS]
    biases = [None] * 3 if module.in_proj_bias is None else np.split(plain(module.in_proj_bias), 3)
    found: dict[str, Any] = {}
    for stream, matrix, bias in zip(STREAMS, matrices, biases, strict=True):
        found |= {f"W_{stream}": np.ascontiguousarray(matrix.T), f"b_{stream}": bias}
    return found
