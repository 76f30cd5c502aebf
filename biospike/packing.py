"""A study cut into batches of one size, whatever its rows and trials.

Every (trial, row) is a slot. Batches take whole slots in order, and the rows of a batch lie one after another in one
group of key neurons, without their masked keys: nothing is simulated that does not count.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import standalone
from biospike.circuit import MEMBER_STRIDE, Batch, Circuit, Shape

import brian2 as b2

# Rough time of the numpy target, per step and per neuron and step.
NUMPY_SECONDS_PER_STEP = 6e-4
NUMPY_SECONDS_PER_NEURON = 6e-8

MOMENTS = ("gap_sum", "gap_square_sum")
"""Of the intervals between a key's spikes, kept by every circuit."""


@attrs.frozen(eq=False)
class Packing:
    """How the rows of a batch lie in the group of key neurons.

    Rows follow one another without their masked keys; what is left of the group belongs to a row without keys, the last
    of the batch, whose state the hubs beyond it share.
    """

    batch: Batch
    hubs: int
    """Of the network: at least the rows of the batch."""
    hub_index: NDArray[np.int64]
    """Row of every key neuron."""
    position: NDArray[np.int64]
    """Of every key neuron, in the flattened (rows, keys) of the batch."""
    used: int
    members: int = 1
    """Neurons of a key, one after another."""
    interneurons: int = 0
    """Of a row."""

    @property
    def member(self) -> NDArray[np.int64]:
        """Which of its key every key neuron is."""
        return np.where(np.arange(len(self.position)) < self.used, np.arange(len(self.position)) % self.members, 0)

    @property
    def index(self) -> NDArray[np.int64]:
        """Address of the random numbers of every key neuron."""
        return self.batch.index.ravel()[self.position] + self.member * MEMBER_STRIDE

    def pack(self, state: dict[str, Any]) -> dict[str, Any]:
        """State of the network from that of the batch."""
        rows, keys = self.batch.logits.shape
        packed = dict(state)
        for name, value in state.items():
            group, shape = name.partition(".")[0], np.shape(value)
            if group == "keys" and shape == (rows, keys):
                packed[name] = np.ravel(value)[self.position]
            elif group == "keys" and shape == (rows, keys, self.members):
                packed[name] = np.ravel(value)[self.position * self.members + self.member]
            elif group == "hub" and shape == (rows,):
                packed[name] = np.pad(value, (0, self.hubs - rows), mode="edge")
            elif group == "interneurons" and shape in ((rows,), (rows, self.interneurons)):
                own = np.broadcast_to(np.reshape(value, (rows, -1)), (rows, self.interneurons))
                packed[name] = np.pad(own, ((0, self.hubs - rows), (0, 0)), mode="edge").ravel()
        return packed

    def unpack(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the keys as (rows, keys), those of its members added up, 0 where masked."""
        full = np.zeros(self.batch.logits.size, dtype=values.dtype if self.members == 1 else np.result_type(values, 1))
        np.add.at(full, self.position[: self.used], values[: self.used])
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
    shift: NDArray[np.float64] | float = 0.0
    """Of every row, as of `biospike.circuit.Batch`."""

    def duration(self, number: int) -> float:
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
        """Batch `number`."""
        trial, row = np.divmod(np.arange(self.starts[number], self.starts[number + 1]), len(self.logits))
        shift = np.broadcast_to(self.shift, len(self.logits))[row]
        members, interneurons = self.circuit.members, self.circuit.interneurons
        return pack(self.logits[row], trial, row, self.seed, sizes=self.sizes, shift=shift, members=members,
                    interneurons=interneurons)  # fmt: skip

    def shape(self, number: int | None = None) -> Shape:
        """Size of the network, and for a batch its wiring, which a compiled network reads when it starts."""
        return Shape(*self.sizes, hub_index=None if number is None else self.packing(number).hub_index)

    @property
    def wanted(self) -> list[str]:
        """Counts and moments of the keys, and the hubs' own count."""
        marks = range(len(self.marks))
        counts = ["keys.spike_count", "hub.row_spikes", *(f"keys.{name}" for name in MOMENTS)]
        counts += [f"keys.count_{c}" for c in marks]
        if self.circuit.interneurons:
            counts += ["interneurons.spike_count", "hub.interneuron_spikes"]
            counts += [f"interneurons.count_{c}" for c in marks]
        return counts

    def state(self, number: int) -> dict[str, Any]:
        """State of a batch: the circuit's own, and what the kernel's bookkeeping needs."""
        marks = np.zeros(self.sizes[2], dtype=np.int64)
        marks[: len(self.marks)] = self.marks
        return initial_state(self.circuit, self.packing(number), marks, self.dt)

    def collect(self, number: int, result: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Counts (rows, keys, checkpoints) and moments of a batch, once its sums agree.

        Moments of keys that are populations are NaN: their neurons' intervals are not those between spikes of the key.

        Raises
        ------
        biospike.standalone.RunError
            If keys and hub disagree, padding spiked, or the state is not finite.
        """
        packing, name = self.packing(number), self.circuit.name
        total = packing.unpack(result["keys.spike_count"])
        counts = np.stack([packing.unpack(result[f"keys.count_{c}"]) for c in range(len(self.marks))], axis=-1)
        moments = {moment: packing.unpack(result[f"keys.{moment}"]) for moment in MOMENTS}
        of_rows = np.pad(total.sum(axis=1), (0, packing.hubs - len(total)))
        if not np.array_equal(of_rows, result["hub.row_spikes"]) or np.any(counts[..., -1] > total):
            raise standalone.RunError(f"{name}: the hubs did not count the spikes of their keys")
        if np.any(result["keys.spike_count"][packing.used :]):
            raise standalone.RunError(f"{name}: a neuron without a key spiked")
        if not all(np.all(np.isfinite(values)) for values in moments.values()):
            raise standalone.RunError(f"{name}: the state is not finite")
        if self.circuit.members > 1:
            moments = {moment: np.full_like(values, np.nan) for moment, values in moments.items()}
        rows = self.starts[number + 1] - self.starts[number]
        found = {"spike_count": counts, **moments}
        if self.circuit.interneurons:
            found["interneuron_count"] = self._collect_interneurons(packing, result)
        return {one: values[:rows] for one, values in found.items()}

    def _collect_interneurons(self, packing: Packing, result: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
        """Counts (rows, checkpoints), all interneurons of a row together."""
        shape = (packing.hubs, self.circuit.interneurons)
        total = result["interneurons.spike_count"].reshape(shape).sum(axis=1)
        marks = range(len(self.marks))
        counts = np.stack([result[f"interneurons.count_{c}"].reshape(shape).sum(axis=1) for c in marks], axis=-1)
        silent = np.ones(packing.hubs, dtype=bool)
        silent[: len(packing.batch.padding)] = packing.batch.padding
        if not np.array_equal(total, result["hub.interneuron_spikes"]) or np.any(counts[:, -1] > total):
            raise standalone.RunError(f"{self.circuit.name}: the hubs did not count the spikes of their interneurons")
        if np.any(total[silent]):
            raise standalone.RunError(f"{self.circuit.name}: an interneuron of a row without keys spiked")
        return counts

    @property
    def numpy_seconds(self) -> float:
        """Rough time on the numpy target."""
        neurons = self.batches * (self.sizes[1] + self.sizes[0] * self.circuit.interneurons)
        return self.steps * (NUMPY_SECONDS_PER_STEP * self.batches + NUMPY_SECONDS_PER_NEURON * neurons)


def pack(
    logits: NDArray[np.float64],
    trial: NDArray[np.int64],
    row: NDArray[np.int64],
    seed: int,
    *,
    sizes: tuple[int, int, int],
    shift: NDArray[np.float64] | float = 0.0,
    members: int = 1,
    interneurons: int = 0,
) -> Packing:
    """Batch of these rows, with one padding row, which stays silent.

    Parameters
    ----------
    logits : ndarray (rows, keys)
        Nats; NaN masks a key.
    trial, row : ndarray (rows,)
        As of `biospike.circuit.Batch`, and so are `seed` and `shift`.
    sizes
        Hubs, key neurons and checkpoints of the network.
    members, interneurons
        Neurons of a key, and of a row.
    """
    hubs, neurons, _ = sizes
    padded = np.append(logits, np.full((1, logits.shape[1]), np.nan), axis=0)
    unmasked = np.repeat(np.flatnonzero(~np.isnan(padded)), members)
    position = np.full(neurons, padded.size - 1)
    position[: len(unmasked)] = unmasked
    hub_index = position // padded.shape[1]
    # The padding is of row and trial 0, whose numbers it draws and does not use.
    shift = np.append(np.broadcast_to(shift, len(logits)), np.broadcast_to(shift, len(logits))[0])
    batch = Batch(padded, np.append(trial, 0), np.append(row, 0), seed, shift)
    return Packing(batch, hubs, hub_index, position, len(unmasked), members, interneurons)


def initial_state(circuit: Circuit, packing: Packing, marks: NDArray[np.int64], dt: float) -> dict[str, Any]:
    """State of a batch: the circuit's own, and what the kernel's bookkeeping needs.

    Parameters
    ----------
    marks : ndarray (checkpoints,)
        In steps; 0 for those that are not used.
    dt
        Step, second.
    """
    batch = packing.batch
    checkpoints = {f"checkpoint_{c}": mark for c, mark in enumerate(marks)}
    state = {
        **packing.pack(circuit.state(batch, dt * b2.second)),
        "keys.occupied": packing.used,
        "keys.seed": batch.seed,
        "keys.hub_index": packing.hub_index,
        "keys.trial": batch.trial[packing.hub_index],
        "keys.index": packing.index,
        **{f"keys.{name}": mark for name, mark in checkpoints.items()},
    }
    if packing.interneurons:
        seed, trial, index = batch.interneuron_address(packing.interneurons)
        own = {"trial": trial.ravel(), "index": index}
        state |= packing.pack({f"interneurons.{name}": value for name, value in own.items()})
        state |= {"interneurons.seed": seed, "interneurons.occupied": len(batch.row) * packing.interneurons}
        state |= {f"interneurons.{name}": mark for name, mark in checkpoints.items()}
    return state


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
