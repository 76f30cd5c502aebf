"""Deliberate errors, to show that the comparison sees them: each changes one convention of one simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from circuits.softmax.race import Race
from validation.simulators import brian2 as simulators_brian2
from validation.simulators import nest as simulators_nest
from validation.simulators.mapping import Wiring, lif_parameters
from validation.simulators.measures import Agreement, smallest_rank
from validation.simulators.tables import CaseResult, CircuitResult, measures, unpaired, verdicts

import brian2 as b2

Rerun = Callable[[str, Callable[[Wiring], Wiring]], CircuitResult]
"""Runs a circuit in NEST again with changed wiring, and returns it beside the spikes that Brian2 had."""


def neuron_controls(nest: Any, results: list[CaseResult]) -> pd.DataFrame:
    """Errors of single neurons: the spikes of each that find no partner, one row an error."""
    rows = []
    constant = [result for result in results if result.nest_same_refractory is not None]
    if constant:
        wrong = sum(_unpaired(r, nest=r.nest_same_refractory) for r in constant)
        rows.append(("refractory period a step longer", "NEST", "constant", sum(map(_unpaired, constant)), wrong))
    for result in results:
        case = result.case
        if case.kind == "delta" and case.name.startswith("exactly"):
            as_it_stands = lif_parameters(case.cell, case.dt, case.v_inf, same_threshold=True)
            other = simulators_nest.run_neurons(
                nest, as_it_stands, len(case.v_inf), dt=case.dt, steps=case.steps, frozen=case.frozen
            )
            words = "threshold reached, not exceeded (>=)", "NEST", case.name
            rows.append((*words, _unpaired(result), _unpaired(result, nest=other)))
        elif case.kind == "delta":
            late = simulators_brian2.run_neurons(case, slot="synapses")
            words = "input after the threshold of its step", "Brian2", case.name
            rows.append((*words, _unpaired(result), _unpaired(result, brian2=late)))
    table = pd.DataFrame(rows, columns=["control", "changed_in", "where", "without_it", "with_it"])
    table.insert(3, "measured", "spikes without partner")
    table["verdict"] = np.where(table["with_it"] > table["without_it"], "caught", "missed")
    return table


def _unpaired(result: CaseResult, **changed: Any) -> int:
    spikes = {"brian2": result.brian2, "nest": result.nest} | changed
    return unpaired(spikes["brian2"], spikes["nest"], n=len(result.case.v_inf), steps=result.case.steps)


def circuit_controls(summary: pd.DataFrame, rerun: Rerun, logits: NDArray[np.float64]) -> pd.DataFrame:
    """Errors of circuits: the measure that tells each most clearly, its rank without and with it, one row an error."""
    rows = []
    for name, words, change in CIRCUIT_CONTROLS:
        without = summary[summary["circuit"] == name].set_index("measure")
        if without.empty:
            continue
        wrong = rerun(name, change)
        found = measures(wrong, logits)
        measure = min(found, key=lambda one: (np.isnan(found[one].rank), found[one].rank, -_excess(found[one])))
        verdict = verdicts(
            np.array([found[measure].rank] * len(found)), smallest_rank(len(wrong.brian2), len(wrong.nest))
        )[0]
        words_of_control = {"differ": "caught", "agree": "missed"}
        rows.append(
            (words, "NEST", name, f"rank of {measure}", without.loc[measure, "rank"], found[measure].rank,
             words_of_control.get(verdict, verdict))
        )  # fmt: skip
    columns = ["control", "changed_in", "where", "measured", "without_it", "with_it", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _excess(found: Agreement) -> float:
    """Difference in units of what seeds differ by: of measures that rank alike, the clearest."""
    return abs(found.difference) / found.seed_to_seed if found.seed_to_seed > 0 else 0.0


def _closed_longer(wiring: Wiring) -> Wiring:
    """The row of `race` closed for one step more, which is a tenth of t_inh."""
    (shut, at_once), (lift, delay) = wiring.synapses
    step = float(Race().dt / b2.ms)
    return attrs.evolve(wiring, synapses=((shut, at_once), (lift * np.exp(-step / wiring.keys["tau_m"]), delay + step)))


CIRCUIT_CONTROLS: tuple[tuple[str, str, Callable[[Wiring], Wiring]], ...] = (
    ("race", "row closed for a step longer", _closed_longer),
    (
        "escape",
        "membrane reset by its own spike, the default of pp_psc_delta",
        lambda wiring: attrs.evolve(wiring, keys=wiring.keys | {"with_reset": True}),
    ),
    (
        "escape",
        "further spikes of a key within a step kept in it",
        lambda wiring: attrs.evolve(wiring, carries=False),
    ),
    (
        "diffusive",
        "Siegert's sigma taken for the standard deviation of the membrane",
        lambda wiring: attrs.evolve(wiring, noise_std=np.sqrt(2) * wiring.noise_std),
    ),
)
