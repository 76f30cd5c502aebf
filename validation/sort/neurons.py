"""Our own neurons as causes and effects: chains of Poisson units, a chain of LIF neurons, the attention block."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike import runtime
from biospike.random import BRIAN_FUNCTIONS, exponential
from biospike.session import assemble
from circuits.attention import SpikingAttention
from circuits.presentation import present
from validation.sort.systems import MEAN, Samples, chain

import brian2 as b2

Array = NDArray[np.float64]

STEP = 1 * b2.ms
POISSON = """
dv/dt = charge*int(t_in_timesteps < until)/dt : 1     # thresholds are exponential: time rescaling
charge : 1 (constant)                                 # of the first unit, a step
theta  : 1
until  : integer (shared, constant)
seed   : integer (shared, constant)
trial  : integer (constant)
index  : integer (constant)
count  : integer
"""
POISSON_RESET = "v -= theta\ntheta = exponential(seed, trial, index, t_in_timesteps, 0)\ncount += 1"
PER_STEP, FLUSH = 0.05, 200
"""Spikes a step of the first unit, and steps in which the last ones may come."""
LEAKY = """
noise = normal(seed, trial, index, t_in_timesteps, 0) : 1 (constant over dt)
dv/dt = (mean - v)/tau + spread*sqrt(2/(tau*dt))*noise : 1
mean   : 1 (shared, constant)
spread : 1 (shared, constant)
tau    : second (shared, constant)
seed   : integer (shared, constant)
trial  : integer (constant)
index  : integer (constant)
"""
UNITS, JUMP = 5, 0.3
"""Neurons of the LIF chain, and what a spike adds to the next, in thresholds."""
WINDOW, LAG = 100, 8
"""Steps in which spikes are counted, and lags up to which a spike follows another."""
POPULATIONS = ("encoder", "qkv", "attention", "output")
BLOCK = np.zeros((4, 4))
BLOCK[[1, 2, 3, 3], [0, 1, 1, 2]] = 1
"""Edges between the populations of an attention block: the outputs are driven by values and attention."""


def poisson_units(edges: int, gain: float, size: int, trials: int, seed: int) -> list[Samples]:
    """Counts of chains of spiking units, `trials` sets of `size` samples, on the numpy target."""
    units, copies = edges + 1, size * trials
    steps = round(MEAN / PER_STEP)
    trial, index = (place.ravel() for place in np.indices((copies, units)))
    with runtime.preferences("numpy", float(STEP)):
        group = b2.NeuronGroup(
            copies * units, POISSON, threshold="v >= theta", reset=POISSON_RESET, method="euler",
            dtype={"seed": np.int64, "index": np.int64}, namespace=BRIAN_FUNCTIONS, name="units",
        )  # fmt: skip
        group.trial, group.index, group.seed, group.until = trial, index, seed, steps
        group.charge = np.where(index == 0, PER_STEP, 0.0)
        group.theta = exponential(seed, trial, index, -1)
        onward = b2.Synapses(group, group, on_pre="v_post += gain", namespace={"gain": gain}, name="onward")
        before = np.flatnonzero(index < edges)
        onward.connect(i=before, j=before + 1)
        assemble(group, onward).run((steps + FLUSH) * STEP, namespace={})
        counts = np.asarray(group.count[:], dtype=float).reshape(trials, size, units)
    return [Samples(one, chain(edges, gain)) for one in counts]


class Recorded(NamedTuple):
    """Counts in windows, and how much more often every unit spikes soon after another than soon before it."""

    samples: Samples
    lags: Array


def leaky_chain(trials: int, steps: int, seed: int) -> list[Recorded]:
    """Chains of noisy LIF neurons with weak synapses, each recorded once."""
    trial, index = (place.ravel() for place in np.indices((trials, UNITS)))
    with runtime.preferences("numpy", float(STEP)):
        group = b2.NeuronGroup(
            trials * UNITS, LEAKY, threshold="v >= 1", reset="v = 0", method="euler",
            dtype={"seed": np.int64, "index": np.int64}, namespace=BRIAN_FUNCTIONS, name="units",
        )  # fmt: skip
        group.trial, group.index, group.seed = trial, index, seed
        group.mean, group.spread, group.tau = 0.6, 0.3, 10 * b2.ms
        onward = b2.Synapses(group, group, on_pre="v_post += jump", namespace={"jump": JUMP}, name="onward")
        before = np.flatnonzero(index < UNITS - 1)
        onward.connect(i=before, j=before + 1)
        monitor = b2.SpikeMonitor(group, name="spikes")
        assemble(group, onward, monitor).run(steps * STEP, namespace={})
        step, unit = np.rint(np.asarray(monitor.t_) / float(STEP)).astype(np.int64), np.array(monitor.i[:])
    found = []
    for number in range(trials):
        raster = np.zeros((steps, UNITS))
        mine = unit // UNITS == number
        raster[step[mine], unit[mine] % UNITS] = 1
        counts = raster[: steps // WINDOW * WINDOW].reshape(-1, WINDOW, UNITS).sum(axis=1)
        after = sum(raster[:-lag].T @ raster[lag:] for lag in range(1, LAG + 1))
        found.append(Recorded(Samples(counts, chain(UNITS - 1, JUMP)), np.asarray(after - np.transpose(after))))
    return found


def lag_order(lags: Array) -> list[int]:
    """Order in which spikes follow most: the permutation whose excess of followers over forerunners is largest."""
    nodes = len(lags)
    orders = list(itertools.permutations(range(nodes)))
    first, second = np.triu_indices(nodes, 1)
    gain = [lags[np.take(one, first), np.take(one, second)].sum() for one in orders]
    return list(orders[int(np.argmax(gain))])


def attention_block(size: int, seed: int, target: str, steps: int = 100) -> Samples:
    """Spikes of the populations of an attention block that reads other tokens in every sample."""
    rng = np.random.default_rng([seed, 9])
    query, key, value = rng.normal(size=(3, 3, 4))
    block = SpikingAttention(W_q=query, W_k=key, W_v=np.abs(value), mode="staged")
    data = present(
        block, rng.uniform(0.1, 0.9, (size, 4, 3)), duration=steps * STEP, windows=1, seed=seed, target=target
    )  # fmt: skip
    totals = [data[f"spikes_{name}"].values[0, :, -1] for name in POPULATIONS]
    return Samples(np.stack(totals, axis=1).astype(float), BLOCK)
