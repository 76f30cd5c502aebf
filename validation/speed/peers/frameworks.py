"""The three circuits on the neurons of snnTorch and SpikingJelly, in a loop over steps, on the CPU, on one thread.

Both frameworks have neurons with a fixed threshold of 1 and nothing like a hub, so the inhibition of a row is written
in torch around them, batched over all rows and trials, in single precision and without gradients, as their users do.

* race: a neuron without memory (`Leaky` with beta = 0, `IFNode`), whose input spikes are worth 1.5 thresholds, since
  snnTorch fires strictly above the threshold.
* escape: the threshold that a spike draws anew enters as input: 1 - theta in the step after the spike, so that the
  membrane is v - theta + 1 and fires at 1. integrate: theta = 1, nothing enters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from biospike.ideal.frameworks.installed import load
from validation.speed.problem import Outcome, Problem

WORTH = 1.5
"""Of an input spike of race, in thresholds."""
NAMES = ("snntorch", "spikingjelly")

Tensor = Any
Neuron = Callable[[Tensor], Tensor]


def run(name: str, problem: Problem) -> Outcome:
    """Run a problem on the neurons of one framework.

    Raises
    ------
    biospike.ideal.frameworks.installed.FrameworkMissing
        If it is not installed.
    """
    torch = load("torch")
    torch.set_num_threads(1)
    torch.manual_seed(problem.seed)
    start = torch.as_tensor(problem.v - problem.theta + 1.0, dtype=torch.float32)
    if problem.circuit == "race":
        start = torch.zeros_like(start)
    make = {"snntorch": _snntorch, "spikingjelly": _spikingjelly}[name]
    neuron = make(problem.circuit == "race", start)
    loop = _race if problem.circuit == "race" else _escape
    with torch.no_grad():
        wall, cpu = time.perf_counter(), time.process_time()
        counts = loop(torch, problem, neuron)
        return Outcome(counts, time.perf_counter() - wall, time.process_time() - cpu)


def _snntorch(memoryless: bool, start: Tensor) -> Neuron:
    snntorch = load("snntorch")
    leaky = snntorch.Leaky(beta=0.0 if memoryless else 1.0, threshold=1.0, reset_mechanism="subtract")
    membrane = start

    def step(current: Tensor) -> Tensor:
        nonlocal membrane
        spikes, membrane = leaky(current, membrane)
        return spikes

    return step


def _spikingjelly(memoryless: bool, start: Tensor) -> Neuron:
    neuron = load("spikingjelly.activation_based.neuron")
    node = neuron.IFNode(v_threshold=1.0, v_reset=0.0 if memoryless else None)
    node.v = start
    return node


def _race(torch: Any, problem: Problem, neuron: Neuron) -> Any:
    probability = torch.as_tensor(problem.drive * problem.dt, dtype=torch.float32)
    opens_at = torch.zeros((len(probability), 1), dtype=torch.int64)
    total, counts = torch.zeros_like(probability), problem.empty_counts()
    marks = {int(mark): number for number, mark in enumerate(problem.marks)}
    for step in range(problem.steps):
        arrived = (torch.rand_like(probability) < probability) & (opens_at <= step)
        spikes = neuron(WORTH * arrived)
        total += spikes
        fired = spikes.any(dim=1, keepdim=True)
        opens_at = torch.where(fired, step + 1 + problem.closed_steps, opens_at)
        if step + 1 in marks:
            counts[..., marks[step + 1]] = total.numpy()
    return counts


def _escape(torch: Any, problem: Problem, neuron: Neuron) -> Any:
    charge = torch.as_tensor(problem.drive * problem.dt, dtype=torch.float32)
    inhibition = torch.zeros((len(charge), 1))
    fall = problem.R0 * problem.dt * problem.w
    total, counts = torch.zeros_like(charge), problem.empty_counts()
    marks = {int(mark): number for number, mark in enumerate(problem.marks)}
    kick = torch.zeros_like(charge)
    k = problem.regularity
    gamma = torch.distributions.Gamma(float(k), float(k)) if k else None
    for step in range(problem.steps):
        current = charge * torch.exp(-inhibition)
        if gamma is not None:
            current += kick
        spikes = neuron(current)
        total += spikes
        inhibition += problem.w * spikes.sum(dim=1, keepdim=True) - fall
        if gamma is not None:
            fired = spikes.nonzero(as_tuple=True)
            kick.zero_()
            kick[fired] = 1 - gamma.sample((len(fired[0]),))
        if step + 1 in marks:
            counts[..., marks[step + 1]] = total.numpy()
    return np.asarray(counts)
