"""Limits and error laws of the circuits whose shares have a closed form."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shipped import MICROCIRCUITS, SHIPPED

from biospike import metrics, simulate
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.theory.concentration import multinomial_tv, renewal_tv
from biospike.traces import record
from circuits import SOFTMAX_CIRCUITS
from circuits import softmax as softmax_package
from circuits.softmax import Divisive, Escape, Integrate, Race, Subtractive, gate
from circuits.softmax.subtractive import threshold_linear_rates

import brian2 as b2

LOGITS = np.random.default_rng(1).normal(0, 1.5, (6, 10))
LOGITS[2, 7:] = np.nan
P = softmax(LOGITS)
TRIALS = 40
EXACT: dict[str, Any] = {"race": Race(), "escape": Escape(), "integrate": Integrate(), "divisive": Divisive()}


def run(circuit, logits=LOGITS, duration=400 * b2.ms, trials=TRIALS, seed=2, **options):
    options = {"target": "numpy", "checkpoints": 8} | options
    with pytest.MonkeyPatch.context() as patch:
        if options["target"] == "numpy":  # which pays by the batch
            patch.setattr("biospike.simulation.NEURONS_PER_BATCH", 2**13)
            patch.setattr("biospike.simulation.ROWS_PER_BATCH", 2**10)
        data = simulate(circuit, logits, duration=duration, trials=trials, seed=seed, **options)
    assert data.spike_count[..., -1].sum() > 50 * trials, "hardly anything fired"
    return data


@pytest.fixture(scope="module")
def runs():
    return {name: run(circuit) for name, circuit in EXACT.items()}


def final(data):
    return data.spike_count.isel(checkpoint=-1).values


def test_registry_finds_the_seven_and_the_controls():
    assert set(SHIPPED) - set(MICROCIRCUITS) == {
        "subtractive", "shunting", "divisive", "race", "integrate", "escape", "diffusive", "none", "self_inhibition",
    }  # fmt: skip
    for name, kind in SOFTMAX_CIRCUITS.items():
        assert issubclass(kind, Circuit)
        assert kind().name == name


@pytest.mark.parametrize("name", SOFTMAX_CIRCUITS)
def test_limit_sums_to_one_and_is_zero_at_masked_keys(name):
    limit = SOFTMAX_CIRCUITS[name]().limit(LOGITS)
    np.testing.assert_allclose(limit.sum(axis=1), 1)
    assert np.all(limit[np.isnan(LOGITS)] == 0)
    assert np.all(limit >= 0)
    by_infinity = np.where(np.isnan(LOGITS), -np.inf, LOGITS)
    np.testing.assert_array_equal(SOFTMAX_CIRCUITS[name]().limit(by_infinity), limit)


@pytest.mark.parametrize("name", ["race", "escape"])
def test_shares_have_no_bias(runs, name):
    """Chi square of the trial means of all shares against softmax: the common-gate criterion.

    The standard errors are measured over trials; the statistic is a sum of squares of about Student-t variables, so
    its mean is df*(R-1)/(R-3), and 5 of its standard deviations sqrt(2*df) are allowed.
    """
    enough = P > 0.02
    shares = metrics.shares(final(runs[name]).astype(float))[:, enough]
    t = (shares.mean(axis=0) - P[enough]) / (shares.std(axis=0, ddof=1) / np.sqrt(TRIALS))
    statistic, freedom = (t**2).sum(), enough.sum()
    assert freedom > 20
    assert statistic < freedom * (TRIALS - 1) / (TRIALS - 3) + 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("name", ["integrate", "divisive"])
def test_deterministic_circuits_have_no_bias_beyond_a_fraction_of_a_spike(runs, name):
    """A clock has no martingale: the gate follows the phases, which correlates count and total by part of a spike."""
    counts = final(runs[name]).astype(float)
    deviation = counts - counts.sum(axis=-1, keepdims=True) * P
    error = deviation.std(axis=0, ddof=1) / np.sqrt(TRIALS)
    assert counts.sum(axis=-1).min() > 100
    assert np.all(np.abs(deviation.mean(axis=0)) < 0.25 + 4 * error)


@pytest.mark.parametrize("name", ["race", "escape"])
def test_stochastic_circuits_obey_the_multinomial_law(runs, name):
    counts = final(runs[name]).astype(float)
    tv = metrics.total_variation(metrics.shares(counts), P)
    law = EXACT[name].expected_tv(np.broadcast_to(P, counts.shape), counts.sum(axis=-1))
    error = tv.std(axis=0, ddof=1) / np.sqrt(TRIALS)
    # Four standard errors of the mean over rows, and 1 % for ties on the grid, which draw without replacement.
    assert abs(tv.mean() - law.mean()) < 4 * np.sqrt((error**2).sum()) / len(P) + 0.01 * law.mean()


@pytest.mark.parametrize("name", ["integrate", "divisive"])
def test_deterministic_circuits_stay_within_a_spike(runs, name):
    """Counts are those of the drive to within one spike a key, whatever the window; of N p_i they may be farther."""
    counts = runs[name].spike_count.transpose("trial", "row", "checkpoint", "key").values
    spikes = counts.sum(axis=-1, keepdims=True)
    unmasked = (~np.isnan(LOGITS)).sum(axis=1)[:, None, None]
    # The common integral is known from the row's total to within the keys' leftover charges, which add n*p_i at most.
    assert np.all(np.abs(counts - spikes * P[:, None]) < 1 + unmasked * P[:, None])


def test_inhibition_falls_so_slowly_that_no_key_owes_more_than_a_spike(monkeypatch):
    """Up to the largest weight counts are those of the drive; beyond, keys fire at every step, whatever their drive."""

    def stray(circuit):
        counts = final(run(circuit, trials=2)).astype(float)
        unmasked = (~np.isnan(LOGITS)).sum(axis=1)[:, None]
        return (np.abs(counts - counts.sum(axis=-1, keepdims=True) * P) / (1 + unmasked * P)).max()

    largest = np.log(2) / (500 * 1e-4)
    assert stray(Integrate(w=largest)) < 2  # the spike that is left over, and the one that is owed
    with pytest.raises(InputError, match=r"integrate: inhibition falls by .* 0.7 nats .* w at most 13.86 at rate"):
        simulate(Integrate(w=14), LOGITS, duration="100 ms", target="numpy")
    monkeypatch.setattr(gate, "LARGEST_FALL", np.inf)
    assert stray(Integrate(w=1000)) > 50


@pytest.mark.parametrize("name", ["integrate", "divisive"])
def test_phase_law(runs, name):
    counts = final(runs[name]).astype(float)
    tv = metrics.total_variation(metrics.shares(counts), P)
    law = EXACT[name].expected_tv(np.broadcast_to(P, counts.shape), counts.sum(axis=-1)).mean()
    error = np.sqrt((tv.var(axis=0, ddof=1) / len(tv)).sum()) / len(P)
    # Four standard errors, and 6 % for the one window end of these few rows, where fractional parts are not even.
    assert abs(tv.mean() - law) < 4 * error + 0.06 * law


@pytest.mark.parametrize("regularity", [4, 9])
def test_family_between_poisson_and_clock(regularity):
    """E[TV] = k**-1/2 times the multinomial law, and the measured CV says so too."""
    data = run(Escape(regularity=regularity), duration=800 * b2.ms, trials=16, target="fused")
    counts = final(data).astype(float)
    tv = metrics.total_variation(metrics.shares(counts), P)
    spikes = counts.sum(axis=-1)
    law = Escape(regularity=regularity).expected_tv(np.broadcast_to(P, counts.shape), spikes).mean()
    error = np.sqrt((tv.var(axis=0, ddof=1) / len(tv)).sum()) / len(P)
    # Four standard errors, and 4 % for an asymptotic law at some 400 spikes a row.
    assert abs(tv.mean() - law) < 4 * error + 0.04 * law
    assert law < 0.7 * renewal_tv(np.broadcast_to(P, counts.shape), spikes, 1.0).mean()


def test_poisson_code_has_cv_one_and_clock_far_less(runs):
    def cv(name):
        data = runs[name]
        gaps = np.maximum(final(data) - 1, 0)
        return metrics.interval_cv(data.gap_sum.values, data.gap_square_sum.values, gaps, over=(-2, -1))

    # Some 1000 gaps of each key in all trials: standard error about 1/sqrt(1000); windows of 200 spikes cut 5 % off.
    assert cv("race") == pytest.approx(1, abs=0.1)
    assert cv("escape") == pytest.approx(1, abs=0.1)
    assert cv("integrate") < 0.3
    assert cv("divisive") < 0.3


def test_race_rate(runs):
    """Row rates 1/(t_inh + 1/Lambda) with the geometric waiting time of the grid: the closed form of `row_rate`."""
    data = runs["race"]
    rate = final(data).sum(axis=-1).mean(axis=0) / 0.4
    drive = 200 * P / P.max(axis=1, keepdims=True) * 1e-4
    any_key = 1 - np.prod(1 - drive, axis=1)
    # A cycle is the closed time, and the steps until any key spikes; ties add to the count.
    expected = drive.sum(axis=1) / any_key / (1e-3 + 1e-4 / any_key)
    spread = final(data).sum(axis=-1).std(axis=0, ddof=1) / np.sqrt(TRIALS) / 0.4
    # The window starts open: one closed interval is missing, 1 ms of 400.
    assert np.all(np.abs(rate - expected) < 4 * spread + 0.005 * expected)
    np.testing.assert_allclose(np.asarray(Race().row_rate(LOGITS)), expected, rtol=1e-10)


def test_escape_pins_the_row_rate(runs):
    spikes = final(runs["escape"]).sum(axis=-1)
    # N - R0*T is bounded by the excursion of the inhibition, I/w, here some ten spikes.
    assert np.all(np.abs(spikes - 500 * 0.4) < 50)


def test_divisive_rate(runs):
    spikes = runs["divisive"].spike_count.sum("key").mean("trial").values
    late, early = spikes[:, -1], spikes[:, -3]
    window = np.diff(runs["divisive"].window_ms.values[[-3, -1]])[0] * 1e-3
    np.testing.assert_allclose((late - early) / window, np.asarray(Divisive().row_rate(LOGITS)), rtol=0.02)


def test_subtractive_floor_is_its_closed_form():
    data = run(Subtractive(), duration=4 * b2.second, trials=2)
    shares = metrics.shares(final(data).astype(float))
    limit = Subtractive().limit(LOGITS)
    spikes = final(data).sum(axis=-1, keepdims=True)
    # Deterministic: each count is within two spikes of rate*T, the drifting start of the inhibition included.
    assert np.all(np.abs(shares - limit) * spikes < 3 + 10 * limit)
    assert metrics.total_variation(limit, P).mean() > 0.05


def test_subtractive_bias_while_all_keys_are_active():
    """Shares (1+w)*p - w/n and bias w*TV(p, uniform), as long as every key stays above the inhibition."""
    logits = np.log(np.array([[0.3, 0.28, 0.22, 0.2]]))
    circuit = Subtractive(w=0.5)
    p = softmax(logits)
    limit = circuit.limit(logits)
    np.testing.assert_allclose(limit, 1.5 * p - 0.5 / 4, rtol=1e-12)
    np.testing.assert_allclose(
        metrics.total_variation(limit, p), 0.5 * metrics.total_variation(p, np.full((1, 4), 0.25)), rtol=1e-12
    )
    measured = metrics.shares(final(simulate(circuit, logits, duration="10 s", trials=1, target="numpy")).astype(float))
    # About 12,000 spikes: one spike a key is 1e-4 at most.
    np.testing.assert_allclose(measured[0], limit, atol=1e-4)


def test_threshold_linear_fixed_point_by_iteration():
    rng = np.random.default_rng(0)
    drive = rng.uniform(0, 1, (50, 12))
    n = np.full(50, 12)
    rates = threshold_linear_rates(drive, 2.0, n)
    np.testing.assert_allclose(rates, np.maximum(drive - 2.0 * rates.mean(axis=1, keepdims=True), 0), atol=1e-12)
    assert (rates == 0).any()


@pytest.mark.parametrize("beta", [0.9, pytest.param(0.99, marks=pytest.mark.long)])
def test_subtractive_with_a_leak(beta):
    """The self-consistent limit describes the run; weak keys fall silent."""
    circuit = Subtractive(beta=beta, w=0.3)
    data = simulate(circuit, LOGITS, duration="3 s", trials=2, seed=1, target="numpy")
    counts = final(data).astype(float)
    assert counts.sum(axis=-1).min() > 100
    limit = data["limit"].values  # that of the circuit, which takes seconds
    off = metrics.total_variation(metrics.shares(counts), limit)
    # Mean inhibition stands for its pulses, which a leaky staircase resolves: a few percent, against a bias far larger.
    bias = metrics.total_variation(limit, P).mean()
    assert off.mean() < 0.05
    assert bias > 3 * off.mean()
    assert (counts[:, ~np.isnan(LOGITS)] == 0).any()


def test_subtractive_without_drive_above_rheobase_says_so():
    with pytest.raises(ValueError, match="rheobase"):
        Subtractive(beta=0.5, gain=0.4).limit(LOGITS)


@pytest.mark.parametrize("name", ["race", "escape", "integrate", "divisive", "subtractive", "none", "self_inhibition"])
class TestDegenerateRows:
    def test_one_key(self, name):
        data = simulate(SOFTMAX_CIRCUITS[name](), [[np.nan, 2.0, np.nan]], duration="100 ms", target="numpy")
        counts = final(data)[0, 0]
        assert counts[1] > 5
        assert counts[0] == counts[2] == 0

    def test_masked_keys_never_fire_by_either_mask(self, name):
        kind = SOFTMAX_CIRCUITS[name]
        by_nan, by_infinity = (
            final(simulate(kind(), [[1.0, mask, 0.0, mask]], duration="100 ms", target="numpy"))[0, 0]
            for mask in (np.nan, -np.inf)
        )
        np.testing.assert_array_equal(by_nan, by_infinity)
        assert by_nan[1] == by_nan[3] == 0
        assert by_nan.sum() > 5

    def test_equal_logits(self, name):
        circuit = SOFTMAX_CIRCUITS[name]()
        np.testing.assert_allclose(circuit.limit(np.zeros((1, 5))), 0.2)
        data = simulate(circuit, np.zeros((1, 5)), duration="200 ms", trials=40, seed=3, target="numpy")
        pooled = metrics.shares(final(data).sum(axis=0).astype(float))
        # Some 4000 spikes or more: five multinomial standard errors of a share of 0.2.
        assert np.all(np.abs(pooled - 0.2) < 5 * np.sqrt(0.16 / final(data).sum()) + 0.002)

    def test_a_thousand_nats(self, name):
        circuit = SOFTMAX_CIRCUITS[name]()
        logits = [[1000.0, 0.0, -1000.0]]
        np.testing.assert_allclose(circuit.limit(np.array(logits)), [[1.0, 0.0, 0.0]])
        counts = final(simulate(circuit, logits, duration="100 ms", target="numpy"))[0, 0]
        assert counts[0] > 5
        assert counts[1] == counts[2] == 0

    def test_shift_of_the_logits_changes_nothing(self, name):
        kind = SOFTMAX_CIRCUITS[name]
        # Powers of two keep the shifted differences exact.
        logits = np.array([[0.5, -1.25, 0.0]])
        first, second = (
            simulate(kind(), logits + shift, duration="100 ms", target="numpy").spike_count for shift in (0.0, 64.0)
        )
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (Race, {"rate": -1 * b2.Hz}, "rate must be above 0. Hz, got -1"),
        (Race, {"t_inh": "1 mV"}, "1. mV has the unit volt; expected"),
        (Escape, {"regularity": 1.5}, "whole number .* got 1.5"),
        (Escape, {"w": 0}, "w must be above 0, got 0"),
        (Divisive, {"g_half": float("nan")}, "nan is not a number"),
        (Subtractive, {"beta": 1.2}, "beta must be at most 1, got 1.2"),
        (Subtractive, {"gain": 2}, "gain must be at most 1, got 2"),
    ],
)
def test_bad_parameters_name_the_value(kind, options, words):
    with pytest.raises(ValueError, match=words):
        kind(**options)


def test_two_keys_in_one_step_both_count():
    """The tie rule: with equal drives and a coarse open race many steps have two spikes, and all are counted."""
    data = simulate(
        Race(rate=900 * b2.Hz, t_inh=0 * b2.ms), np.zeros((1, 8)), duration="200 ms", seed=1, target="numpy"
    )
    trace = record(Race(rate=900 * b2.Hz, t_inh=0 * b2.ms), np.zeros(8), duration="200 ms", seed=1)
    _, per_step = np.unique(trace.spike_time_ms, return_counts=True)
    assert (per_step > 1).sum() > 20
    assert final(data).sum() == trace.sizes["spike"]


def test_trace_shows_what_was_simulated():
    trace = record(Integrate(), LOGITS[0], duration="100 ms", seed=2)
    assert trace.sizes["spike"] > 20
    assert trace.membrane.max() >= 1
    np.testing.assert_allclose(trace.softmax, P[0])
    assert trace.attrs["membrane_units"] == ""


def test_grid_bias_without_the_linear_drive_would_be_seen():
    """Negative control: probabilities 1-exp(-rate*dt) at rate*dt = 1 stray visibly from softmax, drawn directly."""
    p = softmax(np.array([[2.0, 0.0, 0.0, 0.0]]))[0]
    fire = 1 - np.exp(-p / p.max())
    biased = fire / fire.sum()
    assert metrics.total_variation(biased, p) > 10 * multinomial_tv(p, 1e6)


def test_every_shipped_circuit_is_imported_by_name():
    """A circuit that only the registry finds is unknown to type checkers and editors: none is committed like that."""
    folder = Path(softmax_package.__file__).parent
    listed = subprocess.run(["git", "ls-files", "."], cwd=folder, capture_output=True, text=True, check=False)
    # What is not a checkout is what would be committed.
    committed = set(listed.stdout.split()) or {path.name for path in folder.glob("*.py")}
    assert "race.py" in committed
    for name, kind in SOFTMAX_CIRCUITS.items():
        assert name in SHIPPED or f"{kind.__module__.rsplit('.')[-1]}.py" not in committed, f"{name} is not listed"
    assert all(kind.group in ("circuit", "control", "microcircuit") for kind in SOFTMAX_CIRCUITS.values())
