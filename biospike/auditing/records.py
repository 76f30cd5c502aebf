"""What is taken out of a model: the attention of one call of one layer, and the currents of one layer of neurons.

Plain arrays of NumPy in double precision, so that everything that is measured of them needs no other package.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax as normalised

from biospike.errors import InputError

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

TOLERANCE = 1e-5
"""Of what is recomputed from what was extracted, in units of the largest output."""
BLOCK = 2**22
"""Logits that are in memory at a time."""


@attrs.frozen(eq=False, kw_only=True)
class Attention:
    """Queries, keys and values of one call of an attention layer, and what the layer made of them.

    Attributes
    ----------
    layer, kind : str
        Name of the layer within the model, and its class.
    q, k, v : array (batch, heads, queries or keys, width)
    scale : float
        Nats a unit of query times key.
    bias : array, broadcastable to (batch, heads, queries, keys)
        Nats that are added to the logits; -inf masks a key.
    real : bool array (batch, queries)
        Queries that are no padding.
    W_out, b_out : array (heads*width, outputs), (outputs,), optional
        Output projection, None where the layer has none.
    output : array (batch, queries, outputs)
        What the layer returned.
    notes : tuple of str
    """

    layer: str
    kind: str
    q: Array
    k: Array
    v: Array
    scale: float
    bias: Array
    real: Flags
    output: Array
    W_out: Array | None = None
    b_out: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def heads(self) -> int:
        """Number of heads."""
        return int(self.q.shape[1])

    def masked(self, sample: int, queries: NDArray[np.int64]) -> Array:
        """Bias of some queries of a sample, (heads, queries, keys)."""
        full = (*self.q.shape[:3], self.k.shape[2])
        return np.asarray(np.broadcast_to(self.bias, full)[sample][:, queries])

    def logits(self, sample: int, queries: NDArray[np.int64]) -> Array:
        """Nats of some queries of a sample, (heads, queries, keys); -inf where masked."""
        products = self.q[sample][:, queries] @ self.k[sample].swapaxes(-1, -2)
        return np.asarray(self.scale * products + self.masked(sample, queries))

    def shares(self, sample: int, queries: NDArray[np.int64]) -> Array:
        """Softmax of `logits`; NaN where every key of a query is masked."""
        with np.errstate(invalid="ignore"):
            return np.asarray(normalised(self.logits(sample, queries), axis=-1))

    def rows(self) -> Flags:
        """Queries that are measured, (batch, queries): no padding, and with at least one key."""
        some = np.isfinite(self.bias).any(axis=-1)
        return np.asarray(self.real & np.broadcast_to(some, self.q.shape[:3]).all(axis=1))

    def blocks(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Measured queries of each sample, in parts of which the logits fit into memory."""
        rows = self.rows()
        size = max(BLOCK // (self.heads * self.k.shape[2]), 1)
        for sample in range(len(self.q)):
            queries = np.flatnonzero(rows[sample])
            for start in range(0, len(queries), size):
                yield sample, queries[start : start + size]

    def projected(self, context: Array) -> Array:
        """What the layer makes of heads' outputs (heads, queries, width): (queries, outputs)."""
        joined = context.swapaxes(0, 1).reshape(context.shape[1], -1)
        if self.W_out is None:
            return joined
        return np.asarray(joined @ self.W_out + (0.0 if self.b_out is None else self.b_out))

    def deviation(self, *, softmax: bool = True) -> float:
        """Largest difference of the layer's output from what its shares and values give, over the largest output.

        Without `softmax` the scaled products stand for the shares: attention of that kind has no rows.
        """
        largest = worst = 0.0
        for sample, queries in self.blocks():
            weights = self.shares(sample, queries) if softmax else self.scale * (
                self.q[sample][:, queries] @ self.k[sample].swapaxes(-1, -2)
            )  # fmt: skip
            found = self.projected(weights @ self.v[sample])
            wanted = self.output[sample, queries]
            largest = max(largest, float(np.abs(wanted).max(initial=0.0)))
            worst = max(worst, float(np.abs(found - wanted).max(initial=0.0)))
            if not np.isfinite(worst):
                return np.inf
        return worst / largest if largest > 0 else worst

    def to_outputs(self, gradient: Array) -> Array:
        """Gradient (batch, heads, queries, width) of the heads' outputs, from one (batch, queries, outputs)."""
        back = gradient if self.W_out is None else gradient @ self.W_out.T
        batch, queries = back.shape[:2]
        return np.asarray(back.reshape(batch, queries, self.heads, -1).swapaxes(1, 2))


@attrs.frozen(eq=False, kw_only=True)
class Currents:
    """Input currents of a layer of spiking nodes, and the spikes that it made of them.

    Attributes
    ----------
    layer, kind : str
    inputs, spikes : array (steps, batch, ...)
        In the precision of the model.
    start : array (batch, ...), optional
        Membrane that was carried over from before; None for rest.
    carried : bool
        Whether it was.
    """

    layer: str
    kind: str
    inputs: NDArray[np.floating]
    spikes: NDArray[np.floating]
    start: NDArray[np.floating] | None = None
    notes: tuple[str, ...] = ()


def check_outputs(call: Attention) -> str:
    """Hold what was extracted against the layer's own output.

    Returns
    -------
    str
        Empty, or "no softmax" where the layer hands on scaled products without one.

    Raises
    ------
    InputError
        If neither gives the output within `TOLERANCE`.
    """
    found = call.deviation()
    if found <= TOLERANCE:
        return ""
    if call.deviation(softmax=False) <= TOLERANCE:
        return "attention without softmax: no rows, no S"
    raise InputError(
        f"{call.layer} ({call.kind}): its own output differs by {found:.2g} of the largest from softmax(q k^T * "
        f"{call.scale:.4g}) v of its projections, where {TOLERANCE:g} is accepted; understood is plain softmax "
        "attention with biases, masks and an output projection, not rotary or relative positions, ALiBi, soft caps, "
        "norms of queries and keys, grouped queries, caches, or fused weights in another order"
    )
