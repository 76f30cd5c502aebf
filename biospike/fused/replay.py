"""A cut batch of a study by its kernel and by Brian2's own numpy target: every count must be the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import runtime
from biospike.errors import RunError
from biospike.fused import parts_of, run_circuit
from biospike.packing import Plan, fitted

ROWS, TRIALS, STEPS = 2, 2, 1000
MARKS = (1, 10, 100, 500, 1000)
"""Checkpoints of the batch, in steps."""

_replayed: set[tuple[type, ...]] = set()
"""Circuits of which this process has compared a batch, with those within."""


def replay_once(plan: Any, cut: Callable[[Any], Any]) -> None:
    """Compare what is cut of a study, unless this process has compared a batch of the same circuit.

    Parameters
    ----------
    plan
        The study, a `biospike.execution.Plan`.
    cut
        Makes a small study of one like it.

    Raises
    ------
    RunError
        If a count differs.
    """
    kind = (type(plan.circuit), *map(type, parts_of(plan.circuit)))
    if kind not in _replayed:
        replay(cut(plan))
        _replayed.add(kind)


def replay(plan: Any) -> int:
    """Compare every batch of a small study; returns how many spikes its rows have.

    Raises
    ------
    RunError
        If a count differs.
    """
    spikes = 0
    for number in range(plan.batches):
        circuit, state, shape, duration = plan.circuit, plan.state(number), plan.shape(number), plan.duration(number)
        expected = runtime.run(circuit, shape, state, dt=plan.dt, duration=duration, wanted=plan.wanted, target="numpy")
        found = run_circuit(circuit, "fused", shape, state, dt=plan.dt, steps=round(duration / plan.dt))
        for variable in plan.wanted:
            if not np.array_equal(expected[variable], found[variable]):
                raise RunError(
                    f"{circuit.name}: target 'fused' and Brian2 differ in {variable} of a small batch, which must not "
                    "be: take target 'cpp_standalone', and report it"
                )
        spikes += int(found["hub.row_spikes"].sum())
    return spikes


def cut_plan(plan: Plan) -> Plan:
    """Study of `ROWS` rows and `TRIALS` trials for `STEPS` steps, with a masked key if any row has two keys."""
    logits = _two_rows(plan.logits)
    small = attrs.evolve(
        plan,
        logits=logits,
        trials=TRIALS,
        steps=STEPS,
        marks=np.array(MARKS),
        sizes=(TRIALS * ROWS + 1, TRIALS * logits.size, len(MARKS)),
        starts=np.array([0, TRIALS * ROWS]),
    )
    return fitted(small)


def _two_rows(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The longest row, and the first that masks a key, or one that is made to; columns that both mask are left out."""
    masked = np.isnan(logits)
    chosen = logits[[int(np.argmin(masked.sum(axis=1))), int(np.argmax(masked.any(axis=1)))]]
    chosen = chosen[:, ~np.isnan(chosen).all(axis=0)]
    if not np.isnan(chosen).any() and chosen.shape[1] > 1:
        chosen[1, np.argmin(chosen[1])] = np.nan
    return chosen
