"""The tables of the comparison: one row a block and a way to run it, one a stage of it, and its energy."""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.ideal.attention import SpikeSoftmax
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from biospike.theory import paper
from biospike.theory.energy import DEVICES, activity_for_ratio, canonical_energy, conventional_energy, event_energy
from circuits.transformers import SpikeSoftmaxCircuit
from circuits.transformers.membranes import Membranes
from circuits.transformers.tape import DT as STEP
from validation.data import attention_rows
from validation.frameworks.blocks import Model
from validation.frameworks.inputs import Tokens
from validation.frameworks.measures import (
    Difference,
    Stages,
    conventional_macs,
    differ,
    relative_error,
    spiking,
    synaptic_events,
    total,
    train_distances,
    trains,
)
from validation.frameworks.neurons import IDENTITY, Stand
from validation.study.row_kinds import FACTORS, GIVEN, NAMES

import brian2 as b2

COLUMNS = (
    "model", "block", "framework", "version", "convention", "dt_ms", "spikes", "mismatches", "mismatch_fraction",
    "rate_reference", "rate_biophysical", "attention_error", "output_error", "sop", "energy_pj", "diagnostics",
)  # fmt: skip
NAN = float("nan")
ROWS = NAMES | {GIVEN: "attention rows"}
"""Names of the sets of rows that the spike softmax receives."""


@attrs.frozen(eq=False)
class Case:
    """A block, what it is shown, and what its reference answers."""

    model: Model
    given: str
    tokens: Tokens
    block: Any
    x: NDArray[np.uint8]
    reference: Stages

    @staticmethod
    def name_of(model: Model, given: str) -> str:
        """Block and input, as in the tables."""
        return f"{model.block}, {given}"

    @property
    def name(self) -> str:
        """Block and input, as in the tables."""
        return self.name_of(self.model, self.given)


def energy(case: Case, found: Stages) -> tuple[float, float]:
    """Synaptic events of a run and their energy with neuron updates, pJ, by 45 nm arithmetic.

    A neuron is updated once a timestep, however finely its membrane was integrated here.
    """
    events = synaptic_events(case.block, case.x, found)
    spent = event_energy(events, dict.fromkeys(events, 1.0), updates(case))
    return sum(events.values()), spent["total"]


def updates(case: Case) -> float:
    """Neurons of all spiking stages times timesteps; a product of two spikes has no membrane."""
    return float(sum(v.size for stage, v in spiking(case.reference).items() if not _is_product(case, stage)))


def attention_error(case: Case, found: Stages) -> float:
    """Error of the stage called attention: relative, or the mean total variation of probabilities."""
    stage = case.model.attention
    if stage not in found:
        return NAN
    mine, yours = case.reference[stage], found[stage]
    if stage == "probabilities":
        return float(total_variation(mine.mean(axis=0), yours.mean(axis=0)).mean())
    return relative_error(mine, yours)


