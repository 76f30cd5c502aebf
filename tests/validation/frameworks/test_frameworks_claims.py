"""Claims about published models: all of them are deterministic, and opposite tables give opposite verdicts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from validation.frameworks.claims import CLAIMS
from validation.study.claims import Finding

BLOCK = {"model": "Spikformer", "block": "SSA", "spikes": 1000, "mismatches": 0, "rate_reference": 0.1}


def summary(*rows: dict[str, Any]) -> Any:
    return {"summary": [BLOCK | row for row in rows]}


def stages(*rows: dict[str, Any]) -> Any:
    return {"stages": [BLOCK | row for row in rows]}


def formula(fraction: float, block: str = "a") -> dict[str, Any]:
    return {"framework": "formula", "block": block, "mismatch_fraction": fraction}


def strict(mismatches: int, block: str = "QKTA") -> dict[str, Any]:
    """Flipped bits of a mask of 10,000."""
    return {"framework": "mutant", "convention": "strict >", "stage": "mask", "block": block, "mismatches": mismatches}


def steps(*fractions: float, block: str = "a") -> list[dict[str, Any]]:
    """Spikes that differ at the finest step, the one before, and a coarse one."""
    row = {"framework": "biophysical", "convention": "membrane, refractory 1 ms", "block": block}
    return [row | {"dt_ms": dt, "mismatch_fraction": f} for dt, f in zip((0.01, 0.1, 1.0), fractions, strict=True)]


def framework(mismatches: int, convention: str = "float32") -> dict[str, Any]:
    return {"framework": "snntorch", "convention": convention, "mismatches": mismatches}


def brian2(mismatches: int) -> Any:
    return summary({"framework": "brian2", "mismatches": mismatches})


def attention(rate: float, block: str = "SSA") -> dict[str, Any]:
    return {"framework": "brian2", "stage": "attention", "rate_reference": rate, "block": block}


def mask(rate: float, masked: float) -> Any:
    row = {"framework": "brian2", "block": "QKTA, digits"}
    return stages(row | {"stage": "mask", "rate_reference": rate}, row | {"stage": "masked", "rate_reference": masked})


def average(error: float, block: str = "a") -> dict[str, Any]:
    return {"convention": "softmax of the average scores", "attention_error": error, "block": block}


def one_spike(error: float, base: float = 1.15) -> dict[str, Any]:
    return {"model": "SpikedAttention", "attention_error": error, "block": f"spike softmax B = {base:g}, T = 40"}


def energy(canonical: float, event: float) -> Any:
    row = {"block": "SSA", "canonical_ratio": canonical, "event_ratio": event, "spikes_per_synapse": 0.6}
    return {"energy": [row | {"device": device, "spikes_per_synapse_for_38": 0.13} for device in ("45 nm", "Loihi")]}


def curve(ratio: Callable[[str, float, float], float]) -> Any:
    """Surface of energy ratios over devices, input and attention rates."""
    rows = [
        {"model": "Spikformer", "device": device, "input_rate": x, "attention_rate": a}
        | dict.fromkeys(("ratio", "low", "high"), ratio(device, x, a))
        for device, x, a in itertools.product(("45 nm", "Loihi"), (0.2, 0.02), (0.01, 0.1))
    ]
    return {"energy_curve": rows}


MODEL, STRICT, COARSE, ALIKE = "the LIF neurons", ">= and >", "a discrete LIF", "the frameworks run"
DEAD, MASK, AVERAGE, ONE, ENERGY = "Spikformer's SSA", "QKFormer's mask", "the time average", "SpikedAttention", "38 to"
CASES = [
    (MODEL, "holds", summary(formula(0.001))),
    (MODEL, "does not hold", summary(formula(0.3))),
    (MODEL, "depends", summary(formula(0.3), formula(0.001, "b"))),
    (STRICT, "holds", stages(strict(10))),
    (STRICT, "does not hold", stages(strict(1000))),
    (STRICT, "depends", stages(strict(1000), strict(10, "QKCA"))),
    (COARSE, "holds", summary(*steps(0.01, 0.1, 0.5))),
    (COARSE, "holds", summary(*steps(0.0, 0.0, 0.5))),
    (COARSE, "does not hold", summary(*steps(0.27, 0.27, 0.0))),
    (COARSE, "depends", summary(*steps(0.27, 0.27, 0.0), *steps(0.01, 0.1, 0.5, block="b"))),
    (ALIKE, "holds", summary(framework(0))),
    (ALIKE, "does not hold", summary(framework(3))),
    (ALIKE, "depends", summary(framework(0), framework(3, "float64"))),
    ("Brian2 networks", "holds", brian2(0)),
    ("Brian2 networks", "does not hold", brian2(1)),
    (DEAD, "holds", stages(attention(0.001))),
    (DEAD, "does not hold", stages(attention(0.04))),
    (DEAD, "depends", stages(attention(0.04), attention(0.001, "b"))),
    (MASK, "holds", mask(0.36, 0.08)),
    (MASK, "does not hold", mask(0.5, 0.2)),
    (MASK, "depends", mask(0.36, 0.2)),
    (AVERAGE, "holds", summary(average(0.001))),
    (AVERAGE, "does not hold", summary(average(0.1))),
    (AVERAGE, "depends", summary(average(0.1), average(0.001, "b"))),
    (ONE, "holds", summary(one_spike(0.012), one_spike(0.07, 1.4))),  # of 0.0349 and 0.0839
    (ONE, "does not hold", summary(one_spike(0.1))),
    (ONE, "depends", summary(one_spike(0.07), one_spike(0.07, 1.4))),
    (ENERGY, "holds", energy(40.0, 50.0)),
    (ENERGY, "does not hold", energy(8.5, 4.0)),
    (ENERGY, "depends", energy(40.0, 4.0)),
    (ENERGY, "holds", curve(lambda device, x, a: 40.0)),
    (ENERGY, "does not hold", curve(lambda device, x, a: 8.0)),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])


@pytest.mark.parametrize(
    ("ratio", "axes"),
    [
        (lambda device, x, a: 50.0 if device == "45 nm" else 0.3, "the comparator"),
        (lambda device, x, a: 1 / x, "the input rate"),
        (lambda device, x, a: 1 / x if a < 0.1 else 0.0, "the input rate, the attention rate"),
        (lambda device, x, a: 1 / x if device == "45 nm" else 0.3, "the input rate, the comparator"),
    ],
)
def test_the_energy_depends_on_what_turns_it(
    ratio: Callable[[str, float, float], float], axes: str, read: Callable[..., Finding]
) -> None:
    """The surface goes before the blocks that were run, at one input rate."""
    found = read(CLAIMS, ENERGY, curve(ratio) | energy(8.5, 4.0))
    assert found.verdict.startswith(f"depends: on {axes} (")
