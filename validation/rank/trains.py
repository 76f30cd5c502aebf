"""Whether the spike times of a mixed train tell how two heads share it: own neurons, features, ridge regression.

Two neurons, each the output of a head, fire at rates p*R and (1 - p)*R into one train. From the intervals of the merged
train, in units of their mean, an estimator is to tell the larger share. Two Poisson trains merge into a Poisson train
whatever p: no estimator can. The neurons are those of `circuits.softmax.escape` of regularity k, CV k^-1/2; couplings:

    independent   no inhibition: renewal trains
    one gate      the row's integral inhibition, which holds the rate of both together
    routed        each spike routes a value spike with probability 1/2: a thinned train, CV^2 = (1 + 1/k)/2
    dead time     as independent, but a neuron is silent for half a mean interval of the merged train after its spike
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike import runtime
from biospike.circuit import Batch, Shape
from circuits.softmax import Escape

import brian2 as b2

Array = NDArray[np.float64]

COUPLINGS = ("independent", "one gate", "routed", "dead time")
HEADS = ["coupling", "regularity", "cv", "trains", "intervals", "features", "correlation", "low", "high"]
MEANINGS = {
    "coupling": "how the trains of the two heads come about",
    "regularity": "k of the neurons' thresholds; `cv` of the intervals of one head's train, as measured",
    "trains": "merged trains, half of which the estimator is fitted to",
    "intervals": "mean intervals of a merged train, its window",
    "features": "of the intervals and their spectrum, of the ridge regression",
    "correlation": "of the true and the estimated larger share over the other half, `low` and `high` its 95 % "
    "bootstrap interval over trains (percentiles)",
}
"""Columns of ``heads.csv``."""
RATE, STEP, PER_STEP = 100 * b2.Hz, 1 * b2.ms, 0.1
SHARES = (0.5, 0.95)
"""Larger share, uniform."""
THINNING, DEAD = 0.5, 0.5
PENALTY = 0.01
"""Of the ridge, for every fitted train, features having variance 1."""
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
LAGS, WINDOWS = (1, 2, 3, 4), (2.0, 5.0, 10.0)
FREQUENCIES = (0.2, 0.4, 0.6, 0.8)
"""In units of the merged rate; power is the mean over a band of a tenth about each."""
RESAMPLES = 999


def measure(
    regularities: tuple[float, ...],
    trains: int,
    intervals: int,
    seed: int,
    tick: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """One row a coupling and regularity, columns `HEADS`.

    Parameters
    ----------
    regularities
        k of the neurons.
    trains, intervals
        Merged trains of each, and their mean number of intervals.
    """
    rows = []
    for number, regularity in enumerate(regularities):
        tick(f"k = {regularity:g}")
        rng = np.random.default_rng([seed, 2, number])
        larger = rng.uniform(*SHARES, trains)
        for coupling, single, merged in _trains(regularity, larger, intervals, seed + number, rng):
            features = np.stack([describe(train) for train in merged])
            rows.append([coupling, regularity, _cv(single), trains, intervals, features.shape[1],
                         *held_out(features, larger, rng)])  # fmt: skip
    return pd.DataFrame(rows, columns=HEADS)


Trains = list[tuple[Array, Array]]
"""Of every row the times of all its spikes, in steps, in order, and which of the two neurons each is of."""


def _trains(
    regularity: float, larger: Array, intervals: int, seed: int, rng: np.random.Generator
) -> Iterator[tuple[str, list[Array], list[Array]]]:
    """Coupling, trains of the first head, merged trains."""
    window = round(intervals / PER_STEP)
    alone = record(regularity, larger, 2 * window, seed, w=0.0)
    half = [(time[time < window], head[time < window]) for time, head in alone]
    kept = [rng.random(time.size) < THINNING for time, _ in alone]
    ways: dict[str, Trains] = {
        "independent": half,
        "one gate": record(regularity, larger, window, seed, w=0.1),
        "routed": [(time[k], head[k]) for (time, head), k in zip(alone, kept, strict=True)],
        "dead time": [_after_dead_time(*one) for one in half],
    }
    for coupling in COUPLINGS:
        found = ways[coupling]
        yield coupling, [time[head == 0] for time, head in found], [time for time, _ in found]


def record(regularity: float, larger: Array, steps: int, seed: int, *, w: float) -> Trains:
    """Spikes of pairs of neurons with these larger shares; without inhibition at w = 0."""
    circuit = Escape(rate=RATE, dt=STEP, regularity=regularity)
    share = np.stack([larger, 1 - larger], axis=1)
    rows = len(larger)
    batch = Batch(np.log(share), np.zeros(rows, dtype=np.int64), np.arange(rows), seed)
    with runtime.preferences("numpy", float(STEP)):
        network = circuit.build(Shape(rows, 2 * rows, 1, hub_index=np.arange(rows).repeat(2)))
        state: dict[str, Any] = circuit.state(batch, STEP)
        state |= {"keys.seed": seed, "keys.trial": 0, "keys.index": batch.index, "keys.checkpoint_0": 0}
        # Balanced from the start: the rates of a row sum to R0.
        state |= {"keys.drive": float(RATE) * share, "hub.w": w}
        runtime.assign(network, state, circuit.name)
        monitor = b2.SpikeMonitor(network["keys"], variables=("v", "theta"), name="spikes")
        network.add(monitor)
        network.run(steps * STEP, namespace={})
        key = np.array(monitor.i[:])
        # When the charge has crossed the threshold, between the steps: on the grid a merged train has one spike a step,
        # and Poisson trains would tell their shares by the spikes that are lost. A gate is taken as balanced, at 1.
        charge = share.ravel()[key] * PER_STEP
        time = np.asarray(monitor.t_) / float(STEP) - (np.asarray(monitor.v_) - np.asarray(monitor.theta_)) / charge
    order = np.lexsort((time, key // 2))
    ends = np.cumsum(np.bincount(key // 2, minlength=rows))[:-1]
    return list(zip(np.split(time[order], ends), np.split(key[order] % 2, ends), strict=True))


def _after_dead_time(times: Array, head: Array) -> tuple[Array, Array]:
    """Spikes of each neuron that come at least `DEAD` mean intervals after its last one that is kept."""
    dead, last, kept = DEAD / PER_STEP, [-np.inf, -np.inf], []
    for time, neuron in zip(times, head, strict=True):
        kept.append(time - last[neuron] >= dead)
        if kept[-1]:
            last[neuron] = time
    return times[kept], head[kept]


def describe(train: Array) -> Array:
    """Features of a merged train, by intervals in units of their mean, and its spectrum."""
    gaps = np.diff(train) / np.diff(train).mean()
    pairs = gaps[1:] + gaps[:-1]
    times = np.cumsum(gaps)
    # Whole windows; the last spike ends them by definition, and rounding is not to say in which it is.
    counts = [np.bincount((times[:-1] // window).astype(int), minlength=2) for window in WINDOWS]
    counts = [count[: max(2, int(gaps.size // window))] for count, window in zip(counts, WINDOWS, strict=True)]
    waves = np.exp(-2j * np.pi * np.outer(_band(), times)).sum(axis=1)
    power = (np.abs(waves) ** 2 / times.size).reshape(len(FREQUENCIES), -1).mean(axis=1)
    return np.array([
        *np.quantile(gaps, QUANTILES),
        gaps.std(), (2 * np.abs(np.diff(gaps)) / pairs).mean(), (3 * np.diff(gaps) ** 2 / pairs**2).mean(),
        *(np.corrcoef(gaps[lag:], gaps[:-lag])[0, 1] for lag in LAGS),
        *(count.var() / count.mean() for count in counts),
        *power,
    ])  # fmt: skip


def _band() -> Array:
    return (np.array(FREQUENCIES)[:, None] + np.linspace(-0.1, 0.1, 11)).ravel()


def held_out(features: Array, target: Array, rng: np.random.Generator) -> tuple[float, float, float]:
    """Correlation of a ridge regression, fitted to the first half, over the second, and its bootstrap interval."""
    half = len(target) // 2
    known, asked = features[:half], features[half:]
    centre, spread = known.mean(axis=0), known.std(axis=0)
    known, asked = (known - centre) / spread, (asked - centre) / spread
    penalty = PENALTY * half * np.eye(known.shape[1])
    weights = np.linalg.solve(known.T @ known + penalty, known.T @ (target[:half] - target[:half].mean()))
    guess, truth = asked @ weights, target[half:]
    drawn = rng.integers(truth.size, size=(RESAMPLES, truth.size))
    found = np.array([np.corrcoef(guess[one], truth[one])[0, 1] for one in drawn])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(np.corrcoef(guess, truth)[0, 1]), float(low), float(high)


def _cv(trains: list[Array]) -> float:
    """Of the intervals of all trains, each in units of its own mean."""
    gaps = [np.diff(train) / np.diff(train).mean() for train in trains if train.size > 2]
    return float(np.concatenate(gaps).std())
