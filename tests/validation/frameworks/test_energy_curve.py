"""The canonical energy over the rates that nobody published: by hand for one block, and what follows for the claim."""

from __future__ import annotations

import pandas as pd
import pytest

from biospike.theory.energy import ARITHMETIC, DEVICES, LOIHI
from validation.frameworks.blocks import MODELS
from validation.frameworks.claims import CLAIMS
from validation.frameworks.energy_curve import (
    ATTENTION_RATES,
    CURVES,
    INPUT_RATES,
    canonical_ratio,
    energy_curve,
    input_rate_for,
    published_rates,
)
from validation.frameworks.figures import energy_curve_figure
from validation.study.results import Results

SPIKFORMER = "Spikformer 4-384, SSA"


def by_hand(x: float, attention: float, q: float, v: float) -> float:
    """64 tokens of 384 channels, T = 4: three projections of the input, one of the attention, two products."""
    projection, product = 64 * 384 * 384, 64 * 64 * 384
    real = 4 * projection + 2 * product
    spiking = 3 * projection * x + projection * attention + product * (q + v)
    return 4.6 * real / (0.9 * 4 * spiking)


def test_spikformer_by_hand_and_as_read_off_independently() -> None:
    curve = energy_curve()
    mine = curve[(curve["model"] == SPIKFORMER) & (curve["device"] == ARITHMETIC.name)]
    at = mine[mine["attention_rate"] == 0.01].set_index("input_rate")
    for x, ratio in zip((0.2, 0.1, 0.05, 0.03, 0.02), (8.7, 16, 29, 43, 56), strict=True):
        row = at.loc[x]
        assert row["ratio"] == pytest.approx(ratio, abs=0.05 if ratio < 10 else 0.5)  # as rounded there
        mean = by_hand(x, 0.01, (0.144 + 0.096 + 0.079 + 0.088) / 4, (0.081 + 0.077 + 0.068 + 0.069) / 4)
        assert row["ratio"] == pytest.approx(mean)
        assert row["low"] == pytest.approx(by_hand(x, 0.01, 0.144, 0.081))
        assert row["high"] == pytest.approx(by_hand(x, 0.01, 0.079, 0.068))
        assert row["low"] < row["ratio"] < row["high"]


def test_input_rate_inverts_the_curve_and_some_ratios_are_out_of_reach() -> None:
    for attention, ratio, rate in ((0.01, 38, 0.036), (0.01, 57, 0.019), (0.1, 38, 0.0055)):
        found = input_rate_for("spikformer", ratio, attention, ARITHMETIC)
        assert found == pytest.approx(rate, rel=0.03)
        mean = published_rates("spikformer")[0]
        assert canonical_ratio(MODELS["spikformer"], mean, found, attention, ARITHMETIC) == pytest.approx(ratio)
    assert input_rate_for("spikformer", 57, 0.1, ARITHMETIC) < 0


def test_table_has_every_rate_and_device() -> None:
    curve = energy_curve()
    assert len(curve) == len(CURVES) * len(DEVICES) * len(INPUT_RATES) * len(ATTENTION_RATES)
    assert not curve.duplicated(["model", "device", "input_rate", "attention_rate"]).any()
    assert ((curve["low"] <= curve["ratio"]) & (curve["ratio"] <= curve["high"])).all()
    # An event on Loihi costs 23.6/0.9 times as much as an addition, everything else being equal.
    one = curve.pivot_table(index=["model", "input_rate", "attention_rate"], columns="device", values="ratio")
    assert (one[ARITHMETIC.name] / one[LOIHI.name]).to_numpy() == pytest.approx(23.6 / 0.9)
    loihi = curve[(curve["model"] == SPIKFORMER) & (curve["device"] == LOIHI.name)]
    assert loihi[loihi["input_rate"] == 0.2]["ratio"].max() == pytest.approx(0.33, abs=0.01)


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.0, "depends: on the input rate"), (1e-3, "does not hold"), (1e4, "holds")],
)
def test_claim_follows_the_curve(factor: float, verdict: str, tmp_path) -> None:
    curve = energy_curve()
    curve[["ratio", "low", "high"]] *= factor
    curve.to_csv(tmp_path / "energy_curve.csv", index=False)
    row = {"device": ARITHMETIC.name, "canonical_ratio": 7.0, "event_ratio": 2.0, "spikes_per_synapse": 0.7}
    pd.DataFrame([row]).to_csv(tmp_path / "energy.csv", index=False)
    [claim] = [one for one in CLAIMS if "times less energy" in one.claim]
    assert claim.find(Results(tmp_path)).verdict.startswith(verdict)


def test_figure_has_a_panel_a_model_and_a_line_a_device_and_rate() -> None:
    figure = energy_curve_figure(energy_curve())
    assert len(figure.axes) == len(CURVES)
    assert all(len(axes.lines) == 1 + len(DEVICES) * len(ATTENTION_RATES) for axes in figure.axes)
