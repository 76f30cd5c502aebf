"""Crossings of closed forms: against two keys by hand, against figures had independently, and where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

from validation.assumptions import crossings
from validation.assumptions.claims import CLAIMS
from validation.assumptions.crossings import KNOBS, crossing, crossing_table, row_sets
from validation.assumptions.report import _crossings
from validation.study.results import Results

LEAK, DEAD = KNOBS["membrane leak", "tau_m", "ms"], KNOBS["refractory period", "t_ref", "ms"]


def test_dead_time_of_two_keys_by_hand() -> None:
    """r_i = g*p_i/(1 + g*p_i*t) with g such that the row has 200 Hz: the share of the larger key falls by 0.01."""
    rows, p = np.array([[np.log(3.0), 0.0]]), np.array([0.75, 0.25])

    def lost(t: float) -> float:
        def rates(gate: float) -> np.ndarray:
            return gate * p / (1 + gate * p * t)

        gate = brentq(lambda g: rates(g).sum() - 200, 1, 1e5)
        return float(0.75 - rates(gate)[0] / 200)

    expected = 1e3 * brentq(lambda t: lost(t) - 0.01, 1e-6, 6e-3)
    value, _, _ = crossing(DEAD[0]("t_ref", 200.0), rows, 1e-2, 6.0)
    assert value == pytest.approx(expected, abs=1.1e-3)  # dead times are whole microseconds
    assert value > 0.1


def test_leak_of_two_keys_by_hand() -> None:
    """r_i = -1/(tau*ln(1 - 1/(g*p_i*tau))), at 500 Hz."""
    rows, p = np.array([[np.log(3.0), 0.0]]), np.array([0.75, 0.25])

    def gained(tau: float) -> float:
        def rates(gate: float) -> np.ndarray:
            drive = gate * p * tau
            return np.where(drive > 1, -1 / (tau * np.log1p(-1 / np.maximum(drive, 1 + 1e-15))), 0.0)

        gate = brentq(lambda g: rates(g).sum() - 500, 1, 1e5)
        return float(rates(gate)[0] / 500 - 0.75)

    expected = 1e3 * brentq(lambda tau: gained(tau) - 0.01, 5e-3, 10)
    assert crossing(LEAK[0]("tau_m", 500.0), rows, 5.0, 1e4)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("rate", "tau"), [(500.0, 545), (200.0, 1362)])
def test_leak_on_the_narrow_rows_as_read_off_independently(rate: float, tau: float) -> None:
    value, low, high = crossing(LEAK[0]("tau_m", rate), row_sets()["audit"], 10.0, 1e4)
    assert value == pytest.approx(tau, rel=1e-3)
    assert low < value < high
    assert 0.7 * value < low
    assert high < 1.4 * value


def test_natural_rows_need_twice_the_time_constant() -> None:
    """1039 ms; no interval, which costs the most."""
    law, rows = LEAK[0]("tau_m", 500.0), row_sets()["natural"]
    assert law(1039.0, rows).mean() == pytest.approx(0.01, rel=2e-3)
    assert law(545.0, rows).mean() > 0.015


def test_what_does_not_cross_is_empty() -> None:
    def above(value, rows):
        return np.full(len(rows), 0.5)

    def below(value, rows):
        return np.full(len(rows), 0.001)

    for law in (above, below):
        assert np.isnan(crossing(law, np.zeros((3, 2)), 1, 10)).all()


def test_interval_is_that_of_the_rows() -> None:
    """A row of error c/value crosses at 100*c: the mean of c decides, and its bootstrap."""
    c = np.linspace(0.5, 1.5, 40)[:, None]
    value, low, high = crossing(lambda value, rows: rows[:, 0] / value, c, 1.0, 1e4)
    assert value == pytest.approx(100.0)
    half = 1.96 * c.std() / np.sqrt(40) * 100
    assert low == pytest.approx(100 - half, abs=0.25 * half)
    assert high == pytest.approx(100 + half, abs=0.25 * half)
    # Two rows that all but never cross near each other leave no interval.
    assert np.isnan(crossing(lambda value, rows: rows[:, 0] / value, np.array([[1e-3], [2.0]]), 1.0, 1e4)[1])


def test_table_report_and_claim(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(crossings, "row_sets", lambda: {"natural": np.array([[1.0, 0.0, -1.0]] * 3)})
    assert crossing_table(["reset rule"]).empty
    table = crossing_table(["refractory period"])
    assert list(table["rate_hz"]) == [50.0, 200.0]
    # Only rate times dead time enters.
    assert table["value"].iloc[0] == pytest.approx(4 * table["value"].iloc[1], rel=0.01)
    text = _crossings(table)
    assert f"{table['value'].min():.3g} ms (natural rows, 200 Hz)" in text
    table.to_csv(tmp_path / "crossings.csv", index=False)
    row = {"assumption": "refractory period", "circuit": "escape", "knob": "t_ref", "bias": 0.02, "bias_low": 0.015}
    row |= {"bias_high": 0.025, "value": 5, "unit": "ms", "exceeds_0_01_at": 1.0, "verdict": "breaks"}
    pd.DataFrame([row]).to_csv(tmp_path / "assumptions.csv", index=False)
    [claim] = [one for one in CLAIMS if "refractory period" in one.claim]
    assert f"t_ref = {table['value'].max():.3g} ms (natural rows, 50 Hz)" in claim.find(Results(tmp_path)).conditions
    (tmp_path / "crossings.csv").unlink()
    assert claim.find(Results(tmp_path)).conditions.startswith("one knob at a time")
