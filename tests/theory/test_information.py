"""Information in spike counts: direct integration, limits of Clarke and Barron, checked figures."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from biospike.encoding import Regular, encode
from biospike.theory.information import CODES, binary_entropy, bits_per_spike, count_information


def information_by_quadrature(T):
    """Mutual information of x uniform and K binomial, from its definition."""
    k = np.arange(T + 1)

    def integrand(x):
        pmf = special.binom(T, k) * x**k * (1 - x) ** (T - k)
        used = pmf > 0
        return float((pmf[used] * np.log2(pmf[used] * (T + 1))).sum())  # P(K = k) is 1/(T + 1)

    return integrate.quad(integrand, 0, 1, epsabs=1e-10, limit=200)[0]


@pytest.mark.parametrize("T", [1, 2, 4, 16, 64])
def test_bernoulli_against_the_integral(T):
    assert count_information("bernoulli", T) == pytest.approx(information_by_quadrature(T), abs=1e-8)


def test_checked_figures():
    T = [4, 16, 64, 256]
    np.testing.assert_allclose(count_information("bernoulli", T), [0.7535, 1.5146, 2.4314, 3.4059], atol=5e-5)
    np.testing.assert_allclose(count_information("regular", T), np.log2([5, 17, 65, 257]))


def test_one_coin_by_hand():
    # One coin of uniform x: H(K) = 1 bit, and the mean entropy of the coin is 1/2 nat.
    assert count_information("bernoulli", 1) == pytest.approx(1 - 0.5 / math.log(2))


def test_bernoulli_limit_of_clarke_and_barron():
    T = np.array([1e3, 1e5])
    limit = (0.5 * np.log(T / (2 * np.pi * math.e)) + 1) / np.log(2)
    difference = count_information("bernoulli", T) - limit
    assert (np.abs(difference) < 10 / np.sqrt(T) / 10).all()
    assert abs(difference[1]) < abs(difference[0]) / 10


@pytest.mark.parametrize("T", [1, 5, 40])
def test_random_phase_against_the_counts_of_the_encoder_law(T):
    # K = floor(T x + phase): P(K = k | x) is the overlap 1 - abs(T x - k), from its definition.
    k = np.arange(T + 1)
    x = (np.arange(4000 * T) + 0.5) / (4000 * T)
    pmf = np.maximum(1 - np.abs(T * x[:, None] - k), 0.0)
    marginal = pmf.mean(axis=0)
    information = special.xlogy(pmf, pmf / marginal).sum(axis=1).mean() / np.log(2)
    # The midpoint rule on x log x near 0 leaves about 1/4000 squared times a logarithm.
    assert count_information("random_phase", T) == pytest.approx(information, abs=1e-6)


def test_random_phase_is_the_regular_encoder():
    T, x = 8, (np.arange(40) + 0.5) / 40
    counts = encode(Regular(), x, [T], trials=400, seed=3)[..., -1].reshape(400, 40)
    assert counts.sum() > 0
    # The count takes the two whole numbers around T x only, with the mean T x: 4 standard errors of at most 0.5/20.
    assert (np.abs(counts - T * x) < 1).all()
    assert (np.abs(counts.mean(axis=0) - T * x) < 4 * 0.5 / 20).all()


def test_order_of_the_codes():
    T = 2 ** np.arange(12)
    bernoulli, regular, random_phase = (count_information(code, T) for code in ("bernoulli", "regular", "random_phase"))
    assert (bernoulli <= random_phase + 1e-12).all()
    assert (random_phase < regular).all()
    assert regular[-1] - random_phase[-1] == pytest.approx(0.5 / math.log(2), abs=1e-3)
    assert len(CODES) == 3


def test_bits_per_spike():
    assert binary_entropy([0, 0.5, 1]).tolist() == [0, 1, 0]
    assert binary_entropy(0.11) == pytest.approx(0.499916, abs=1e-6)  # Cover and Thomas's capacity of 1/2 bit
    np.testing.assert_allclose(bits_per_spike([0.5, 1.0]), [2.0, 0.0])
    p = np.array([1e-3, 1e-5])
    np.testing.assert_allclose(bits_per_spike(p), np.log2(math.e / p), atol=1e-3)
    assert bits_per_spike(0.772) > 1 > bits_per_spike(0.774)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: count_information("burst", 4), "bernoulli, regular, random_phase, got 'burst'"),
        (lambda: count_information("bernoulli", 0), "whole number of at least 1, got 0"),
        (lambda: count_information("regular", 2.5), "got 2.5"),
        (lambda: binary_entropy(-0.1), "got -0.1"),
        (lambda: bits_per_spike([0.5, 0.0]), "above 0 and at most 1, got 0"),
    ],
)
def test_errors_name_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
