"""The `diffusive` circuit: its noise, its rate, its mean field and its error law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import brentq

from biospike import runtime, simulate
from biospike.circuit import Batch, Shape
from biospike.ideal.softmax import softmax
from biospike.metrics import shares, total_variation
from biospike.neurons import LIF
from biospike.theory import noisy_lif
from biospike.theory.concentration import multinomial_tv, multinomial_tv_asymptotic
from biospike.theory.noisy_lif import draw_membrane, interval_cv, on_grid
from circuits.softmax.diffusive import LEAST_RATE, Diffusive
from validation.data import attention_rows

import brian2 as b2

ROWS = np.array(
    [
        [2.0, 1.0, 0.0, -1.0, -2.0, 0.5, 1.5, -0.5],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [3.0, 0.0, 0.0, 0.0, np.nan, np.nan, np.nan, np.nan],
        [1.0, 0.9, 0.8, -1.0, -1.0, -3.0, -3.0, np.nan],
    ]
)


def batch(logits: NDArray[np.float64], seed: int) -> Batch:
    rows = np.arange(len(logits))
    return Batch(logits, np.zeros_like(rows), rows, seed)


def run_numpy(
    rows: Batch, changed: dict[str, Any], dt: float, duration: float, wanted: str, refractory: str = "2 ms"
) -> NDArray[Any]:
    count, keys = rows.logits.shape
    circuit, shape = (
        Diffusive(refractory=refractory),
        Shape(count, count * keys, 8, hub_index=np.arange(count).repeat(keys)),
    )
    state = circuit.state(rows, dt * b2.second) | {
        "keys.seed": rows.seed,
        "keys.trial": np.repeat(rows.trial, rows.logits.shape[1]),
        "keys.index": rows.index,
        **changed,
    }
    return runtime.run(circuit, shape, state, dt=dt, duration=duration, wanted=[wanted], target="numpy")[wanted]


@pytest.mark.parametrize(("dt_ms", "keys"), [(0.1, 1024), (1.0, 8192), (10.0, 8192)])
def test_membrane_below_threshold_has_standard_deviation_sigma(dt_ms: float, keys: int) -> None:
    # Without threshold and feedback, from v = v_rest: after 5 tau_m the variance lacks exp(-10) of sigma^2.
    # The variance of n normal numbers has the relative standard error sqrt(2/n); Euler would be 33 % off at 10 ms.
    silent = {"keys.v_threshold": 1.0, "keys.mean": -0.07, "keys.v": -0.07, "hub.I": 0.0, "hub.w": 0.0}
    v = run_numpy(batch(np.zeros((1, keys)), seed=3), silent, dt_ms * 1e-3, 0.1, "keys.v", "0 ms")
    assert abs(v.var() / 5e-3**2 - 1) < 4 * np.sqrt(2 / keys)
    assert abs(v.mean() + 0.07) < 4 * 5e-3 / np.sqrt(keys)


def test_lone_key_without_feedback_fires_at_the_grid_corrected_siegert_rate() -> None:
    # The bias is the drive at which a lone key fires at R0. Standard error of the count from the closed-form CV; the
    # formula itself is good to 1 % at this step.
    circuit, rows = Diffusive(), 256
    counts = run_numpy(batch(np.zeros((rows, 1)), seed=5), {"hub.w": 0.0}, 1e-4, 0.5, "keys.spike_count")
    expected = 40 * 0.5
    cell = on_grid(circuit.cell, circuit.siegert_sigma, circuit.dt)
    mean = circuit.mean_field(np.zeros((1, 1)))[0]
    cv = float(interval_cv(cell, mean, circuit.siegert_sigma)[0, 0])
    assert abs(counts.mean() / expected - 1) < 4 * cv / np.sqrt(expected * rows) + 0.01


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return simulate(
        Diffusive(),
        ROWS,
        duration="1 s",
        trials=256,
        seed=11,
        target="cpp_standalone",
        checkpoints=np.array([0.05, 0.5, 1.0]) * b2.second,
    )


@pytest.mark.compiles
def test_shares_agree_with_the_mean_field(data: xr.Dataset) -> None:
    # k = 5 of the standard errors of a pooled share, from the scatter of the trials, over 28 shares; the mean field
    # neglects fluctuations of the inhibition and has the 1 % of Siegert's formula on the grid: 0.004 at most.
    counts = data.spike_count.values[..., -1].astype(float)
    fired = counts.sum(axis=-1, keepdims=True)
    pooled = counts.sum(axis=0) / fired.sum(axis=0)
    error = (counts - pooled * fired).std(axis=0) / fired.mean(axis=0) / np.sqrt(len(counts))
    assert counts.sum(axis=(0, 2)).min() > 9000
    assert np.all(np.abs(pooled - data["limit"].values) <= 5 * error + 0.004)
    # The mean field is not softmax, and the test would see the difference.
    assert total_variation(pooled, softmax(ROWS))[0] > 0.05


@pytest.mark.compiles
def test_inhibition_pins_the_rate_from_the_start(data: xr.Dataset) -> None:
    # In every window; the variance of the count stays far below Poisson's, and an unstable loop would exceed it.
    fired = data.spike_count.sum("key").values.astype(float)
    for window, counts in zip(data.window_ms.values, np.moveaxis(fired, -1, 0), strict=True):
        error = counts.std() / np.sqrt(counts.size)
        assert abs(counts.mean() - 40 * window * 1e-3) < 4 * error + 0.01 * counts.mean()
    assert fired[..., -1].var(axis=0).max() < 0.5 * 40


@pytest.mark.compiles
@pytest.mark.parametrize("window", [1, 2])
def test_error_law(data: xr.Dataset, window: int) -> None:
    # Asymptotic: 5 % at 20 to 40 spikes a row; TV varies by about 30 % from trial to trial, so its mean is good to 1 %.
    counts = data.spike_count.values[..., window]
    limit = data["limit"].values
    circuit, spikes = Diffusive(), counts.sum(axis=-1)
    for target in (limit, softmax(ROWS)):
        measured = total_variation(shares(counts), target).mean()
        assert measured == pytest.approx(circuit.expected_tv(limit, spikes, target).mean(), rel=0.05)


@pytest.mark.parametrize("keys", [300, 50_257])
def test_error_law_of_few_spikes_on_many_keys_is_that_of_whole_spikes(keys: int) -> None:
    """Equal keys of at most 0.13 Hz are Poisson: CV 1 within 1 %, and the integral takes 1/keys of it back."""
    p = np.full((1, keys), 1 / keys)
    law = Diffusive().expected_tv(p, np.array([40.0]))
    assert law == pytest.approx(multinomial_tv(p, np.array([40.0])), rel=0.01)
    assert law < 1
    # A normal number of the same variance is far off.
    assert multinomial_tv_asymptotic(p, 40.0) > 1.2 * law


def test_error_law_against_renewal_counts_that_share_their_excess() -> None:
    """Two keys of 20 Hz: Gamma intervals of the CV of the closed form, of which the integral takes half the excess."""
    circuit, rng = Diffusive(), np.random.default_rng(3)
    mean, inhibition, rates = circuit.mean_field(np.zeros((1, 2)))
    cell = on_grid(circuit.cell, circuit.siegert_sigma, circuit.dt)
    cv = float(interval_cv(cell, mean - inhibition[:, None], circuit.siegert_sigma)[0, 0])
    assert rates[0, 0] == pytest.approx(20, rel=1e-3)
    n, shape = 400.0, cv**-2
    intervals = rng.gamma(shape, 1 / shape, (4000, 2, 400))
    start = rng.uniform(size=(4000, 2, 1)) * intervals[..., :1]
    counts = (np.cumsum(np.concatenate([start, intervals[..., 1:]], axis=-1), axis=-1) < n / 2).sum(axis=-1)
    # (1 - a)*N_0 - a*N_1 with a = 1/2, over n.
    tv = np.abs(counts[:, 0] - counts[:, 1]) / 2 / n
    law = float(circuit.expected_tv(np.full((1, 2), 0.5), np.array([n]))[0])
    assert abs(tv.mean() - law) < 4 * tv.std() / np.sqrt(len(tv)) + 0.02 * law


@pytest.mark.compiles
@pytest.mark.long
def test_error_law_of_few_spikes_against_simulation() -> None:
    """1 s on 300 equal keys: 40 spikes, where a normal law reads 24 % too much."""
    data = simulate(Diffusive(), np.zeros((8, 300)), duration="1 s", trials=8, seed=4, target="cpp_standalone")
    counts = data.spike_count.values[..., -1]
    p = np.full(300, 1 / 300)
    tv, law = (
        total_variation(shares(counts), p),
        Diffusive().expected_tv(np.broadcast_to(p, counts.shape), counts.sum(-1)),
    )
    assert counts.sum() > 2000
    assert abs(tv.mean() - law.mean()) < 4 * tv.std() / 8 + 0.01


def test_masked_keys_are_silent_and_a_lone_key_takes_the_row() -> None:
    lone = [[np.nan, -3.0, np.nan, np.nan]]
    counts = simulate(Diffusive(), lone, duration="200 ms", seed=2, target="numpy").spike_count.values[0, 0, :, -1]
    assert counts[1] >= 3
    assert counts.sum() == counts[1]


@pytest.mark.parametrize(("rate", "bias"), [(5, 0.042), (20, 0.079), (60, 0.142)])
def test_bias_on_real_rows(rate: float, bias: float) -> None:
    logits = attention_rows()
    limit = Diffusive(rate=rate * b2.Hz).limit(logits)
    assert total_variation(limit, softmax(logits)).mean() == pytest.approx(bias, abs=1e-3)


def test_limit_is_a_share_of_a_shift_invariant_row() -> None:
    limit = Diffusive().limit(ROWS)
    np.testing.assert_allclose(limit.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(limit == 0, np.isnan(ROWS))
    np.testing.assert_allclose(Diffusive().limit(ROWS + 100), limit, atol=1e-9)
    np.testing.assert_allclose(limit[1], 1 / 8, rtol=1e-12)


def test_limit_solves_the_mean_field_with_the_closed_form() -> None:
    # The table is interpolated to 1e-4 of a rate.
    circuit = Diffusive()
    mean, inhibition, rates = circuit.mean_field(ROWS)
    exact = circuit.cell.siegert_rate((mean - inhibition[:, None]) * b2.volt, circuit.siegert_sigma, dt=circuit.dt)
    exact = np.where(np.isnan(ROWS), 0, np.asarray(exact))
    np.testing.assert_allclose(rates, exact, rtol=1e-4)
    np.testing.assert_allclose(exact.sum(axis=1), 40, rtol=1e-4)


def test_softmax_in_the_limit_of_rare_spikes() -> None:
    bias = [
        total_variation(Diffusive(rate=rate * b2.Hz).limit(ROWS), softmax(ROWS)).mean() for rate in (40, 4, 0.4, 0.04)
    ]
    assert np.all(np.diff(bias) < 0)
    assert bias[-1] < 0.015
    rarest = (
        Diffusive(rate=LEAST_RATE, sigma=2e-6 * b2.volt, w=1e-9 * b2.volt).limit(ROWS),
        Diffusive(rate=LEAST_RATE).limit(ROWS),
    )
    for limit in rarest:
        assert total_variation(limit, softmax(ROWS)).mean() < bias[-1]


def test_kappa_is_one_nat_of_rate_a_nat_of_logit() -> None:
    circuit = Diffusive()
    cell, sigma = circuit.cell, circuit.siegert_sigma

    def log_rate(mu: float) -> float:
        return float(np.log(cell.siegert_rate(mu * b2.volt, sigma, dt=circuit.dt) / b2.Hz))

    mu = brentq(lambda v: log_rate(v) - np.log(40 * np.exp(-2)), -0.1, -0.05)
    slope = (log_rate(mu + 1e-5) - log_rate(mu - 1e-5)) / 2e-5
    assert float(circuit.used_kappa()) * slope == pytest.approx(1, rel=1e-3)
    assert Diffusive(kappa="2 mV").used_kappa() == 2 * b2.mV


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate": 0 * b2.Hz}, "rate must be above"),
        ({"rate": 300 * b2.Hz}, "rate must be at most 250"),
        ({"kappa": -1 * b2.mV}, "kappa must be above .* got -1. mV"),
        ({"kappa": "3 ms"}, "expected a value such as '1. mV'"),
        ({"sigma": "0 mV"}, "sigma must be above"),
        ({"sigma": 1e-9 * b2.volt}, "sigma must be at least 2. uV, got 1. nV"),
        ({"rate": 1e-10 * b2.Hz}, "rate must be at least 1. nHz, got 1e-10 Hz"),
        ({"v_threshold": "-70 mV"}, "v_threshold must be above v_rest .* got -70. mV"),
    ],
)
def test_bad_parameters_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Diffusive(**changed)


@pytest.mark.parametrize(
    ("changed", "dt_ms", "message"),
    [
        ({}, 0.3, "refractory = 2. ms must be a multiple of dt"),
        ({"delay": "0.25 ms"}, 0.1, "delay = 250. us must be a multiple of dt"),
        ({}, 2.0, "delay = 1. ms must be a multiple of dt"),
        ({"delay": "2 ms"}, 2.0, "dt = 2. ms must be at most tau_m/20 = 1. ms"),
        ({"w": "5 mV"}, 0.1, "w must be at most .* 3.06"),
    ],
)
def test_bad_grids_and_loops_are_named(changed: dict[str, Any], dt_ms: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Diffusive(**changed).check(dt_ms * b2.ms)


def test_interval_cv_of_rare_and_of_driven_spikes() -> None:
    cell = LIF()
    mu = np.array([-0.12, -0.085, -0.078])
    np.testing.assert_allclose(interval_cv(cell, mu, 7 * b2.mV), 1, atol=1e-3)
    # Weak noise: the crossing time scatters by that of v there, over its slope.
    mean, sigma = -0.04, 0.1e-3  # far in the asymptotic part of the integral
    charging = float(cell.charging_time(mean * b2.volt))
    scatter = sigma * np.sqrt((1 - np.exp(-2 * charging / 0.02)) / 2) / ((mean + 0.05) / 0.02)
    measured = interval_cv(cell, np.array([mean]), sigma * b2.volt)[0]
    assert measured == pytest.approx(scatter / (charging + 0.002), rel=1e-3)
    # Where the asymptote takes over, the reset 20 sigma below the drive, the CV is continuous.
    either_side = interval_cv(cell, np.array([-0.039999, -0.040001]), 1.5 * b2.mV)
    assert either_side[0] == pytest.approx(either_side[1], rel=2e-4)


def test_drawn_membranes() -> None:
    cell, n = LIF(), 20001
    u = (np.arange(n) + 0.5) / n
    # Far below threshold: normal, of half Siegert's variance.
    v = draw_membrane(cell, np.full(n, -0.1), 5 * b2.mV, u)
    assert v.mean() == pytest.approx(-0.1, abs=1e-5)
    assert v.std() == pytest.approx(5e-3 / np.sqrt(2), rel=0.01)
    # Strong drive, weak noise: the time since the reset is uniform, and the refractory fraction is held at the reset.
    mean = -0.04
    v = draw_membrane(cell, np.full(n, mean), 0.3 * b2.mV, u)
    rate = float(cell.firing_rate(mean * b2.volt) / b2.Hz)
    assert np.mean(v == -0.07) == pytest.approx(rate * 0.002, rel=0.01)
    assert np.median(v) == pytest.approx(mean - 0.03 * np.exp(-(0.5 / rate - 0.002) / 0.02), abs=2e-4)
    assert v.max() < -0.05


def test_membranes_are_drawn_a_block_of_neurons_at_a_time(monkeypatch):
    """Memory does not grow with the keys, and the blocks do not show in a bit."""
    circuit, rng = Diffusive(), np.random.default_rng(8)
    mu, u = rng.normal(-0.055, 0.003, (5, 9)), rng.uniform(0, 1, (5, 9))
    whole = noisy_lif.draw_membrane(circuit.cell, mu, circuit.siegert_sigma, u)
    assert whole.std() > 1e-3
    monkeypatch.setattr(noisy_lif, "TOGETHER", 7)
    np.testing.assert_array_equal(noisy_lif.draw_membrane(circuit.cell, mu, circuit.siegert_sigma, u), whole)