def compare(
    case: Case, stand: Stand, found: Stages, membranes: Membranes | None, most: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Row of the summary, and rows by stage, for one way to run a block; `most` trains a stage are compared."""
    mine, yours = spiking(case.reference), spiking(found)
    differences = {name: differ(mine[name], yours[name]) for name in mine if name in yours}
    all_of_it = total(differences, {name: mine[name].size for name in differences})
    whole = set(mine) <= set(yours)
    sop, spent = energy(case, found) if whole else (NAN, NAN)
    head = {
        "model": case.model.model,
        "block": case.name,
        "framework": stand.framework,
        "version": stand.version,
        "convention": stand.convention,
        "dt_ms": stand.dt_ms,
    }
    row = head | {
        "spikes": all_of_it.spikes,
        "mismatches": all_of_it.mismatches,
        "mismatch_fraction": _fraction(all_of_it),
        "rate_reference": all_of_it.rate_reference,
        "rate_biophysical": all_of_it.rate_other,
        "attention_error": attention_error(case, found),
        "output_error": differences["output"].error,
        "sop": sop,
        "energy_pj": spent,
        "diagnostics": diagnostics(stand, differences, sorted(set(mine) - set(yours))),
    }
    distances = _distances(case, membranes, most)
    rows = [
        head
        | {"stage": name, "spikes": part.spikes, "mismatches": part.mismatches, "mismatch_fraction": _fraction(part)}
        | {"rate_reference": part.rate_reference, "rate_other": part.rate_other, "error": part.error}
        | dict(zip(("van_rossum", "victor_purpura", "trains"), distances.get(name, (NAN, NAN, 0)), strict=True))
        for name, part in differences.items()
    ]
    return row, rows


def _fraction(part: Difference) -> float:
    return part.mismatches / part.spikes if part.spikes else NAN


def diagnostics(stand: Stand, differences: dict[str, Difference], without: list[str]) -> str:
    """Say whether the row is as it must be, and why spikes differ."""
    found = []
    wrong = {name: part.mismatches for name, part in differences.items() if part.mismatches}
    if stand.expected == IDENTITY:
        found.append("identical" if not wrong else f"NOT IDENTICAL, as it should be: {_listed(wrong)}")
    elif stand.framework == "mutant":
        found.append(f"{stand.expected}, {'caught: ' + _listed(wrong) if wrong else 'NOT CAUGHT'}")
    else:
        found.append(f"{stand.expected}: {_listed(wrong)}" if wrong else "no spike differs here")
    silent = [name for name, part in differences.items() if part.spikes == 0]
    if silent:
        found.append(f"silent in the reference: {', '.join(silent)}")
    if without:
        found.append(f"not compared: {', '.join(without)}")
    return "; ".join(found)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _distances(case: Case, membranes: Membranes | None, most: int) -> dict[str, tuple[float, float, int]]:
    """Distances of spike trains of every population of membranes, in the order in which they were run."""
    if membranes is None or importlib.util.find_spec("elephant") is None:
        return {}
    window = len(case.x) * float(STEP)
    run_in_order = [name for name in spiking(case.reference) if not _is_product(case, name)]
    found = {}
    for name, volley in zip(run_in_order, membranes.volleys, strict=True):
        pairs = trains(case.reference[name], volley, most)
        found[name] = (*train_distances(pairs, window), len(pairs))
    return found


def _is_product(case: Case, stage: str) -> bool:
    """Whether a stage is a product of spikes and has no membrane."""
    return stage in ("kv", "masked") or (stage == "output" and case.model.block == "SDSA")


def energy_table(case: Case) -> list[dict[str, Any]]:
    """Energy of a block of the reference, one row a device: as papers count it, and by its events.

    The canonical figure charges every layer the rate of its own input, 0.9 pJ * rate * T * MAC; both are for all the
    samples shown.
    """
    samples, steps = case.x.shape[1], len(case.x)
    macs = conventional_macs(case.block, case.x.shape[2])
    rates = {"x": float(case.x.mean())} | {k: float(v.mean()) for k, v in spiking(case.reference).items()}
    # Real values, as SpikingBERT's probabilities, are multiplied: their partner's rate is what counts.
    conventional = samples * sum(conventional_energy(count) for count in macs.values())
    canonical = samples * sum(canonical_energy(count, rates[layer], steps) for layer, count in macs.items())
    activity = sum(rates[layer] * steps * count for layer, count in macs.items()) / sum(macs.values())
    events = synaptic_events(case.block, case.x, case.reference)
    rows = []
    for device in DEVICES.values():
        spent = event_energy(events, dict.fromkeys(events, 1.0), updates(case), device)
        rows.append(
            {
                "model": case.model.model,
                "block": case.name,
                "device": device.name,
                "macs": samples * sum(macs.values()),
                "conventional_pj": conventional,
                "spikes_per_synapse": activity,
                "canonical_pj": canonical,
                "canonical_ratio": conventional / canonical,
                "sop": sum(events.values()),
                "updates": updates(case),
                "event_pj": spent["total"],
                "event_ratio": conventional / spent["total"],
                "spikes_per_synapse_for_38": activity_for_ratio(paper.ENERGY_RATIO[0]),
                "spikes_per_synapse_for_57": activity_for_ratio(paper.ENERGY_RATIO[1]),
            }
        )
    return rows


def spike_softmax_rows(codes: tuple[SpikeSoftmax, ...], target: str) -> list[dict[str, Any]]:
    """Rows of SpikedAttention's spike softmax on the shipped attention rows, on peaked and on flat ones.

    Its error is the TV to softmax.
    """
    rows = []
    for code, kind in itertools.product(codes, FACTORS):
        logits = FACTORS[kind] * attention_rows()
        reference, found = code.run(logits), SpikeSoftmaxCircuit(code).run(logits, target)
        part = differ(reference.spikes, found.spikes)
        same = part.mismatches == 0 and np.array_equal(reference.shares, found.shares)
        error = float(total_variation(found.shares, softmax(logits)).mean())
        rows.append(
            dict.fromkeys(COLUMNS, NAN)
            | {
                "model": "SpikedAttention",
                "block": f"spike softmax B = {code.base:g}, T = {code.steps}, {ROWS[kind]}",
                "framework": "brian2",
                "version": b2.__version__,
                "convention": f"one spike a key, {target}",
                "dt_ms": float(STEP / b2.ms),
                "spikes": part.spikes,
                "mismatches": part.mismatches,
                "mismatch_fraction": _fraction(part),
                "rate_reference": part.rate_reference,
                "rate_biophysical": part.rate_other,
                "attention_error": error,
                "diagnostics": ("identical, shares too" if same else "NOT IDENTICAL, as it should be")
                + "; attention_error is the TV to softmax",
            }
        )
    return rows
