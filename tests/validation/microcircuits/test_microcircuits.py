"""The study of microcircuits: measures on codes of known truth, rows, refusals, and claims on opposite tables."""

from __future__ import annotations

import attrs
import numpy as np
import pandas as pd
import pytest

from biospike import InputError
from biospike.ideal.softmax import softmax
from biospike.theory.concentration import multinomial_tv
from circuits.softmax import Escape, Integrate, Interneurons, Populations
from validation.microcircuits import claims, in_nest, operating
from validation.microcircuits.figures import ladder_figure
from validation.microcircuits.ladder import COLUMNS, multiplicativity, spikes_for, spread
from validation.microcircuits.loops import extrapolated
from validation.microcircuits.operating import at_rates, operating_table
from validation.microcircuits.rungs import (
    FEWER,
    PRESETS,
    PROBES,
    kappa,
    loop,
    probes,
    rows_by_kind,
    rows_for,
    rungs,
    stable,
)
from validation.microcircuits.study import Config, prepare
from validation.microcircuits.tables import LADDER, ONSET, OPERATING
from validation.simulators.cases import Spikes
from validation.study.results import Results
from validation.study.verdict import FAILS, HOLDS, UNDECIDED

LOGITS = np.array([[0.0, -0.7, -1.5, -2.5], [1.0, 0.0, np.nan, 0.2]])


def test_competitors_halve_the_softmax_of_every_probe() -> None:
    p = softmax(probes())[:, : len(PROBES)]
    np.testing.assert_allclose(p[1] / p[0], 0.5, rtol=1e-12)


def test_rows_are_of_three_kinds() -> None:
    kinds = rows_by_kind(6)
    assert [rows.shape[0] for rows in kinds.values()] == [6, 6, 6]
    np.testing.assert_allclose(kinds["peaked"], 2 * kinds["natural"])
    np.testing.assert_allclose(kinds["flat"], kinds["natural"] / 4)
    assert not np.isnan(kinds["natural"]).all(axis=0).any()
    assert len(rows_for(Integrate(), "flat", kinds["flat"])) == 6
    costly = type("Costly", (), {"name": "hodgkin_huxley"})()
    assert sum(len(rows_for(costly, kind, rows)) for kind, rows in kinds.items()) == sum(
        FEWER["hodgkin_huxley"].values()
    )


def test_rungs_are_run_at_their_sizes() -> None:
    found = rungs(("populations", "interneurons"))
    assert [(one.name, one.members) for one in found] == [
        ("populations", 64),
        ("interneurons", 16),
        ("interneurons", 64),
    ]
    assert stable(found[1], LOGITS)
    assert not stable(Interneurons(gain=40, unstable=True), LOGITS)
    assert np.isnan(loop(Populations(), LOGITS)).all()
    assert np.isnan(kappa(Integrate()))


@pytest.mark.parametrize("slope", [0.0, 0.17, -0.1])
def test_a_slope_of_log_ratios_is_found(slope: float) -> None:
    """Poisson counts of rates whose log-ratio has this slope on the logit."""
    rng, base = np.random.default_rng(0), 4e5 * np.exp(np.array(PROBES))
    beside = base / 2 * np.exp(slope * np.array(PROBES))
    counts = np.zeros((16, 2, 7), dtype=np.int64)
    counts[:, :, :5] = rng.poisson(np.stack([base, beside]), size=(16, 2, 5))
    found = multiplicativity(counts)
    assert found["multiplicativity_low"] < found["multiplicativity"] < found["multiplicativity_high"]
    assert found["multiplicativity_high"] - found["multiplicativity_low"] < 0.004
    assert found["multiplicativity"] == pytest.approx(slope, abs=0.004)


def test_silent_probes_have_no_slope() -> None:
    assert np.isnan(multiplicativity(np.zeros((4, 2, 7), dtype=np.int64))["multiplicativity"])


def test_a_gate_has_no_spread_and_subtraction_has() -> None:
    assert spread(Escape()) == pytest.approx(0, abs=1e-12)
    # A neuron of 5 Hz under a hub: .88, as an independent program found it.
    assert spread(Populations()) == pytest.approx(0.88, abs=0.01)


