"""Every spike of rows of keys, on the numpy target; counts and moments of the result are those of the spikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import rows_loop as loop

from biospike import simulate
from biospike.circuit import Circuit

import brian2 as b2

SIZES = (31, 32, 33, 63, 64, 65, 127, 128, 129)
"""On both sides of one word of 32 and of 64 bits, and of two."""
SEED = 2**32 - 1
Rows = list[tuple[int, int, list[int]]]


def rows_of(sizes: tuple[int, ...]) -> np.ndarray:
    """Normal logits; the unmasked keys of a row are scattered among the masked ones, and the last is a large one."""
    rng = np.random.default_rng(len(sizes) + max(sizes))
    logits = rng.normal(0, 1.2, (len(sizes), max(sizes) + 2))
    for row, size in enumerate(sizes):
        logits[row, rng.permutation(logits.shape[1])[size:]] = np.nan
        logits[row, np.flatnonzero(~np.isnan(logits[row]))[-1]] = np.nanmax(logits[row])
    return logits


def slots(logits: np.ndarray, trials: int) -> Rows:
    """Trial, row and unmasked keys, in the order in which they are simulated."""
    return [(t, r, np.flatnonzero(~np.isnan(row)).tolist()) for t in range(trials) for r, row in enumerate(logits)]


class Recorder:
    """Spikes and hubs of all batches of a circuit on the numpy target."""

    def __init__(self, patch: pytest.MonkeyPatch, kind: type[Circuit]) -> None:
        self.networks: list[b2.Network] = []
        build = kind.build

        def recorded(circuit: Circuit, shape: Any) -> b2.Network:
            network = build(circuit, shape)
            network.add(b2.SpikeMonitor(network["keys"], name="recorded"))
            self.networks.append(network)
            return network

        patch.setattr(kind, "build", recorded)

    def spikes(self, rows: Rows, dt: float) -> list[list[tuple[int, int]]]:
        """(key among the unmasked, step) of every slot: the neurons of the batches are the keys in their order."""
        owner = [(slot, key) for slot, (_, _, keys) in enumerate(rows) for key in range(len(keys))]
        found: list[list[tuple[int, int]]] = [[] for _ in rows]
        start = 0
        for network in self.networks:
            monitor = network["recorded"]
            for step, neuron in sorted(zip(np.rint(monitor.t_ / dt).astype(int).tolist(), monitor.i, strict=True)):
                slot, key = owner[start + neuron]
                found[slot].append((key, step))
            start += int(network["keys"].occupied[:])
        assert start == len(owner)
        return found

    def hubs(self, name: str, rows: Rows) -> list[float]:
        """A variable of the hub of every slot; what hubs follow those of the rows of a batch belong to none."""
        left = [len(keys) for _, _, keys in rows]
        found: list[float] = []
        for network in self.networks:
            values, neurons = getattr(network["hub"], f"{name}_")[:], int(network["keys"].occupied[:])
            for value in values[: np.searchsorted(np.cumsum(left), neurons, side="right")]:
                found.append(float(value))
                left.pop(0)
        assert not left
        return found


def present(
    circuit: Circuit, logits: np.ndarray, steps: int, trials: int = 1, checkpoints: int = 24
) -> tuple[Any, Rows, list[list[tuple[int, int]]], Callable[[str], list[float]]]:
    """Run on the numpy target; every count and moment is held against the tally of the recorded spikes."""
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch, next(kind for kind in type(circuit).__mro__ if "build" in vars(kind)))
        data = simulate(
            circuit,
            logits,
            duration=steps * circuit.dt,
            trials=trials,
            seed=SEED,
            target="numpy",
            checkpoints=checkpoints,
        )
        rows = slots(logits, trials)
        spikes = recorder.spikes(rows, float(circuit.dt))
        hubs = {name: recorder.hubs(name, rows) for name in ("row_spikes", circuit.inhibition)}
    assert_tallied(data, rows, spikes)
    assert hubs["row_spikes"] == [len(one) for one in spikes]
    return data, rows, spikes, hubs.__getitem__


def assert_tallied(data: Any, rows: Rows, spikes: list[list[tuple[int, int]]]) -> None:
    """Every count and moment of the result is that of the spikes, and masked keys have none."""
    marks = data.timesteps.values.tolist()
    counts = np.zeros(data.spike_count.shape, dtype=object)
    moments = np.zeros((2, *data.gap_sum.shape), dtype=object)
    for (trial, row, keys), fired in zip(rows, spikes, strict=True):
        for key, own in zip(keys, loop.tally(fired, len(keys), marks), strict=True):
            counts[trial, row, key], moments[:, trial, row, key] = own.counts, own.moments
    np.testing.assert_array_equal(data.spike_count.values, counts)
    np.testing.assert_array_equal(np.stack([data.gap_sum, data.gap_square_sum]), moments)


def assert_both_sides(rows: Rows, spikes: list[list[tuple[int, int]]]) -> None:
    """Keys on both sides of every boundary have fired."""
    for edge in (32, 64, 128):
        longer = [fired for (_, _, keys), fired in zip(rows, spikes, strict=True) if len(keys) > edge]
        assert longer
        assert {key >= edge for fired in longer for key, _ in fired} == {False, True}
