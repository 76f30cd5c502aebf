"""Spikes and variables of an attention block, step by step: what a raster of its populations shows.

The seeds, equations and windows are those of `circuits.presentation.present`, so the spikes are the ones it counts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import execution, runtime, standalone
from biospike.errors import InputError
from biospike.memory import check_memory
from biospike.random import TRIALS
from biospike.recorder import Request, Tape
from biospike.row_recording import numbers, steps_of
from circuits.presentation import Presentation, plan_presentation
from circuits.projection import BlockShape, Slots
from circuits.token_circuit import as_samples

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

if TYPE_CHECKING:
    from circuits.attention import SpikingAttention

ROUTING = 1
"""Steps from an attention spike to the outputs that it causes, by which their window is later."""


def layout(circuit: SpikingAttention, shape: BlockShape) -> dict[str, dict[str, int]]:
    """How the neurons of every population lie in their group, without the slots: names and lengths of the axes."""
    n, h, d = shape.tokens, shape.heads, shape.width
    return {
        "encoder": {"token": n, "copy": circuit.copies, "feature": shape.features},
        "neurons": {"token": n, "stream": len(circuit.streams), "head": h, "unit": d, "sign": 2},
        "keys": {"head": h, "query": n, "key": n},
        "outputs": {"query": n, "head": h, "unit": d, "sign": 2},
    }


def record_spikes(
    circuit: SpikingAttention,
    tokens: ArrayLike,
    *,
    duration: Quantity | str,
    seed: int = 0,
    shown: Quantity | str | None = None,
    key_mask: ArrayLike | None = None,
    target: str = "auto",
    like: Presentation | None = None,
) -> xr.Dataset:
    """Present tokens once and keep every spike of the window.

    Parameters
    ----------
    circuit, tokens, duration, seed, key_mask
        As of `circuits.presentation.present`, whose trial 0 is reproduced spike by spike; tokens of one sample.
    shown
        How much of the window is recorded, from its onset; None for all of it.
    target, like
        As of `record_block`.

    Returns
    -------
    xarray.Dataset
        As of `record_block`, of no variables.

    Raises
    ------
    InputError
        On bad input, naming the value and what is accepted.
    """
    samples = len(as_samples(tokens, circuit.features))
    if samples > 1:
        raise InputError(f"spikes are recorded of the tokens of one sample, got {samples} samples")
    if shown is not None:
        steps, kept = (execution.count_steps(time, circuit.dt, like=1 * b2.ms) for time in (duration, shown))
        if kept > steps:
            raise InputError(f"shown = {shown} is longer than the window, {duration}")
    return record_block(
        circuit, tokens, duration=duration, seed=seed, key_mask=key_mask, target=target, like=like,
        window=None if shown is None else (0 * b2.ms, shown),
    )  # fmt: skip


def record_block(
    circuit: SpikingAttention,
    tokens: ArrayLike,
    *,
    duration: Quantity | str,
    rows: int = 0,
    trials: int = 0,
    neurons: Mapping[str, Sequence[int]] | None = None,
    variables: Sequence[str] = (),
    window: tuple[Quantity | str, Quantity | str] | None = None,
    every: Quantity | str | None = None,
    seed: int = 0,
    target: str = "auto",
    key_mask: ArrayLike | None = None,
    max_memory: float | None = None,
    progress: bool = False,
    like: Presentation | None = None,
) -> xr.Dataset:
    """Present tokens once and keep the spikes, and variables if any are named.

    Parameters
    ----------
    circuit, tokens, duration, seed, key_mask
        As of `circuits.presentation.present`.
    rows, trials
        Which sample of the tokens, and of which trial.
    neurons
        Of a population, which neurons the variables are kept of, numbered in the order of `layout`; default all.
    variables
        Such as ``"neurons.v"`` or ``"keys.u"``; of the rows of the attention ``"hub.NAME"``. None by default.
    window
        Part of the window that is kept, (start, stop) from its onset; default all of it.
    every, target, max_memory, progress
        As of `biospike.record`.
    like
        A presentation whose binary is taken for one of the same tokens and heads, so that nothing is built.

    Returns
    -------
    xarray.Dataset
        One dimension a population, ``encoder_spike``, ``neurons_spike``, ``keys_spike`` and ``outputs_spike``, with
        the time of each spike since the onset, such as ``encoder_time_ms``, and the coordinates of its neuron:
        ``encoder_token``, ``_copy`` (the stream that it drives, if encoders are separate), ``_feature``;
        ``neurons_token``, ``_stream``, ``_head``, ``_unit``, ``_sign`` (0 ON, 1 OFF); ``keys_head``, ``_query``,
        ``_key``; ``outputs_query``, ``_head``, ``_unit``, ``_sign``. The window of the outputs begins and ends one step
        later than that of the others, as it does in `present`. A variable is ``GROUP_NAME`` (GROUP_neuron, time) at
        `time_ms` since the onset, ``GROUP_neuron`` the numbers of its neurons. Attributes: lengths of these axes,
        ``shown_ms``, ``window_ms``, ``dt_ms``, ``seed``, ``target``.

    Raises
    ------
    InputError
        On bad input, naming the value and what is accepted.
    biospike.standalone.BuildError, biospike.standalone.RunError
        If the compiled target cannot be built or fails.
    """
    circuit = circuit.fitted(tokens)
    plan = plan_presentation(circuit, tokens, duration=duration, seed=seed, windows=1, key_mask=key_mask)
    [sample], [trial] = numbers("rows", rows, len(plan.x)), numbers("trials", trials, TRIALS)
    steps = int(plan.marks[-1])
    when = steps_of(window, every, plan.dt, steps)
    onset = circuit.timing(steps, circuit.dt).onset
    axes = layout(circuit, plan.shape())
    values = _chosen(circuit, plan.shape(), axes, variables, neurons or {})
    kept = sum(map(len, values.values()))
    said = check_memory(8 * kept * len(range(when["first"], when["last"], when["every"])), max_memory)
    if progress:
        print(f"record: {circuit.name}, {kept} values a time: {said}", file=sys.stderr)
    if like is not None:
        plan = attrs.evolve(plan, slots=like.slots, room=like.room)
    [(chosen, _)] = execution.settle_targets([plan], target, progress=progress, kernels=False)
    if chosen != "cpp_standalone":
        plan = attrs.evolve(plan, slots=1)
    request = Request(values, tuple(axes), onset + when["first"], onset + when["last"] + ROUTING, when["every"])
    tape = _run(plan, int(sample), int(trial), request, chosen)
    data = xr.Dataset(
        attrs={
            **{f"{name}_{axis}": length for name, lengths in axes.items() for axis, length in lengths.items()},
            "shown_ms": (when["last"] - when["first"]) * plan.dt * 1e3,
            "window_ms": steps * plan.dt * 1e3,
            "dt_ms": plan.dt * 1e3,
            "seed": int(seed),
            "target": chosen,
        }
    )
    for name, (step, neuron) in tape.spikes.items():
        mine = neuron < np.prod(list(axes[name].values()))  # the first slot; the others are empty
        found = _population(name, step[mine] - onset, neuron[mine], when, axes[name], plan.dt)
        data = data.assign(found)
    return data.assign(_variables(tape, values, onset, when["last"], plan.dt)) if values else data


def _run(plan: Presentation, sample: int, trial: int, request: Request, target: str) -> Tape:
    """Run one presentation, the first slot of a batch, up to the end of what is recorded."""
    circuit, shape, slots = plan.circuit, plan.shape(), plan.slots
    x, unmasked = (np.zeros((slots, *values.shape[1:]), values.dtype) for values in (plan.x, plan.unmasked))
    x[0], unmasked[0] = plan.x[sample], plan.unmasked[sample]
    marks = np.full(plan.room, -(2**30), dtype=np.int64)  # before the run: nothing is counted
    which = (np.full(slots, trial), np.full(slots, sample))
    state = circuit.state(shape, Slots(x, unmasked, *which, plan.seed), marks, int(plan.marks[-1]), circuit.dt)
    duration = request.last * plan.dt
    if target == "cpp_standalone":
        binary = standalone.build(circuit, shape)
        return standalone.run_recording(binary, state, plan.dt, duration, request)
    return runtime.run_recording(circuit, shape, state, dt=plan.dt, duration=duration, request=request, target=target)


def _chosen(
    circuit: SpikingAttention,
    shape: BlockShape,
    axes: dict[str, dict[str, int]],
    variables: Sequence[str],
    neurons: Mapping[str, Sequence[int]],
) -> dict[str, NDArray[np.int64]]:
    """Neurons of each variable; an unknown group is left to the network, which knows its groups."""
    sizes = {name: int(np.prod(list(lengths.values()))) for name, lengths in axes.items()}
    sizes["hub"] = shape.heads * shape.tokens
    if isinstance(variables, str) or any(not isinstance(name, str) or name.count(".") != 1 for name in variables):
        raise InputError(f"variables must be names such as ('neurons.v', 'hub.reference'), got {variables!r}")
    for group in {*neurons, *(name.partition(".")[0] for name in variables)} - sizes.keys():
        raise InputError(f"{circuit.name}: groups are {', '.join(sizes)}, got '{group}'")
    return {
        name: numbers(f"neurons of {group}", neurons.get(group, range(sizes[group])), sizes[group])
        for name in variables
        for group in [name.partition(".")[0]]
    }


def _variables(tape: Tape, values: dict[str, NDArray[np.int64]], onset: int, last: int, dt: float) -> dict[str, Any]:
    """Variables by neuron and time; outputs are recorded for a step longer, the variables are not."""
    inside = tape.steps < onset + last
    found: dict[str, Any] = {
        "time_ms": (
            "time",
            (tape.steps[inside] - onset) * dt * 1e3,
            {"units": "ms", "long_name": "time since the onset"},
        )
    }
    for name, index in values.items():
        group, variable = name.split(".")
        told = {"units": tape.units[name] or "1", "long_name": f"{variable} of {group}, after the thresholds of a step"}
        found[f"{group}_{variable}"] = ((f"{group}_neuron", "time"), tape.values[name][inside].T, told)
        found[f"{group}_neuron"] = (f"{group}_neuron", index, {"units": "1", "long_name": f"number in {group}"})
    return found


def _population(
    name: str, step: NDArray[np.int64], neuron: NDArray[np.int64], when: dict[str, int], axes: dict[str, int], dt: float
) -> dict[str, Any]:
    """Variables of one population, spikes within its window only."""
    later = ROUTING if name == "outputs" else 0
    inside = (step >= when["first"] + later) & (step < when["last"] + later)
    places = np.unravel_index(neuron[inside], tuple(axes.values()))
    time = (step[inside] * dt * 1e3).astype(np.float32)
    coordinates = {axis: place.astype(np.int32) for axis, place in zip(axes, places, strict=True)}
    return {
        f"{name}_time_ms": (f"{name}_spike", time, {"units": "ms", "long_name": f"time of a spike of {name}"}),
        **{f"{name}_{axis}": (f"{name}_spike", place, _told(axis)) for axis, place in coordinates.items()},
    }


def _told(axis: str) -> dict[str, str]:
    return {"units": "1", "long_name": f"{axis} of the neuron that spiked"}
