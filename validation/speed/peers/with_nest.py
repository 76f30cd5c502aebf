"""NEST on the mapping of `validation.simulators.mapping`, with stepping timed apart from connecting."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from biospike.circuit import Batch
from validation.simulators.mapping import wire
from validation.simulators.nest import load_nest, run_rows
from validation.speed.case import CIRCUITS
from validation.speed.problem import Outcome, Problem

import brian2 as b2


class Stopwatch:
    """The module ``nest``, except that `Simulate` prepares first and is timed from then on."""

    def __init__(self, nest: Any) -> None:
        self.__dict__.update(nest=nest, wall_s=0.0, cpu_s=0.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.nest, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.nest, name, value)

    def Simulate(self, milliseconds: float) -> None:  # noqa: N802  (NEST's name)
        """Prepare, run, clean up: what ``nest.Simulate`` does."""
        self.nest.Prepare()
        wall, cpu = time.perf_counter(), time.process_time()
        self.nest.Run(milliseconds)
        self.__dict__.update(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)
        self.nest.Cleanup()


def run(problem: Problem) -> Outcome:
    """Run a problem of race or escape on one thread, all slots side by side as rows of one network.

    Raises
    ------
    InputError
        If NEST is not installed or has nothing like the circuit.
    """
    nest = Stopwatch(load_nest())
    circuit = CIRCUITS[problem.circuit]()
    slots = len(problem.trial)
    row = np.arange(slots) % len(problem.logits)
    batch = Batch(np.array(problem.logits)[row], np.array(problem.trial), row, problem.seed)
    wiring = wire(circuit, batch, problem.steps)
    dt = problem.dt * b2.second
    spikes = run_rows(nest, wiring, problem.unmasked, dt=dt, steps=problem.steps, seed=max(problem.seed, 1))
    window = np.searchsorted(problem.marks, spikes.step, side="right")
    cell = spikes.neuron * len(problem.marks) + window
    cell = cell[window < len(problem.marks)]
    found = np.bincount(cell, minlength=problem.neurons * len(problem.marks)).reshape(-1, len(problem.marks))
    counts = problem.empty_counts()
    counts[problem.unmasked] = found.cumsum(axis=1)
    return Outcome(counts, nest.wall_s, nest.cpu_s)
