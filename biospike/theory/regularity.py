"""The law of perfectly regular codes: a counter that starts at a random phase."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def phase_tv(p: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """Expected TV from p of the shares of regular keys that start at independent uniform phases.

    Key i spikes once for every unit of its charge x = n*p_i, so its count is floor(x + phase) and its mean absolute
    error 2*f*(1 - f), f the fractional part of x. Once a key has spiked its f is spread evenly over the rows and
    windows that are averaged, and the mean is 1/3; before that f is x itself. TV is half the sum over keys, divided by
    n: keys/(6n) when every key has spiked.

    Parameters
    ----------
    p : array (..., keys)
        Shares; 0 for masked keys.
    n : array (...)
        Spikes of the row.

    Returns
    -------
    ndarray (...)
        Expected TV; NaN where n is 0.
    """
    n = np.asarray(n, dtype=float)
    x = np.asarray(p, dtype=float) * n[..., None]
    per_key = np.where(x >= 1.0, 1 / 6, x * (1 - x))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(per_key.sum(axis=-1) / n)
