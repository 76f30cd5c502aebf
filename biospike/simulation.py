"""simulate(): logits in, spike counts out; built once, run in batches on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import brian2 as b2
import joblib
import numpy as np
import xarray as xr
from brian2.units.fundamentalunits import Quantity
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from biospike import recording, runtime, standalone
from biospike.circuit import KEY_STRIDE, Circuit
from biospike.ideal.softmax import check_logits
from biospike.packing import Packing, Plan, cut, fitted
from biospike.parameters import parse_quantity
from biospike.random import SEEDS

TARGETS = ("auto", "cpp_standalone", "cython", "numpy")
NEURONS_PER_BATCH = 2**11
ROWS_PER_BATCH = 2**7
CHECKPOINTS = 24
FIRST_WINDOW = 1e-3
"""Default checkpoints are spaced evenly in the logarithm from this fraction of the duration to all of it."""

# Seconds on the numpy target above which auto compiles: a build takes about 5 s, and later runs profit from it.
WORTH_A_BUILD = 3.0
WORTH_PROCESSES = 20.0

MOMENTS = ("gap_sum", "gap_square_sum")


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
) -> xr.Dataset:
    """Run a circuit on rows of logits and count its spikes.

    Parameters
    ----------
    circuit
        From `circuits`, for example ``Race()``.
    logits
        Array (rows, keys) or (keys,), in nats; NaN or -inf masks a key.
    duration
        Window, such as ``2*second`` or ``"2 s"``; rounded up to whole steps.
    trials
        Independent repetitions of every row.
    seed
        Integer in [0, 2**32). The same seed gives the same spikes whatever the target, batch size or jobs.
    target
        ``cpp_standalone`` (compiled), ``cython``, ``numpy``, or ``auto``: compiled where a compiler is found and the
        work is worth a build.
    checkpoints
        How many windows to read, spaced evenly in the logarithm up to the duration, or the windows themselves.
    dt
        Step; default the circuit's own.
    jobs
        Processes; default all cores.
    progress
        Show bars for build and run on standard error.

    Returns
    -------
    xarray.Dataset
        `spike_count` (trial, row, key, checkpoint), cumulative; `gap_sum`, `gap_square_sum` (trial, row, key), moments
        of the intervals between a key's spikes, counted in spikes of the row; `logits` and `limit` (row, key);
        coordinates `window_ms` and `timesteps` of the checkpoints. Attributes: parameters, seed, target, versions.

    Raises
    ------
    ValueError
        On bad input, naming the value and what is accepted, before anything is built.
    biospike.standalone.BuildError, biospike.standalone.RunError
        If the compiled target cannot be built or fails.
    """
    plan = _plan(circuit, logits, duration=duration, trials=trials, seed=seed, checkpoints=checkpoints, dt=dt)
    jobs = _check_jobs(jobs)
    target, reason = choose_target(plan, target)
    if target != "cpp_standalone":
        plan = fitted(plan)
    with tqdm(total=plan.batches, desc=circuit.name, unit="batch", disable=not progress, leave=False) as bar:
        execute = _prepare(plan, target, bar)
        # A compiled batch is a process of its own, which a thread waits for; others need a Python process each, which
        # costs seconds to start.
        compiled = target == "cpp_standalone"
        jobs = min(jobs, plan.batches) if compiled or plan.numpy_seconds > WORTH_PROCESSES else 1
        workers = joblib.Parallel(n_jobs=jobs, prefer="threads" if compiled else "processes", return_as="generator")
        done: Iterator[dict[str, NDArray[Any]]] = workers(
            joblib.delayed(execute)(number) for number in range(plan.batches)
        )
        collected = []
        for number, result in enumerate(done):
            collected.append(_checked(plan, number, result))
            bar.update()
    joined = {name: np.concatenate([c[name] for c in collected]) for name in collected[0]}
    return _dataset(plan, joined, target, reason)


def check_study(circuit: Circuit, logits: ArrayLike, *, target: str = "auto", **options: Any) -> None:
    """Raise what `simulate` would raise for these arguments before it builds anything."""
    choose_target(_plan(circuit, logits, **options), target)


def build_ahead(
    circuits: Sequence[Circuit], logits: ArrayLike, *, target: str = "auto", progress: bool = False, **options: Any
) -> None:
    """Compile, side by side, what `simulate` would compile for each circuit with these options, and keep it cached."""
    plans = [_plan(circuit, logits, **options) for circuit in circuits]
    compiled = [plan for plan in plans if choose_target(plan, target)[0] == "cpp_standalone"]
    missing = [plan for plan in compiled if not standalone.is_built(plan.circuit, plan.sizes)]
    build = joblib.delayed(lambda plan: standalone.build(plan.circuit, plan.sizes))
    workers = joblib.Parallel(n_jobs=_check_jobs(None), prefer="threads", return_as="generator_unordered")
    hidden = not (progress and missing)
    for _ in tqdm(workers(map(build, missing)), total=len(missing), desc="build", unit="circuit", disable=hidden):
        pass


def _plan(
    circuit: Circuit,
    logits: Any,
    *,
    duration: Any,
    trials: Any = 1,
    seed: Any = 0,
    checkpoints: Any = CHECKPOINTS,
    dt: Any = None,
) -> Plan:
    if not isinstance(circuit, Circuit):
        raise ValueError(f"circuit must be a Circuit such as Race(), got {circuit!r}")
    values = check_logits(logits)
    if values.shape[1] > KEY_STRIDE:
        raise ValueError(f"rows may have at most {KEY_STRIDE} keys, got {values.shape[1]}")
    window = parse_quantity(duration, like=2 * b2.second)
    if window <= 0 * b2.second:
        raise ValueError(f"duration must be above 0 s, got {window}")
    step = parse_quantity(circuit.dt if dt is None else dt, like=0.1 * b2.ms)
    if step <= 0 * b2.second:
        raise ValueError(f"dt must be above 0 s, got {step}")
    circuit.check(step)
    for name, value, low, high in (("trials", trials, 1, 2**31), ("seed", seed, 0, SEEDS)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value < high:
            raise ValueError(f"{name} must be a whole number in [{low}, {high}), got {value!r}")
    steps = int(np.ceil(float(window / step) * (1 - 1e-12)))
    if steps >= 2**31:
        raise ValueError(f"duration = {window} is {steps} steps of {step}; at most {2**31 - 1} can be counted")
    keys = (~np.isnan(values)).sum(axis=1)
    neurons = NEURONS_PER_BATCH
    while neurons < keys.max():
        neurons *= 2
    marks = _marks(checkpoints, steps, float(step))
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
        sizes=(ROWS_PER_BATCH, neurons, -(-len(marks) // CHECKPOINTS) * CHECKPOINTS),
        starts=cut(keys, int(trials), ROWS_PER_BATCH, neurons),
    )


def _marks(checkpoints: Any, steps: int, dt: float) -> NDArray[np.int64]:
    """Checkpoints in steps, increasing."""
    if isinstance(checkpoints, (int, np.integer)) and not isinstance(checkpoints, bool):
        if checkpoints < 1:
            raise ValueError(f"checkpoints must be at least 1, got {checkpoints}")
        first = max(1.0, steps * FIRST_WINDOW) if checkpoints > 1 else steps
        return np.unique(np.rint(np.geomspace(first, steps, int(checkpoints))).astype(np.int64))
    windows = np.asarray(checkpoints / b2.second if isinstance(checkpoints, Quantity) else np.nan, dtype=float)
    marks = np.unique(np.rint(windows.ravel() / dt)) if np.all(np.isfinite(windows)) else np.array([0.0])
    if marks.size == 0 or marks[0] < 1 or marks[-1] > steps:
        raise ValueError(
            f"checkpoints must be a number of windows, or windows with a unit of time from {dt} s to the duration "
            f"{steps * dt} s, got {checkpoints!r}"
        )
    return marks.astype(np.int64)


def _check_jobs(jobs: int | None) -> int:
    if jobs is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    return jobs


def choose_target(plan: Plan, target: str) -> tuple[str, str]:
    """Return the target to use and why.

    Raises
    ------
    ValueError
        If `target` is unknown.
    biospike.standalone.BuildError
        If a compiled target is asked for by name and there is no compiler.
    """
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    found = standalone.compiler()
    if target == "auto":
        seconds = plan.numpy_seconds
        if found is None:
            return "numpy", "no C++ compiler was found"
        if seconds > WORTH_A_BUILD:
            return "cpp_standalone", f"numpy would take about {seconds:.0f} s"
        if standalone.is_built(plan.circuit, plan.sizes):
            return "cpp_standalone", "the binary is in the cache"
        return "numpy", f"about {seconds:.0f} s of work is not worth a build"
    if target in ("cpp_standalone", "cython") and found is None:
        raise standalone.BuildError(
            f"target '{target}' needs a C++ compiler and none was found (g++, clang++ or $CXX); "
            "install one or use target 'numpy'"
        )
    return target, "asked for"


def _prepare(plan: Plan, target: str, bar: Any) -> Callable[[int], dict[str, NDArray[Any]]]:
    """Return the function that runs a batch; the compiled target is built first."""
    if target == "cpp_standalone":
        bar.set_description(f"{plan.circuit.name}: build")
        binary = standalone.build(plan.circuit, plan.sizes)
        bar.set_description(f"{plan.circuit.name}: run")
    wanted = _wanted(plan)

    def execute(number: int) -> dict[str, NDArray[Any]]:
        packing = plan.packing(number)
        state = _initial(plan, packing)
        if target == "cpp_standalone":
            return standalone.run(binary, state, plan.dt, plan.duration, wanted)
        return runtime.run(
            plan.circuit, packing.shape, state, dt=plan.dt, duration=plan.duration, wanted=wanted, target=target
        )

    return execute


def _wanted(plan: Plan) -> list[str]:
    counts = [f"keys.count_{c}" for c in range(len(plan.marks))]
    return ["keys.spike_count", "hub.row_spikes", *(f"keys.{name}" for name in MOMENTS), *counts]


def _initial(plan: Plan, packing: Packing) -> dict[str, Any]:
    """State of a batch: the circuit's own, and what the kernel's bookkeeping needs."""
    batch = packing.batch
    marks = np.zeros(plan.sizes[2], dtype=np.int64)
    marks[: len(plan.marks)] = plan.marks
    return {
        **packing.pack(plan.circuit.state(batch, plan.dt * b2.second)),
        "keys.seed": batch.seed,
        "keys.hub_index": packing.shape.hub_index,
        "keys.trial": batch.trial[packing.shape.hub_index],
        "keys.index": batch.index.ravel()[packing.position],
        **{f"keys.checkpoint_{c}": mark for c, mark in enumerate(marks)},
    }


def _checked(plan: Plan, number: int, result: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Counts (rows, keys, checkpoints) and moments of a batch, once its sums agree.

    Raises
    ------
    biospike.standalone.RunError
        If keys and hub disagree, padding spiked, or the state is not finite.
    """
    packing = plan.packing(number)
    total = packing.unpack(result["keys.spike_count"])
    counts = np.stack([packing.unpack(result[f"keys.count_{c}"]) for c in range(len(plan.marks))], axis=-1)
    moments = {name: packing.unpack(result[f"keys.{name}"]) for name in MOMENTS}
    if not np.array_equal(total.sum(axis=1), result["hub.row_spikes"]) or np.any(counts[..., -1] > total):
        raise standalone.RunError(f"{plan.circuit.name}: the hubs did not count the spikes of their keys")
    if np.any(result["keys.spike_count"][packing.used :]):
        raise standalone.RunError(f"{plan.circuit.name}: a neuron without a key spiked")
    if not all(np.all(np.isfinite(values)) for values in moments.values()):
        raise standalone.RunError(f"{plan.circuit.name}: the state is not finite")
    rows = plan.starts[number + 1] - plan.starts[number]
    return {"spike_count": counts[:rows], **{name: values[:rows] for name, values in moments.items()}}


def _dataset(plan: Plan, joined: dict[str, NDArray[Any]], target: str, reason: str) -> xr.Dataset:
    rows = len(plan.logits)
    by_trial = {name: values.reshape(plan.trials, rows, *values.shape[1:]) for name, values in joined.items()}
    dims = ("trial", "row", "key")
    data = xr.Dataset(
        {
            "spike_count": ((*dims, "checkpoint"), by_trial["spike_count"].astype(np.int32)),
            **{name: (dims, by_trial[name]) for name in MOMENTS},
            "logits": (("row", "key"), plan.logits, {"units": "nats", "missing": "NaN masks a key"}),
            "limit": (("row", "key"), plan.circuit.limit(plan.logits)),
        },
        coords={
            "window_ms": ("checkpoint", plan.marks * plan.dt * 1e3, {"units": "ms"}),
            "timesteps": ("checkpoint", plan.marks),
        },
        attrs=recording.provenance(plan.circuit, seed=plan.seed, target=target, reason=reason, dt=plan.dt),
    )
    data["spike_count"].attrs = {"units": "spikes", "long_name": "cumulative output spikes"}
    for name in MOMENTS:
        data[name].attrs = {"units": "spikes of the row" + (" squared" if "square" in name else "")}
    return data
