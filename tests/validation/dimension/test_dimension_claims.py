"""Claims about effective dimension: opposite tables give opposite verdicts, noise about a threshold gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from biospike.theory import paper
from validation.dimension.claims import CLAIMS
from validation.study.claims import Finding


def published(name: str, measured: float, half: float) -> Any:
    return {"claims": [{"claim": name, "measured": measured, "low": measured - half, "high": measured + half,
                        "samples": 1000, "ambient": 3072}]}  # fmt: skip


def estimates(*dimensions: float, half: float = 0.1, data: str = "digits") -> list[dict[str, Any]]:
    return [
        {"data": data, "samples": 1000, "estimator": f"e{place}", "dimension": d, "low": d - half, "high": d + half}
        for place, d in enumerate(dimensions)
    ]


ONE = "one effective dimension"
CASES = [
    *(
        (f"effective dimension {mean} +- {sd} of {name}", *case)
        for name, (mean, sd) in paper.DIMENSIONS.items()
        for case in (
            ("holds", published(name, mean + 1, 1)),
            ("does not hold", published(name, mean + 50, 5)),
            ("undecided", published(name, mean + 2 * sd, sd)),
            ("not measured", published(name, np.nan, np.nan)),
        )
    ),
    (ONE, "holds", {"summary": estimates(29, 25)}),
    (ONE, "does not hold", {"summary": estimates(29, 7)}),
    (ONE, "depends", {"summary": estimates(29, 7) + estimates(29, 25, data="patches-4")}),
    (ONE, "undecided", {"summary": estimates(20, 10, half=2)}),
]


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])


def test_a_data_set_without_images_says_nothing_of_estimators_of_images(read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, ONE, {"summary": estimates(29, 7, data="mine")}).verdict == (
        "not measured: no set of images was measured"
    )
