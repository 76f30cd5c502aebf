"""Measures of recorded spikes, and how far apart two simulators are beside how far apart their seeds are.

The yardstick is relabelling: if both simulators run the same process, which of them a seed's spikes came from is a
label like any other. So the distance between the simulators is ranked among the distances between two halves of all
seeds, for every way to halve them. That is exact for any measure and any dependence within a run, and it is what
"no larger than between seeds of one simulator" means as a number.

References
----------
Ernst (2004), Stat. Sci. 19, 676, doi:10.1214/088342304000000396 (permutation tests).
Potjans, Diesmann (2014), Cereb. Cortex 24, 785, doi:10.1093/cercor/bhs358, and the validation of its implementations
by the Kolmogorov-Smirnov distance between seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike import metrics
from validation.simulators.cases import Spikes
from validation.study.welch import welch

Array = NDArray[np.float64]

ALL_LABELS = 20_000
"""Up to so many ways to halve the seeds are all tried; beyond, as many are drawn."""
PIECE = 500
ROUNDING = 1e-12


class Rows(NamedTuple):
    """Where the neurons of a recording belong, and on which grid it was made."""

    unmasked: NDArray[np.bool_]
    dt_ms: float
    steps: int

    @property
    def seconds(self) -> float:
        """Length of the run."""
        return self.steps * self.dt_ms * 1e-3


class Agreement(NamedTuple):
    """One measure in both simulators; see `relabel` and `compare_scalar` for the columns."""

    brian2: float
    nest: float
    difference: float
    low: float
    high: float
    seed_to_seed: float
    rank: float


def counts(spikes: Spikes, rows: Rows) -> NDArray[np.int64]:
    """Spikes of every key, shape (rows, keys), 0 where masked."""
    full = np.zeros(rows.unmasked.shape, dtype=np.int64)
    full[rows.unmasked] = np.bincount(spikes.neuron, minlength=int(rows.unmasked.sum()))
    return full


def intervals(spikes: Spikes, rows: Rows, of: str) -> Array:
    """Intervals in ms between successive spikes of every ``key``, or of every ``row``, all in one array."""
    owner = spikes.neuron if of == "key" else np.nonzero(rows.unmasked)[0][spikes.neuron]
    order = np.lexsort((spikes.step, owner))
    same = np.diff(owner[order]) == 0
    return np.asarray(np.diff(spikes.step[order])[same] * rows.dt_ms, dtype=float)


def tie_fraction(spikes: Spikes, rows: Rows) -> float:
    """Fraction of a row's intervals that are zero: spikes in the step of the one before; NaN without intervals."""
    gaps = intervals(spikes, rows, "row")
    return float((gaps == 0).mean()) if gaps.size else float("nan")


def code_cv(spikes: Spikes, rows: Rows) -> float:
    """Regularity of the code, `biospike.metrics.interval_cv`, of one recording; NaN for too few spikes."""
    row = np.nonzero(rows.unmasked)[0][spikes.neuron]
    place = np.empty(len(row))
    for number in np.unique(row):
        mine = row == number
        # Spikes of one step have all happened when any of them is counted, as in `biospike.circuit`.
        place[mine] = np.searchsorted(spikes.step[mine], spikes.step[mine], side="right")
    order = np.lexsort((spikes.step, spikes.neuron))
    neuron, gap = spikes.neuron[order][1:], np.diff(place[order])
    same = np.diff(spikes.neuron[order]) == 0
    n = int(rows.unmasked.sum())
    sums = [np.bincount(neuron[same], weights=gap[same] ** power, minlength=n) for power in (1, 2, 0)]
    return float(metrics.interval_cv(*sums, pool=(), over=-1))


def ks_distances(samples: list[Array]) -> Array:
    """Kolmogorov-Smirnov distance between every two samples, shape (samples, samples); NaN if one is empty.

    The statistic of `scipy.stats.ks_2samp`, without its p-value, which would take most of the time of a study.
    """
    ordered = [np.sort(sample) for sample in samples]
    distance = np.zeros((len(samples), len(samples)))
    for a, b in itertools.combinations(range(len(samples)), 2):
        one, other = ordered[a], ordered[b]
        value = np.nan
        if one.size and other.size:
            at = np.concatenate([one, other])
            below = [np.searchsorted(sample, at, side="right") / sample.size for sample in (one, other)]
            value = np.abs(below[0] - below[1]).max()
        distance[a, b] = distance[b, a] = value
    return distance


