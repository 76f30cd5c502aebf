"""Claims about the design rule: opposite tables give opposite verdicts, noise about a threshold gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from validation.rule.claims import CLAIMS
from validation.study.claims import Finding

Row = dict[str, Any]


def around(name: str, value: float, half: float) -> Row:
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def fit(read_out: str, d_eff: float = 1.0, ambient: float = 0.0, C: float = 2.3, half: float = 0.1,
        circuit: str = "escape") -> Row:  # fmt: skip
    row = {"encoder": "bernoulli", "circuit": circuit, "read_out": read_out, "norm": "frobenius", "sets": 10}
    return row | around("C", C, half) | around("d_eff_power", d_eff, half) | around("ambient_power", ambient, half)


def fits(*rows: Row) -> dict[str, Any]:
    return {"fits": list(rows)}


def rates(read_out: str, *constants: float) -> dict[str, Any]:
    """C of escape keys at a quarter, at half of the study's rate of the row, and at it."""
    known = zip((0.025, 0.05, 0.1), constants, strict=True)
    return {"constant_curve": [{"circuit": "escape", "row_rate": rate, "C": C, "low": 0.95 * C, "high": 1.05 * C,
                                "read_out": read_out} for rate, C in known]}  # fmt: skip


def crossing(predicted: float, half: float = 1.0) -> Row:
    row = {"input_set": "a", "circuit": "escape", "eps": 0.1, "samples": 100, "split": "validation"}
    row |= {"read_out": "projected", "norm": "frobenius", "encoder": "bernoulli", "timesteps": 100.0}
    return row | {"low": 100.0 - half, "high": 100.0 + half, "predicted": predicted}


PLAIN, PROJECTED, FOUR = (
    "T = C d_eff/eps^2 with C = 2.3 [1.9, 2.7], plain", "T = C d_eff/eps^2 with C = 2.3 [1.9, 2.7], read-out",
    "T = 4 timesteps",
)  # fmt: skip
CASES = [
    *(
        case for claim, read_out in ((PLAIN, "plain"), (PROJECTED, "projected")) for case in (
            (claim, "holds", fits(fit(read_out))),
            (claim, "does not hold", fits(fit(read_out, 0.0, 1.0))),
            (claim, "does not hold", fits(fit(read_out, C=0.2))),
            (claim, "depends", fits(fit(read_out), fit(read_out, C=0.2, circuit="race"))),
            (claim, "undecided", fits(fit(read_out, half=0.6))),
            (claim, "depends", fits(fit(read_out)) | rates(read_out, 9.2, 4.6, 2.3)),
            (claim, "does not hold", fits(fit(read_out, C=4.0)) | rates(read_out, 16.0, 8.0, 4.0)),
        )
    ),
    (FOUR, "depends", fits(fit("projected"))),
    (FOUR, "depends", fits(fit("projected"), fit("projected", C=30.0, circuit="race"))),
    (FOUR, "undecided", fits(fit("projected", C=5.4, half=2.0))),
    ("predicted timesteps", "holds", {"summary": [crossing(105.0)]}),
    ("predicted timesteps", "does not hold", {"summary": [crossing(140.0)]}),
    ("predicted timesteps", "depends", {"summary": [crossing(140.0), crossing(105.0) | {"input_set": "b"}]}),
    ("predicted timesteps", "undecided", {"summary": [crossing(117.0, 5.0)]}),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "verdict", "tables"), CASES)
def test_verdicts_follow_the_tables(claim: str, verdict: str, tables: Any, read: Callable[..., Finding]) -> None:
    assert read(CLAIMS, claim, tables).word == verdict


def test_the_rate_of_a_row_is_a_condition(read: Callable[..., Finding]) -> None:
    found = read(CLAIMS, PROJECTED, fits(fit("projected")) | rates("projected", 9.2, 4.6, 2.3))
    assert found.verdict == (
        "depends: on the circuit and the rate of a row (holds: escape; does not hold: escape at 0.025 spikes a row and "
        "step, escape at 0.05 spikes a row and step)"
    )
    assert found.conditions.endswith("C = 2.3 is that of 0.1 to 0.1 spikes a row and step")
    four = read(CLAIMS, FOUR, fits(fit("projected")) | rates("projected", 92.0, 46.0, 2.3))
    assert four.word == "depends"
    assert "does not hold: escape at 0.025 spikes a row and step, escape at 0.05 spikes a row and step" in four.verdict


def test_every_claim_is_tested(covers: Callable[..., None]) -> None:
    covers(CLAIMS, [claim for claim, *_ in CASES])


def test_four_timesteps_are_said_in_both_norms(read: Callable[..., Finding]) -> None:
    """sqrt(2.3*47/4) = 5.199 in all, and over 3072 values 0.0938 a value."""
    found = read(CLAIMS, FOUR, fits(fit("projected")))
    assert "eps = 5.2 in the Frobenius norm, over 3072 values 0.094 a value" in found.sentence
    assert found.verdict == "depends: on the error that suffices and on its norm, which no source says"
    large = read(CLAIMS, FOUR, fits(fit("projected", C=30.0, circuit="race")))
    assert large.verdict == "depends: on C (holds: the stated C; does not hold: race)"
    assert found.estimate == pytest.approx((2.3 * 47 / 4 / (3072 / 12)) ** 0.5)
