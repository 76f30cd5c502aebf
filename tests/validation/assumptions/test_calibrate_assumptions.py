"""The audit: its estimator, its circuits against those they idealise and closed forms, table, resume, errors."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from biospike import simulate
from biospike.errors import InputError
from biospike.ideal.lif import SpikingJellyHard
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from biospike.neurons import LIF
from circuits.softmax import Escape, Integrate, Race
from validation.assumptions import ASSUMPTIONS
from validation.assumptions import study as calibrate_assumptions
from validation.assumptions.figure import figure
from validation.assumptions.keys import encoding
from validation.assumptions.keys.fluctuation import FilteredKeys, ScoredKeys
from validation.assumptions.keys.grid import CoinKeys, LooseRace, TieRace
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.keys.membrane import spike_counts
from validation.assumptions.lab import Lab, audit_rows
from validation.assumptions.report import report
from validation.assumptions.sweep import (
    Point,
    Sweep,
    bias_interval,
    crossing,
    from_plain,
    persistent,
    share_point,
    to_plain,
)
from validation.assumptions.table import COLUMNS, OF_ROW_SETS, tabulate
from validation.calibrate_assumptions import Config, main, prepare
from validation.study.row_kinds import FACTORS

import brian2 as b2

ROWS = audit_rows()[:4]
P = softmax(ROWS)
SHORT = {"trials": 16, "stretch": 0.1}
LAB = Lab(trials=16, stretch=1.0, seed=3, target="numpy")
SE = 4.5  # of 100 comparisons, fewer than 1 in 1000 test runs strays so far by chance


def standard_error(shares):
    """Of the bias of `persistent` where there is none: that of the mean over half of the trials."""
    by_trial = persistent(shares - shares.mean(axis=0))
    return by_trial.std(ddof=1) / np.sqrt(len(by_trial))


def shares_of(circuit, seconds, trials=16, rows=ROWS):
    data = simulate(circuit, rows, duration=seconds * b2.second, trials=trials, seed=5, target="numpy", checkpoints=1)
    counts = data.spike_count.values[..., 0].astype(float)
    assert (counts.sum(axis=-1) > 20).all()
    return counts / counts.sum(axis=-1, keepdims=True)


class TestEstimator:
    def test_no_bias_is_unbiased_and_covered(self):
        """Multinomial shares of their own p; the mean of 200 studies within SE of 0, the interval holds 0."""
        rng = np.random.default_rng(0)
        p = np.array([[0.5, 0.3, 0.2], [0.8, 0.15, 0.05]])
        found = []
        for _ in range(200):
            shares = np.stack([rng.multinomial(300, row, size=32) for row in p], axis=1) / 300
            found.append(persistent(shares - p).mean())
        assert abs(np.mean(found)) < SE * np.std(found) / np.sqrt(200)

    @pytest.mark.long
    @pytest.mark.parametrize("shift", [0.0, 0.004, 0.05])
    def test_interval_holds_the_true_bias(self, shift):
        """At least 95 %: of 100 studies, fewer than 88 only once in 1000 runs (binomial)."""
        rng = np.random.default_rng(1)
        p = np.array([[0.5, 0.3, 0.2]])
        q = p + shift * np.array([[1.0, -0.5, -0.5]])
        hits = 0
        for _ in range(100):
            shares = rng.multinomial(400, q[0], size=(48, 1)) / 400
            _, low, high = bias_interval(shares - p)
            hits += low <= shift <= high
        assert hits >= 88

    def test_a_constant_deviation_is_its_total_variation(self):
        q, p = np.array([[0.6, 0.3, 0.1]]), np.array([[0.5, 0.3, 0.2]])
        point = share_point(1.0, np.repeat(q[None], 8, axis=0), p)
        assert point.bias == pytest.approx(total_variation(q, p).mean())
        assert [point.low, point.high] == pytest.approx([point.bias, point.bias])
        assert point.scatter == pytest.approx(0, abs=1e-12)

    def test_silent_rows_are_an_error(self):
        shares = np.full((8, 2, 3), 1 / 3)
        shares[3, 1] = np.nan
        with pytest.raises(ValueError, match=r"silent at knob value 0\.5"):
            share_point(0.5, shares, np.full((2, 3), 1 / 3))


def sweep_of(*triples, values=None, **options):
    values = values or tuple(float(k) for k in range(len(triples)))
    points = tuple(
        Point(value, bias, low, high, scatter=0.02, spikes=100.0)
        for value, (bias, low, high) in zip(values, triples, strict=True)
    )
    return Sweep("a", "k", "ms", "c", "TV", "c", points, **options)


class TestVerdict:
    def test_breaks_where_the_lower_bound_exceeds(self):
        sweep = sweep_of((0.0, -0.001, 0.001), (0.005, 0.004, 0.006), (0.03, 0.028, 0.032), values=(0.0, 1.0, 2.0))
        assert sweep.verdict == "breaks"
        # Between positive values logarithmic: a fifth of the way from 1 to 2.
        assert sweep.exceeds_at == pytest.approx(2 ** (0.005 / 0.025))

    def test_noise_at_the_ideal_end_is_not_the_crossing(self):
        """An estimate that lies above 0.01 without being resolved does not count where a later one lies below."""
        sweep = sweep_of((0.015, -0.01, 0.04), (0.0, -0.001, 0.002), (0.02, 0.019, 0.021), values=(1.0, 2.0, 4.0))
        assert sweep.exceeds_at == pytest.approx(2 * 2**0.5)

    def test_undecided_and_harmless(self):
        undecided = sweep_of((0.0, -0.001, 0.001), (0.008, 0.004, 0.012))
        assert (undecided.verdict, math.isnan(undecided.exceeds_at)) == ("unresolved", True)
        assert sweep_of((0.0, -0.001, 0.001), (0.004, 0.001, 0.008)).verdict == "does not matter"

    def test_cost(self):
        points = (Point(0.0, 0, 0, 0, scatter=0.01, spikes=100), Point(1.0, 0, 0, 0, scatter=0.02, spikes=100))
        stochastic, regular = (Sweep("a", "k", "", "c", "TV", "c", points, order=order) for order in (0.5, 1.0))
        assert stochastic.cost == pytest.approx(4)
        assert regular.cost == pytest.approx(2)
        assert stochastic.verdict == regular.verdict == "costs spikes"

    def test_crossings(self):
        low, high = (Point(0.0, bias, bias, bias) for bias in (0.0, 0.02))

        def between(a, b):
            return crossing(Point(a, low.bias, 0, 0), Point(b, high.bias, 0, 0))

        assert between(0.0, 3.0) == pytest.approx(1.5)
        assert between(1.0, 100.0) == pytest.approx(10)
        assert between(math.inf, 10.0) == pytest.approx(20)
        assert between("regular", "poisson") == "poisson"

    def test_exceeded_at_the_ideal_end(self):
        assert sweep_of((0.2, 0.19, 0.21), (0.3, 0.29, 0.31), values=(5.0, 6.0)).exceeds_at == 5.0

    def test_stored_and_read(self):
        sweep = sweep_of((0.0, -0.001, 0.001), (0.3, 0.2, 0.4), values=(math.inf, 2.0))
        assert str(from_plain(json.loads(json.dumps(to_plain(sweep))))) == str(sweep)


class TestIdealEnds:
    """With every knob ideal the circuits are those of the package, spike by spike."""

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (HazardKeys(), Escape()),
            (HazardKeys(regularity=np.inf), Integrate()),
            (LooseRace(), Race()),
        ],
        ids=["escape", "integrate", "race"],
    )
    def test_counts_are_equal(self, ours, theirs):
        options = {"duration": "0.06 s", "trials": 2, "seed": 4, "target": "numpy", "checkpoints": 1}
        one, other = (simulate(circuit, ROWS, **options).spike_count.values for circuit in (ours, theirs))
        np.testing.assert_array_equal(one, other)
        assert one.sum() > 50

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("circuit", "seconds"),
        [
            (HazardKeys(rate=500 * b2.Hz, dt=0.2 * b2.ms), 0.2),
            (HazardKeys(rate=500 * b2.Hz, dt=0.2 * b2.ms, delay=2 * b2.ms, tau_inh=5 * b2.ms), 0.2),
            (FilteredKeys(rate=200 * b2.Hz, dt=0.5 * b2.ms, tau_syn=5 * b2.ms), 0.4),
            (ScoredKeys(rate=200 * b2.Hz, dt=0.5 * b2.ms, tau_steps=3000.0, w=0.02), 0.4),
            (CoinKeys(rate=500 * b2.Hz, dt=0.1 * b2.ms), 0.12),
            (LooseRace(rate=1000 * b2.Hz, dt=1 * b2.ms, t_inh=0 * b2.ms), 0.3),
        ],
        ids=["escape", "delayed", "filtered", "scored", "coin", "race"],
    )
    def test_unbiased(self, circuit, seconds):
        shares = shares_of(circuit, seconds)
        bias = persistent(shares - P).mean()
        # The score membrane that is slower than the window has not seen all of its distribution: its own scatter.
        assert abs(bias) < SE * standard_error(shares) + 1e-3


class TestClosedForms:
    @pytest.mark.long
    @pytest.mark.parametrize(
        ("circuit", "seconds", "left_out"),
        [
            (HazardKeys(rate=200 * b2.Hz, dt=0.5 * b2.ms, refractory=5 * b2.ms), 1.0, 0.025),
            (HazardKeys(rate=500 * b2.Hz, dt=0.2 * b2.ms, regularity=np.inf, tau_m=0.02, w=0.02), 0.4, 0.025),
            (HazardKeys(rate=500 * b2.Hz, dt=1 * b2.ms, regularity=np.inf, kept=0.0), 1.0, 0.15),
            (HazardKeys(rate=200 * b2.Hz, dt=0.5 * b2.ms, regularity=np.inf, threshold_spread=0.2), 1.0, 0.025),
            (CoinKeys(rate=200 * b2.Hz, dt=5 * b2.ms), 2.0, 0.025),
            (TieRace(rate=120 * b2.Hz, dt=5 * b2.ms), 2.0, 0.025),
            (LooseRace(rate=4000 * b2.Hz, dt=1 * b2.ms, t_inh=0 * b2.ms), 0.3, 0.025),
        ],
        ids=["refractory", "leak", "hard reset", "thresholds", "coin", "ties", "saturation"],
    )
    def test_shares_are_those_of_the_law(self, circuit, seconds, left_out):
        """Within SE, plus the part of the bias that the mean field leaves out.

        That is the ripple of the gate. For the hard reset it is more: its loss of half a step's charge is a mean over
        charges, while an interval is a whole number of steps.
        """
        shares = shares_of(circuit, seconds)
        law = circuit.limit(ROWS)
        expected = total_variation(law, P).mean()
        assert expected > 0.01
        off = persistent(shares - law).mean()
        assert abs(off) < SE * standard_error(shares) + left_out * expected + 1e-3

    def test_leaky_rates_are_the_f_i_curve(self):
        """A row of one key fires at R0: the others follow `LIF.firing_rate` at the drive that this implies."""
        logits = np.array([[0.0, -0.3, -0.6]])
        circuit = HazardKeys(regularity=np.inf, tau_m=0.02)
        rates = circuit.rates(logits)[0]
        cell = LIF(tau_m=20 * b2.ms, v_rest=0 * b2.mV, v_reset=0 * b2.mV, v_threshold=1 * b2.mV, refractory=0 * b2.ms)
        # The gate is found from the first key, and must give the others.
        drive = np.geomspace(1, 1e4, 200001)
        gate = np.interp(rates[0], np.asarray(cell.firing_rate(drive * 0.02 * b2.mV)), drive)
        others = np.asarray(cell.firing_rate(gate * np.exp(logits[0]) * 0.02 * b2.mV))
        np.testing.assert_allclose(rates, others, rtol=1e-3)
        assert rates.sum() == pytest.approx(500)

    def test_rounded_membrane(self):
        """Under a constant gate the charge of a step is rounded: exact but for the last spike of each key."""
        circuit = HazardKeys(regularity=np.inf, gated=False, levels=2.0**8, rate=200 * b2.Hz, dt=0.5 * b2.ms)
        law = circuit.limit(ROWS)
        counts = shares_of(circuit, 1.0, trials=4)
        spikes = 200
        assert total_variation(law, P).mean() > 0.01
        assert np.abs(counts - law).max() < 3 / spikes

    def test_refractory_keys_keep_their_distance(self):
        """A key alone in its row, regular: with t_ref the interval is t_ref + 1/lambda."""
        circuit = HazardKeys(regularity=np.inf, gated=False, rate=100 * b2.Hz, refractory=5 * b2.ms, dt=0.5 * b2.ms)
        data = simulate(circuit, [[0.0]], duration="1.5 s", trials=3, target="numpy", checkpoints=1)
        assert (np.abs(data.spike_count.values - 100) <= 1).all()

    def test_jensen_is_half_the_variance(self):
        """For a slow membrane the cumulants beyond the second vanish: E exp(u) = exp(z + var/2)."""
        circuit = ScoredKeys(tau_steps=200.0)
        p = circuit.coincidences(ROWS)
        var = circuit.gain**2 * p * (1 - p) * np.tanh(1 / 400)
        np.testing.assert_allclose(circuit.limit(ROWS), softmax(ROWS + var / 2), atol=2e-4)
        assert total_variation(circuit.limit(ROWS), P).mean() > 5e-4

    def test_spike_test_of_a_tie(self):
        """Drive 1/4 from rest, hard reset: every 4 steps for >=, every 5 for >."""
        reached, exceeded = (
            spike_counts(SpikingJellyHard(tau=np.inf, decay_input=False, v_th=v), np.array([[0.25, 0.3]]), 200)
            for v in (1.0, float(np.nextafter(1.0, 2.0)))
        )
        assert reached.tolist() == [[50.0, 50.0]]
        assert exceeded.tolist() == [[40.0, 50.0]]

    def test_shared_input_is_within_the_closed_form(self):
        circuit, x = encoding.block("shared")
        assert circuit.shared_input_bias(x).min() > 0
        separate, _ = encoding.block()
        np.testing.assert_array_equal(separate.W_q, circuit.W_q)


OPTIONS: dict[str, Any] = {
    "assumptions": ("threshold_convention", "saturation"),
    "trials": 8,
    "target": "numpy",
    "quiet": True,
}


class TestStudy:
    @pytest.fixture(scope="class")
    @staticmethod
    def out(tmp_path_factory):
        directory = tmp_path_factory.mktemp("audit")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(calibrate_assumptions.PRESETS, "quick", SHORT)
            main(Config(out=directory, **OPTIONS))
        return directory

    @pytest.mark.long
    def test_files_and_columns(self, out):
        names = {path.name for path in out.iterdir()}
        assert names == {
            "assumptions.csv", "assumptions.png", "assumptions.pdf", "report.md", "parts", "row_sets.csv",
        }  # fmt: skip
        table = pd.read_csv(out / "assumptions.csv")
        assert list(table.columns) == COLUMNS
        assert set(table["verdict"]) <= {"breaks", "costs spikes", "does not matter", "unresolved"}
        race = table[table["assumption"] == "saturation"]
        assert (race["verdict"] == "breaks").all()
        assert 1 < race["exceeds_0_01_at"].astype(float).iloc[0] < 2
        soft = table[table["circuit"] == "discrete LIF, soft reset"]
        assert soft["exceeds_0_01_at"].isna().all()

    @pytest.mark.long
    def test_report_is_made_of_the_numbers(self, out):
        text, table = (out / "report.md").read_text(), pd.read_csv(out / "assumptions.csv")
        worst = table[table["assumption"] == "saturation"]["bias"].max()
        assert f"{worst:.4f}" in text
        assert "What breaks softmax" in text
        assert "never exceeds 0.01 within the sweep" in text
        assert "nan" not in text.lower()
        sets = pd.read_csv(out / "row_sets.csv")
        above, below = (
            set(sets[said].groupby(["assumption", "circuit"]).groups)
            for said in (sets["bias_low"] > 0.01, sets["bias_high"] <= 0.01)
        )
        assert f"The rows turn over whether the bias exceeds 0.01 in {len(above & below)}" in text

    @pytest.mark.long
    def test_other_rows_are_measured_at_the_realistic_end(self, out):
        sets, table = (pd.read_csv(out / f"{name}.csv") for name in ("row_sets", "assumptions"))
        assert list(sets.columns) == OF_ROW_SETS
        assert set(sets["rows_kind"]) == set(FACTORS)
        ends = table.groupby(["assumption", "circuit"], sort=False).tail(1).set_index("circuit")
        for kind, mine in sets.set_index("circuit").groupby("rows_kind"):
            pd.testing.assert_series_equal(mine["value"], ends["value"])
            assert (mine["bias"].equals(ends["bias"])) == (kind == "given")
        # A race whose largest key is due four times a step: min(1, rate*dt) of every key, by hand.
        z = 0.25 * audit_rows()
        fired = np.minimum(4.0 * np.exp(z - np.nanmax(z, axis=1, keepdims=True)), 1.0)
        law = total_variation(np.nan_to_num(fired / np.nansum(fired, axis=1, keepdims=True)), softmax(z)).mean()
        flat = sets[(sets["rows_kind"] == "flat") & (sets["assumption"] == "saturation")].iloc[0]
        assert flat["predicted"] == pytest.approx(law)
        assert law > 0.05
        assert flat["bias"] == pytest.approx(law, rel=0.1)

    @pytest.mark.long
    def test_an_interrupted_audit_goes_on(self, out, monkeypatch):
        """Finished assumptions are read and not run; a damaged part, another seed or other options are run again."""
        monkeypatch.setitem(calibrate_assumptions.PRESETS, "quick", SHORT)
        ran = []

        def spy(name):
            work = ASSUMPTIONS[name]

            def run(lab):
                ran.append(name)
                return work(lab)

            return run

        for name in OPTIONS["assumptions"]:
            monkeypatch.setitem(ASSUMPTIONS, name, spy(name))
        before = pd.read_csv(out / "assumptions.csv")
        main(Config(out=out, **OPTIONS))
        assert ran == []
        pd.testing.assert_frame_equal(pd.read_csv(out / "assumptions.csv"), before)
        part = next((out / "parts").glob("threshold_convention-*.json"))
        part.write_text(part.read_text()[:50])
        main(Config(out=out, **OPTIONS))
        assert ran == ["threshold_convention"]
        main(Config(out=out, **(OPTIONS | {"assumptions": ("threshold_convention",), "seed": 2})))
        assert ran == ["threshold_convention"] * (1 + len(FACTORS))  # on all rows

    def test_every_listed_assumption_is_there(self):
        """Heterogeneity among them."""
        assert len(ASSUMPTIONS) == 20
        assert set(prepare(Config()).options) == {"trials", "seed", "target", "progress"}

    def test_figure(self):
        sweeps = [sweep_of((0.0, -0.001, 0.001), (0.05, 0.04, 0.06), values=(math.inf, 10.0))]
        page = figure(sweeps)
        axes = page.axes[0]
        assert axes.get_title(loc="left") == "a"
        assert axes.get_xlabel() == "k (ms)"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["∞", "10"]
        assert any(np.allclose(line.get_ydata(), 0.01) for line in axes.get_lines())
        with pytest.raises(ValueError, match="at least one sweep"):
            figure([])

    def test_report_of_undecided_sweeps(self):
        text = report([sweep_of((0.0, -0.001, 0.001), (0.008, 0.004, 0.012))], LAB, revision="none", findings=())
        assert "cannot decide" in text
        assert list(tabulate([sweep_of((0.0, 0.0, 0.0))]).columns) == COLUMNS


def test_too_few_trials_are_refused():
    with pytest.raises(InputError, match=r"--trials must be at least 8, .* got 4"):
        prepare(Config(trials=4))