def labels(first: int, second: int, seed: int = 0) -> NDArray[np.bool_]:
    """Ways to call `first` of the seeds Brian2's and `second` NEST's, (ways, seeds) of bool; the first is the truth."""
    total = first + second
    if math.comb(total, first) <= ALL_LABELS:
        ways = np.zeros((math.comb(total, first), total), dtype=bool)
        for way, chosen in zip(ways, itertools.combinations(range(total), first), strict=True):
            way[list(chosen)] = True
        return ways
    random = np.random.default_rng(seed)
    drawn = np.argsort(random.random((ALL_LABELS, total)), axis=1) < first
    drawn[0] = np.arange(total) < first
    return drawn


def smallest_rank(first: int, second: int) -> float:
    """Rank of the clearest difference that so many seeds can show: of the true labels, and of their swap if equal."""
    return (2 if first == second else 1) / min(math.comb(first + second, first), ALL_LABELS)


def relabel(statistic: Callable[[NDArray[np.bool_]], Array], ways: NDArray[np.bool_]) -> tuple[Array, float]:
    """Value of a statistic for every labelling, and the fraction of them at least as large as the true one.

    Parameters
    ----------
    statistic
        From labels (ways, seeds) to numbers (ways,), large when the groups differ.
    ways
        Of `labels`.
    """
    values = statistic(ways)
    return values, float(np.mean(values >= values[0] - ROUNDING)) if np.isfinite(values).all() else float("nan")


def compare_scalar(brian2: Array, nest: Array, ways: NDArray[np.bool_]) -> Agreement:
    """Compare one number a seed: its means, their difference with the 95 % interval of Welch, its SD between seeds."""
    joined = np.concatenate([brian2, nest])

    def distance(way: NDArray[np.bool_]) -> Array:
        return np.asarray(np.abs((way @ joined) / way.sum(axis=1) - (~way @ joined) / (~way).sum(axis=1)))

    _, rank = relabel(distance, ways)
    difference = float(nest.mean() - brian2.mean())
    spread = math.sqrt((brian2.var(ddof=1) + nest.var(ddof=1)) / 2) if min(len(brian2), len(nest)) > 1 else math.nan
    test = welch(nest, brian2)
    return Agreement(float(brian2.mean()), float(nest.mean()), difference, test.low, test.high, spread, rank)


def compare_distances(distance: Array, first: int, ways: NDArray[np.bool_]) -> Agreement:
    """Compare seeds by the distances between them: means within each simulator, and across.

    Parameters
    ----------
    distance : ndarray (seeds, seeds)
        Brian2's `first` seeds, then NEST's.
    """

    def across(way: NDArray[np.bool_]) -> Array:
        return np.asarray(np.einsum("wi,ij,wj->w", way, distance, ~way) / (way.sum(axis=1) * (~way).sum(axis=1)))

    values, rank = relabel(across, ways)
    within = [_mean_pair(distance[:first, :first]), _mean_pair(distance[first:, first:])]
    pairs = [first * (first - 1), (len(distance) - first) * (len(distance) - first - 1)]
    together = sum(mean * n for mean, n in zip(within, pairs, strict=True) if n) / max(sum(pairs), 1)
    low, high = np.quantile(values, [0.025, 0.975])
    return Agreement(within[0], within[1], float(values[0]), float(low), float(high), together, rank)


def compare_shares(brian2: NDArray[np.int64], nest: NDArray[np.int64], p: Array, ways: NDArray[np.bool_]) -> Agreement:
    """Compare shares pooled over seeds: TV of each from `p`, mean over rows, and TV of one from the other.

    Parameters
    ----------
    brian2, nest : ndarray (seeds, rows, keys)
        Counts.
    p : ndarray (rows, keys)
        Softmax.
    """
    joined = np.concatenate([brian2, nest]).astype(float)

    def apart(way: NDArray[np.bool_]) -> Array:
        shares = (metrics.shares(np.einsum("ws,srk->wrk", group, joined)) for group in (way, ~way))
        return np.asarray(metrics.total_variation(*shares).mean(axis=-1))

    # In pieces: all labellings at once would be an array of ways x rows x keys.
    pieces = math.ceil(len(ways) / PIECE)
    values, rank = relabel(lambda all_ways: np.concatenate([apart(w) for w in np.array_split(all_ways, pieces)]), ways)
    own = [float(metrics.total_variation(metrics.shares(c.sum(axis=0)), p).mean()) for c in (brian2, nest)]
    low, high = np.quantile(values, [0.025, 0.975])
    return Agreement(own[0], own[1], float(values[0]), float(low), float(high), float(values.mean()), rank)


def _mean_pair(distance: Array) -> float:
    upper = distance[np.triu_indices(len(distance), 1)]
    return float(upper.mean()) if upper.size else float("nan")
