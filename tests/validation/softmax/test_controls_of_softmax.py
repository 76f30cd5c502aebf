"""What a circuit normalises, from counts made up and by hand; the floor of Lemma 3 as a curve; what is said of both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

from biospike.ideal.softmax import softmax
from circuits.softmax import Diffusive, Divisive, Escape, NoInhibition, Race, SelfInhibition, Shunting, Subtractive
from validation.data import attention_rows
from validation.softmax.claims import CLAIMS
from validation.softmax.control_figure import control_figure
from validation.softmax.controls import (
    FEEDBACKS,
    NORMALISATION,
    WEIGHTS,
    _spread,
    chosen_rows,
    floor_plans,
    late_spikes,
    normalisation,
    perturbed,
)
from validation.softmax.report import normalising
from validation.study.results import Results

import brian2 as b2

LOGITS = np.random.default_rng(4).normal(0, 1.2, (5, 6))
LOGITS[1, 4:] = np.nan
P = softmax(LOGITS)
ROWS = np.array([100.0, 300.0, 200.0, 50.0, 150.0])
STEPS = np.array([10, 500, 1000])


def made_up(of_rows: np.ndarray, lowered: float, scaled: float) -> xr.Dataset:
    """Counts that grow evenly, so many in the window, in shares that are those of softmax up to whole spikes."""
    counts = np.rint(1000 * P[:, :, None] * of_rows[:, None, None] * STEPS / 1000).astype(np.int32)
    both = np.stack([counts, counts])
    half = both[..., 2].sum(axis=-1).mean(axis=0) - both[..., 1].sum(axis=-1).mean(axis=0)
    data = xr.Dataset(
        {
            "spike_count": (("trial", "row", "key", "checkpoint"), both),
            "logits": (("row", "key"), LOGITS),
            "late_spikes_lowered": ("row_again", lowered * half),
            "late_spikes_scaled": ("row_again", scaled * half),
        },
        coords={"timesteps": ("checkpoint", STEPS)},
    )
    assert data["spike_count"].sum() > 1e5
    return data


def test_rates_that_nothing_holds() -> None:
    """The spread over rows, the fall by e^-1 and the rise that were put in, and the error over the mean count."""
    found = normalisation(made_up(ROWS, np.exp(-1.0), 1.5))
    assert set(found) == set(NORMALISATION)
    assert found["rate_spread"] == pytest.approx(ROWS.std(ddof=1) / ROWS.mean(), rel=1e-3)
    assert found["rate_shift"] == pytest.approx(1.0)
    assert found["rate_scale"] == pytest.approx(np.log(1.5))
    # A row at so many times the mean count errs by half of what is missing or too much.
    assert found["tv_fixed"][-1] == pytest.approx(np.abs(ROWS / ROWS.mean() - 1).mean() / 2, rel=1e-3)


def test_rates_that_are_held() -> None:
    found = normalisation(made_up(np.full(5, 150.0), 1.0, 1.0))
    assert [found[name] for name in ("rate_spread", "rate_shift", "rate_scale")] == pytest.approx([0, 0, 0], abs=1e-3)
    assert found["tv_fixed"][-1] < 1e-3


def test_scatter_over_trials_is_no_spread_over_rows() -> None:
    """Poisson counts of 40 on 50 rows: a raw spread of 1/sqrt(40*8) = 0.056 that is not the rows'; and 20 % that is.

    The variance over 50 rows has the relative standard error 0.2: four of them are 0.8 of the raw one."""
    rng = np.random.default_rng(2)
    assert _spread(rng.poisson(40, size=(8, 50))) < np.sqrt(0.8) / np.sqrt(320)
    means = 40 * (1 + 0.2 * rng.choice([-1, 1], size=50))
    assert _spread(rng.poisson(means, size=(8, 50))) == pytest.approx(means.std(ddof=1) / means.mean(), rel=0.15)


def test_what_is_not_known_is_empty() -> None:
    silent = made_up(ROWS, 0.0, 1.0)
    found = normalisation(silent)
    assert np.isnan(found["rate_shift"])
    assert found["rate_scale"] == pytest.approx(0)
    one = normalisation(silent.isel(row=[0], row_again=[0]))
    assert np.isnan(one["rate_spread"])
    nothing = late_spikes(None, 5)
    assert np.isnan(nothing["late_spikes_lowered"][1]).all()
    assert len(nothing["late_spikes_scaled"][1]) == len(chosen_rows(5)) == 5
    assert len(chosen_rows(1000)) == 8


@pytest.mark.parametrize("circuit", [Race(), Escape(), Divisive(), NoInhibition(), SelfInhibition(), Subtractive()])
def test_the_drive_of_a_lowered_row_is_a_nat_lower(circuit) -> None:
    again = perturbed(circuit, LOGITS, np.array([1, 50, 100]) * b2.ms, seed=1)
    assert again is not None
    drive = again.packing(0).batch.drive[: 2 * len(LOGITS)]
    e = np.where(np.isnan(LOGITS), 0, np.exp(LOGITS - np.nanmax(LOGITS, axis=1, keepdims=True)))
    np.testing.assert_allclose(drive[: len(LOGITS)], e * np.exp(-1))
    np.testing.assert_allclose(drive[len(LOGITS) :], np.sqrt(e))
    assert list(again.marks * again.dt) == pytest.approx([0.05, 0.1])


def test_a_shift_reaches_circuits_that_are_not_driven() -> None:
    """In current, of Shunting; in volt, of Diffusive, whose inhibition moves along."""
    windows = np.array([1, 50, 100]) * b2.ms
    again = perturbed(Shunting(), LOGITS[:1], windows, seed=1)
    assert again is not None
    current = again.circuit.state(again.packing(0).batch, again.dt * b2.second)["keys.current"]
    assert current[0].max() == pytest.approx(200e-12 + 500e-12 * np.exp(-1))
    assert current[1].max() == pytest.approx(700e-12)
    again = perturbed(Diffusive(), np.concatenate([LOGITS[:1], LOGITS[:1]]), windows, seed=1)
    assert again is not None
    state = again.circuit.state(again.packing(0).batch, again.dt * b2.second)
    kappa = float(Diffusive().used_kappa())
    low, flat = state["keys.mean"][0], state["keys.mean"][2]
    np.testing.assert_allclose((low - 2 * flat).max(), -flat.max() - kappa)
    plain = Diffusive().state(again.packing(0).batch.__class__(LOGITS[:1], np.zeros(1, int), np.zeros(1, int), 1),
                              Diffusive().dt)  # fmt: skip
    np.testing.assert_allclose(plain["keys.mean"] - low, kappa)
    np.testing.assert_allclose(plain["hub.I"] - state["hub.I"][0], kappa)


def test_a_circuit_that_refuses_flat_rows_is_left_out() -> None:
    """An open row of 66 keys has 0.81 input spikes a step, and 1.03 at half of the distances, which a race refuses."""
    logits = np.concatenate([np.zeros(1), np.full(65, -0.5)])[None]
    Race().check_rows(logits, Race().dt)
    assert perturbed(Race(rate=200 * b2.Hz), logits, np.array([50, 100]) * b2.ms, seed=1) is None


def test_floor_curve_in_closed_form() -> None:
    """The fixed point by iteration, on the shipped rows; the values as read off independently."""
    z = attention_rows()
    p = softmax(z)
    drive = np.where(np.isnan(z), 0, np.exp(z - np.nanmax(z, axis=1, keepdims=True)))
    n = (~np.isnan(z)).sum(axis=1, keepdims=True)
    plans = floor_plans(z, 100 * b2.ms, 1)
    assert len(plans) == len(WEIGHTS) * len(FEEDBACKS)
    floors = []
    for (feedback, w), work in zip([(f, w) for f in FEEDBACKS for w in WEIGHTS], plans, strict=True):
        low, high = np.zeros((len(z), 1)), drive.sum(axis=1, keepdims=True)  # of the sum of the rates
        for _ in range(60):
            total = (low + high) / 2
            rates = np.maximum(drive - w * total / (n if feedback == "mean" else 1), 0)
            more = rates.sum(axis=1, keepdims=True) > total
            low, high = np.where(more, total, low), np.where(more, high, total)
        shares_ = rates / rates.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(work.circuit.limit(z), shares_, atol=1e-9)
        floors.append(np.abs(shares_ - p).sum(axis=1).mean() / 2)
    expected = [0.0227, 0.0402, 0.0797, 0.126, 0.187, 0.254]
    np.testing.assert_allclose(floors[:6], expected, atol=5e-4)
    assert floors[10] == pytest.approx(0.439, abs=5e-4)


def table(**changed: object) -> pd.DataFrame:
    """Longest windows of a circuit that holds its rate and of one that does not."""
    rows = [
        {"circuit": "integrate", "tv": 0.003, "tv_high": 0.004, "tv_low": 0.002, "tv_fixed": 0.003,
         "rate_spread": 0.002, "rate_shift": 0.001, "rate_scale": -0.001},
        {"circuit": "none", "tv": 0.001, "tv_high": 0.002, "tv_low": 0.0005, "tv_fixed": 0.25,
         "rate_spread": 0.66, "rate_shift": 1.0, "rate_scale": 0.6} | changed,
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_what_is_said_follows_from_the_table() -> None:
    def said(**changed: object) -> dict[str, str]:
        parts = normalising(table(**changed).set_index("circuit"))
        return {one.split(":**")[0].strip("*"): one for one in parts if one.startswith("**")}

    both = said()
    assert both["The circuit normalises"].rstrip(".").endswith("in integrate")
    assert "none are right to TV 0.001" in both["Only the read-out normalises"]
    assert "integrate" not in both["Only the read-out normalises"]
    assert list(said(rate_spread=0.001, rate_shift=0.001, rate_scale=0.001)) == ["The circuit normalises"]
    assert list(said(tv=0.2)) == ["The circuit normalises"]
    assert list(said(rate_shift=np.nan)) == ["The circuit normalises"]


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "does not hold"),
        ({"rate_spread": 0.01}, "not measured"),
        ({"tv_high": 0.02}, "undecided"),
        ({"rate_spread": np.nan}, "not measured"),
    ],
)
def test_claim_about_shares(changed, verdict, tmp_path) -> None:
    table(**changed).to_csv(tmp_path / "summary.csv", index=False)
    [claim] = [one for one in CLAIMS if "shows that a circuit normalises" in one.claim]
    assert claim.find(Results(tmp_path)).verdict.split(":")[0] == verdict


def test_figure_shows_every_circuit_and_both_feedbacks() -> None:
    floors = pd.DataFrame({"feedback": ["mean", "mean", "sum"], "w": [0.1, 1, 1], "tv_law": [0.1, 0.2, 0.4],
                           "tv": [0.1, 0.2, 0.4]})  # fmt: skip
    figure = control_figure(table(), {"floor_curve": floors})
    assert isinstance(figure, Figure)
    errors, rates, curve = figure.axes
    assert [label.get_text() for label in errors.get_xticklabels()] == ["integrate", "none"]
    assert {float(np.asarray(line.get_ydata())[0]) for line in errors.lines if np.size(line.get_xdata()) == 1} == {
        0.003,
        0.001,
        0.25,
    }
    assert len([line for line in rates.lines if np.size(line.get_xdata()) == 2 and line.get_marker() != "None"]) == 3
    assert len(curve.lines) == 4
    assert len(control_figure(table(), {}).axes) == 2
