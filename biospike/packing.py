"""A study cut into batches of one size, whatever its rows and trials.

Every (trial, row) is a slot. Batches take whole slots in order, and the rows of a batch lie one after another in one
group of key neurons, without their masked keys: nothing is simulated that does not count.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape

# Rough time of the numpy target, per step and per neuron and step.
NUMPY_SECONDS_PER_STEP = 3e-4
NUMPY_SECONDS_PER_NEURON = 4e-8


@attrs.frozen(eq=False)
class Packing:
    """How the rows of a batch lie in the group of key neurons.

    Rows follow one another without their masked keys; what is left of the group takes the state of a row without keys.
    """

    batch: Batch
    shape: Shape
    position: NDArray[np.int64]
    """Of every key neuron, in the flattened (rows, keys) of the batch."""
    used: int

    def pack(self, state: dict[str, Any]) -> dict[str, Any]:
        """State of the network from that of the batch."""
        size = self.batch.logits.size
        return {
            name: np.ravel(value)[self.position] if name.startswith("keys.") and np.size(value) == size > 1 else value
            for name, value in state.items()
        }

    def unpack(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the keys as (rows, keys), 0 where masked."""
        full = np.zeros(self.batch.logits.size, dtype=values.dtype)
        full[self.position[: self.used]] = values[: self.used]
        return full.reshape(self.batch.logits.shape)


@attrs.frozen(eq=False)
class Plan:
    """One study cut into batches of one size."""

    circuit: Circuit
    logits: NDArray[np.float64]
    trials: int
    seed: int
    dt: float
    steps: int
    marks: NDArray[np.int64]
    sizes: tuple[int, int, int]
    """Hubs, key neurons and checkpoints of a batch."""
    starts: NDArray[np.int64]
    """First slot of every batch, and the end; slots are (trial, row) in this order."""

    @property
    def duration(self) -> float:
        """Window, second."""
        return self.steps * self.dt

    @property
    def slots(self) -> int:
        """Number of (trial, row)."""
        return self.trials * len(self.logits)

    @property
    def batches(self) -> int:
        """Number of batches."""
        return len(self.starts) - 1

    def packing(self, number: int) -> Packing:
        """Batch `number`, with at least one padding row, which stays silent."""
        hubs, neurons, _ = self.sizes
        slot = np.arange(self.starts[number], self.starts[number + 1])
        trial, row = (np.zeros(hubs, dtype=np.int64) for _ in range(2))
        trial[: len(slot)], row[: len(slot)] = np.divmod(slot, len(self.logits))
        logits = np.full((hubs, self.logits.shape[1]), np.nan)
        logits[: len(slot)] = self.logits[row[: len(slot)]]
        unmasked = np.flatnonzero(~np.isnan(logits))
        position = np.full(neurons, logits.size - 1)
        position[: len(unmasked)] = unmasked
        shape = Shape(*self.sizes, hub_index=position // logits.shape[1])
        return Packing(Batch(logits, trial, row, self.seed), shape, position, len(unmasked))

    @property
    def numpy_seconds(self) -> float:
        """Rough time on the numpy target."""
        neurons = self.batches * self.sizes[1]
        return self.steps * (NUMPY_SECONDS_PER_STEP * self.batches + NUMPY_SECONDS_PER_NEURON * neurons)


def cut(keys: NDArray[np.int64], trials: int, hubs: int, neurons: int) -> NDArray[np.int64]:
    """Cut slots into batches of fewer than `hubs` rows and at most `neurons` keys; returns their boundaries."""
    end = np.cumsum(np.tile(keys, trials))
    starts = [0]
    while starts[-1] < len(end):
        before = end[starts[-1] - 1] if starts[-1] else 0
        starts.append(int(min(np.searchsorted(end, before + neurons, side="right"), starts[-1] + hubs - 1)))
    return np.array(starts)


def fitted(plan: Plan) -> Plan:
    """Shrink the batches to what the study fills: without compilation every size is as good."""
    rows = int(np.diff(plan.starts).max()) + 1
    keys = max(plan.packing(number).used for number in range(plan.batches))
    return attrs.evolve(plan, sizes=(rows, keys, len(plan.marks)))
