"""The three circuits as a vectorised NumPy loop: every step updates all neurons at once, in double precision.

With ``counter=True`` random numbers are those of `biospike.random`, and the counts are biospike's own. Timed is the
loop as one would write it, with NumPy's generator.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.speed.problem import Counts, Outcome, Problem


def run(problem: Problem, *, counter: bool = False) -> Outcome:
    """Run a problem; with `counter` on biospike's own random numbers."""
    loop = _race if problem.circuit == "race" else _escape
    uniform, gamma = _counter_numbers(problem) if counter else _generator(problem)
    wall, cpu = time.perf_counter(), time.process_time()
    counts = loop(problem, uniform, gamma)
    return Outcome(counts, time.perf_counter() - wall, time.process_time() - cpu)


def _race(problem: Problem, uniform: Callable[[int], NDArray[Any]], gamma: Any) -> Counts:
    probability = problem.drive * problem.dt
    opens_at = np.zeros((len(problem.drive), 1), dtype=np.int64)
    total, counts = np.zeros(problem.drive.shape, dtype=np.int32), problem.empty_counts()
    marks = {int(mark): number for number, mark in enumerate(problem.marks)}
    for step in range(problem.steps):
        spikes = (uniform(step) < probability) & (step >= opens_at)
        total += spikes
        opens_at[spikes.any(axis=1)] = step + 1 + problem.closed_steps
        if step + 1 in marks:
            counts[..., marks[step + 1]] = total
    return counts


def _escape(problem: Problem, uniform: Any, gamma: Callable[[NDArray[Any], int], NDArray[Any]]) -> Counts:
    drive, v, theta = (np.array(values) for values in (problem.drive, problem.v, problem.theta))
    inhibition = np.zeros((len(drive), 1))
    fall = problem.R0 * problem.dt * problem.w
    total, counts = np.zeros(drive.shape, dtype=np.int32), problem.empty_counts()
    marks = {int(mark): number for number, mark in enumerate(problem.marks)}
    charge = np.empty_like(drive)
    theta[~problem.unmasked] = np.inf
    for step in range(problem.steps):
        np.multiply(drive, np.exp(-inhibition), out=charge)
        charge *= problem.dt
        v += charge
        inhibition -= fall
        fired = np.flatnonzero(v >= theta)
        if len(fired):
            v.flat[fired] -= theta.flat[fired]
            theta.flat[fired] = gamma(fired, step)
            total.flat[fired] += 1
            # One spike after the other, as the inhibition of a row arrives.
            np.add.at(inhibition[:, 0], fired // drive.shape[1], problem.w)
        if step + 1 in marks:
            counts[..., marks[step + 1]] = total
    return counts


def _generator(problem: Problem) -> tuple[Any, Any]:
    """Numbers of NumPy's own generator: of all neurons for a step, and new thresholds of those that fired."""
    random = np.random.default_rng([problem.seed, 1])
    shape, k = problem.drive.shape, problem.regularity
    draws = np.empty(shape)

    def uniform(step: int) -> NDArray[Any]:
        return random.random(out=draws)

    def gamma(fired: NDArray[Any], step: int) -> Any:
        return random.standard_gamma(k, len(fired)) / k if k else 1.0

    return uniform, gamma


def _counter_numbers(problem: Problem) -> tuple[Any, Any]:
    from biospike import random  # noqa: PLC0415  (it needs Brian2, which the timed loop does not)

    trial = np.broadcast_to(problem.trial[:, None], problem.drive.shape)

    def uniform(step: int) -> NDArray[Any]:
        return random.uniform(problem.seed, trial, problem.index, step)

    def gamma(fired: NDArray[Any], step: int) -> NDArray[Any]:
        address = trial.flat[fired], problem.index.flat[fired], step
        return random.gamma(problem.seed, *address, problem.regularity)

    return uniform, gamma
