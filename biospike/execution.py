"""Batches of a study run on the chosen target, side by side on all cores."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from biospike import fused, parts, runtime, standalone
from biospike.errors import InputError
from biospike.parameters import parse_quantity
from biospike.random import MOST_STEPS, SEEDS, TRIALS

import brian2 as b2
from brian2.units.fundamentalunits import Quantity, have_same_dimensions

OF_BRIAN2 = ("auto", "cpp_standalone", "cython", "numpy")
"""Targets of every circuit and block; `auto` may choose a kernel where there is one."""
TARGETS = (*OF_BRIAN2, *fused.TARGETS)
IN_THREADS = ("cpp_standalone", *fused.TARGETS)
"""Targets whose batches need no Python process of their own."""

# Seconds on the numpy target above which auto compiles: a build takes about 5 s, and later runs profit from it.
WORTH_A_BUILD = 3.0
WORTH_PROCESSES = 20.0
# The kernels of `biospike.fused` are one build for all circuits; where they are there, a replayed batch is the cost.
WORTH_A_REPLAY = 1.0

MOST_WINDOWS = 10_000
"""Of one run: each is a counter of every neuron."""


Results = Iterator[dict[str, NDArray[Any]]]


class Task(Protocol):
    """What a target is chosen for."""

    @property
    def circuit(self) -> standalone.Buildable:
        """What is run."""

    @property
    def numpy_seconds(self) -> float:
        """Rough time on the numpy target."""

    def shape(self) -> standalone.Sized:
        """Size of the compiled network."""


class Plan(Task, Protocol):
    """A study cut into batches of one size."""

    @property
    def dt(self) -> float:
        """Step, second."""

    @property
    def batches(self) -> int:
        """Number of batches."""

    @property
    def wanted(self) -> list[str]:
        """Variables ``group.name`` that `collect` needs."""

    def shape(self, number: int | None = None) -> standalone.Sized:
        """Size of the network: of a batch that is built here, or with None of the compiled one that serves all."""

    def duration(self, number: int) -> float:
        """How long a batch runs, second."""

    def state(self, number: int) -> dict[str, Any]:
        """Initial values of a batch by ``group.name``, SI base units."""

    def collect(self, number: int, result: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Check what a batch returned and bring it into shape; the first axis is that of the slots."""


def execute(plan: Plan, target: str, *, jobs: int, progress: bool) -> dict[str, NDArray[Any]]:
    """Run every batch of a plan and join what `Plan.collect` returns along its first axis."""
    [joined] = execute_each([(plan, target)], jobs=jobs, progress=progress)
    return joined


def execute_each(work: Sequence[tuple[Plan, str]], *, jobs: int, progress: bool) -> Results:
    """Yield for every plan, on its target, what `execute` returns, in their order.

    Batches of plans with the same target stand in one queue: a core that is done with one plan goes on with the next,
    also while the caller works on what it was given.
    """
    total = sum(plan.batches for plan, _ in work)
    bar = tqdm(total=total, unit="batch", disable=not progress, leave=False)
    groups = [list(some) for _, some in itertools.groupby(work, key=lambda one: one[1] in IN_THREADS)]
    # What runs in threads begins now, before the first result is asked for.
    first = _execute(groups[0], jobs, bar) if groups and groups[0][0][1] in IN_THREADS else None
    return _each(groups, jobs, bar, first)


def _each(groups: list[list[tuple[Plan, str]]], jobs: int, bar: tqdm[Any], first: Results | None) -> Results:
    with bar:
        for number, some in enumerate(groups):
            yield from first if first and number == 0 else _execute(some, jobs, bar)


def _execute(work: Sequence[tuple[Plan, str]], jobs: int, bar: tqdm[Any]) -> Results:
    """Start what runs in threads; what it returns yields the results."""
    threads = work[0][1] in IN_THREADS
    batches = [(plan, target, number) for plan, target in work for number in range(plan.batches)]
    binaries = {}
    for plan, target in work:
        if target == "cpp_standalone":
            bar.set_description(f"{plan.circuit.name}: build")
            binaries[id(plan)] = standalone.build(plan.circuit, plan.shape())
    # A compiled batch is a process of its own, which a thread waits for, or a call that leaves Python to others; the
    # rest need a Python process each, which costs seconds to start.
    worth = threads or sum(plan.numpy_seconds for plan, _ in work) > WORTH_PROCESSES
    workers = joblib.Parallel(
        n_jobs=min(jobs, len(batches)) if worth else 1,
        prefer="threads" if threads else "processes",
        return_as="generator",
    )
    kept = parts.place()
    done: Results = workers(
        joblib.delayed(_run)(plan, target, binaries.get(id(plan)), number, kept) for plan, target, number in batches
    )
    return _collect(batches, done, bar)


