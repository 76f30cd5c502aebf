"""Decisions on the total variation between shares of spike counts and exact shares: `biospike.verdicts` for rows."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.bias import Bias, bias_of_products, pool
from biospike.order import Laws, laws_of_rows
from biospike.verdicts import Decision, Evidence, Reason, decide, products_by_blocks

Array = NDArray[np.float64]

SATURATED = 1e-6
"""Share that all keys but the largest have together in a row that is said to be saturated."""
BLOCK = 2**21
"""Counts that are looked at together: 16 MB an array."""


@attrs.frozen(eq=False)
class Counted:
    """Spike counts of rows beside their exact shares.

    Attributes
    ----------
    counts : ndarray (window, trial, row, key)
        Spikes, or shares if `spikes` are given.
    p : ndarray (row, key)
        Exact shares, 0 at masked keys.
    spikes : ndarray (window, trial, row)
        Of the rows.
    """

    counts: NDArray[np.int32] | Array
    p: Array
    spikes: Array
    are_shares: bool = False

    @property
    def block(self) -> int:
        """Rows, or trials, that are looked at together."""
        return max(1, BLOCK // (self.counts.shape[1] * self.counts.shape[3]))

    def shares(self, window: int, trials: slice, rows: NDArray[np.int64]) -> Array:
        """Shares (trial, row, key) of rows that have fired."""
        found = self.counts[window, trials][:, rows]
        if self.are_shares:
            return np.asarray(found, dtype=float)
        return np.asarray(found / np.maximum(found.sum(axis=-1, keepdims=True), 1))

    def errors(self, rows: NDArray[np.int64]) -> Array:
        """Mean total variation (trial, window) over rows; NaN where one of them has not fired."""
        trials, keys = self.counts.shape[1], self.counts.shape[3]
        step = max(1, BLOCK // (len(rows) * keys))
        found = np.empty((trials, len(self.counts)))
        for window in range(len(self.counts)):
            for first in range(0, trials, step):
                some = slice(first, first + step)
                apart = np.abs(self.shares(window, some, rows) - self.p[rows]).sum(axis=-1)
                found[some, window] = (apart / 2).mean(axis=-1)
        return np.where((self.spikes[:, :, rows] > 0).all(axis=-1).T, found, np.nan)

    def deviations(self, window: int, rows: NDArray[np.int64], pooled_as: int) -> Array:
        """Deviations (trial, row, bin) from the exact shares, pooled by the spikes of the window `pooled_as`."""
        found = self.shares(window, slice(None), rows) - self.p[rows]
        return pool(found, self.p[rows], self.spikes[pooled_as][:, rows].sum(axis=0))[0]

    def testable(self, window: int) -> tuple[NDArray[np.int64], int]:
        """Rows that have fired in every trial of a window and keep more than one bin, and their free shares."""
        fired = np.flatnonzero((self.spikes[window] > 0).all(axis=0))
        nothing = np.zeros((len(fired), self.p.shape[1]))
        bins = pool(nothing, self.p[fired], self.spikes[window][:, fired].sum(axis=0))[1]
        return fired[bins > 1], int((bins[bins > 1] - 1).sum())


def evidence_of_rows(
    counts: NDArray[np.int32] | Array,
    p: Array,
    *,
    independent: bool,
    keys: NDArray[np.int64] | None = None,
    spikes: Array | None = None,
    laws: Laws | None = None,
) -> Evidence:
    """Total variation between the shares of spike counts and p, for `biospike.verdicts.decide`.

    Rows that are silent in a trial of the longest window are left out.

    Parameters
    ----------
    counts : ndarray (window, trial, row, key)
        Spikes, or with `spikes` shares.
    p : ndarray (row, key)
        Exact shares, 0 at masked keys.
    independent
        Whether rows of a trial have spikes of their own.
    keys : ndarray (row,), optional
        Unmasked keys; those with a share by default.
    spikes : ndarray (window, trial, row), optional
        Spikes of the rows, if `counts` are shares.
    laws : Laws, optional
        Of these rows and spikes, if they are known already.
    """
    total = np.asarray(counts.sum(axis=-1) if spikes is None else spikes)
    counted = Counted(counts, p, total, spikes is not None)
    fired = np.flatnonzero((total[-1] > 0).all(axis=0))
    nothing: dict[Reason, bool] = {
        "silent": not fired.size,
        "few keys": ((p > 0).sum(axis=1) if keys is None else keys).max() < 2,
        "saturated": (1 - p.max(axis=1)).max() < SATURATED,
    }
    reason: Reason = next((reason for reason, holds in nothing.items() if holds), "")
    rows, free = counted.testable(-1)
    mean = total[:, :, fired].mean(axis=1) if fired.size else np.zeros((len(total), 1))
    return Evidence(
        n=mean.mean(axis=1),
        errors=np.zeros(total.shape[1::-1]) if reason else counted.errors(fired),
        deviations=lambda window, some: counted.deviations(window, rows[some], -1),
        laws=None if reason else laws or laws_of_rows(p[fired], mean),
        rows=len(rows),
        free=free,
        independent=independent,
        nothing=reason,
        block=counted.block,
    )


def decide_rows(counts: NDArray[np.int32] | Array, p: Array, **options: Any) -> Decision:
    """Decide on the total variation of shares; parameters are those of `evidence_of_rows`."""
    return decide(evidence_of_rows(counts, p, **options))


def window_biases(counts: NDArray[np.int32], p: Array, *, independent: bool) -> list[Bias]:
    """Bias of every window, of counts (window, trial, row, key) against exact shares (row, key)."""
    counted = Counted(counts, p, np.asarray(counts.sum(axis=-1)))
    found = []
    for window in range(len(counts)):
        rows, _ = counted.testable(window)
        if not rows.size:
            found.append(Bias(*[np.nan] * 8))
            continue

        def deviations(at: int, some: slice, rows: NDArray[np.int64] = rows) -> Array:
            return counted.deviations(at, rows[some], at)

        here, _ = products_by_blocks(deviations, window, None, len(rows), counted.block)
        found.append(bias_of_products(here, None, np.nan, len(rows), independent=independent))
    return found
