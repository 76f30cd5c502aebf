"""Synthetic codes whose order and bias are known: shares of spikes by window, trial, row and key.

* Order 1/2: independent spikes, multinomial counts. Orders up to 1: the deviation of such a code times
  ``(N/N_0)^(1/2 - order)``, N_0 its shortest window, so that its error is the multinomial law times that factor.
* Order 1: counts ``floor(N q_i + u_i)`` with independent uniform phases u_i.

A bias moves each row towards one of its keys, by a total variation `bias` in the longest window; it is constant, or
falls as 1/N as what a start leaves over. Rows that share spikes see the same ones: a spike is a uniform number, which
every row reads with its own shares; regular ones share the phases of their keys.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.ideal.softmax import softmax
from validation.data import attention_rows

Array = NDArray[np.float64]

WINDOWS = 9
SPAN = 16.0
"""Ratio of the longest to the shortest window."""
NEVER = 1e-9
"""Share of a key that never spikes."""
PEAK = 6.0
"""Nats by which one key of a peaked row stands out."""


@attrs.frozen(order=True)
class Cell:
    """One code, the size of its study, and what is known of it.

    Attributes
    ----------
    order : float
        Of the error without the bias.
    bias : float
        Total variation of a row's bias in the longest window.
    fall : str
        ``none``, ``constant`` or ``transient``, which falls as 1/N.
    rows, keys, trials, spikes : int
        `spikes` are those of a row in the longest window.
    sharing : str
        ``independent``, or ``shared`` where rows of a trial see the same spikes.
    shape : str
        ``flat``, ``peaked``, ``natural`` or ``never``: a third of the keys never spike.
    """

    order: float
    bias: float
    fall: str
    rows: int
    keys: int
    trials: int
    spikes: int
    sharing: str
    shape: str

    @property
    def windows(self) -> NDArray[np.int64]:
        """Spikes of a row in each window."""
        return np.unique(np.rint(np.geomspace(max(1.0, self.spikes / SPAN), self.spikes, WINDOWS)).astype(np.int64))


def shares_of(cell: Cell) -> Array:
    """Exact shares of the rows, (row, key); the same for equal cells."""
    rng = np.random.default_rng([cell.rows, cell.keys])
    z = np.zeros((cell.rows, cell.keys)) if cell.shape == "flat" else rng.normal(size=(cell.rows, cell.keys))
    if cell.shape == "natural":
        every = attention_rows()
        long = np.flatnonzero((~np.isnan(every)).sum(axis=1) >= cell.keys)
        chosen = long[np.arange(cell.rows) % len(long)]
        z = np.array([rng.choice(row[~np.isnan(row)], cell.keys, replace=False) for row in every[chosen]])
    if cell.shape == "peaked":
        z[:, 0] = z.max(axis=1) + PEAK
    if cell.shape == "never":
        z[:, : cell.keys // 3] = np.log(NEVER)
    return softmax(z)


def bias_of(cell: Cell, p: Array) -> Array:
    """Bias of the rows in the longest window, (row, key)."""
    rng = np.random.default_rng([cell.rows, cell.keys, 1])
    # Towards a key that spikes and has at most half of the row, so that there is room.
    towards = np.where((p <= 0.5) & (p > 1e3 * NEVER), rng.random(p.shape), -1.0).argmax(axis=1)
    moved = -p.copy()
    moved[np.arange(cell.rows), towards] += 1
    return cell.bias * moved / (1 - p[np.arange(cell.rows), towards])[:, None]


def draw(cell: Cell, p: Array, rng: np.random.Generator) -> Array:
    """Shares of one repetition of a study, (window, trial, row, key)."""
    n, bias = cell.windows, bias_of(cell, p)
    constant = bias if cell.fall == "constant" else np.zeros_like(p)
    q = p + constant
    fading = np.array([(bias if cell.fall == "transient" else 0 * p) * (cell.spikes / one) for one in n])
    if cell.order == 1:
        size = (cell.trials, 1 if cell.sharing == "shared" else cell.rows, cell.keys)
        # Sparing a key without a share: no phase makes it spike.
        counts = np.floor((q + fading)[:, None] * n[:, None, None, None] + rng.random(size))
        return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1))
    added = np.diff(n, prepend=0)
    counts = _shared(q, added, cell.trials, rng) if cell.sharing == "shared" else _apart(q, added, cell.trials, rng)
    shares = np.cumsum(counts, axis=0) / n[:, None, None, None]
    scale = (n / n[0]) ** (0.5 - cell.order)
    return np.asarray(q + scale[:, None, None, None] * (shares - q) + fading[:, None])


def _apart(q: Array, added: NDArray[np.int64], trials: int, rng: np.random.Generator) -> NDArray[np.int64]:
    sizes = np.broadcast_to(added[:, None, None], (len(added), trials, len(q)))
    return np.asarray(rng.multinomial(sizes, q))


def _shared(q: Array, added: NDArray[np.int64], trials: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Counts of rows that read the same uniform numbers: those between all edges are drawn, and added up by key."""
    edges = np.minimum(np.cumsum(q, axis=1), 1.0)
    edges[:, -1] = 1.0
    cuts = np.unique(edges)
    between = rng.multinomial(np.broadcast_to(added[:, None], (len(added), trials)), np.diff(cuts, prepend=0.0))
    below = np.cumsum(between, axis=-1)[..., np.searchsorted(cuts, edges)]
    return np.diff(below, axis=-1, prepend=0)