def _collect(batches: list[tuple[Plan, str, int]], done: Results, bar: tqdm[Any]) -> Results:
    collected = []
    for (plan, _, number), result in zip(batches, done, strict=True):
        bar.set_description(f"{plan.circuit.name}: run")
        collected.append(plan.collect(number, result))
        bar.update()
        if number == plan.batches - 1:
            yield {name: np.concatenate([c[name] for c in collected]) for name in collected[0]}
            collected = []


def _run(
    plan: Plan, target: str, binary: standalone.Binary | None, number: int, kept: Path | None
) -> dict[str, NDArray[Any]]:
    """Run a batch, or read what it returned before the study was interrupted."""
    state, duration = plan.state(number), plan.duration(number)
    make = functools.partial(_make, plan, target, binary, number, state, duration)
    if kept is None:
        return make()
    shape = {"shape": str(plan.shape(number)), "dt": plan.dt, "duration": duration}
    name = parts.key(plan.circuit, state, target=target, wanted=plan.wanted, **shape)
    return make() if name is None else parts.kept(kept, name, make)


def _make(
    plan: Plan, target: str, binary: standalone.Binary | None, number: int, state: dict[str, Any], duration: float
) -> dict[str, NDArray[Any]]:
    if binary is not None:
        with processors:
            return standalone.run(binary, state, plan.dt, duration, plan.wanted)
    if target in fused.TARGETS:
        with processors:
            steps = round(duration / plan.dt)
            return fused.run_circuit(plan.circuit, target, plan.shape(), state, dt=plan.dt, steps=steps)
    return runtime.run(
        plan.circuit, plan.shape(number), state, dt=plan.dt, duration=duration, wanted=plan.wanted, target=target
    )


def build_plans(plans: Sequence[Plan], target: str, *, progress: bool) -> None:
    """Compile side by side what `execute` would compile for each plan, and keep it cached.

    Raises
    ------
    biospike.standalone.BuildError
        If that fails for a target that was asked for by name.
    """
    failed = _build([(plan, choose_target(plan, target)[0]) for plan in plans], progress)
    if failed and target != "auto":
        raise next(iter(failed.values()))


def settle_targets(
    plans: Sequence[Plan], target: str, *, progress: bool = False, kernels: bool = True
) -> list[tuple[str, str]]:
    """Return the target that runs each plan and why; what ``auto`` chose to compile is compiled, or numpy runs it.

    Without `kernels` it is one of Brian2's.

    Raises
    ------
    InputError, biospike.standalone.BuildError
        As `choose_target`, which chooses.
    """
    chosen = [choose_target(plan, target, kernels=kernels) for plan in plans]
    compiled = [(plan, own) for plan, (own, _) in zip(plans, chosen, strict=True)]
    failed = _build(compiled, progress) if target == "auto" else {}
    return [
        ("numpy", _shorten(failed[id(plan)])) if id(plan) in failed else one
        for plan, one in zip(plans, chosen, strict=True)
    ]


def _build(work: Sequence[tuple[Plan, str]], progress: bool) -> dict[int, standalone.BuildError]:
    """Build what is not in the cache for plans with their targets; errors by the `id` of their plan."""
    alike: dict[Any, list[Plan]] = {}
    for plan, target in work:
        if target == "cpp_standalone":
            alike.setdefault((type(plan.circuit), str(plan.circuit.structure), plan.shape().sizes), []).append(plan)
    missing = [some for some in alike.values() if not standalone.is_built(some[0].circuit, some[0].shape())]
    tasks: list[tuple[list[Plan], Callable[[], Any]]] = [
        (some, functools.partial(standalone.build, some[0].circuit, some[0].shape())) for some in missing
    ]
    by_kernel = [plan for plan, target in work if target in fused.TARGETS]
    if by_kernel and not fused.is_built():
        tasks.append((by_kernel, fused.library))
    workers = joblib.Parallel(n_jobs=check_jobs(None), prefer="threads", return_as="generator_unordered")
    done = workers(joblib.delayed(_try)(*task) for task in tasks)
    bar = tqdm(done, total=len(tasks), desc="build", unit="circuit", disable=not (progress and tasks))
    return {id(plan): error for some, error in bar if error is not None for plan in some}


def _try(plans: list[Plan], build: Callable[[], Any]) -> tuple[list[Plan], standalone.BuildError | None]:
    """Build what plans share."""
    try:
        build()
    except standalone.BuildError as error:
        return plans, error
    return plans, None


def _shorten(error: standalone.BuildError) -> str:
    """What failed, and the last line that was printed."""
    lines = str(error).splitlines()
    return " ".join(dict.fromkeys([lines[0], lines[-1]]))


