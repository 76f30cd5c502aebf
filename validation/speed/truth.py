"""What a timed run must have counted: the hand-written loop's counts of the same problem, of every key and window.

The loop shares no code with biospike. It is run beside everything that is timed, also where it is not timed itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import xarray as xr

from biospike import load
from validation.speed.case import CIRCUITS, make_problem
from validation.speed.peers import IDENTICAL
from validation.speed.peers import loop as benchmark_loop
from validation.speed.problem import Counts, Problem, Size
from validation.speed.verify import verify


def expected_counts(directory: Path, problem: Problem) -> Counts:
    """Counts (slots, keys, checkpoints) of the loop that was built in `directory`."""
    return benchmark_loop.run(directory / "benchmark_loop", problem).counts


def verify_study(directory: Path, counts: Path) -> str:
    """Return what is wrong with the circuits in a ``counts.nc`` that the loop knows; empty if nothing is."""
    data = load(counts)
    for problem, found in _problems(data):
        if wrong := verify(problem, found, expected_counts(directory, problem), IDENTICAL):
            return f"compare_softmax, {problem.circuit}: {wrong}"
    return ""


def _problems(data: xr.Dataset) -> Iterator[tuple[Problem, Counts]]:
    for name in (name for name in data["circuit"].values if name in CIRCUITS):
        own = data.sel(circuit=name)
        marks = own["timesteps"].values.astype(np.int64)
        counts = own["spike_count"].transpose("trial", "row", "key", "checkpoint").values
        size = Size(
            circuit=str(name),
            keys=counts.shape[2],
            rows=counts.shape[1],
            trials=counts.shape[0],
            steps=int(marks[-1]),
            checkpoints=len(marks),
            seed=int(data.attrs["seed"]),
        )
        problem = attrs.evolve(make_problem(size, own["logits"].values), marks=marks)
        yield problem, counts.reshape(-1, *counts.shape[2:])
