"""Claims about idealised assumptions: opposite tables give opposite verdicts, noise about the limit gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from validation.assumptions import ASSUMPTIONS
from validation.assumptions.claims import CLAIMS, EQUAL, _title
from validation.study.claims import Finding


def sweep(assumption: str, *points: tuple[float, float], circuit: str = "escape") -> list[dict[str, Any]]:
    """Sweep with these biases and half widths of their intervals."""
    return [
        {"assumption": assumption, "knob": "knob", "value": place, "unit": "ms", "circuit": circuit, "bias": bias,
         "bias_low": bias - half, "bias_high": bias + half, "exceeds_0_01_at": None, "verdict": "breaks"}
        for place, (bias, half) in enumerate(points)
    ]  # fmt: skip


SMALL, LARGE, NOISE = (0.001, 0.002), (0.1, 0.01), (0.011, 0.005)
NEEDS = "winner-take-all needs"


def cases(name: str) -> list[tuple[str, str, Any]]:
    title = _title(name)
    claim = NEEDS if name == EQUAL else f"idealised: {title} does"
    fine, broken = ("does not hold", "holds") if name == EQUAL else ("holds", "does not hold")
    return [
        (claim, fine, sweep(title, SMALL, SMALL)),
        (claim, broken, sweep(title, SMALL, LARGE)),
        (claim, "undecided", sweep(title, SMALL, NOISE)),
        (claim, "depends", sweep(title, SMALL, LARGE) + sweep(title, SMALL, SMALL, circuit="race")),
    ]


@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_verdicts_follow_the_tables(name: str, read: Callable[..., Finding]) -> None:
    for claim, verdict, table in cases(name):
        assert read(CLAIMS, claim, {"assumptions": table}).word == verdict


def test_thresholds_over_rates_and_rows_are_said_where_they_are_known(read: Callable[..., Finding]) -> None:
    crossings = [
        {"assumption": "saturation", "knob": "k", "unit": "ms", "value": value, "rows_kind": kind, "rate_hz": rate}
        for value, kind, rate in ((740.0, "flat", 500), (545.0, "audit", 500), (1362.0, "audit", 200), (None, "x", 1))
    ]
    tables = {"assumptions": sweep("saturation", SMALL), "crossings": crossings}
    assert read(CLAIMS, "idealised: saturation", tables).conditions.endswith(
        "; closed form passes 0.01 at k = 545 ms (audit rows, 500 Hz); closed form passes 0.01 at k = 1.36e+03 ms "
        "(audit rows, 200 Hz)"
    )


def test_the_surest_value_of_a_knob_decides(read: Callable[..., Finding]) -> None:
    """A larger bias with a wide interval does not hide a smaller one that is certain."""
    table = sweep("saturation", (0.05, 0.2), (0.02, 0.001), (0.001, 0.001))
    found = read(CLAIMS, "idealised: saturation", {"assumptions": table})
    assert (found.verdict, found.estimate) == ("does not hold", 0.02)


def on_rows(assumption: str, **points: tuple[float, float]) -> list[dict[str, Any]]:
    """Realistic end of a sweep by the kind of rows."""
    return [sweep(assumption, point)[0] | {"rows_kind": kind} for kind, point in points.items()]


@pytest.mark.parametrize(
    ("given", "peaked", "flat", "verdict"),
    [
        (LARGE, LARGE, LARGE, "does not hold"),
        (SMALL, SMALL, SMALL, "holds"),
        (
            LARGE,
            LARGE,
            SMALL,
            "depends: on the rows (holds: on flat rows; does not hold: on these rows, on peaked rows)",
        ),
        (SMALL, LARGE, SMALL, "depends: on the rows (holds: "),
        (SMALL, SMALL, NOISE, "undecided: "),
    ],
)
def test_a_verdict_that_rows_turn_over_depends_on_them(
    given: Any, peaked: Any, flat: Any, verdict: str, read: Callable[..., Finding]
) -> None:
    tables = {
        "assumptions": sweep("saturation", SMALL, given),
        # Of the study's own rows the whole sweep is read; another assumption's rows are its own.
        "row_sets": on_rows("saturation", given=NOISE, peaked=peaked, flat=flat)
        + on_rows("refractory period", peaked=LARGE, flat=SMALL),
    }
    found = read(CLAIMS, "idealised: saturation", tables)
    assert found.verdict.startswith(verdict)
    assert f"; on flat rows escape: {flat[0]:.2g} at knob = 0 ms" in found.sentence
    assert found.conditions.endswith("other rows at the realistic end of the knob")
