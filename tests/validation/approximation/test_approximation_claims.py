"""Claims about function approximation: opposite tables give opposite verdicts, noise about a threshold gives none."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from validation.approximation.claims import CLAIMS
from validation.study.claims import Finding


def summary(in_time: float = -0.5, in_heads: float = -0.5, *, scale: float = 0.1, noise: float = 0.02) -> Any:
    """Sup errors about these powers of T and H, above and below them by turns, beside a constant's of 1."""
    rows = []
    for place, (heads, timesteps) in enumerate(itertools.product((1, 2, 4, 8, 16), (100, 200, 400, 800, 1600))):
        error = scale * (heads / 16) ** in_heads * (timesteps / 1600) ** in_time * np.exp(noise * (-1) ** place)
        rows.append({"target": "f", "heads": heads, "timesteps": timesteps, "sup_error": error,
                     "sup_low": error * (1 - noise), "sup_high": error * (1 + 5 * noise), "samples": 100,
                     "trials": 1, "constant_sup_error": 1.0, "limit_sup_error": 0.01})  # fmt: skip
    return {"summary": rows}


TIME, HEADS, TARGETS = "T = O(n^2", "H = O(n^2", "spiking heads"
CASES = [
    (TIME, "holds", summary(-0.5)),
    (TIME, "holds", summary(-1.0)),
    (TIME, "does not hold", summary(-0.2)),
    (TIME, "undecided", summary(-0.4, noise=0.3)),
    (HEADS, "holds", summary(in_heads=-0.5)),
    (HEADS, "does not hold", summary(in_heads=-0.2)),
    (HEADS, "undecided", summary(in_heads=-0.4, noise=0.3)),
    (TARGETS, "holds", summary()),
    (TARGETS, "does not hold", summary(scale=0.9)),
    (TARGETS, "undecided", summary(scale=0.5)),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])


def test_a_falling_error_is_no_evidence_for_its_order(read: Callable[..., Finding]) -> None:
    """Better than any constant, and yet slower in T than the theorem's count: the slopes are not left out."""
    table = summary(-0.2)
    assert read(CLAIMS, TARGETS, table).verdict == "holds"
    found = read(CLAIMS, TIME, table)
    assert found.word == "does not hold"
    assert found.low > -0.3
    assert found.high < -0.1
