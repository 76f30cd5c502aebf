"""What of the outputs of heads the mixing by W_O loses: random weights of chosen kind, the shapes of BERT and MiniLM.

Gates as PG-OP names them have no formula in the sources at hand. Read as one number a head and token they cost
features*heads weights, 1/width of W_O; the other reading has one a head, token and output feature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.theory.rank import TOLERANCE, head_kernel, literal_kernel, rank, stated_kernel
from validation.data import output_spectra
from validation.data.make_output_spectra import output_projections, spectra

Array = NDArray[np.float64]

KERNEL = ["weights", "gates", "n", "heads", "width", "rank_W_O", "kernel_stated", "kernel_found", "kernel_literal",
          "image_literal", "gate_fraction", "condition"]  # fmt: skip
MEANINGS = {
    "weights": "which W_O: `generic` square or so and random, `aligned` with all heads writing to the same dimensions",
    "gates": "on the heads' outputs: none, `scalar` one a head and token, `channels` one a head, token and feature",
    "kernel_stated": "n*(heads - 1)*width, as reported",
    "kernel_found": "n*(heads*width - rank W_O), dimensions of heads' outputs that the tokens do not tell",
    "kernel_literal": "kernel of Y -> (Y_h W_h)_h where their sum is 0, `image_literal` its image: the other reading",
    "gate_fraction": "parameters of the gates over those of W_O",
    "condition": "largest over smallest of all heads*width singular values; empty where W_O loses dimensions",
}
"""Columns of ``kernel.csv``."""
TOY, BERT, MINILM = (4, 2, 2, 4), (512, 12, 64, 768), (512, 12, 32, 384)
"""Tokens, heads, width, features."""
GATED = (8, 4, 4, 16)


def output_weights(rng: np.random.Generator, kind: str, heads: int, width: int, features: int) -> Array:
    """W_O (heads*width, features), generic or aligned."""
    if kind == "generic":
        return rng.normal(size=(heads * width, features))
    return np.asarray(rng.normal(size=(heads * width, width)) @ rng.normal(size=(width, features)))


def measure(seed: int, package: Path | None) -> pd.DataFrame:
    """One row a W_O and kind of gates, columns `KERNEL`."""
    rows = []
    for number, (name, size) in enumerate((("toy", TOY), ("BERT-base shape", BERT))):
        n, heads, width, features = size
        for aligned, kind in enumerate(("generic", "aligned")):
            rng = np.random.default_rng([seed, number, aligned])
            W = output_weights(rng, kind, heads, width, features)
            spectrum = np.linalg.svd(W, compute_uv=False)
            own = np.linalg.svd(W.reshape(heads, width, features), compute_uv=False)
            rows.append(_row(f"{name}, {kind}", n, heads, width, spectrum, own))
    rows += [_gated(seed, gates) for gates in ("none", "scalar", "channels")]
    n, heads, width, _ = MINILM
    whole, own = output_spectra() if package is None else spectra(output_projections(package))
    rows += [_row(f"MiniLM, layer {layer}", n, heads, width, *found)
             for layer, found in enumerate(zip(whole, own, strict=True))]  # fmt: skip
    return pd.DataFrame(rows)[KERNEL]


def _row(name: str, n: int, heads: int, width: int, spectrum: NDArray[Any], own: NDArray[Any]) -> dict[str, Any]:
    """Of an ungated W_O, by its singular values and those of every head's part."""
    inside = int((spectrum > TOLERANCE * spectrum[0]).sum())
    lost = n * int(sum(width - (one > TOLERANCE * one[0]).sum() for one in own))
    found = n * (heads * width - inside)
    return {
        "weights": name, "gates": "none", "n": n, "heads": heads, "width": width, "rank_W_O": inside,
        "kernel_stated": stated_kernel(n, heads, width), "kernel_found": found,
        "kernel_literal": lost, "image_literal": found - lost, "gate_fraction": 0.0,
        "condition": spectrum[0] / spectrum[-1] if inside == heads * width else np.nan,
    }  # fmt: skip


def _gated(seed: int, gates: str) -> dict[str, Any]:
    """Of aligned heads behind gates, which make a mixing of its own of every token."""
    n, heads, width, features = GATED
    rng = np.random.default_rng([seed, len(gates)])
    parts = np.split(output_weights(rng, "aligned", heads, width, features), heads)
    kernel, lost, ranks = 0, 0, set()
    for _ in range(n):
        gate = rng.uniform(0.1, 0.9, (heads, 1 if gates == "scalar" else features)) ** (gates != "none")
        W = np.vstack([part * own for part, own in zip(parts, gate, strict=True)])
        kernel += head_kernel(W, 1)
        lost += literal_kernel(W, heads, 1)[0]
        ranks.add(rank(W))
    return {
        "weights": "aligned behind gates", "gates": gates, "n": n, "heads": heads, "width": width,
        "rank_W_O": min(ranks), "kernel_stated": stated_kernel(n, heads, width), "kernel_found": kernel,
        "kernel_literal": lost, "image_literal": kernel - lost,
        "gate_fraction": {"none": 0, "scalar": 1, "channels": features}[gates] / width, "condition": np.nan,
    }  # fmt: skip
