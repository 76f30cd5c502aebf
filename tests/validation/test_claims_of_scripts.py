"""Claims of the studies without a room: opposite tables give opposite verdicts, noise about a threshold gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from validation import compare_exponential, compare_transfer
from validation.study.claims import Claims, Finding

SERIES, RANGE, TRANSFER = "coincidences of Bernoulli", "the error of Lemma 2", "exponential, threshold-linear"


def readings(independent: float, identical: float, half: float = 0.01) -> Any:
    """Readings that are off by these factors."""
    rows = []
    for copies, ratio in (("independent", independent), ("identical", identical)):
        for z in (-1.0, 0.0, 1.0):
            exact = np.exp(z)
            rows.append({"circuit": f"taylor {copies}", "M": 1.0, "z": z, "trials": 64, "relative_sd_predicted": 0.1,
                         "estimate": ratio * exact, "low": (ratio - half) * exact, "high": (ratio + half) * exact,
                         "exact": exact})  # fmt: skip
    return {"summary": rows}


def scatter(*by_range: float, trials: int = 1000) -> Any:
    return {"summary": [
        {"circuit": "taylor independent", "M": float(M), "trials": trials, "timesteps": 1000, "relative_sd": sd,
         "relative_sd_predicted": sd}
        for M, sd in enumerate(by_range, start=1)
    ]}  # fmt: skip


def curves(*own: tuple[float, float]) -> Any:
    """Distances from the own limit and their half ranges, where whole spikes leave 0.01."""
    names = {"exponential": "softmax", "threshold-linear": "sparsemax", "quadratic": "entmax15"}
    return {"summary": [
        {"transfer": name, "limit": limit, "rows": 6, "trials": 4, "grid_floor": 0.01}
        | dict.fromkeys(("tv_softmax", "tv_sparsemax", "tv_entmax15"), 0.5)
        | {f"tv_{limit}": tv, "tv_low": tv - half, "tv_high": tv + half}
        for (name, limit), (tv, half) in zip(names.items(), own, strict=True)
    ]}  # fmt: skip


FINE = (0.01, 0.001)
CASES = [
    (compare_exponential.CLAIMS, SERIES, "holds", readings(1.0, 1.0)),
    (compare_exponential.CLAIMS, SERIES, "does not hold", readings(1.5, 1.5)),
    (compare_exponential.CLAIMS, SERIES, "depends", readings(1.0, 1.5)),
    (compare_exponential.CLAIMS, SERIES, "undecided", readings(1.0, 1.0, 0.1)),
    (compare_exponential.CLAIMS, RANGE, "holds", scatter(0.1, 0.1)),
    (compare_exponential.CLAIMS, RANGE, "does not hold", scatter(0.1, 1.0)),
    (compare_exponential.CLAIMS, RANGE, "undecided", scatter(0.1, 0.2)),
    (compare_exponential.CLAIMS, RANGE, "undecided", scatter(0.1, 0.15, trials=8)),
    (compare_transfer.CLAIMS, TRANSFER, "holds", curves(FINE, FINE, FINE)),
    (compare_transfer.CLAIMS, TRANSFER, "does not hold", curves(*[(0.3, 0.01)] * 3)),
    (compare_transfer.CLAIMS, TRANSFER, "depends", curves(FINE, FINE, (0.3, 0.01))),
    (compare_transfer.CLAIMS, TRANSFER, "undecided", curves(FINE, FINE, (0.02, 0.01))),
]


@pytest.mark.parametrize(("claims", "claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(
    claims: Claims, claim: str, verdict: str, tables: Any, read: Callable[..., Finding]
) -> None:
    assert read(claims, claim, tables).word == verdict


@pytest.mark.parametrize("claims", [compare_exponential.CLAIMS, compare_transfer.CLAIMS])
def test_every_claim_is_tested(claims: Claims, covers: Callable[..., None]) -> None:
    covers(claims, [claim for of, claim, *_ in CASES if of is claims])


def test_the_ends_of_a_ratio_of_scatters_are_where_the_f_test_rejects(read: Callable[..., Finding]) -> None:
    found = read(compare_exponential.CLAIMS, RANGE, scatter(0.1, 0.15, trials=20))
    for end, tail in ((found.low, 0.025), (found.high, 0.975)):
        assert stats.f.sf((1.5 / end) ** 2, 19, 19) == pytest.approx(tail)
