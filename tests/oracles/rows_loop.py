"""Rows of keys in plain Python, from the papers and the circuits' docstrings: it imports nothing that it is to judge.

`tally` counts recorded spikes in Python's integers, which have no width. The circuits take one row: what drives its
keys, where they start, and what they draw; they return the spikes as (key, step), by step and then by key.

Random numbers are Philox4x32-10 (Salmon et al., SC11), addressed as `biospike.random` documents it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

WORD = 0xFFFFFFFF
STRIDE = 2**20
Spikes = list[tuple[int, int]]


def philox(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """Ten rounds of Philox on four words."""
    c0, c1, c2, c3 = (word & WORD for word in counter)
    k0, k1 = (word & WORD for word in key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & WORD, (p0 >> 32) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def two_uniforms(seed: int, trial: int, index: int, step: int, draw: int = 0) -> tuple[float, float]:
    """Both numbers in [0, 1) of one block."""
    w0, w1, w2, w3 = philox((step, index, index >> 32, trial), (seed, draw))
    return ((w0 << 32 | w1) >> 11) / 2**53, ((w2 << 32 | w3) >> 11) / 2**53


def uniform(seed: int, trial: int, index: int, step: int, draw: int = 0) -> float:
    """The first number of a block."""
    return two_uniforms(seed, trial, index, step, draw)[0]


def gamma(seed: int, trial: int, index: int, step: int, shape: int) -> float:
    """Mean of `shape` exponentials; 1 for shape 0, which stands for infinity."""
    draws = [-math.log(1 - uniform(seed, trial, index, step, draw)) for draw in range(shape)]
    return sum(draws) / shape if shape else 1.0


def normal(seed: int, trial: int, index: int, step: int) -> float:
    """Box and Muller."""
    u, w = two_uniforms(seed, trial, index, step)
    return math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * w)


@dataclass
class Tally:
    """Of one key: cumulative counts at the checkpoints, all spikes, and its intervals in spikes of the row."""

    counts: list[int]
    total: int = 0
    gaps: list[int] = field(default_factory=list)
    last: int = 0

    @property
    def moments(self) -> tuple[int, int]:
        """Sum of the intervals and of their squares."""
        return sum(self.gaps), sum(gap * gap for gap in self.gaps)


def tally(spikes: Iterable[tuple[int, int]], keys: int, marks: Sequence[int]) -> list[Tally]:
    """Count the spikes (key, step) of a row; a spike of step s is in every window of more than s steps."""
    found = [Tally([0] * len(marks)) for _ in range(keys)]
    by_step: dict[int, list[int]] = {}
    for key, step in spikes:
        by_step.setdefault(step, []).append(key)
    row = 0
    for step in sorted(by_step):
        row += len(by_step[step])
        for key in by_step[step]:
            own = found[key]
            own.counts = [count + (step < mark) for count, mark in zip(own.counts, marks, strict=True)]
            if own.total:
                own.gaps.append(row - own.last)
            own.total, own.last = own.total + 1, row
    return found


def race(probability: Sequence[float], draw: Callable[[int, int], float], closed: int, steps: int) -> Spikes:
    """Keys whose draw is below their probability spike, and close the row for `closed` steps."""
    spikes: Spikes = []
    opens_at = 0
    for step in range(steps):
        if step < opens_at:
            continue
        fired = [key for key, p in enumerate(probability) if draw(key, step) < p]
        spikes += [(key, step) for key in fired]
        if fired:
            opens_at = step + 1 + closed
    return spikes


def escape(
    drive: Sequence[float],
    v: list[float],
    theta: list[float],
    redraw: Callable[[int, int], float],
    *,
    w: float,
    rate: float,
    dt: float,
    steps: int,
) -> tuple[Spikes, float]:
    """Hazard-charged keys; also returns the inhibition in the end."""
    v, theta, spikes, inhibition = list(v), list(theta), [], 0.0
    for step in range(steps):
        gate = math.exp(-inhibition)
        inhibition -= w * rate * dt
        for key, hazard in enumerate(drive):
            v[key] += dt * (hazard * gate)
            if v[key] >= theta[key]:
                spikes.append((key, step))
                v[key] -= theta[key]
                theta[key] = redraw(key, step)
                inhibition += w
    return spikes, inhibition


def divisive(
    drive: Sequence[float], v: Sequence[float], *, tau_g: float, g_half: float, dt: float, steps: int
) -> tuple[Spikes, float]:
    """Perfect integrators divided by the filtered spikes g, which it also returns."""
    v, g, spikes = list(v), 0.0, []
    for step in range(steps):
        gain = 1 / (1 + g / g_half)
        g *= math.exp(-dt / tau_g)
        for key, current in enumerate(drive):
            v[key] += dt * (current * gain)
            if v[key] >= 1:
                spikes.append((key, step))
                v[key] -= 1
                g += 1
    return spikes, g


def subtractive(
    drive: Sequence[float], u: Sequence[float], *, beta: float, w: float, steps: int
) -> tuple[Spikes, float]:
    """The paper's formula; also returns the mean of the spikes that arrived in the last step but one."""
    u, before, spikes, mean = list(u), [0.0] * len(drive), [], 0.0
    for step in range(steps):
        mean = sum(before) / len(drive)
        u = [beta * own + current - s - w * mean for own, current, s in zip(u, drive, before, strict=True)]
        before = [float(own >= 1) for own in u]
        spikes += [(key, step) for key, s in enumerate(before) if s]
    return spikes, mean


