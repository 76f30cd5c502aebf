"""The Lyapunov function of Lemma 3: its sampling floor, and rates of decays that are known."""

import math

import numpy as np
import pytest

from biospike.theory.lyapunov import Decay, V, fit_rate, sampling_floor

P = np.array([0.5, 0.3, 0.2, 0.0])


def test_value_by_hand():
    assert V([1.0, 0.0], [0.0, 1.0]) == 2
    np.testing.assert_allclose(V([P, [0.25] * 4], P), [0.0, 0.0625 + 0.0025 + 0.0025 + 0.0625])
    assert np.isnan(V([np.nan] * 4, P))


def test_sampling_floor_of_multinomial_shares():
    n, draws = 40, 20_000
    v = V(np.random.default_rng(1).multinomial(n, P, draws) / n, P)
    error = v.std(ddof=1) / math.sqrt(draws)
    assert abs(v.mean() - sampling_floor(P, n)) < 4 * error  # 4 standard errors
    assert sampling_floor(P, 1) == pytest.approx(1 - 0.38)
    assert np.isnan(sampling_floor(P, 0))


def test_linear_relaxation_decays_at_twice_its_rate():
    # dr/dt = (p - r)/tau: every difference falls as exp(-t/tau), V as exp(-2 t/tau).
    tau, t = 20.0, np.linspace(0, 100, 60)
    r = P + (np.full(4, 0.25) - P) * np.exp(-t / tau)[:, None]
    fit = fit_rate(t, V(r, P))
    assert isinstance(fit, Decay)
    assert fit.rate == pytest.approx(2 / tau, rel=1e-5)
    assert fit.rate_low <= fit.rate <= fit.rate_high
    assert fit.floor < 1e-9
    assert fit.amplitude == pytest.approx(V(np.full(4, 0.25), P), rel=1e-4)
    assert fit.r_squared > 1 - 1e-8


@pytest.mark.parametrize(("rate", "floor"), [(0.3, 1e-2), (2.0, 1e-4), (10.0, 0.3)])
def test_a_floor_does_not_bend_the_rate(rate, floor):
    t = np.linspace(1.0, 8.0, 80) if rate < 5 else np.linspace(0.0, 2.0, 80)
    values = 1.5 * np.exp(-rate * t) + floor
    fit = fit_rate(t, values)
    assert fit.rate == pytest.approx(rate, rel=1e-4)
    assert fit.floor == pytest.approx(floor, rel=1e-3)
    assert fit.amplitude == pytest.approx(1.5, rel=1e-3)


@pytest.mark.long
def test_interval_covers_the_rate():
    t, rate, hits, runs = np.linspace(0, 4, 30), 1.2, 0, 40
    rng = np.random.default_rng(2)
    for _ in range(runs):
        values = (np.exp(-rate * t) + 0.02) * rng.lognormal(0, 0.1, (6, 30))
        fit = fit_rate(t, values)
        hits += fit.rate_low < rate < fit.rate_high
        assert fit.rate_high - fit.rate_low < 0.5 * rate
    # Binomial with 95 %: below 33 of 40 has a probability of 1e-3. The wider of two intervals may cover more.
    assert hits >= 33


def test_a_power_law_is_no_exponential():
    n = np.arange(1, 2000, 10)
    assert fit_rate(n, sampling_floor(P, n)).r_squared < 0.98
    rng = np.random.default_rng(3)
    exponential = np.exp(-n / 200) * rng.lognormal(0, 0.01, n.size)
    assert fit_rate(n, exponential).r_squared > 0.999


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_rate([0, 1, 2], [1, 1, 1]), "at least 5 increasing times"),
        (lambda: fit_rate([0, 1, 2, 2, 4], np.ones(5)), "increasing times"),
        (lambda: fit_rate(np.arange(5), np.ones(4)), r"got \(5,\) and \(1, 4\)"),
        (lambda: fit_rate(np.arange(5), [1, 1, 0, 1, 1]), "above 0 and finite, got 0.0"),
        (lambda: fit_rate(np.arange(5), [1, 1, np.nan, 1, 1]), "got nan"),
    ],
)
def test_errors_name_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