def test_spikes_for_an_error_are_those_of_the_law() -> None:
    p = softmax(LOGITS)
    spikes = spikes_for(Escape(), p, p)
    assert multinomial_tv(p, np.full(2, spikes)).mean() == pytest.approx(0.05, rel=1e-3)
    assert spikes_for(Integrate(), p, p) < spikes / 5
    # A bias that is larger than the error is never made up for.
    biased = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.8, 0.0, 0.1]])
    assert np.isnan(spikes_for(Populations(), biased, p))


def test_the_onset_of_a_linear_loop_is_extrapolated_to_where_it_is() -> None:
    gain = np.array([1.0, 2.0, 4.0, 6.0])
    exact = 1 / (1 - gain / 5)
    table = pd.DataFrame({"gain": gain, "predicted": np.where(gain < 5, exact, np.nan), "amplification": exact})
    assert extrapolated(table) == pytest.approx(5, rel=1e-12)


def test_rates_that_a_rung_does_not_take_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating, "RATES", (5.0, 80.0))
    rows = rows_by_kind(2)["natural"]
    rated = at_rates([Populations(), Interneurons()], rows)
    highest = {
        name: max(operating._rate(one) for one in rated if one.name == name) for name in ("populations", "interneurons")
    }
    assert highest["populations"] == 80
    assert highest["interneurons"] == 5
    preset = attrs.evolve(PRESETS["quick"], rates=())
    table = operating_table(rated, rows, [], preset)
    assert table.groupby("circuit")["best"].sum().tolist() == [1, 1]
    falling = table[table["circuit"] == "populations"]["limit_tv"].to_numpy()
    assert np.all(np.diff(falling) > 0)
    drawn = ladder_figure({"ladder": ladder(tv=0.06, tv_low=0.05, tv_high=0.07), "operating": table})
    assert len(drawn.axes[1].lines) == 4
    assert len(drawn.axes[2].lines) >= 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"circuits": ("race",)}, "--circuits race: no rung; accepted: microcircuit, "),
        ({"circuits": ("interneuron",)}, "did you mean 'interneurons'"),
        ({"circuits": ("populations",), "nest": True}, "--nest compares interneurons, which is not among --circuits"),
        ({"trials": 0}, "--trials must be at least 1, got 0"),
        ({"preset": "fast"}, "--preset fast"),
        ({"target": "fused"}, "--target fused"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare(Config(**options))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_column_has_a_meaning() -> None:
    told = {name for key in LADDER for name in key.split(", ")} | {
        f"{name}_{end}" for name in ("tv", "bias", "multiplicativity", "from_limit") for end in ("low", "high")
    }
    assert set(COLUMNS) == told
    assert all(meaning for table in (LADDER, OPERATING, ONSET) for meaning in table.values())


def ladder(**changed: object) -> pd.DataFrame:
    """Rows of a ladder whose presynaptic rung is softmax, and whose interneurons are not."""
    row = {
        "rows_kind": "natural", "rows": 6, "trials": 4, "neurons_per_key": 64, "interneurons": 40,
        "rate_per_neuron": 5.0, "limit_tv": 0.05, "spread": 0.5, "from_limit": 0.005, "from_limit_low": 0.0,
        "from_limit_high": 0.01, "bias": 0.06, "bias_low": 0.05, "bias_high": 0.07, "multiplicativity": 0.17,
        "multiplicativity_low": 0.12, "multiplicativity_high": 0.22,
    }  # fmt: skip
    gate = {"bias": 0.004, "bias_low": 0.0, "bias_high": 0.01, "multiplicativity": 0.0, "multiplicativity_low": -0.01,
            "multiplicativity_high": 0.01, "limit_tv": 0.005}  # fmt: skip
    rows = [
        row | {"circuit": "interneurons"},
        row | {"circuit": "populations"},
        row | gate | {"circuit": "presynaptic"},
    ]
    return pd.DataFrame([one | changed for one in rows]).reindex(columns=COLUMNS)


OPPOSITE = {
    "mean_field": ({"from_limit": 0.05, "from_limit_low": 0.04, "from_limit_high": 0.06}, {"from_limit_high": 0.03}),
    "subtracting": ({"bias": 0.004, "bias_low": 0.0, "bias_high": 0.01}, {"bias_low": 0.01}),
    "presynaptic": ({"bias": 0.06, "bias_low": 0.05, "bias_high": 0.07}, {"bias_low": 0.0, "bias_high": 0.03}),
}


@pytest.mark.parametrize("name", OPPOSITE)
def test_a_claim_turns_over_with_its_table(name: str, tmp_path: object) -> None:
    results, (opposite, noise) = Results(tmp_path), OPPOSITE[name]
    for changed, verdict in (({}, HOLDS), (opposite, FAILS), (noise, UNDECIDED)):
        results.tables(ladder=ladder(**changed))
        assert getattr(claims, name)(results).word == verdict


def test_gates_depend_on_the_rung(tmp_path: object) -> None:
    results = Results(tmp_path)
    results.tables(ladder=ladder())
    found = claims.gates(results)
    assert found.word == "depends"
    assert "holds: presynaptic" in found.verdict
    results.tables(ladder=ladder(multiplicativity_low=-0.01, multiplicativity_high=0.01))
    assert claims.gates(results).word == HOLDS


def test_an_onset_is_held_against_the_linear_response(tmp_path: object) -> None:
    results = Results(tmp_path)
    table = pd.DataFrame({"gain": [1.0, 4.0], "predicted": [1.25, 5.0], "amplification": [1.3, 4.9], "frequency": 34.0,
                          "onset_predicted": 5.0})  # fmt: skip
    results.tables(onset=table)
    assert claims.onset(results).word == HOLDS
    results.tables(onset=table.assign(amplification=[1.3, 2.0]))
    assert claims.onset(results).word == "depends"


def test_simulators_are_told_apart_by_their_ranks(tmp_path: object) -> None:
    results = Results(tmp_path)
    table = pd.DataFrame({"measure": ["rate", "cv"], "rank": [0.4, 0.06]})
    results.tables(nest=table)
    assert claims.agreement(results).word == HOLDS
    results.tables(nest=table.assign(rank=[0.001, 0.001]))
    assert claims.agreement(results).word == FAILS


def test_measures_of_spikes_are_those_of_known_trains() -> None:
    """Clocks: one spike every 10 ms of every cell, in step: rate 100 Hz, CV 0, correlation 1, Fano factor 0."""
    circuit, steps = Interneurons(members=2, interneurons=12), 12_000
    step = np.arange(50, steps, 100)
    trains = [Spikes(np.repeat(step, cells), np.tile(np.arange(cells), len(step))) for cells in (6, 12)]
    found = in_nest.measured((trains[0], trains[1]), circuit, 3, steps)
    assert found["rate of keys"] == pytest.approx(100)
    assert found["cv of keys"] == found["fano of interneurons"] == 0
    assert found["correlation of interneurons"] == pytest.approx(1)
    assert found["counts"].tolist() == [200, 200, 200]


@pytest.mark.long
def test_nest_makes_the_same_row() -> None:
    """Short and few seeds; the study's own are 3 s and 8 seeds."""
    pytest.importorskip("nest")
    circuit, steps = Interneurons(members=16), 10_000
    theirs = in_nest.run_nest(in_nest.load_nest(), circuit, in_nest.ROW, steps=steps, seed=3)
    found = in_nest.measured(theirs, circuit, len(in_nest.ROW), steps)
    rates, pool = circuit.mean_field(in_nest.ROW[None])
    # Some 200 spikes of keys, 800 of interneurons: four standard errors of Poisson counts, and the mean field's 5 %.
    assert found["counts"].sum() == pytest.approx(rates.sum() * 16 * 0.8, rel=0.3)
    assert found["rate of interneurons"] == pytest.approx(pool[0], rel=0.15)
