"""The three circuits as a scan that XLA compiles, batched over all rows, in single precision on one thread.

The idiom of JAX: `lax.scan` over steps between two windows, random numbers of its own keys, no loop over rows. A call
of the same shapes compiles, and is not timed.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from validation.speed.problem import Outcome, Problem

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def run(problem: Problem) -> Outcome:
    """Run a problem; the compilation is not part of the loop."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()
    import jax  # noqa: PLC0415  (it need not be installed, and reads its flags once)

    step, state = (_race if problem.circuit == "race" else _charged)(jax, problem)
    lengths = np.diff([0, *problem.marks]).tolist()

    def scan(carry: Any, keys: Any) -> Any:
        return jax.lax.scan(lambda some, key: (step(some, key), None), carry, keys)[0]

    compiled = jax.jit(scan)
    keys = jax.random.split(jax.random.PRNGKey(problem.seed), sum(lengths))
    chunks = [keys[end - length : end] for length, end in zip(lengths, np.cumsum(lengths).tolist(), strict=True)]
    for length in set(lengths):
        jax.block_until_ready(compiled(state, keys[:length]))
    counts = problem.empty_counts()
    wall, cpu = time.perf_counter(), time.process_time()
    for mark, chunk in enumerate(chunks):
        state = compiled(state, chunk)
        counts[..., mark] = np.asarray(state[0])
    return Outcome(counts, time.perf_counter() - wall, time.process_time() - cpu)


def _race(jax: Any, problem: Problem) -> tuple[Any, Any]:
    p = jax.numpy.asarray(np.where(problem.unmasked, problem.drive * problem.dt, 0.0), dtype="float32")

    def step(state: Any, key: Any) -> Any:
        total, closed = state
        fired = (jax.random.uniform(key, p.shape) < p) & (closed == 0)[:, None]
        closed = jax.numpy.where(fired.any(axis=1), problem.closed_steps, jax.numpy.maximum(closed - 1, 0))
        return total + fired, closed

    return step, (jax.numpy.zeros(p.shape, "int32"), jax.numpy.zeros(len(p), "int32"))


def _charged(jax: Any, problem: Problem) -> tuple[Any, Any]:
    real = {"dtype": "float32"}
    charge = jax.numpy.asarray(np.where(problem.unmasked, problem.drive * problem.dt, 0.0), **real)
    fall, shape = problem.R0 * problem.dt * problem.w, problem.regularity

    def step(state: Any, key: Any) -> Any:
        total, v, theta, inhibition = state
        v = v + charge * jax.numpy.exp(-inhibition)[:, None]
        fired = v >= theta
        v = jax.numpy.where(fired, v - theta, v)
        if shape:
            drawn = jax.random.exponential(key, (shape, *theta.shape)).mean(axis=0)
            theta = jax.numpy.where(fired, drawn, theta)
        return total + fired, v, theta, inhibition + problem.w * fired.sum(axis=1) - fall

    theta = np.where(problem.unmasked, problem.theta, np.inf)
    start = (jax.numpy.asarray(problem.v, **real), jax.numpy.asarray(theta, **real))
    return step, (jax.numpy.zeros(charge.shape, "int32"), *start, jax.numpy.zeros(len(charge), **real))
