"""The sweep of the barrage's distance: made-up surfaces of known gates, stored ones, and what is called its width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biospike.ideal.softmax import softmax
from biospike.simulation import simulate_each
from biospike.theory.barrage import Surface
from circuits.softmax.conductance import balance
from validation.data.gate_surfaces import DISTANCES, NEURONS, gate_surfaces, neuron
from validation.microcircuits import claims, gate
from validation.study.results import Results
from validation.study.verdict import FAILS, HOLDS, UNDECIDED

LOGITS = np.array([[1.0, 0.0, -1.0, np.nan], [0.0, -2.0, -4.0, -0.5]])


def surface(bend: float) -> Surface:
    """ln f = 4 + y - x*(1 + bend*(4 - y)): a gate for 0, and a subtraction that weak keys feel more for above 0."""
    levels, currents = np.linspace(0, 3, 8), np.linspace(-8, 1, 30)
    return Surface(levels, currents, 4 + currents - levels[:, None] * (1 + bend * (1 - currents)))


def test_a_gate_has_no_spread_and_no_bias() -> None:
    for step in gate.STEPS:
        assert gate.spread(surface(0.0), 40.0, *step) == pytest.approx(0, abs=1e-4)
    rates = balance(surface(0.0), 40.0, "calibrated", LOGITS)[2]
    np.testing.assert_allclose(rates / rates.sum(axis=1, keepdims=True), softmax(LOGITS), atol=1e-4)
    np.testing.assert_allclose(rates.sum(axis=1), 40, rtol=1e-6)


def test_spread_of_a_known_bend() -> None:
    """Log-ratios are -dx*(1 + bend*(1 - y)), whose spread over that of the top key is 4*bend/(1 + bend*(1 - y0))."""
    bend, top = 0.2, np.log(40) - 4
    assert gate.spread(surface(bend), 40.0, 1.0, 0.5) == pytest.approx(4 * bend / (1 + bend * (1 - top)), rel=1e-3)
    found = gate.mean_field_table({"natural": LOGITS}, {("destexhe", 4.0): surface(bend)})
    assert list(found.columns) == gate.COLUMNS
    assert len(found) == len(gate.RATES) * len(gate.CODES) * len(gate.STEPS)
    assert found["bias"].min() > 0.005


def test_width_is_where_all_kinds_together_stand() -> None:
    swept = pd.DataFrame(
        [
            {"neuron": "a", "rate": 40.0, "code": "calibrated", "loop": "slow", "common_share": 0.0, "rows_kind": kind,
             "distance_sigma": distance, "bias": bias, "high": high}
            for distance, bias, high in ((3.0, 0.02, 0.03), (4.0, 0.004, 0.006), (4.5, 0.006, 0.009), (5.0, 0.01, 0.02))
            for kind in ("flat", "peaked")
        ]
    )  # fmt: skip
    [found] = gate.widths(swept).to_dict("records")
    assert (found["best"], found["least"], found["most"]) == (4.0, 4.0, 4.5)
    worse = swept.assign(high=np.where(swept["rows_kind"] == "flat", 0.03, swept["high"]))
    assert gate.widths(worse)[["least", "most"]].isna().all(axis=None)


def test_stored_surfaces_are_those_of_the_neurons() -> None:
    """Every neuron and distance is there; 40 Hz is reached without inhibition, and a thirtieth of it with the most."""
    stored = gate_surfaces()
    assert {(name, distance) for name in NEURONS for distance in DISTANCES} <= stored.keys()
    for found in stored.values():
        assert np.all(np.diff(found.log_rates, axis=1) > 0), "rates rise with the current"
        assert found.log_rates[0, -1] > np.log(40)
        assert found.log_rates[-1, -1] < np.log(40 / 29)


def test_plain_inhibition_subtracts_and_the_barrage_at_four_deviations_does_not() -> None:
    """GABA_A subtracts at 40 Hz, and at about 4 deviations the curvatures of a barrage nearly cancel."""
    stored = gate_surfaces()
    for name in NEURONS:
        assert gate.spread(stored[name, None], 40.0, 0.5, 0.25) > 1
        assert gate.spread(stored[name, 4.25], 20.0, 0.5, 0.25) < 0.25
        assert neuron(name).barrage.deviation == pytest.approx(1.45e-3, abs=0.2e-3)


@pytest.mark.parametrize(("high", "word"), [((0.005, 0.009), HOLDS), ((0.03, 0.04), FAILS), ((0.02, 0.03), UNDECIDED)])
def test_the_claim_of_the_gate_is_decided_by_the_best_distance(
    high: tuple[float, float], word: str, tmp_path: Path
) -> None:
    """At the better of two distances, the upper limits of the closed loop and not the mean field decide."""
    low = {HOLDS: -0.002, FAILS: 0.02, UNDECIDED: 0.004}[word]
    swept = [
        {"neuron": "destexhe", "rate": 40.0, "code": "calibrated", "loop": "slow", "common_share": 0.0,
         "distance_sigma": distance, "rows_kind": kind, "bias": (low + top) / 2, "low": low, "high": top * factor}
        for distance, factor in ((3.0, 4.0), (4.0, 1.0))
        for kind, top in zip(("natural", "flat"), high, strict=True)
    ]  # fmt: skip
    field = pd.DataFrame([{"neuron": "destexhe", "rate": 40.0, "code": "calibrated", "best": 4.0, "bias": 0.5}])
    results = Results(tmp_path)
    results.tables(gate=pd.DataFrame(swept).reindex(columns=gate.COLUMNS), gate_widths=field)
    assert claims.barrage(results).word == word
    few = pd.DataFrame(swept).assign(low=np.nan, high=np.nan).reindex(columns=gate.COLUMNS)
    results.tables(gate=few)
    assert claims.barrage(results).word == UNDECIDED


@pytest.mark.long
def test_simulated_points_have_a_row_of_every_kind() -> None:
    kinds = {"natural": LOGITS, "flat": LOGITS / 4}
    plans = gate.gate_plans(gate.QUICK[1:2], kinds, trials=2, seconds=0.2, seed=0)
    found = gate.simulated_table(gate.QUICK[1:2], kinds, simulate_each(plans, target="numpy"))
    assert list(found["rows_kind"]) == list(kinds)
    assert found["tv"].between(0.001, 0.3).all()
