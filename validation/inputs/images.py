"""Real images that come with scikit-learn, as samples of values between 0 and 1."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError

FloatArray = NDArray[np.float64]

DIGITS_MAXIMUM = 16.0


def _datasets() -> Any:
    try:
        return importlib.import_module("sklearn.datasets")
    except ModuleNotFoundError:
        raise InputError(
            "the images come with scikit-learn, which is not installed: pip install 'biospike[dimension]'"
        ) from None


def digits() -> FloatArray:
    """Load the 1797 handwritten digits of 8 by 8 pixels (UCI, Alpaydin and Kaynak 1998).

    Returns
    -------
    ndarray (1797, 8, 8)
        In [0, 1].

    Raises
    ------
    InputError
        If scikit-learn is not installed.
    """
    return np.asarray(_datasets().load_digits().images, dtype=float) / DIGITS_MAXIMUM


def natural_patches(size: int, count: int, seed: int) -> FloatArray:
    """Cut square patches at random places out of the two colour photographs of scikit-learn (427 by 640 pixels).

    Parameters
    ----------
    size
        Pixels on a side.
    count
        Number of patches, half from each photograph.
    seed
        Of the places.

    Returns
    -------
    ndarray (count, size, size, 3)
        RGB in [0, 1].

    Raises
    ------
    InputError
        If scikit-learn is not installed, the size does not fit the photographs, or the count is below 1.
    """
    photographs = [np.asarray(image, dtype=float) / 255 for image in _datasets().load_sample_images().images]
    height, width = photographs[0].shape[:2]
    if not 1 <= size <= min(height, width):
        raise InputError(f"size must be from 1 to {min(height, width)} pixels, got {size}")
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(0, height - size + 1, count), rng.integers(0, width - size + 1, count)
    return np.array(
        [
            photographs[k % len(photographs)][r : r + size, c : c + size]
            for k, (r, c) in enumerate(zip(rows, columns, strict=True))
        ]
    )
