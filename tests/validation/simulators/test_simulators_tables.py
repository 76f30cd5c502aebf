"""The comparison of simulators without the other simulator: the mapping to NEST, the statistics, the tables."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest
from scipy import stats

from biospike import LIF, metrics, simulate
from biospike.circuit import Batch
from circuits import SOFTMAX_CIRCUITS
from circuits.softmax import Diffusive, Escape, Race
from validation.simulators import brian2 as simulators_brian2
from validation.simulators import nest as simulators_nest
from validation.simulators.cases import Spikes, constant_cases, tie_case
from validation.simulators.data import Recorded, load_results, save_results
from validation.simulators.figures import share_deviations
from validation.simulators.isi_figure import poisson_survival
from validation.simulators.mapping import CLOSED, lif_parameters, noise_amplitude, wire
from validation.simulators.measures import (
    Rows,
    code_cv,
    compare_distances,
    compare_scalar,
    compare_shares,
    counts,
    intervals,
    ks_distances,
    labels,
    smallest_rank,
    tie_fraction,
)
from validation.simulators.tables import CaseResult, CircuitResult, neurons_table, unpaired, verdicts

import brian2 as b2

LOGITS = np.array([[0.0, 1.0, -1.0, np.nan], [2.0, 0.0, 0.5, -0.5]])
UNMASKED = ~np.isnan(LOGITS)
GRID = 0.1 * b2.ms


def batch(logits=LOGITS, trial=0):
    rows = len(logits)
    return Batch(logits, np.full(rows, trial), np.arange(rows), 1)


def spikes(step, neuron):
    step, neuron = np.array(step, dtype=np.int64), np.array(neuron, dtype=np.int64)
    order = np.lexsort((neuron, step))
    return Spikes(step[order], neuron[order])


class TestMapping:
    def test_lif_holds_one_step_less_and_fires_strictly_above(self):
        cell = LIF(v_rest=-70 * b2.mV, v_reset=-65 * b2.mV, v_threshold=-50 * b2.mV, refractory=2 * b2.ms)
        found = lif_parameters(cell, GRID, np.array([-40.0, -30.0]) * b2.mV)
        assert found["t_ref"] == 1.9
        assert found["V_th"] > 20.0
        assert found["V_th"] == pytest.approx(20.0, rel=1e-15)
        assert (found["E_L"], found["V_reset"]) == (0.0, pytest.approx(5.0))
        # The membrane settles at V = I*tau_m/C_m.
        np.testing.assert_allclose(found["I_e"] * found["tau_m"] / found["C_m"], [30.0, 40.0])
        given = lif_parameters(cell, GRID, -40 * b2.mV, same_refractory=True, same_threshold=True)
        assert (given["t_ref"], given["V_th"]) == (2.0, pytest.approx(20.0))
        assert lif_parameters(attrs.evolve(cell, refractory=0 * b2.ms), GRID, -40 * b2.mV)["t_ref"] == 0.0

    @pytest.mark.parametrize(
        ("cell", "dt", "words"),
        [
            (LIF(reset="subtract"), GRID, "'subtract'"),
            (LIF(spike_timing="exact"), GRID, "'exact'"),
            (LIF(refractory=0.25 * b2.ms), GRID, "not a multiple"),
            (LIF(refractory=0 * b2.ms), 0.5 * b2.us, "multiple of"),
        ],
    )
    def test_neurons_without_counterpart(self, cell, dt, words):
        with pytest.raises(ValueError, match=words):
            lif_parameters(cell, dt, -40 * b2.mV)

    def test_noise_has_the_variance_of_siegerts_sigma(self):
        for dt in (0.01, 0.1, 1.0):
            decay = math.exp(-dt / 10)
            amplitude = noise_amplitude(3 * b2.mV, 10 * b2.ms, dt * b2.ms)
            # v' = decay*v + (1 - decay)*current has the variance (1 - decay)^2/(1 - decay^2)*std^2.
            assert amplitude**2 * (1 - decay) ** 2 / (1 - decay**2) == pytest.approx(3.0**2 / 2)

    def test_race_fires_as_its_input_and_closes_for_t_inh(self):
        circuit = Race(rate=200 * b2.Hz, t_inh=1 * b2.ms)
        wiring = wire(circuit, batch(), 100)
        p = -np.expm1(-wiring.keys["c_2"] * 1e-4)
        np.testing.assert_allclose(p, 0.02 * batch().drive, rtol=1e-12)
        (shut, at_once), (lift, later) = wiring.synapses
        decay, v, open_again = math.exp(-0.1 / wiring.keys["tau_m"]), 0.0, []
        for lag in range(1, 30):
            v = v * decay + shut * (lag == round(at_once / 0.1)) + lift * (lag == round(later / 0.1))
            open_again.append(abs(v) < 1e-9)
            assert open_again[-1] or v < -0.9 * CLOSED
        assert open_again.index(True) == 10  # steps 1 to 10 after the spike are closed
        assert all(open_again[10:])

    def test_escape_drifts_as_the_inhibition_decays(self):
        circuit = Escape(rate=500 * b2.Hz, w=0.1)
        wiring = wire(circuit, batch(), 100)
        v, inhibition = wiring.keys["V_m"], 0.0
        decay = math.exp(-0.1 / wiring.keys["tau_m"])
        ((weight, delay),) = wiring.synapses
        assert delay == 0.1
        for lag in range(2000):
            arrived = 3 * (lag % 40 == 1)  # spikes of the step before
            v = v * decay + (1 - decay) * wiring.keys["tau_m"] / wiring.keys["C_m"] * wiring.keys["I_e"]
            v += weight * arrived
            inhibition += circuit.w * arrived
            # NEST looks at v after the step, biospike at the gate before it.
            assert v == pytest.approx(-inhibition, abs=1e-3)
            inhibition -= circuit.w * 500 * 1e-4
        np.testing.assert_allclose(wiring.keys["c_2"], 500 * batch().drive)

    def test_diffusive_inhibition_is_its_differential_equation(self):
        circuit = Diffusive()
        steps = 5000
        wiring = wire(circuit, batch(), steps)
        t = 0.1 * np.arange(1, steps + 1)
        # Euler of dI/dt = w*(a - R0), da/dt = -a/tau_inh from a = R0, without any spike, at a hundredth of a step.
        fine = 1e-3 * np.arange(round(1e3 * t[-1]))
        fall = np.cumsum(0.2 * (0.04 * np.exp(-fine / 10) - 0.04)) * 1e-3
        np.testing.assert_allclose(wiring.drift, -fall[(100 * np.arange(1, steps + 1) - 1)], atol=2e-5)
        kept, passing = wiring.synapses
        assert kept[0] == -passing[0] == pytest.approx(-0.2)
        assert wiring.relay_ms is not None
        assert wiring.relay_ms + kept[1] == pytest.approx(1.0)
        assert wiring.keys["tau_syn_ex"] == 10.0
        assert wiring.keys["t_ref"] == 1.9
        state = circuit.state(batch(), circuit.dt)
        np.testing.assert_allclose(wiring.keys["I_e"] - 70, 1e3 * (state["keys.mean"] - state["hub.I"][:, None]))

    @pytest.mark.parametrize(
        ("circuit", "words"),
        [
            (Escape(regularity=4), "regularity 1, got 4"),
            (Race(t_inh=0 * b2.ms), "at least"),
            (Diffusive(delay=0.1 * b2.ms), "a step each way"),
            (SOFTMAX_CIRCUITS["subtractive"](), "race, escape, diffusive"),
            (SOFTMAX_CIRCUITS["integrate"](), "escape noise"),
        ],
    )
    def test_circuits_without_counterpart(self, circuit, words):
        with pytest.raises(ValueError, match=words):
            wire(circuit, batch(), 10)

    def test_carry_over_is_one_spike_a_step(self):
        random = np.random.default_rng(0)
        given = spikes(random.integers(0, 20, 60), random.integers(0, 4, 60))
        moved = simulators_nest.carry_over(given, 40)
        assert len(moved.step) == 60
        for before, after in zip(given.trains(4), moved.trains(4), strict=True):
            expected: list[int] = []
            for step in before:
                expected.append(max(step, expected[-1] + 1) if expected else step)
            assert after.tolist() == expected
        assert len(simulators_nest.carry_over(spikes([9, 9], [0, 0]), 10).step) == 1


class TestMeasures:
    rows = Rows(UNMASKED, 0.5, 100)

    def test_counts_intervals_and_ties(self):
        one = spikes([2, 5, 5, 9, 9], [0, 0, 1, 6, 2])
        np.testing.assert_array_equal(counts(one, self.rows), [[2, 1, 1, 0], [0, 0, 0, 1]])
        assert intervals(one, self.rows, "key").tolist() == [1.5]
        assert sorted(intervals(one, self.rows, "row")) == [0.0, 1.5, 2.0]
        assert tie_fraction(one, self.rows) == pytest.approx(1 / 3)
        assert math.isnan(tie_fraction(spikes([], []), self.rows))

    def test_ks_distance_is_scipys(self):
        random = np.random.default_rng(1)
        samples = [np.round(random.exponential(size=n), 1) for n in (30, 400, 77)]
        found = ks_distances([*samples, np.array([])])
        for a in range(3):
            for b in range(3):
                assert found[a, b] == pytest.approx(stats.ks_2samp(samples[a], samples[b], method="asymp").statistic)
        assert np.isnan(found[3, :3]).all()

    def test_labels_are_all_or_many(self):
        ways = labels(3, 2)
        assert ways.shape == (10, 5)
        assert len({tuple(way) for way in ways.tolist()}) == 10
        assert ways[0].tolist() == [True, True, True, False, False]
        assert set(ways.sum(axis=1)) == {3}
        drawn = labels(12, 12)
        assert drawn.shape == (20_000, 24)
        assert set(drawn.sum(axis=1)) == {12}
        assert drawn[0].tolist() == [True] * 12 + [False] * 12

    def test_rank_is_uniform_if_nothing_differs(self):
        random = np.random.default_rng(2)
        ways = labels(4, 4)
        ranks = [compare_scalar(*random.normal(size=(2, 4)), ways).rank for _ in range(400)]
        # Ranks are multiples of 2/70; the test must not reject more often than it says, up to 4 standard errors.
        for level in (4 / 70, 0.2, 0.5):
            assert np.mean(np.array(ranks) <= level) < level + 4 * math.sqrt(level * (1 - level) / 400)
        assert np.mean(ranks) == pytest.approx(0.5, abs=4 / math.sqrt(12 * 400) + 1 / 70)

    def test_rank_is_smallest_if_everything_differs(self):
        ways = labels(4, 4)
        near, far = np.arange(4.0), np.arange(4.0) + 10
        found = compare_scalar(near, far, ways)
        assert found.rank == smallest_rank(4, 4) == pytest.approx(2 / 70)
        assert found.difference == 10.0
        assert found.seed_to_seed == pytest.approx(math.sqrt(5 / 3))
        assert found.low < 10 < found.high
        samples = [np.linspace(start, start + 1, 50) for start in (0, 0.1, 0.2, 0.3, 5, 5.1, 5.2, 5.3)]
        distances = compare_distances(ks_distances(samples), 4, ways)
        assert distances.rank == smallest_rank(4, 4)
        assert distances.difference == 1.0 > 2 * distances.seed_to_seed
        n = np.array([[[90, 10]]] * 4 + [[[10, 90]]] * 4)
        shares = compare_shares(n[:4], n[4:], np.array([[0.9, 0.1]]), ways)
        assert shares.rank == smallest_rank(4, 4)
        assert (shares.brian2, shares.nest, shares.difference) == pytest.approx((0.0, 0.8, 0.8))

    def test_equal_numbers_have_no_interval(self):
        found = compare_scalar(np.ones(3), np.ones(3), labels(3, 3))
        assert (found.difference, found.seed_to_seed, found.rank) == (0.0, 0.0, 1.0)
        assert math.isnan(found.low)

    def test_verdicts(self):
        assert verdicts(np.array([0.01, 0.03, np.nan]), 1e-3) == ["differ", "agree", "too few spikes"]
        assert verdicts(np.array([0.03, 1.0]), 0.03) == ["too few seeds", "too few seeds"]

    def test_poisson_survival_is_that_of_poisson_trains(self):
        random = np.random.default_rng(5)
        rate, at = np.array([2.0, 30.0]), np.array([0.0, 0.05, 0.3, 0.8])
        gaps = [np.diff(np.sort(random.random(random.poisson(r)))) for r in rate for _ in range(4000)]
        measured = (np.concatenate(gaps) > at[:, None]).mean(axis=1)
        # About 120 000 intervals; 4 standard errors of a fraction, and 1e-3: those of one train are not independent.
        np.testing.assert_allclose(poisson_survival(rate, 1.0, at), measured, atol=4 * math.sqrt(0.25 / 120_000) + 1e-3)
        assert poisson_survival(rate, 1.0, at)[0] == 1.0

    def test_share_deviations_are_standard(self):
        random = np.random.default_rng(3)
        p = np.array([0.5, 0.3, 0.2])
        z = []
        for _ in range(300):
            n = {name: random.multinomial(500, p, size=20).astype(float) for name in ("Brian2", "NEST")}
            total = {name: np.array([one.sum()]) for name, one in n.items()}
            z.append(share_deviations(n, total, np.zeros(3, dtype=int)))
        # Student's t of 38 degrees of freedom has the standard deviation 1.03; 900 values, in triples that sum to 0.
        assert np.std(z) == pytest.approx(1.03, abs=4 * 0.03)
        few = {name: np.full((2, 3), 4.0) for name in ("Brian2", "NEST")}
        assert np.isnan(share_deviations(few, {name: np.array([24]) for name in few}, np.zeros(3, dtype=int))).all()


class TestBrian2Side:
    def test_recorded_spikes_are_those_that_simulate_counts(self):
        """At a rate at which keys tie, so that the rule of counting row spikes matters."""
        circuit = Escape(rate=1000 * b2.Hz)
        recorded = simulators_brian2.run_rows(circuit, LOGITS, steps=1500, trials=2, seed=3)
        counted = simulate(circuit, LOGITS, duration=150 * b2.ms, trials=2, seed=3, target="numpy", checkpoints=1)
        rows = Rows(UNMASKED, 0.1, 1500)
        expected = counted["spike_count"].isel(checkpoint=-1).values
        assert expected.sum() > 500
        assert min(tie_fraction(one, rows) for one in recorded) > 0
        np.testing.assert_array_equal(np.stack([counts(one, rows) for one in recorded]), expected)
        gaps = np.maximum(expected[1] - 1, 0)
        sums = [counted[name].values[1] for name in ("gap_sum", "gap_square_sum")]
        cv = metrics.interval_cv(sums[0], sums[1], gaps, pool=(), over=(-2, -1))
        assert code_cv(recorded[1], rows) == pytest.approx(float(cv), rel=1e-12)

    def test_input_spikes_act_at_the_threshold_of_the_next_step(self):
        """The first half of the neurons is lifted exactly to its threshold at step 50, the others above it at 60."""
        found = simulators_brian2.run_neurons(tie_case())
        assert set(found.step) == {61}
        assert found.neuron.tolist() == list(range(12, 24))


class TestTables:
    def results(self, shift=0, drop=0):
        case = constant_cases()[0]
        case = attrs.evolve(case, v_inf=case.v_inf[-2:])
        step, neuron = [], []
        for number, interval in enumerate((67, 48)):
            times = np.arange(47 if number == 0 else 28, case.steps, interval)
            step += times.tolist()
            neuron += [number] * len(times)
        brian2 = spikes(step, neuron)
        late = Spikes(brian2.step[drop:] + shift, brian2.neuron[drop:])
        return case, brian2, late

    def test_identical_and_not(self):
        case, brian2, same = self.results()
        table = neurons_table([CaseResult(case, brian2, same)])
        assert table["verdict"].tolist() == ["identical"] * 2
        assert table["interval_brian2_ms"].tolist() == pytest.approx([6.7, 4.8])
        assert table["stamp_shift_steps"].tolist() == [1, 1]
        assert table["mismatches"].sum() == 0
        for shift, drop in ((1, 0), (0, 1)):
            _, _, other = self.results(shift, drop)
            table = neurons_table([CaseResult(case, brian2, other)])
            assert "differs" in table["verdict"].tolist()
            assert table["mismatches"].max() >= 1

    def test_unpaired(self):
        one = spikes([3, 10, 17, 24], [0, 0, 0, 0])
        assert unpaired(one, one, n=1, steps=30) == 0
        longer = spikes([3, 11, 19], [0, 0, 0])
        assert unpaired(one, longer, n=1, steps=27, extra=1) == 0  # the last would fall behind the end
        assert unpaired(one, longer, n=1, steps=28, extra=1) == 1
        assert unpaired(one, longer, n=1, steps=30) == 5

    def test_results_survive_the_file(self, tmp_path):
        case, brian2, nest_spikes = self.results()
        one = spikes([1, 2, 3], [0, 3, 6])
        circuits = {"race": CircuitResult(Race(), 40, [one, spikes([], [])], [one, one], 2, "numpy")}
        given = Recorded([CaseResult(case, brian2, nest_spikes, brian2, 5.0)], circuits, LOGITS, 3, 10)
        save_results(given, tmp_path / "spikes.npz")
        read = load_results(tmp_path / "spikes.npz")
        np.testing.assert_array_equal(read.logits, LOGITS)
        assert read.cases[0].siegert_neuron == 5.0
        for before, after in zip(given.cases[0][1:4], read.cases[0][1:4], strict=True):
            np.testing.assert_array_equal(before, after)
        found = read.circuits["race"]
        assert (found.steps, found.differing, found.target, len(found.brian2[1].step)) == (40, 2, "numpy", 0)
        np.testing.assert_array_equal(found.nest[1], one)
        np.savez(tmp_path / "other.npz", a=np.zeros(2))
        with pytest.raises(ValueError, match="about"):
            load_results(tmp_path / "other.npz")
