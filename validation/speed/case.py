"""From a size to a problem: logits are drawn, and the circuit of biospike says the initial state."""

from __future__ import annotations

from typing import Any

import numpy as np

from biospike.circuit import Batch, Circuit
from biospike.execution import mark_windows
from circuits.softmax.escape import Escape
from circuits.softmax.integrate import Integrate
from circuits.softmax.race import Race
from validation.speed.problem import Floats, Problem, Size

import brian2 as b2

CIRCUITS: dict[str, type[Circuit]] = {"race": Race, "escape": Escape, "integrate": Integrate}
SPREAD = 1.5
"""Standard deviation of the normal logits in nats: rows span what real attention rows span."""
FIRST_WINDOW = 1e-3


def draw_logits(size: Size) -> Floats:
    """Normal logits (rows, keys), the same for every circuit of this shape."""
    return np.random.default_rng([size.seed, size.keys, size.rows]).normal(0.0, SPREAD, (size.rows, size.keys))


def make_problem(size: Size, logits: Floats | None = None) -> Problem:
    """Problem of this size; `logits` replace those that would be drawn."""
    circuit = CIRCUITS[size.circuit]()
    logits = draw_logits(size) if logits is None else logits
    trial, row = np.divmod(np.arange(size.trials * len(logits)), len(logits))
    batch = Batch(logits[row], trial, row, size.seed)
    state = {name.split(".")[1]: value for name, value in circuit.state(batch, circuit.dt).items()}

    def of_keys(name: str) -> Floats:
        return np.broadcast_to(np.asarray(state.get(name, 0.0), dtype=float), batch.logits.shape).copy()

    return Problem(
        circuit=size.circuit,
        trials=size.trials,
        seed=size.seed,
        steps=size.steps,
        dt=float(circuit.dt),
        w=float(state.get("w", 0.0)),
        R0=float(state.get("R0", 0.0)),
        closed_steps=int(state.get("closed_steps", 0)),
        regularity=int(state.get("regularity", 0)),
        logits=logits,
        marks=mark_windows(size.checkpoints, size.steps, float(circuit.dt), FIRST_WINDOW),
        trial=trial,
        index=batch.index,
        drive=of_keys("drive"),
        v=of_keys("v"),
        theta=of_keys("theta"),
    )


def simulate_options(problem: Problem) -> dict[str, Any]:
    """Arguments of `biospike.simulate` and `biospike.simulation.build_ahead` besides circuit and logits."""
    dt = problem.dt * b2.second
    return {
        "duration": problem.steps * dt,
        "trials": problem.trials,
        "seed": problem.seed,
        "checkpoints": problem.marks * dt,
    }
