"""Brian2 against NEST, both run, and the command line of the study."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import attrs
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from biospike import metrics
from biospike.circuit import Batch
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from circuits.softmax import Diffusive, Escape, Race
from validation.compare_simulators import Config, main, prepare
from validation.simulators import brian2 as simulators_brian2
from validation.simulators import nest as simulators_nest
from validation.simulators import study as compare_simulators
from validation.simulators.cases import constant_cases, frozen_case, frozen_cases, noise_cases, published_cell, tie_case
from validation.simulators.controls import circuit_controls, neuron_controls
from validation.simulators.data import load_results
from validation.simulators.figures import draw
from validation.simulators.mapping import lif_parameters, names, noise_amplitude, wire
from validation.simulators.measures import Rows, counts, intervals, smallest_rank
from validation.simulators.report import expected_rate, report
from validation.simulators.tables import CaseResult, CircuitResult, measures, neurons_table

import brian2 as b2

LOGITS = np.array([[0.0, 1.0, -1.0, np.nan], [2.0, 0.0, 0.5, -0.5]])
UNMASKED = ~np.isnan(LOGITS)
GRID = 0.1 * b2.ms


@pytest.fixture(scope="module")
def nest():
    pytest.importorskip("nest")
    return simulators_nest.load_nest()


def batch(logits=LOGITS, trial=0):
    rows = len(logits)
    return Batch(logits, np.full(rows, trial), np.arange(rows), 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"logits": Path("none.npy")}, "none.npy"),
        ({"circuits": ("shunting",)}, "has no counterpart in NEST; accepted: race, escape, diffusive"),
        ({"duration": "0 s"}, "0. s"),
        ({"duration": "2"}, "'2' is not a number with a unit"),
        ({"rows": 0}, "--rows 0: expected 1 to 72"),
        ({"rows": 73}, "--rows 73"),
        ({"trials": 1}, "--trials 1: expected at least 2"),
        ({"neurons": 1}, "--neurons 1"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        compare_simulators.prepare(Config(**options))


def test_missing_nest_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "nest", None)  # makes `import nest` fail
    with pytest.raises(InputError, match=r"pip install 'biospike\[nest\]'"):
        compare_simulators.prepare(Config())


def nest_run(nest, case, **changes):
    parameters = lif_parameters(case.cell, case.dt, case.v_inf, **changes)
    return simulators_nest.run_neurons(
        nest, parameters, len(case.v_inf), dt=case.dt, steps=case.steps, frozen=case.frozen
    )


class TestNeurons:
    def test_interval_of_the_published_example(self, nest):
        """T_th = 4.700036 ms, refractory 2 ms: 6.7 ms in Brian2, 6.8 ms in NEST with the same numbers."""
        case = constant_cases()[0]
        case = attrs.evolve(case, v_inf=np.array([40.0]) * b2.mV, steps=1000)
        assert set(np.diff(simulators_brian2.run_neurons(case).step)) == {67}
        assert set(np.diff(nest_run(nest, case, same_refractory=True).step)) == {68}
        assert set(np.diff(nest_run(nest, case).step)) == {67}

    @pytest.mark.parametrize("number", [0, 1, 2, 4, 6])
    def test_constant_current_is_identical(self, nest, number):
        case = constant_cases()[number]
        case = attrs.evolve(case, steps=min(case.steps, 1500))
        held = case.cell.refractory > 0 * b2.ms
        given = nest_run(nest, case, same_refractory=True) if held else None
        result = CaseResult(case, simulators_brian2.run_neurons(case), nest_run(nest, case), given)
        table = neurons_table([result])
        assert table["mismatches"].sum() == 0
        assert table["spikes_brian2"].sum() > 50
        assert set(table["verdict"]) <= {"identical", "one step longer", "silent in both"}
        assert (table["stamp_shift_steps"].dropna() == 1).all()

    @pytest.mark.parametrize("tau_syn", [None, 5 * b2.ms])
    def test_frozen_spikes_are_identical(self, nest, tau_syn):
        case = frozen_case(4, tau_syn, steps=2500)
        brian2, other = simulators_brian2.run_neurons(case), nest_run(nest, case)
        assert len(brian2.step) > 50
        np.testing.assert_array_equal(brian2.step, other.step)
        np.testing.assert_array_equal(brian2.neuron, other.neuron)

    def test_errors_are_caught(self, nest):
        constant = attrs.evolve(constant_cases()[0], steps=1500)
        cases = [constant, frozen_case(4, None, steps=2500), tie_case()]
        results = [
            CaseResult(
                case,
                simulators_brian2.run_neurons(case),
                nest_run(nest, case),
                nest_run(nest, case, same_refractory=True) if case is constant else None,
            )
            for case in cases
        ]
        assert neurons_table(results)["mismatches"].sum() == 0
        table = neuron_controls(nest, results).set_index("control")
        assert len(table) == 3
        assert (table["without_it"] == 0).all()
        assert (table["with_it"] > 0).all()
        assert set(table["verdict"]) == {"caught"}
        # Every neuron whose input lands exactly on the threshold, and no other, fires with >=.
        assert table.loc["threshold reached, not exceeded (>=)", "with_it"] == 12

    def test_siegert_neuron_gives_the_published_rate(self, nest):
        rate = simulators_nest.siegert_rate(nest, published_cell(), 15 * b2.mV, math.sqrt(1.5) * b2.mV)
        if math.isnan(rate):
            pytest.skip("this NEST was built without siegert_neuron")
        assert rate == pytest.approx(27.1095934379, abs=1e-6)

    def test_noise_rate_is_siegerts_on_the_grid(self, nest):
        case = noise_cases(1000)[0]
        noise = noise_amplitude(case.sigma, case.cell.tau_m, case.dt)
        parameters = lif_parameters(case.cell, case.dt, case.v_inf)
        found = simulators_nest.run_neurons(
            nest, parameters, 1000, dt=case.dt, steps=case.steps, noise_std=noise, seed=3
        )
        rates = np.bincount(found.neuron[found.step >= case.settled], minlength=1000) / 0.8
        expected = float(case.cell.siegert_rate(case.v_inf[0], case.sigma, dt=case.dt))
        # 4 standard errors, and the 1 % to which the correction for the grid holds.
        assert rates.mean() == pytest.approx(expected, abs=4 * rates.std() / math.sqrt(1000) + 0.01 * expected)


class TestCircuits:
    steps = 20_000

    def run(self, nest, circuit, logits=LOGITS, steps=steps, seed=5, **changes):
        wiring = attrs.evolve(wire(circuit, batch(logits, trial=9), steps), **changes)
        return simulators_nest.run_rows(nest, wiring, ~np.isnan(logits), dt=circuit.dt, steps=steps, seed=seed)

    def test_race_closes_its_row_and_has_the_rate_of_the_closed_form(self, nest):
        rows = Rows(UNMASKED, 0.1, self.steps)
        found = self.run(nest, Race())
        gaps = intervals(found, rows, "row")
        assert len(gaps) > 500
        assert gaps[gaps > 0].min() == pytest.approx(1.1)  # ten closed steps, then the first open one
        assert (gaps == 0).any()
        n = counts(found, rows).sum() / 2
        # The count of a row varies less than a Poisson number's.
        assert n == pytest.approx(2 * expected_rate(Race(), LOGITS, 2.0), abs=4 * math.sqrt(n / 2))

    @pytest.mark.parametrize("circuit", [Race(), Escape()])
    def test_shares_are_softmax(self, nest, circuit):
        """Chi-square against exp(z)/sum, which no simulator made; p is 1e-4 by chance once in ten thousand."""
        rows = Rows(UNMASKED, 0.1, self.steps)
        for n, p in zip(counts(self.run(nest, circuit), rows), softmax(LOGITS), strict=True):
            assert n.sum() > 400
            assert (n[p == 0] == 0).all()
            assert stats.chisquare(n[p > 0], n.sum() * p[p > 0]).pvalue > 1e-4

    def test_diffusive_shares_are_those_of_the_mean_field(self, nest):
        logits = np.tile(LOGITS, (10, 1))
        circuit = Diffusive()
        n = counts(self.run(nest, circuit, logits), Rows(~np.isnan(logits), 0.1, self.steps))
        share = n.reshape(10, 2, 4).sum(axis=0) / n.reshape(10, 2, 4).sum(axis=(0, 2))[:, None]
        limit = circuit.limit(LOGITS)
        # 800 spikes a row leave a TV of 0.02; mean field and simulation agree to 0.012 beyond it (the circuit's tests).
        assert metrics.total_variation(share, limit).max() < 0.035
        assert metrics.total_variation(softmax(LOGITS), limit).max() > 0.05
        assert n.sum(axis=1).mean() / 2 == pytest.approx(40, abs=1.0)

    def test_escape_counts_as_brian2_and_errors_are_caught(self, nest):
        """Four seeds each: the smallest rank there is, 2/70, is reached by the errors, and not without them."""
        logits, steps, seeds = LOGITS, 5000, 4
        circuit = Escape()
        brian2 = simulators_brian2.run_rows(circuit, logits, steps=steps, trials=seeds, seed=2)
        faithful = CircuitResult(
            circuit, steps, brian2, [self.run(nest, circuit, logits, steps, seed=20 + s) for s in range(seeds)]
        )
        found = measures(faithful, logits)
        summary = pd.DataFrame([{"circuit": "escape", "measure": name, **one._asdict()} for name, one in found.items()])
        assert min(one.rank for one in found.values()) > smallest_rank(seeds, seeds)
        assert found["row_rate_hz"].brian2 == pytest.approx(expected_rate(circuit, logits, 0.5), abs=6)

        def rerun(name, change):
            wiring = change(wire(circuit, batch(logits, trial=9), steps))
            return faithful._replace(
                nest=[
                    simulators_nest.run_rows(nest, wiring, UNMASKED, dt=GRID, steps=steps, seed=40 + s)
                    for s in range(seeds)
                ]
            )

        controls = circuit_controls(summary, rerun, logits)
        assert len(controls) == 2
        assert (controls["with_it"] == smallest_rank(seeds, seeds)).all()
        assert set(controls["verdict"]) == {"too few seeds"}


def test_whole_study(nest, tmp_path, capsys, monkeypatch):
    """Every table, figure and the report, of a study of two rows, two seeds and a few single neurons."""
    config = Config(rows=2, trials=2, duration="80 ms", neurons=20, target="numpy", out=tmp_path / "out", quiet=True)
    study = prepare(config)
    short = [attrs.evolve(case, steps=800) for case in (study.cases[0], *frozen_cases(1)[::2], noise_cases(20)[0])]
    monkeypatch.setattr(compare_simulators, "prepare", lambda _: attrs.evolve(study, cases=short))
    main(config)
    assert capsys.readouterr().out == ""
    out = tmp_path / "out"
    figures = {f"{name}.{kind}" for name in ("neurons", "raster", "shares", "isi") for kind in ("png", "pdf")}
    tables = {f"{name}.csv" for name in ("neurons", "summary", "controls")}
    assert {path.name for path in out.iterdir()} == figures | tables | {"spikes.npz", "report.md"}
    summary = pd.read_csv(out / "summary.csv")
    assert summary.groupby("circuit", sort=False).size().to_dict() == dict.fromkeys(names(), 8)
    assert set(summary["verdict"]) <= {"too few seeds", "too few spikes"}
    assert summary.columns.tolist() == compare_simulators.SHOWN
    text = (out / "report.md").read_text()
    assert "the same counts as the recorded spikes" in text
    assert "0 without a partner" in text
    assert "nan" not in text.lower().replace("nanmean", "")

    read = load_results(out / "spikes.npz")
    assert read.cases[0].case.name == short[0].name
    again = draw(read, {"neurons": neurons_table(read.cases), "summary": summary})
    assert set(again) == {"neurons", "raster", "shares", "isi"}
    raster = again["raster"].axes
    assert [panel.get_title(loc="left") for panel in raster[:3]] == ["a  race, Brian2", "b  race, NEST", "c  share"]
    recorded = read.circuits["race"].brian2[0]
    assert len(recorded.step) > 0
    assert raster[0].get_xlim() == raster[1].get_xlim()
    about = json.loads(str(np.load(out / "spikes.npz")["about"]))
    assert about["circuits"]["race"]["differing"] == 0
    assert report(read, {name: pd.read_csv(out / f"{name}.csv") for name in ("neurons", "summary", "controls")},
                  version="3.10.0").startswith("# Brian2 and NEST")  # fmt: skip
