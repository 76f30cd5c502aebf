"""record() of rows: every spike and any variable of a few rows, as a study counts them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import execution, recording, runtime, standalone
from biospike.circuit import Circuit, Shape, check_rows
from biospike.errors import InputError, RunError
from biospike.memory import check_memory
from biospike.packing import Packing, Plan, initial_state, pack
from biospike.parameters import parse_quantity
from biospike.recorder import Request, Tape
from biospike.simulation import plan

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

KEYS, HUB, INTERNEURONS = "keys", "hub", "interneurons"
GROUPS = {KEYS: "a key neuron", HUB: "the hub of a row"}
MEANINGS = {
    "step": ("1", "step of the spike"),
    "time_ms": ("ms", "time of the spike, at the start of its step"),
    "trial": ("1", "trial of the spike"),
    "row": ("1", "row of the spike"),
    "key": ("1", "key that spiked"),
    "member": ("1", "which neuron of the key, or of the row, spiked"),
}


@attrs.frozen(eq=False)
class Rows:
    """What is recorded of a study: some rows of some trials, one after another in one batch.

    Attributes
    ----------
    plan : Plan
        Of the whole study.
    trials, rows : ndarray of int
        Which; every row of every trial.
    first_row : int
        Number of the plan's first row in its study.
    """

    plan: Plan
    trials: NDArray[np.int64]
    rows: NDArray[np.int64]
    first_row: int = 0

    @property
    def slots(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Trial and row of every slot."""
        trial, row = np.meshgrid(self.trials, self.rows, indexing="ij")
        return trial.ravel(), row.ravel()

    def sizes(self, *, compiled: bool) -> tuple[int, int, int]:
        """Of the network: those of the study's binary unless the rows need more, or what they fill."""
        trial, row = self.slots
        unmasked = int((~np.isnan(self.plan.logits[row])).sum())
        hubs, keys = len(trial) + 1, max(1, unmasked * self.plan.circuit.members)
        if not compiled:
            return hubs, keys, 1
        most_hubs, most_keys, checkpoints = self.plan.sizes
        while most_hubs < hubs:
            most_hubs *= 2
        while most_keys < keys:
            most_keys *= 2
        return most_hubs, most_keys, checkpoints

    def packing(self, sizes: tuple[int, int, int]) -> Packing:
        """Batch of the slots."""
        trial, row = self.slots
        members, interneurons = self.plan.circuit.members, self.plan.circuit.interneurons
        return pack(self.plan.logits[row], trial, self.first_row + row, self.plan.seed, sizes=sizes, members=members,
                    interneurons=interneurons)  # fmt: skip

    def run(self, target: str, wanted: Sequence[str], neurons: NDArray[np.int64], **when: int) -> tuple[Tape, Packing]:
        """Run the batch; the request names variables, and keys of a row."""
        work, compiled = self.plan, target == "cpp_standalone"
        sizes = self.sizes(compiled=compiled)
        packing = self.packing(sizes)
        state = initial_state(work.circuit, packing, np.zeros(sizes[2], dtype=np.int64), work.dt)
        places = {KEYS: self.places(packing, neurons), HUB: np.arange(len(self.slots[0]))}
        values = {name: places[name.partition(".")[0]] for name in wanted}
        request = Request(values, (KEYS, INTERNEURONS) if work.circuit.interneurons else (KEYS,), **when)
        # What comes after the window is not seen.
        duration = request.last * work.dt
        if compiled:
            binary = standalone.build(work.circuit, Shape(*sizes))
            return standalone.run_recording(binary, state, work.dt, duration, request), packing
        shape = Shape(*sizes, hub_index=packing.hub_index)
        tape = runtime.run_recording(
            work.circuit, shape, state, dt=work.dt, duration=duration, request=request, target=target
        )
        return tape, packing

    def places(self, packing: Packing, neurons: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers, in the group of keys, of the first neuron of the chosen keys of all slots."""
        key = packing.position[: packing.used] % self.plan.logits.shape[1]
        return np.flatnonzero(np.isin(key, neurons) & (packing.member[: packing.used] == 0))


def record(circuit: Any, inputs: ArrayLike, *, duration: Quantity | str, **options: Any) -> xr.Dataset:
    """Run a circuit or a block on a few inputs, and keep its spikes and variables step by step.

    The spikes are those that `biospike.simulate` or `circuits.presentation.present` counts for the same seed, row and
    trial, every one. Variables are read between the thresholds of a step and what its spikes do; they are the same on
    all targets but for rounding.

    Parameters
    ----------
    circuit
        From `circuits`. A block such as `circuits.SpikingAttention` takes other options, those of its method `record`.
    inputs : array (rows, keys)
        Logits, as of `biospike.simulate`.
    duration
        How long is simulated.
    rows, trials : int or sequence of int
        Which rows of the inputs, and of which trials of a study; default 0.
    neurons : sequence of int, optional
        Keys whose variables are kept, of populations those of the first neuron; default all. Spikes are kept of all.
    variables : sequence of str, optional
        Any of the keys, such as ``"v"``, or of the hub of a row, such as ``"hub.I"``; default the membrane and the
        inhibition that a raster shows. Unknown names are refused with a list of those that there are.
    window : (start, stop), optional
        Part of the duration that is kept; default all of it.
    every
        Time between two values of a variable, a multiple of dt; default dt. Spikes are kept at every step.
    seed, dt, target
        As of `biospike.simulate`; a kernel finds counts only, so that ``fused`` and ``continuous`` are refused.
    max_memory : float, optional
        Bytes above which a recording is refused before it runs; default half of what is free.
    progress : bool
        Say how much memory it takes, and show a bar for a build.

    Returns
    -------
    xarray.Dataset
        `spike_step`, `spike_time_ms`, `spike_trial`, `spike_row`, `spike_key` (spike), of populations `spike_member`;
        ``interneuron_spike_...`` (interneuron_spike), the same of the interneurons, members of their row; ``keys_NAME``
        (trial, row, key, time), NaN where a key is masked, and ``hub_NAME`` (trial, row, time), at `time_ms`; with unit
        and a long name. Attributes as of `biospike.simulate`.

    Raises
    ------
    InputError
        On bad input, naming the value and what is accepted.
    biospike.standalone.BuildError, biospike.standalone.RunError
        If the compiled target cannot be built or fails.
    """
    if isinstance(circuit, Circuit):
        return record_rows(circuit, inputs, duration=duration, **options)
    if not hasattr(circuit, "record"):
        raise InputError(f"circuit must be a circuit such as Race(), or a block that records, got {circuit!r}")
    return circuit.record(inputs, duration=duration, **options)


def record_rows(
    circuit: Circuit,
    logits: ArrayLike,
    *,
    duration: Quantity | str,
    rows: int | Sequence[int] = 0,
    trials: int | Sequence[int] = 0,
    neurons: Sequence[int] | None = None,
    variables: Sequence[str] | None = None,
    window: tuple[Quantity | str, Quantity | str] | None = None,
    every: Quantity | str | None = None,
    seed: int = 0,
    target: str = "auto",
    dt: Quantity | str | None = None,
    max_memory: float | None = None,
    progress: bool = False,
    first_row: int = 0,
) -> xr.Dataset:
    """As `biospike.record` of a circuit; `first_row` is the number of the first of these rows in its study."""
    check_first(first_row)
    work = plan(circuit, logits, duration=duration, seed=seed, dt=dt, checkpoints=1)
    check_rows(first_row + len(work.logits), work.logits.shape[1], circuit.members, circuit.interneurons)
    chosen_trials = numbers("trials", trials, execution.TRIALS)
    chosen_rows = numbers("rows", rows, len(work.logits))
    chosen_keys = numbers("neurons", range(work.logits.shape[1]) if neurons is None else neurons, work.logits.shape[1])
    names = named((circuit.membrane, f"{HUB}.{circuit.inhibition}") if variables is None else variables)
    when = steps_of(window, every, work.dt, work.steps)
    some = Rows(work, chosen_trials, chosen_rows, first_row)
    kept = len(some.slots[0]) * sum(len(chosen_keys) if name.startswith(f"{KEYS}.") else 1 for name in names)
    times = len(range(when["first"], when["last"], when["every"]))
    said = check_memory(8 * kept * times, max_memory)
    if progress:
        print(f"record: {circuit.name}, {kept} values at {times} times: {said}", file=sys.stderr)
    one = attrs.evolve(work, starts=np.array([0, 1]), sizes=some.sizes(compiled=True), steps=when["last"])
    [(chosen, reason)] = execution.settle_targets([one], target, progress=progress, kernels=False)
    tape, packing = some.run(chosen, names, chosen_keys, **when)
    data = _dataset(some, tape, packing, chosen_keys)
    attributes = recording.provenance(circuit, seed=seed, target=chosen, reason=reason, dt=work.dt)
    ends = {f"window_{end}_ms": when[step] * work.dt / 1e-3 for end, step in (("start", "first"), ("stop", "last"))}
    return data.assign_attrs(attributes, duration_ms=work.steps * work.dt * 1e3, **ends)


def _dataset(some: Rows, tape: Tape, packing: Packing, keys: NDArray[np.int64]) -> xr.Dataset:
    """Variables by trial, row, key and time, and all spikes; NaN where a key is masked."""
    size, dt = (len(some.trials), len(some.rows)), some.plan.dt
    trial, row = some.slots
    step, neuron = tape.spikes[KEYS]
    if len(neuron) and neuron.max() >= packing.used:
        raise RunError(f"{some.plan.circuit.name}: a neuron without a key spiked")
    slot, key = np.divmod(packing.position[neuron], some.plan.logits.shape[1])
    spikes = {"step": step, "time_ms": step * dt / 1e-3, "trial": trial[slot], "row": row[slot], "key": key}
    if packing.members > 1:
        spikes["member"] = packing.member[neuron]
    data = xr.Dataset(
        {f"spike_{name}": ("spike", spikes[name], _told(*MEANINGS[name])) for name in spikes},
        coords={
            "time_ms": ("time", tape.steps * dt / 1e-3, _told("ms", "start of the step after whose thresholds it is")),
            "trial": ("trial", some.trials, _told("1", "trial")),
            "row": ("row", some.rows, _told("1", "row")),
            "key": ("key", keys, _told("1", "key")),
        },
    )
    if packing.interneurons:
        step, neuron = tape.spikes[INTERNEURONS]
        slot, member = np.divmod(neuron, packing.interneurons)
        others = {"step": step, "time_ms": step * dt / 1e-3, "trial": trial[slot], "row": row[slot], "member": member}
        for name, values in others.items():
            data[f"interneuron_spike_{name}"] = ("interneuron_spike", values, _told(*MEANINGS[name]))
    places = some.places(packing, keys)
    slots, own = np.divmod(packing.position[places], some.plan.logits.shape[1])
    for name, values in tape.values.items():
        group, variable = name.split(".")
        told = _told(tape.units[name] or "1", f"{variable} of {GROUPS[group]}, after the thresholds of a step")
        if group == HUB:
            data[f"{group}_{variable}"] = (("trial", "row", "time"), values.T.reshape(*size, -1), told)
            continue
        full = np.full((len(trial), len(keys), len(tape.steps)), np.nan)
        full[slots, np.searchsorted(keys, own)] = values.T
        data[f"{group}_{variable}"] = (("trial", "row", "key", "time"), full.reshape(*size, *full.shape[1:]), told)
    return data


def _told(units: str, long_name: str) -> dict[str, str]:
    return {"units": units, "long_name": long_name}


def check_first(first_row: Any) -> None:
    """Raise `InputError` unless it is a whole number of at least 0."""
    if isinstance(first_row, bool) or not isinstance(first_row, (int, np.integer)) or first_row < 0:
        raise InputError(f"row must be a whole number of at least 0, got {first_row!r}")


def numbers(name: str, given: Any, count: int) -> NDArray[np.int64]:
    """Sorted numbers without repetition, each in [0, count).

    Raises
    ------
    InputError
        Naming the first that is none.
    """
    chosen = [given] if isinstance(given, (int, np.integer)) and not isinstance(given, bool) else given
    if not np.iterable(chosen) or isinstance(chosen, str):
        raise InputError(f"{name} must be whole numbers in [0, {count}), got {given!r}")
    for one in chosen:
        if isinstance(one, bool) or not isinstance(one, (int, np.integer)) or not 0 <= one < count:
            raise InputError(f"{name} must be whole numbers in [0, {count}), got {one!r}")
    found = np.unique(np.array(list(chosen), dtype=np.int64))
    if not found.size:
        raise InputError(f"{name} must name at least one of [0, {count})")
    return found


def named(variables: Any) -> list[str]:
    """Variables as ``group.name``, those of the keys if they name no group.

    Raises
    ------
    InputError
        If one is of neither.
    """
    if isinstance(variables, str) or not np.iterable(variables) or not all(isinstance(name, str) for name in variables):
        raise InputError(f"variables must be names such as ('v', 'hub.g'), got {variables!r}")
    full = [name if "." in name else f"{KEYS}.{name}" for name in variables]
    for name in full:
        if name.partition(".")[0] not in GROUPS:
            raise InputError(f"variables must be those of {' and '.join(GROUPS)}, such as 'v' or 'hub.g', got {name!r}")
    return list(dict.fromkeys(full))


def steps_of(window: Any, every: Any, dt: float, steps: int) -> dict[str, int]:
    """First, last and every of a `Request`: the part of the duration that is kept.

    Raises
    ------
    InputError
        If the window is not inside of the duration, or `every` is no multiple of the step.
    """
    first, last = 0, steps
    if window is not None:
        if not isinstance(window, (tuple, list)) or len(window) != 2:
            raise InputError(f"window must be (start, stop), two times, got {window!r}")
        ends = [float(parse_quantity(one, like=1 * b2.ms)) / dt for one in window]
        first, last = (int(np.ceil(end * (1 - 1e-12))) for end in ends)
        if not 0 <= first < last <= steps:
            raise InputError(
                f"window must begin before it ends, within the duration of {steps * dt:g} s, got {window[0]} to "
                f"{window[1]}"
            )
    apart = 1.0 if every is None else float(parse_quantity(every, like=1 * b2.ms)) / dt
    if apart < 1 - 1e-6 or abs(apart - round(apart)) > 1e-6:
        raise InputError(f"every must be a multiple of dt = {dt * 1e3:g} ms, got {every}")
    return {"first": first, "last": last, "every": round(apart)}
