"""Claims about grids and a second simulator: opposite tables give opposite verdicts, noise gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from validation.simulators.claims import CLAIMS
from validation.study.claims import Finding


def neuron(**more: Any) -> dict[str, Any]:
    row = {"case": "constant", "input": "constant", "dt_ms": 0.1, "interval_brian2_ms": 16.5, "sigma_mv": None}
    row |= {"interval_predicted_ms": 16.5, "rate_closed_form_hz": 60.0, "rate_brian2_hz": 60.0, "mismatches": 0}
    return row | {"spikes_brian2": 10, "extra_steps": 0} | more


def noisy(rate: float, error: float) -> dict[str, Any]:
    return neuron(case="noise", input="noise", sigma_mv=5.0, rate_brian2_hz=rate, rate_error_hz=error,
                  rate_predicted_hz=50.0)  # fmt: skip


def rates(*off: float) -> Any:
    return {"neurons": [neuron(rate_brian2_hz=60.0 * (1 + one), dt_ms=place) for place, one in enumerate(off)]}


def measure(name: str, verdict: str, difference: float = 0.1, half: float = 0.1) -> dict[str, Any]:
    return {"circuit": "escape", "measure": name, "difference": difference, "low": difference - half,
            "high": difference + half, "seed_to_seed": 1.0, "rank": 0.5, "verdict": verdict}  # fmt: skip


KS = measure("ks_count", "agree")
GRID, RATE, SIEGERT, SPIKES = "interval on Brian2's", "a LIF neuron on a grid", "Siegert's", "Brian2 and NEST give"
SEEDS = "Brian2 and NEST differ"
CASES = [
    (GRID, "holds", {"neurons": [neuron()]}),
    (GRID, "does not hold", {"neurons": [neuron(interval_brian2_ms=16.4)]}),
    (RATE, "holds", rates(0.001, -0.002)),
    (RATE, "does not hold", rates(0.04, -0.02)),
    (RATE, "depends", rates(0.04, 0.001)),
    (SIEGERT, "holds", {"neurons": [noisy(50.5, 0.1)]}),
    (SIEGERT, "does not hold", {"neurons": [noisy(60.0, 0.1)]}),
    (SIEGERT, "undecided", {"neurons": [noisy(52.0, 1.0)]}),
    (SPIKES, "holds", {"neurons": [neuron()]}),
    (SPIKES, "does not hold", {"neurons": [neuron(mismatches=1)]}),
    (SEEDS, "holds", {"summary": [KS, measure("isi_cv", "agree")]}),
    (SEEDS, "does not hold", {"summary": [measure("ks_count", "differ"), measure("isi_cv", "differ", 9.0)]}),
    (SEEDS, "depends", {"summary": [KS, measure("isi_cv", "differ", 9.0)]}),
    (SEEDS, "undecided", {"summary": [KS, measure("isi_cv", "agree", 1.0, 2.0)]}),
    (SEEDS, "undecided", {"summary": [measure("ks_count", "too few seeds")]}),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])
