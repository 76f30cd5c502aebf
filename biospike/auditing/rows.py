"""Attention rows that are measured: a sample of those of one layer, over all parts of the input."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.auditing.records import Attention
from biospike.errors import InputError
from biospike.memory import COPIES, MEBIBYTE, free_memory
from biospike.theory.propagation import attention_term

Array = NDArray[np.float64]


@attrs.frozen(eq=False, kw_only=True)
class Rows:
    """Rows of one call of a layer.

    Attributes
    ----------
    layer, kind : str
    logits : array (heads, rows, keys)
        Nats; NaN masks a key.
    outputs : array (heads, rows, width)
        Of the heads.
    S : array (heads, rows), optional
        Variance that spikes of the row give a probe of the model's output, times the spikes; mean over probes.
    number : int
        Rows of a head of which these are the sample.
    samples : int
        Of the batch.
    sizes : tuple of int
        Queries, keys, width of queries and keys, and of values.
    notes : tuple of str
    """

    layer: str
    kind: str
    logits: Array
    outputs: Array
    S: Array | None
    number: int
    samples: int
    sizes: tuple[int, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, call: Attention, gradients: Array | None, most: int) -> Rows:
        """At most so many rows of each head, evenly through all of them.

        Parameters
        ----------
        gradients : array (probes, batch, heads, queries, width), optional
            With respect to the outputs of the heads.
        """
        whole = call.rows()
        sample, query = np.nonzero(whole)
        number = len(sample)
        kept = _evenly(number, most)
        _check_memory(call, len(kept))
        parts = [(int(one), query[kept][sample[kept] == one]) for one in np.unique(sample[kept])]
        logits, outputs, S = [], [], []
        for one, queries in parts:
            p, v = call.shares(one, queries), call.v[one]
            logits.append(call.logits(one, queries))
            outputs.append(p @ v)
            if gradients is not None:
                S.append(np.mean([attention_term(p, v, g[one][:, queries]) for g in gradients], axis=0))
        heads, keys = call.heads, call.k.shape[2]
        nats = np.concatenate(logits, axis=1) if logits else np.zeros((heads, 0, keys))
        left = int(whole.size - number)
        said = (f"{left} padded or wholly masked queries left out",) if left else ()
        return cls(
            layer=call.layer, kind=call.kind, logits=np.where(np.isneginf(nats), np.nan, nats),
            outputs=np.concatenate(outputs, axis=1) if outputs else np.zeros((heads, 0, call.v.shape[3])),
            S=np.concatenate(S, axis=1) if S else None, number=number, samples=len(call.q),
            sizes=(call.q.shape[2], keys, call.q.shape[3], call.v.shape[3]), notes=(*call.notes, *said),
        )  # fmt: skip

    @property
    def heads(self) -> int:
        """Number of heads."""
        return len(self.logits)


def _check_memory(call: Attention, rows: int) -> None:
    """Raise `InputError` if so many rows of every head need more than half of the memory that is free."""
    size, free = COPIES * 8 * call.heads * rows * call.k.shape[2], free_memory()
    if size > free / 2:
        raise InputError(
            f"{call.layer}: {rows} rows of {call.k.shape[2]} keys in {call.heads} heads need {size / MEBIBYTE:.4g} "
            f"MiB, and half of what is free is {free / 2 / MEBIBYTE:.4g} MiB: lower max_rows, or shorten the sequences"
        )


def joined(parts: Sequence[Rows], most: int) -> Rows:
    """Rows of one layer over all parts of the input, at most so many of each head."""
    first = parts[0]
    keys = max(part.logits.shape[2] for part in parts)
    wide = [
        np.pad(one.logits, ((0, 0), (0, 0), (0, keys - one.logits.shape[2])), constant_values=np.nan) for one in parts
    ]
    kept = _evenly(sum(part.logits.shape[1] for part in parts), most)
    number = sum(part.number for part in parts)
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    if number > len(kept):
        notes.append(f"{len(kept)} of {number} rows")
    known = [part.S for part in parts if part.S is not None]
    return attrs.evolve(
        first, logits=np.concatenate(wide, axis=1)[:, kept],
        outputs=np.concatenate([part.outputs for part in parts], axis=1)[:, kept],
        S=np.concatenate(known, axis=1)[:, kept] if len(known) == len(parts) else None, number=number,
        samples=sum(part.samples for part in parts), notes=tuple(notes),
        sizes=tuple(max(part.sizes[axis] for part in parts) for axis in range(4)),
    )  # fmt: skip


def _evenly(number: int, most: int) -> NDArray[np.int64]:
    """At most so many places, evenly through all."""
    return np.linspace(0, number - 1, min(number, most)).round().astype(np.int64)