def self_inhibition(drive: Sequence[float], u: Sequence[float], *, alpha: float, steps: int) -> tuple[Spikes, float]:
    """Keys that meet nobody: each by itself, and then in the order of their spikes; inhibition of others is 0."""
    spikes: Spikes = []
    for key, (start, current) in enumerate(zip(u, drive, strict=True)):
        charge, fired = start, 0.0
        for step in range(steps):
            charge = charge + current - (1 + alpha) * fired
            fired = float(charge >= 1)
            spikes += [(key, step)] * int(fired)
    return sorted(spikes, key=lambda spike: (spike[1], spike[0])), 0.0


def shunting(
    current: Sequence[float], v: Sequence[float], g: float, *, leak: dict[str, float], refractory: int, steps: int
) -> tuple[Spikes, float]:
    """Conductance-based keys; `leak` holds g_leak, tau_m, v_rest, v_inh, v_threshold, w, tau_inh, dt. Returns g too."""
    c, v, spikes, ready = leak, list(v), [], [0] * len(v)
    for step in range(steps):
        g *= math.exp(-c["dt"] / c["tau_inh"])
        relaxed = 1 - math.exp(-(c["g_leak"] + g) * c["dt"] / (c["g_leak"] * c["tau_m"]))
        opened = g
        for key, own in enumerate(current):
            if step < ready[key]:
                continue
            target = (c["g_leak"] * c["v_rest"] + opened * c["v_inh"] + own) / (c["g_leak"] + opened)
            v[key] += (target - v[key]) * relaxed
            if v[key] > c["v_threshold"]:
                spikes.append((key, step))
                v[key], ready[key] = c["v_rest"], step + refractory
                g += c["w"]
    return spikes, g


def diffusive(
    mean: Sequence[float],
    v: Sequence[float],
    inhibition: float,
    noise: Callable[[int, int], float],
    *,
    cell: dict[str, float],
    refractory: int,
    delay: int,
    steps: int,
) -> tuple[Spikes, float]:
    """Noisy LIF keys; `cell` holds tau_m, v_rest, v_threshold, w, rate, tau_inh, dt. Returns the inhibition too."""
    c, v, spikes, ready = cell, list(v), [], [0] * len(v)
    activity, fired_at = c["rate"], [0] * (steps + delay + 1)
    x, decay = c["dt"] / c["tau_inh"], math.exp(-c["dt"] / c["tau_m"])
    for step in range(steps):
        # The exact solution over a step: activity decays, and inhibition integrates it.
        inhibition += c["w"] * (activity * c["tau_inh"] * -math.expm1(-x) - c["rate"] * c["dt"])
        activity *= math.exp(-x)
        for key, drive in enumerate(mean):
            if step < ready[key]:
                continue
            target = drive - inhibition + noise(key, step)
            v[key] = target + (v[key] - target) * decay
            if v[key] > c["v_threshold"]:
                spikes.append((key, step))
                v[key], ready[key] = c["v_rest"], step + refractory
                fired_at[step + delay] += 1
        activity += fired_at[step] / c["tau_inh"]
    return spikes, inhibition
