"""The three circuits as a user of Brian2 would write them: equations, a threshold, all-to-all synapses within a row.

Runs on the cython target. Nothing here is tuned and nothing is wasteful on purpose: one NeuronGroup for all rows and
trials, rand(), a SpikeMonitor, and every key inhibits every key of its row, itself included. Each neuron has an
inhibition of its own, since that is where its synapses act.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from validation.speed.problem import Counts, Outcome, Problem

import brian2 as b2

RACE = """
drive        : Hz (constant)
row          : integer (constant)
closed_until : second
"""
ESCAPE = """
dv/dt = drive*exp(-I) : 1
dI/dt = -w*R0         : 1
theta                 : 1
drive                 : Hz (constant)
row                   : integer (constant)
"""


def network(problem: Problem) -> tuple[b2.Network, b2.SpikeMonitor]:
    """Neurons, synapses and monitor, ready to run."""
    unmasked = problem.unmasked
    neurons = int(unmasked.sum())
    constants = {"w": problem.w, "R0": problem.R0 * b2.Hz, "t_inh": problem.closed_steps * problem.dt * b2.second}
    if problem.circuit == "race":
        group = b2.NeuronGroup(
            neurons, RACE, threshold="t > closed_until and rand() < drive*dt", namespace=constants, name="keys"
        )
        group.closed_until = -1 * b2.second
        # Half a step keeps the comparison of times clear of rounding.
        on_spike = "closed_until_post = t + t_inh + dt/2"
    else:
        reset = "v -= theta; theta = -log(1 - rand())" if problem.regularity == 1 else "v -= theta"
        group = b2.NeuronGroup(
            neurons, ESCAPE, threshold="v >= theta", reset=reset, method="euler", namespace=constants, name="keys"
        )
        group.v, group.theta = problem.v[unmasked], problem.theta[unmasked]
        on_spike = "I_post += w"
    group.drive = problem.drive[unmasked] * b2.Hz
    group.row = np.nonzero(unmasked)[0]
    inhibition = b2.Synapses(group, group, on_pre=on_spike, namespace=constants, name="inhibition")
    inhibition.connect(condition="row_pre == row_post")
    monitor = b2.SpikeMonitor(group, name="monitor")
    return b2.Network(group, inhibition, monitor), monitor


def run(problem: Problem, *, target: str = "cython", cache: Path | None = None) -> Outcome:
    """Run a problem; the first step, which compiles, is not counted as stepping.

    Parameters
    ----------
    problem
        With regularity 0 or 1.
    target
        ``cython`` or ``numpy``.
    cache
        Where compiled code is kept; default Brian2's own directory.
    """
    before = {name: b2.prefs[name] for name in ("codegen.target", "codegen.runtime.cython.cache_dir")}
    step = b2.defaultclock.dt
    b2.prefs.codegen.target = target
    if cache is not None:
        b2.prefs.codegen.runtime.cython.cache_dir = str(cache)
    try:
        b2.defaultclock.dt = problem.dt * b2.second
        b2.seed(problem.seed)
        net, monitor = network(problem)
        net.run(problem.dt * b2.second, namespace={})
        wall, cpu = time.perf_counter(), time.process_time()
        net.run((problem.steps - 1) * problem.dt * b2.second, namespace={})
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Outcome(cumulate(problem, np.asarray(monitor.t_), np.asarray(monitor.i)), wall, cpu)
    finally:
        for name, value in before.items():
            b2.prefs[name] = value
        b2.defaultclock.dt = step


def cumulate(problem: Problem, t: np.ndarray, neuron: np.ndarray) -> Counts:
    """Spikes at times `t` in second, of neurons numbered over the unmasked keys, as counts at the checkpoints."""
    window = np.searchsorted(problem.marks, np.rint(t / problem.dt).astype(np.int64), side="right")
    inside = window < len(problem.marks)
    cell = neuron[inside].astype(np.int64) * len(problem.marks) + window[inside]
    found = np.bincount(cell, minlength=problem.neurons * len(problem.marks)).reshape(-1, len(problem.marks))
    counts = problem.empty_counts()
    counts[problem.unmasked] = found.cumsum(axis=1)
    return counts
