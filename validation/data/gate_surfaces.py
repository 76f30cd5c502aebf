"""Rates of conductance-based keys over drive and barrage, computed beforehand: neurons, distances and their surfaces.

``make_gate_surfaces.py`` computes them with `biospike.theory.barrage.tabulate`.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import attrs
import numpy as np

from biospike.theory.barrage import Surface
from circuits.softmax.conductance import Conductance

import brian2 as b2

NEURONS: dict[str, Conductance] = {
    # Destexhe et al. (2001): the circuit's own values.
    "destexhe": Conductance(),
    # A neuron of 20 ms and 10 nS, and a background of the kind of Chance et al. (2002): 7000 excitatory events a second
    # of 2 % of the leak and 5 ms, 3000 inhibitory ones of 6 % and 10 ms, as mean and deviation of their sums. These
    # rates and sizes were found in no source at hand: a second neuron, not a measured one.
    "balanced": Conductance(
        capacitance=200 * b2.pF,
        g_leak=10 * b2.nS,
        v_leak=-70 * b2.mV,
        tau_e=5 * b2.ms,
        tau_i=10 * b2.ms,
        mean_e=7 * b2.nS,
        deviation_e=0.83666 * b2.nS,
        mean_i=18 * b2.nS,
        deviation_i=2.32379 * b2.nS,
    ),
}
DISTANCES: tuple[float | None, ...] = (None, 3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0, 5.5)
"""Standard deviations of the membrane from the threshold down to the barrage's reversal potential; None is GABA_A."""
VARIED = ("capacitance", "g_leak", "tau_e", "tau_i", "mean_e", "deviation_e", "mean_i", "deviation_i", "refractory")
"""Parameters of the first neuron that are changed one at a time by `FACTORS`."""
FACTORS = (0.7, 1.3)
VARIED_DISTANCES = (3.5, 4.0, 4.5)


def neuron(name: str) -> Conductance:
    """Neuron of a name: of `NEURONS`, or one of them with a parameter changed, such as ``destexhe tau_e x 0.7``."""
    own, *changed = name.split(" ")
    if not changed:
        return NEURONS[own]
    field, _, factor = changed
    changes: dict[str, Any] = {field: getattr(NEURONS[own], field) * float(factor)}
    return attrs.evolve(NEURONS[own], **changes)


def cases() -> list[tuple[str, float | None]]:
    """Neurons and distances of the stored surfaces."""
    plain = [(name, distance) for distance in DISTANCES for name in NEURONS]
    first = next(iter(NEURONS))
    varied = [
        (f"{first} {field} x {factor}", distance)
        for field in VARIED
        for factor in FACTORS
        for distance in VARIED_DISTANCES
    ]
    return plain + varied


def gate_surfaces() -> dict[tuple[str, float | None], Surface]:
    """Stored surfaces by neuron and distance."""
    with as_file(files(__package__) / "gate_surfaces.npz") as path, np.load(path, allow_pickle=False) as stored:
        names, distances, shapes = stored["neuron"], stored["distance"], stored["currents"]
        return {
            (str(name), None if np.isnan(distance) else float(distance)): Surface(
                stored["levels"][number],
                np.linspace(float(shapes[number, 0]), float(shapes[number, 1]), round(shapes[number, 2])),
                stored["log_rates"][number][:, : round(shapes[number, 2])],
            )
            for number, (name, distance) in enumerate(zip(names, distances, strict=True))
        }
