"""Independence of query and key trains: shared input spikes, and an axonal delay as the remedy."""

from __future__ import annotations

import numpy as np

from circuits.presentation import present
from validation.assumptions.keys.encoding import TOKENS, WINDOW, block
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Point, Sweep, number_point

import brian2 as b2

DELAYS = (5, 2, 1, 0)
TAU_M = 10  # steps


def independence(lab: Lab) -> list[Sweep]:
    """Axonal delay of the keys, with input spikes that queries and keys of a token share."""
    same, different, leaky = [], [], []
    lab.prebuild_blocks([block("shared", delay=delay * b2.ms) for delay in DELAYS], WINDOW * round(lab.stretch))
    for delay in DELAYS:
        on, off = _bias(lab, delay, leak=False)
        same.append(on)
        different.append(off)
        leaky.append(_bias(lab, delay, leak=True)[0])
    return [
        Sweep(
            "independence of Q and K", "axonal delay", "steps", f"coincidences, shared input spikes, {circuit}",
            "mean absolute bias of q.k, relative", label, tuple(points), law=law,
        )
        for label, circuit, points, law in (
            ("same token", "same token, no leak", same, "sum_f x_f(1 - x_f)W_q.W_k without delay, 0 with one"),
            ("different tokens", "different tokens, no leak", different, "0"),
            ("same token, leak", f"same token, tau_m = {TAU_M} steps", leaky, ""),
        )
    ]  # fmt: skip


def _bias(lab: Lab, delay: int, *, leak: bool) -> tuple[Point, Point]:
    """Bias of the scores of a token with itself, and with others, in units of their mean product."""
    circuit, x = block("shared", delay=delay * b2.ms, tau_m=TAU_M * b2.ms if leak else None)
    window = WINDOW * round(lab.stretch) * circuit.dt
    data = present(circuit, x, duration=window, windows=1, trials=lab.trials, seed=lab.seed, target=lab.target)
    exact = circuit.products(x)[0, 0]
    measured = data["coincidences"].values[:, 0, 0, ..., 0] / data["timesteps"].values[0]
    diagonal = np.eye(TOKENS, dtype=bool)
    spikes = float(data["spikes_qkv"].values[..., -1].mean())
    law = np.nan if leak else 0.0
    if delay == 0 and not leak:
        law = float(circuit.shared_input_bias(x).mean() / exact[diagonal].mean())
    points = []
    for chosen, predicted in ((diagonal, law), (~diagonal, law if leak else 0.0)):
        errors = (measured - exact)[:, chosen] / exact[chosen].mean()
        points.append(number_point(float(delay), errors, predicted=predicted, spikes=spikes))
    return points[0], points[1]
