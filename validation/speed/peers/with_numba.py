"""The three circuits as a loop that Numba compiles, row by row and step by step, as a user would write it.

Double precision, random numbers of Numba's own generator, on one thread. Nothing is kept of what was compiled: a call
with no steps compiles, and is not timed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from validation.speed.problem import Outcome, Problem


def run(problem: Problem) -> Outcome:
    """Run a problem; the compilation is not part of the loop."""
    loop = _compiled("race" if problem.circuit == "race" else "escape")
    marks = np.array(problem.marks)
    arrays = [np.array(values) for values in (problem.drive * problem.dt, problem.v, problem.theta)]
    arrays[2][~problem.unmasked] = np.inf
    if problem.circuit == "race":
        numbers: tuple[Any, ...] = (problem.closed_steps,)
    else:
        numbers = (problem.w, problem.R0 * problem.dt * problem.w, problem.regularity)
    nothing = [array[:0] for array in arrays]
    loop(problem.seed, *nothing, *numbers, marks, problem.empty_counts()[:0])
    counts = problem.empty_counts()
    wall, cpu = time.perf_counter(), time.process_time()
    loop(problem.seed, *arrays, *numbers, marks, counts)
    return Outcome(counts, time.perf_counter() - wall, time.process_time() - cpu)


def _compiled(name: str) -> Any:
    import numba  # noqa: PLC0415  (it need not be installed)

    return numba.njit({"race": _race, "escape": _escape}[name])


def _race(seed: int, p: Any, v: Any, theta: Any, closed: int, marks: Any, counts: Any) -> None:
    np.random.seed(seed)  # noqa: NPY002  (Numba's own)
    for row in range(len(p)):
        total, opens_at, mark = np.zeros(p.shape[1], dtype=np.int32), 0, 0
        for step in range(marks[-1]):
            if step >= opens_at:
                for key in range(p.shape[1]):
                    if np.random.random() < p[row, key]:  # noqa: NPY002
                        total[key] += 1
                        opens_at = step + 1 + closed
            if step + 1 == marks[mark]:
                counts[row, :, mark] = total
                mark += 1


def _escape(seed: int, charge: Any, v: Any, theta: Any, w: float, fall: float, k: int, marks: Any, counts: Any) -> None:
    np.random.seed(seed)  # noqa: NPY002
    for row in range(len(charge)):
        total, inhibition, mark = np.zeros(charge.shape[1], dtype=np.int32), 0.0, 0
        for step in range(marks[-1]):
            gate, spikes = np.exp(-inhibition), 0
            for key in range(charge.shape[1]):
                v[row, key] += charge[row, key] * gate
                if v[row, key] >= theta[row, key]:
                    v[row, key] -= theta[row, key]
                    theta[row, key] = np.random.standard_gamma(k) / k if k > 0 else 1.0  # noqa: NPY002
                    total[key] += 1
                    spikes += 1
            inhibition += w * spikes - fall
            if step + 1 == marks[mark]:
                counts[row, :, mark] = total
                mark += 1
