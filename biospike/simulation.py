"""simulate(): logits in, spike counts out; built once, run in batches on all cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import execution, recording
from biospike.circuit import Circuit, check_indices, check_rows
from biospike.errors import InputError
from biospike.fused.replay import cut_plan, replay_once
from biospike.ideal.softmax import check_logits
from biospike.memory import MEBIBYTE, free_memory
from biospike.packing import MOMENTS, Plan, cut, fitted
from biospike.rows import row_names

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

NEURONS_PER_BATCH = 2**12
ROWS_PER_BATCH = 2**9
POPULATED_ROWS_PER_BATCH = 2**4
"""Of rows that have interneurons, which are neurons too."""
BYTES_PER_NEURON = 2**8
"""Of a network, beside 16 a checkpoint: about thirty variables, what goes in and what comes out."""
CHECKPOINTS = 24
FIRST_WINDOW = 1e-3
"""Default checkpoints are spaced evenly in the logarithm from this fraction of the duration to all of it."""


def simulate(
    circuit: Circuit,
    logits: ArrayLike,
    *,
    duration: Quantity | str,
    trials: int = 1,
    seed: int = 0,
    target: str = "auto",
    checkpoints: int | ArrayLike | Quantity = CHECKPOINTS,
    dt: Quantity | str | None = None,
    jobs: int | None = None,
    progress: bool = False,
    check: bool = True,
    limit: bool = True,
) -> xr.Dataset:
    """Run a circuit on rows of logits and count its spikes.

    Parameters
    ----------
    circuit
        From `circuits`, for example ``Race()``.
    logits
        Array (rows, keys) or (keys,), in nats; NaN or -inf masks a key, and so does a fill such as -1e4. Attention
        logits (batch, heads, queries, keys) become rows by `biospike.rows_of`.
    duration
        Window, such as ``2*second`` or ``"2 s"``; rounded up to whole steps.
    trials
        Independent repetitions of every row.
    seed
        Integer in [0, 2**32). The same seed gives the same spikes whatever the target, batch size or jobs.
    target
        ``cpp_standalone`` (compiled), ``cython``, ``numpy``: Brian2's own code. ``fused``: a kernel of `biospike.fused`
        that finds the same spikes, for circuits that have one. ``continuous``: another one, of the same law as dt
        goes to 0. ``auto``: fused or compiled where a compiler is found and the work is worth a build, else numpy.
    checkpoints
        How many windows to read, spaced evenly in the logarithm up to the duration, or the windows themselves.
    dt
        Step; default the circuit's own.
    jobs
        Processes; default all cores.
    progress
        Show bars for build and run on standard error.
    check
        On target ``fused``, replay a small batch on Brian2's numpy target first, once a circuit and process: it takes
        about a second.
    limit
        False leaves `limit` out, which some circuits find by iteration.

    Returns
    -------
    xarray.Dataset
        `spike_count` (trial, row, key, checkpoint), cumulative; `gap_sum`, `gap_square_sum` (trial, row, key), moments
        of the intervals between a key's spikes, counted in spikes of the row, NaN where keys are populations;
        `interneuron_count` (trial, row, checkpoint) of circuits with interneurons; `logits` and `limit` (row, key);
        coordinates `window_ms` and `timesteps` of the checkpoints, and `row_name` of rows that `biospike.rows_of` made.
        Attributes: parameters, seed, target, versions.

    Raises
    ------
    InputError
        On bad input, naming the value and what is accepted, before anything is built.
    biospike.standalone.BuildError, biospike.standalone.RunError
        If the compiled target cannot be built or fails.
    """
    work = plan(circuit, logits, duration=duration, trials=trials, seed=seed, checkpoints=checkpoints, dt=dt)
    [data] = simulate_each([work], target=target, jobs=jobs, progress=progress, check=check, limit=limit)
    names = row_names(logits)
    return data if names is None else data.assign_coords(row_name=("row", names))


def simulate_each(
    plans: Sequence[Plan],
    *,
    target: str = "auto",
    jobs: int | None = None,
    progress: bool = False,
    check: bool = True,
    limit: bool | Sequence[bool] = True,
) -> Iterator[xr.Dataset]:
    """Run several studies and yield what `simulate` returns for each, in their order, as soon as it is ready.

    The studies share the cores: while one ends, and while the caller works on its result, the next ones run.

    Parameters
    ----------
    plans
        Of `plan`, which takes the arguments of `simulate`.
    target, jobs, progress, check, limit
        As of `simulate`; `limit` may be one of each plan.

    Raises
    ------
    InputError, biospike.standalone.BuildError, biospike.standalone.RunError
        As `simulate`.
    """
    workers = execution.check_jobs(jobs)
    chosen = execution.settle_targets(plans, target, progress=progress)
    targets, reasons = zip(*chosen, strict=True) if chosen else ((), ())
    sized = [work if own == "cpp_standalone" else fitted(work) for work, own in zip(plans, targets, strict=True)]
    done = execution.execute_each(list(zip(sized, targets, strict=True)), jobs=workers, progress=progress)
    limits = [limit] * len(plans) if isinstance(limit, bool) else limit
    for work, own, reason, limited in zip(sized, targets, reasons, limits, strict=True):
        # Batches run meanwhile; of a circuit that fails here no result is returned.
        if own == "fused" and check:
            replay_once(work, cut_plan)
        yield _dataset(work, next(done), own, reason, limit=limited)


def check_study(circuit: Circuit, logits: ArrayLike, *, target: str = "auto", **options: Any) -> None:
    """Raise what `simulate` would raise for these arguments before it builds anything."""
    execution.choose_target(plan(circuit, logits, **options), target)


def build_ahead(
    circuits: Sequence[Circuit], logits: ArrayLike, *, target: str = "auto", progress: bool = False, **options: Any
) -> None:
    """Compile, side by side, what `simulate` would compile for each circuit with these options, and keep it cached."""
    plans = [plan(circuit, logits, **options) for circuit in circuits]
    execution.build_plans(plans, target, progress=progress)


def plan(
    circuit: Circuit,
    logits: Any,
    *,
    duration: Any,
    trials: Any = 1,
    seed: Any = 0,
    checkpoints: Any = CHECKPOINTS,
    dt: Any = None,
) -> Plan:
    """Check the arguments of `simulate`, and cut the study into batches."""
    if not isinstance(circuit, Circuit):
        raise InputError(f"circuit must be a Circuit such as Race(), got {circuit!r}")
    values = check_logits(logits)
    check_rows(len(values), values.shape[1], circuit.members, circuit.interneurons)
    step = execution.check_step(circuit.dt if dt is None else dt, like=0.1 * b2.ms)
    steps = execution.count_steps(duration, step, like=2 * b2.second)
    circuit.check(step)
    circuit.check_rows(values, step)
    execution.check_counts(trials, seed)
    keys = (~np.isnan(values)).sum(axis=1)
    rows = POPULATED_ROWS_PER_BATCH if circuit.interneurons else ROWS_PER_BATCH
    neurons = NEURONS_PER_BATCH
    while neurons < keys.max() * circuit.members:
        neurons *= 2
    marks = execution.mark_windows(checkpoints, steps, float(step), FIRST_WINDOW)
    _check_size(circuit, neurons + rows * circuit.interneurons, len(marks))
    return Plan(
        # The limit and the stored parameters are those of the grid that is run.
        circuit=attrs.evolve(circuit, dt=step),
        logits=values,
        trials=int(trials),
        seed=int(seed),
        dt=float(step),
        steps=steps,
        marks=marks,
        # Room for whole multiples of the default number of checkpoints, so that builds are shared.
        sizes=(rows, neurons, -(-len(marks) // CHECKPOINTS) * CHECKPOINTS),
        starts=cut(keys * circuit.members, int(trials), rows, neurons),
    )


def _check_size(circuit: Circuit, neurons: int, checkpoints: int) -> None:
    """Raise `InputError` if a batch of populations has more neurons than can be numbered, or kept in memory."""
    if circuit.members == 1 and not circuit.interneurons:
        return
    check_indices(neurons, f"{circuit.name}: neurons of a batch")
    needed, free = neurons * (BYTES_PER_NEURON + 16 * checkpoints), free_memory()
    if needed > free:
        raise InputError(
            f"{circuit.name}: {neurons} neurons of a batch need {needed / MEBIBYTE:.0f} MiB, more than the "
            f"{free / MEBIBYTE:.0f} MiB that are free: take fewer members, interneurons or keys"
        )


def _dataset(
    plan: Plan, joined: dict[str, NDArray[Any]], target: str, reason: str, *, limit: bool = True
) -> xr.Dataset:
    rows = len(plan.logits)
    by_trial = {name: values.reshape(plan.trials, rows, *values.shape[1:]) for name, values in joined.items()}
    dims = ("trial", "row", "key")
    data = xr.Dataset(
        {
            # A neuron counts in 32 bits, and a population may need more.
            "spike_count": (
                (*dims, "checkpoint"),
                by_trial["spike_count"].astype(np.int32 if plan.circuit.members == 1 else np.int64, copy=False),
            ),
            **{name: (dims, by_trial[name]) for name in MOMENTS},
            "logits": (("row", "key"), plan.logits, {"units": "nats", "missing": "NaN masks a key"}),
            **({"limit": (("row", "key"), plan.circuit.limit(plan.logits))} if limit else {}),
            **{name: (("trial", "row", "checkpoint"), by_trial[name]) for name in by_trial if name.startswith("inter")},
        },
        coords={
            "window_ms": ("checkpoint", plan.marks * plan.dt * 1e3, {"units": "ms"}),
            "timesteps": ("checkpoint", plan.marks),
        },
        attrs=recording.provenance(plan.circuit, seed=plan.seed, target=target, reason=reason, dt=plan.dt),
    )
    data["spike_count"].attrs = {"units": "spikes", "long_name": "cumulative output spikes"}
    if "interneuron_count" in data:
        data["interneuron_count"].attrs = {"units": "spikes", "long_name": "cumulative spikes of the interneurons"}
    for name in MOMENTS:
        data[name].attrs = {"units": "spikes of the row" + (" squared" if "square" in name else "")}
    return data
