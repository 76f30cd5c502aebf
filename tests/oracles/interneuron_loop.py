"""A row under spiking interneurons in plain Python, from the circuits' docstrings: it imports nothing it is to judge.

Every neuron is told its noise, or its releases, by the step; spikes are (neuron, step), by step and then by neuron.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Spikes = list[tuple[int, int]]
Noise = Callable[[int, int], float]


class Cells:
    """Leaky integrate-and-fire neurons; `cell` holds tau_m, v_rest, v_threshold, dt, `hold` steps of refractoriness."""

    def __init__(self, v: Sequence[float], noise: Noise, cell: dict[str, float], hold: int) -> None:
        self.v, self.noise, self.cell, self.hold = list(v), noise, cell, hold
        self.ready = [0] * len(self.v)
        self.spikes: Spikes = []

    def step(self, step: int, drive: Sequence[float]) -> int:
        """Spikes of a step."""
        decay, fired = math.exp(-self.cell["dt"] / self.cell["tau_m"]), 0
        for one, target in enumerate(drive):
            if step < self.ready[one]:
                continue
            end = target + self.noise(one, step)
            self.v[one] = end + (self.v[one] - end) * decay
            if self.v[one] > self.cell["v_threshold"]:
                self.spikes.append((one, step))
                self.v[one], self.ready[one] = self.cell["v_rest"], step + self.hold
                fired += 1
        return fired


class Inputs:
    """Neurons that spike when a draw is below their hazard times the release."""

    def __init__(self, draw: Noise, dt: float, hold: int) -> None:
        self.draw, self.dt, self.hold = draw, dt, hold
        self.ready: dict[int, int] = {}
        self.spikes: Spikes = []

    def step(self, step: int, hazard: Sequence[float]) -> int:
        """Spikes of a step."""
        fired = 0
        for one, own in enumerate(hazard):
            if step < self.ready.get(one, 0) or not self.draw(one, step) < own * self.dt:
                continue
            self.spikes.append((one, step))
            self.ready[one] = step + self.hold
            fired += 1
        return fired


def pooled(
    keys: Cells | Inputs,
    pool: Cells,
    drive: Callable[[float], Sequence[float]],
    hub: dict[str, float],
    *,
    delay: int,
    steps: int,
) -> tuple[float, float]:
    """Run a row; `hub` holds A, tau_ampa, J_EI, I, tau_i, J_IE, bias, dt. Returns A and I in the end.

    `drive` gives that of the keys under the inhibition I, as it is once it has decayed, or, where it divides releases,
    as it was before.
    """
    excitation, inhibition = hub["A"], hub["I"]
    heard, acted = ([0] * (steps + delay + 1) for _ in range(2))
    for step in range(steps):
        before = inhibition
        excitation *= math.exp(-hub["dt"] / hub["tau_ampa"])
        inhibition *= math.exp(-hub["dt"] / hub["tau_i"])
        acted[step + delay] += pool.step(step, [hub["bias"] + excitation] * len(pool.v))
        heard[step + delay] += keys.step(step, drive(before if isinstance(keys, Inputs) else inhibition))
        excitation += heard[step] * hub["J_EI"] / hub["tau_ampa"]
        inhibition += acted[step] * hub["J_IE"] / hub["tau_i"]
    return excitation, inhibition
