import numpy as np
import pytest

from biospike.theory.concentration import multinomial_tv_asymptotic
from biospike.theory.regularity import biased_renewal_tv, phase_tv

P = np.array([0.45, 0.25, 0.15, 0.1, 0.04, 0.01])


def test_phase_law_against_counters_at_random_phases():
    """Windows of 300 to 400 spikes, whole numbers of intervals of every key; five standard errors."""
    rng = np.random.default_rng(0)
    n = rng.uniform(300, 400, 20_000)
    counts = np.floor(n[:, None] * P + rng.uniform(size=(n.size, P.size)))
    tv = np.abs(counts / n[:, None] - P).sum(axis=1) / 2
    assert counts.min() >= 1
    assert abs(tv.mean() - phase_tv(P, n).mean()) < 5 * tv.std() / np.sqrt(n.size)


def test_phase_law_before_the_first_spike_of_a_key():
    """Three spikes on six keys: weak keys are still at their first charge."""
    rng = np.random.default_rng(1)
    counts = np.floor(3.0 * P + rng.uniform(size=(200_000, P.size)))
    weak = 3.0 * P < 1
    error = np.abs(counts - 3.0 * P)[:, weak].sum(axis=1) / 2
    law = (3.0 * P * (1 - 3.0 * P))[weak].sum()
    assert abs(error.mean() - law) < 5 * error.std() / np.sqrt(error.size)


def test_phase_law_of_many_spikes_is_keys_over_six_n():
    assert phase_tv(P, 1e4) == pytest.approx(6 / 6e4)
    assert np.isnan(phase_tv(P, 0.0))


def test_biased_law_without_bias_is_the_multinomial_asymptote_times_cv():
    assert biased_renewal_tv(P, 500.0, 1.0, P) == pytest.approx(multinomial_tv_asymptotic(P, 500))
    assert biased_renewal_tv(P, 500.0, 0.25, P) == pytest.approx(0.25 * multinomial_tv_asymptotic(P, 500))


def test_biased_law_without_noise_is_the_bias():
    q = P[::-1]
    bias = np.abs(P - q).sum() / 2
    assert biased_renewal_tv(q, 500.0, 0.0, P) == pytest.approx(bias)
    assert biased_renewal_tv(q, 1e12, 1.0, P) == pytest.approx(bias, rel=1e-4)


def test_biased_law_against_multinomial_shares():
    """Shares drawn from q held against p; five standard errors and 1 % for the normal law at 2000 spikes."""
    rng = np.random.default_rng(2)
    q = P + np.array([-0.02, 0.01, 0.01, 0.0, 0.005, -0.005])
    shares = rng.multinomial(2000, q, size=20_000) / 2000
    tv = np.abs(shares - P).sum(axis=1) / 2
    law = biased_renewal_tv(q, 2000.0, 1.0, P)
    assert abs(tv.mean() - law) < 5 * tv.std() / np.sqrt(tv.size) + 0.01 * law
