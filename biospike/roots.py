"""The root of one increasing or decreasing function a row, all rows at once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def row_roots(function: Callable[[Array, NDArray[np.int64]], Array], low: ArrayLike, high: ArrayLike) -> Array:
    """Where a monotone function of every row crosses zero.

    Parameters
    ----------
    function
        Takes values (n,) and the numbers (n,) of the rows that they are of, since rows that are found drop out;
        returns (n,).
    low, high : array_like, shape (rows,)
        Ends between which the root of each row lies.

    Returns
    -------
    ndarray, shape (rows,)
        To the last bits of a float (Chandrupatla's method, `scipy.optimize.elementwise.find_root`). A row whose
        function has one sign at both ends, as rounding may leave it, gets the end where it is nearer to zero.
    """
    # A seventh of a second, which nobody waits for before the first simulation.
    from scipy.optimize import elementwise  # noqa: PLC0415

    low, high = (np.array(end, dtype=float) for end in np.broadcast_arrays(low, high))
    rows = np.arange(len(low))
    found = elementwise.find_root(function, (low, high), args=(rows,))
    nearest = np.where(np.abs(found.f_bracket[0]) <= np.abs(found.f_bracket[1]), *found.bracket)
    return np.asarray(np.where(found.success, found.x, nearest))
