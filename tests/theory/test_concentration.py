"""Laws of the total variation: brute force, limits, and Monte Carlo within stated standard errors."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from biospike.ideal.softmax import softmax
from biospike.metrics import shares, total_variation
from biospike.theory.concentration import multinomial_tv, multinomial_tv_asymptotic, renewal_tv, spikes_for_tv


def random_rows(seed, rows, keys, spread):
    return softmax(np.random.default_rng(seed).normal(0, spread, (rows, keys)))


@given(st.integers(1, 60), st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
def test_de_moivre_against_the_sum_over_the_binomial(n, weights):
    p = np.array(weights) / sum(weights)
    expected = sum(
        math.comb(n, k) * q**k * (1 - q) ** (n - k) * abs(k - n * q) for q in map(float, p) for k in range(n + 1)
    ) / (2 * n)
    # The first is a sum of up to 61 terms, each with a power of up to 60: a relative error below 1e-12.
    np.testing.assert_allclose(multinomial_tv(p, n), expected, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_against_all_outcomes_of_a_multinomial(n):
    p = np.array([0.5, 0.3, 0.2, 0.0])
    expected = sum(
        np.prod(p[list(keys)]) * total_variation(np.bincount(keys, minlength=4) / n, p)
        for keys in itertools.product(range(4), repeat=n)
    )
    np.testing.assert_allclose(multinomial_tv(p, n), expected, rtol=1e-13)


def test_whole_means_give_the_same_whichever_way_they_round():
    # 10 * 0.3 is 3, and 30 * 0.1 is 3.0000000000000004.
    for n, q in ((10, 0.3), (30, 0.1), (1000, 0.07)):
        p = np.array([[q, 1 - q], [np.nextafter(q, 0), 1 - q], [np.nextafter(q, 1), 1 - q]])
        tv = multinomial_tv(p, n)
        np.testing.assert_allclose(tv, tv[0], rtol=1e-12)


def test_one_spike_and_no_spike():
    p = random_rows(0, 6, 9, 1.0)
    # One spike on key i leaves TV 1 - p_i, and falls there with probability p_i.
    np.testing.assert_allclose(multinomial_tv(p, 1), (p * (1 - p)).sum(axis=-1), rtol=1e-13)
    np.testing.assert_array_equal(multinomial_tv(p, 0.3), multinomial_tv(p, 1))
    for law in (multinomial_tv, multinomial_tv_asymptotic):
        assert np.isnan(law(p, 0)).all()
        assert np.isnan(law(p, np.nan)).all()
        assert np.isnan(law(np.full(3, np.nan), 5))


@pytest.mark.parametrize("law", [multinomial_tv, multinomial_tv_asymptotic])
def test_a_single_key_has_no_error(law):
    np.testing.assert_array_equal(law([1.0, 0.0], [1, 7, 1000]), 0)


def test_between_whole_numbers_the_law_is_linear():
    p = random_rows(1, 4, 5, 1.0)
    low, high = multinomial_tv(p, 12), multinomial_tv(p, 13)
    np.testing.assert_allclose(multinomial_tv(p, 12.25), 0.75 * low + 0.25 * high, rtol=1e-14)


def test_counts_broadcast_over_rows_and_checkpoints():
    p = random_rows(2, 3, 5, 1.0)
    n = np.array([[10.0], [100.5], [1e6]]) * np.ones(3)
    for law in (multinomial_tv, multinomial_tv_asymptotic, lambda p, n: renewal_tv(p, n, 0.5)):
        assert law(p, n).shape == (3, 3)
        np.testing.assert_array_equal(law(p, n)[1, 2], law(p[2], 100.5))
    assert multinomial_tv(p[0], [1, 2, 3, 4]).shape == (4,)
    assert np.ndim(multinomial_tv(p[0], 4)) == 0


def test_asymptote():
    p = random_rows(3, 200, 14, 2.0)
    excess = [float((multinomial_tv_asymptotic(p, n) / multinomial_tv(p, n)).mean()) - 1 for n in (10, 100, 1000)]
    # The docstring quotes 9 and 0.8 %.
    np.testing.assert_allclose(excess, [0.0888, 0.00814, 0.000175], rtol=0.01)
    np.testing.assert_allclose(multinomial_tv_asymptotic(p, 1e8), multinomial_tv(p, 1e8), rtol=1e-5)
    # Two equal keys and one spike: exactly 1/2, asymptotically 1/sqrt(2 pi).
    np.testing.assert_allclose(multinomial_tv_asymptotic([0.5, 0.5], 1), 1 / math.sqrt(2 * math.pi), rtol=1e-14)


@pytest.mark.parametrize("n", [5, 30, 400])
def test_multinomial_draws(n):
    p = random_rows(4, 6, 14, 1.5)
    draws = 4000
    tv = total_variation(shares(np.random.default_rng(n).multinomial(n, p, size=(draws, 6))), p)
    error = tv.std(axis=0, ddof=1) / math.sqrt(draws)
    # 4 standard errors: 18 comparisons, each fails with probability 6e-5. The relative error is below 1 %.
    assert (np.abs(tv.mean(axis=0) - multinomial_tv(p, n)) < 4 * error).all()
    assert (error < 0.01 * tv.mean(axis=0)).all()


@pytest.mark.parametrize("mean", [30.0, 300.0])
def test_a_fluctuating_count_raises_the_error_as_documented(mean):
    p = random_rows(5, 200, 4, 0.5)
    n = np.arange(1, int(2 * mean) + 30)
    average = stats.poisson.pmf(n, mean) @ multinomial_tv(p, n[:, np.newaxis])
    excess = (average / multinomial_tv(p, mean)).mean() - 1
    # Poisson counts have V = n. The next term, and the 1/n waves of the law about a power, are below a fifth of it.
    np.testing.assert_allclose(excess, 3 / (8 * mean), rtol=0.2)


@pytest.mark.parametrize("k", [1, 4, 16])
def test_renewal_law_on_gamma_thresholds(k):
    p, n, trials = random_rows(6, 4, 8, 1.0), 2000, 300
    rng = np.random.default_rng(k)
    # Key i spikes when its charge, p_i a unit of operational time, passes the next Gamma(k, 1/k) threshold.
    charge = np.cumsum(rng.gamma(k, 1 / k, size=(trials, 4, 8, 1600)), axis=-1)
    assert charge[..., -1].min() > (n * p).max(), "not enough thresholds were drawn"
    counts = (charge < (n * p)[..., np.newaxis]).sum(axis=-1)
    tv = total_variation(shares(counts), p)
    law = renewal_tv(p, counts.sum(axis=-1).mean(axis=0), k**-0.5)
    error = tv.std(axis=0, ddof=1) / math.sqrt(trials)
    # 4 standard errors for sampling; the first count of a Gamma renewal adds a term of order 1/n, 2 % at k = 16.
    assert (np.abs(tv.mean(axis=0) - law) < 4 * error + 0.02 * law).all()
    assert (error < 0.04 * law).all()


def test_spikes_for_tv_inverts_the_law_and_is_largest_for_the_uniform_row():
    p = random_rows(7, 50, 11, 1.5)
    n = spikes_for_tv(p, 0.02)
    np.testing.assert_allclose(multinomial_tv_asymptotic(p, n), 0.02, rtol=1e-13)
    bound = (11 - 1) / (2 * np.pi * 0.02**2)
    assert (n < bound).all()
    np.testing.assert_allclose(spikes_for_tv(np.full(11, 1 / 11), 0.02), bound, rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: multinomial_tv([0.5, 0.6], 3), r"sum 1, got the row \[0.5, 0.6\]"),
        (lambda: multinomial_tv([[0.5, 0.5], [1.5, -0.5]], 3), r"got the row \[1.5, -0.5\]"),
        (lambda: multinomial_tv(0.5, 3), "single number 0.5"),
        (lambda: multinomial_tv([0.5, 0.5], -1), "at least 0, got -1.0"),
        (lambda: multinomial_tv_asymptotic([0.5, 0.5], np.inf), "got inf"),
        (lambda: renewal_tv([0.5, 0.5], 10, [1, -0.1]), "cv must be at least 0, got -0.1"),
        (lambda: spikes_for_tv([0.5, 0.5], 0), "eps must be above 0, got 0.0"),
        (lambda: spikes_for_tv([0.5, 0.5], np.nan), "eps must be above 0, got nan"),
    ],
)
def test_errors_name_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
