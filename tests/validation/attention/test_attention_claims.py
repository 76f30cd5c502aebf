"""Claims about the attention block: opposite tables give opposite verdicts, and what is undecided stays so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from validation.attention.claims import CLAIMS
from validation.study.claims import Finding


def block(mode: str, metric: str, verdict: str) -> dict[str, Any]:
    row = {"mode": mode, "softmax": "escape", "window_ms": 1000.0, "trials": 8, "attention_tv": 0.05}
    fit = {"mode": mode, "metric": metric, "order": -0.5, "order_low": -0.52, "order_high": -0.48, "limit": 0.0}
    return {"summary": [row | {"output_rmse": 0.05}], "convergence": [fit | {"verdict": verdict, "reason": ""}]}


def energy(*ratios: float) -> dict[str, Any]:
    return {"convergence": [{"mode": "staged", "metric": "attention_tv", "limit": 0.0}], "energy": [
        {"mode": "staged", "timesteps": 100 * (place + 1), "device": "45 nm arithmetic", "attention_tv": 0.1,
         "canonical_ratio": ratio, "event_ratio": ratio}
        for place, ratio in enumerate(ratios)
    ]}  # fmt: skip


BLOCKS = {
    "staged spiking": ("staged", "attention_tv"),
    "streaming spiking": ("streaming", "attention_tv"),
    "the output of staged": ("staged", "output_rmse"),
}
WORDS = {"1/sqrt(N)": "holds", "between": "holds", "1/N": "holds", "floor": "does not hold", "undecided": "undecided"}
ENERGY = "softmax attention by spikes"
CASES = [
    *((claim, word, block(*of, verdict)) for claim, of in BLOCKS.items() for verdict, word in WORDS.items()),
    (ENERGY, "holds", energy(40.0, 60.0)),
    (ENERGY, "does not hold", energy(0.1, 0.2)),
    (ENERGY, "depends", energy(0.1, 60.0)),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])