def choose_target(plan: Task, target: str, *, kernels: bool = True) -> tuple[str, str]:
    """Return the target to use and why; nothing is built.

    Raises
    ------
    InputError
        If `target` is unknown, or the circuit has no kernel for it.
    biospike.standalone.BuildError
        If a compiled target is asked for by name and there is no compiler.
    """
    possible = TARGETS if kernels else OF_BRIAN2
    if target not in possible:
        raise InputError(f"target must be one of {', '.join(possible)}, got {target!r}")
    if target == "auto":
        return _choose(plan, kernels)
    if target in ("cpp_standalone", "cython") and standalone.compiler() is None:
        raise standalone.BuildError(f"target '{target}' needs a C++ compiler: {standalone.missing_compiler()}")
    if target in fused.TARGETS:
        fused.check(plan.circuit, target)
    return target, "asked for"


def _choose(plan: Task, kernels: bool) -> tuple[str, str]:
    seconds = plan.numpy_seconds
    hindrance = standalone.hindrance()
    if kernels and fused.is_for(plan.circuit):
        worth = WORTH_A_REPLAY if fused.is_built() else WORTH_A_BUILD
        if seconds > worth:
            return "fused", f"the same spikes as Brian2's, where numpy would take about {seconds:.0f} s"
    if hindrance is None and seconds > WORTH_A_BUILD:
        return "cpp_standalone", f"numpy would take about {seconds:.0f} s"
    if standalone.is_built(plan.circuit, plan.shape()):
        return "cpp_standalone", "the binary is in the cache"
    return "numpy", hindrance or f"about {seconds:.0f} s of work is not worth a build"


def check_jobs(jobs: int | None) -> int:
    """Number of processes; None stands for all cores."""
    if jobs is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(jobs, bool) or not isinstance(jobs, (int, np.integer)):
        raise InputError(f"jobs must be a whole number, or None for all cores, got {jobs!r}")
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, got {jobs}")
    return int(jobs)


processors = threading.Semaphore(check_jobs(None))
"""One is held by every binary while it runs, and by who else keeps a core busy meanwhile."""


def check_counts(trials: Any, seed: Any) -> None:
    """Raise `InputError` unless both are whole numbers in their range."""
    for name, value, low, high in (("trials", trials, 1, TRIALS), ("seed", seed, 0, SEEDS)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value < high:
            raise InputError(f"{name} must be a whole number in [{low}, {high}), got {value!r}")


def check_step(dt: Quantity | str, like: Quantity) -> Quantity:
    """Read a step; it must be above 0."""
    step = parse_quantity(dt, like=like)
    if step <= 0 * like:
        raise InputError(f"dt must be above 0 s, got {step}")
    return step


def count_steps(duration: Any, dt: Quantity, like: Quantity) -> int:
    """Whole steps of a window, rounded up; a window that is a multiple of `dt` is not rounded by floating point."""
    window = parse_quantity(duration, like=like)
    if window <= 0 * like:
        raise InputError(f"duration must be above 0 s, got {window}")
    steps = np.ceil(float(window) / float(dt) * (1 - 1e-12))
    if steps > MOST_STEPS:
        raise InputError(f"duration = {window} is {steps:.10g} steps of {dt}; at most {MOST_STEPS} can be counted")
    return int(steps)


def mark_windows(windows: Any, steps: int, dt: float, first_window: float) -> NDArray[np.int64]:
    """Windows in steps, increasing.

    Parameters
    ----------
    windows
        A number of windows, spaced evenly in the logarithm from `first_window` times the longest, or the windows
        themselves, an array with a unit of time.
    steps, dt
        The longest window in steps, and a step in second.
    """
    if isinstance(windows, (int, np.integer)) and not isinstance(windows, bool):
        if not 1 <= windows <= MOST_WINDOWS:
            raise InputError(f"checkpoints must be at least 1 and at most {MOST_WINDOWS}, got {windows}")
        first = max(1.0, steps * first_window) if windows > 1 else steps
        return np.unique(np.rint(np.geomspace(first, steps, int(windows))).astype(np.int64))
    timed = isinstance(windows, Quantity) and have_same_dimensions(windows, 1 * b2.second)
    given = np.asarray(windows, dtype=float) if timed else np.array(np.nan)
    marks = np.unique(np.rint(given.ravel() / dt)) if np.all(np.isfinite(given)) else np.array([0.0])
    if marks.size == 0 or marks[0] < 1 or marks[-1] > steps:
        raise InputError(
            f"checkpoints must be a number of windows, or windows with a unit of time from {dt} s to the duration "
            f"{steps * dt} s, got {windows!r}"
        )
    return marks.astype(np.int64)
