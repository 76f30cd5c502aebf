"""Tail bounds of one Bernoulli share: exact sums over the binomial, the order of the bounds, published constants."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospike.theory.concentration import (
    binomial_deviation,
    binomial_tail,
    chernoff_tail,
    dkw_deviation,
    dkw_tail,
    hoeffding_deviation,
    hoeffding_steps,
    hoeffding_tail,
    union_level,
)

probabilities = st.floats(0.01, 0.99)
steps = st.integers(1, 60)
deviations = st.floats(0.0, 1.0)


def tail_by_summing(x, T, delta):
    return math.fsum(
        math.comb(T, k) * x**k * (1 - x) ** (T - k) for k in range(T + 1) if abs(k - T * x) > T * delta + 1e-9
    )


@given(probabilities, steps, deviations)
def test_exact_tail_is_the_sum_over_the_binomial(x, T, delta):
    # Incomplete beta functions against sums of at most 61 terms: relative errors below 1e-10.
    assert binomial_tail(x, T, delta) == pytest.approx(tail_by_summing(x, T, delta), rel=1e-9, abs=1e-14)


@given(probabilities, steps, deviations)
def test_exact_below_chernoff_below_hoeffding(x, T, delta):
    exact, chernoff, hoeffding = binomial_tail(x, T, delta), chernoff_tail(x, T, delta), hoeffding_tail(T, delta)
    assert exact <= chernoff * (1 + 1e-9) + 1e-15
    assert chernoff <= hoeffding * (1 + 1e-9)


def test_a_deviation_that_occurs_does_not_count_as_exceeded():
    # Four fair coins: K/4 strays from 1/2 by 0, 1/4, 1/2 with probability 6, 8, 2 of 16. 0.3 * 10 rounds to 3.
    np.testing.assert_allclose(binomial_tail(0.5, 4, [0.0, 0.24, 0.25, 0.5]), [10 / 16, 10 / 16, 2 / 16, 0.0])
    assert binomial_tail(0.3, 10, 0.3) == pytest.approx(tail_by_summing(0.3, 10, 0.3))
    np.testing.assert_array_equal(binomial_tail([0.0, 1.0], 20, 0.0), 0.0)


@pytest.mark.parametrize(("x", "T"), [(0.3, 100), (0.3, 1000), (0.02, 50), (0.5, 7)])
def test_deviation_is_the_smallest_that_holds_the_level(x, T):
    delta = binomial_deviation(x, T, 0.05)
    assert binomial_tail(x, T, delta) <= 0.05 < binomial_tail(x, T, delta - 1e-6)


def test_hoeffding_at_30_percent_is_half_as_wide_again_as_the_truth():
    # sqrt(ln(40)/2) / (1.96 sqrt(0.21)) = 1.512 in the limit; the exact deviation is a multiple of 1/T off it.
    T = 100_000
    ratio = hoeffding_deviation(T, 0.05) / binomial_deviation(0.3, T, 0.05)
    assert ratio == pytest.approx(math.sqrt(math.log(40) / 2) / (1.959964 * math.sqrt(0.21)), rel=2e-3)
    assert ratio == pytest.approx(1.5, abs=0.02)


def test_chernoff_exponent_is_that_of_the_exact_tail():
    # Cramér: -ln P / T tends to kl(a, x), here with the smaller of the two tails negligible.
    x, delta, T = 0.2, 0.3, 20_000
    kl = 0.5 * math.log(0.5 / 0.2) + 0.5 * math.log(0.5 / 0.8)
    short = 1000  # probabilities at T = 20 000 are below the smallest number
    exact = -math.log(binomial_tail(x, short, delta)) / short
    # The missing factor of about 1/sqrt(T) is worth ln(sqrt(2 pi T) ...)/T, below 0.006 at T = 1000.
    assert exact == pytest.approx(kl, abs=0.006)
    assert chernoff_tail(x, short, delta) == pytest.approx(math.exp(-short * kl), rel=1e-6)
    assert chernoff_tail(x, T, delta) == 0


def test_hoeffding_by_hand():
    assert hoeffding_tail(100, 0.1) == pytest.approx(2 * math.exp(-2))
    assert hoeffding_tail(10, 0.0) == 1
    # The sample size for 5 % of error with 95 % confidence is 738 in any table of the bound.
    assert math.ceil(hoeffding_steps(0.05, 0.05)) == 738
    np.testing.assert_allclose(hoeffding_tail(hoeffding_steps(0.07, 0.01), 0.07), 0.01)
    np.testing.assert_allclose(hoeffding_deviation(hoeffding_steps(0.07, 0.01), 0.01), 0.07)


def test_union_bound_over_keys_costs_a_logarithm():
    level = union_level(0.05, 64**2)
    assert level == pytest.approx(0.05 / 4096)
    assert hoeffding_steps(0.1, level) / hoeffding_steps(0.1, 0.05) == pytest.approx(
        (math.log(2 / 0.05) + math.log(4096)) / math.log(2 / 0.05)
    )
    # Dependent events: three keys of one multinomial row, jointly within the union level's deviation.
    rng = np.random.default_rng(1)
    p, T, draws = np.array([0.5, 0.3, 0.2]), 200, 20_000
    delta = binomial_deviation(p, T, union_level(0.05, 3))
    outside = (np.abs(rng.multinomial(T, p, draws) / T - p) > delta + 1e-12).any(axis=1).mean()
    assert 0.01 < outside < 0.05


def test_massart_band_against_the_kolmogorov_distribution():
    # Kolmogorov's limit of P(sqrt(n) sup > c) at his 95 % point 1.3581 is 0.05, and DKW's 2 exp(-2 c^2) is its first
    # term, the rest below 1e-3 of it. The bound has to hold for every n.
    assert dkw_tail(1, 1.3581015 / 1) == pytest.approx(0.05, rel=1e-3)
    assert dkw_deviation(100, 0.05) == pytest.approx(0.13581, abs=1e-4)
    rng = np.random.default_rng(2)
    n, draws, delta = 20, 20_000, 0.25
    ordered = np.sort(rng.random((draws, n)), axis=1)
    ranks = np.arange(1, n + 1) / n
    distance = np.maximum(ranks - ordered, ordered - (ranks - 1 / n)).max(axis=1)
    exceeded = (distance > delta).mean()
    # 4 standard errors above; and the bound is not vacuous.
    assert 0.5 * dkw_tail(n, delta) < exceeded < dkw_tail(n, delta) + 4 * math.sqrt(exceeded / draws)


def test_bounds_broadcast():
    assert binomial_tail(np.full((2, 1), 0.3), [10, 20, 30], 0.1).shape == (2, 3)
    assert chernoff_tail(0.3, [10, 20], np.full((3, 1), 0.1)).shape == (3, 2)
    assert binomial_deviation([0.3, 0.4], 10, 0.05).shape == (2,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hoeffding_tail(0, 0.1), r"timesteps must be in \[1, inf\), got 0"),
        (lambda: hoeffding_tail(10, -0.1), r"delta must be in \[0, inf\), got -0.1"),
        (lambda: hoeffding_steps(0.0, 0.1), r"delta must be in \(0, inf\), got 0"),
        (lambda: hoeffding_deviation(10, 1.0), r"alpha must be in \(0, 1\), got 1"),
        (lambda: chernoff_tail(1.5, 10, 0.1), r"x must be in \[0, 1\], got 1.5"),
        (lambda: binomial_tail(0.5, 1.5, 0.1), "timesteps must be whole, got 1.5"),
        (lambda: binomial_deviation(0.5, 10, 0), r"alpha must be in \(0, 1\), got 0"),
        (lambda: union_level(0.05, 0.5), r"events must be in \[1, inf\), got 0.5"),
        (lambda: dkw_tail(0, 0.1), r"samples must be in \[1, inf\), got 0"),
        (lambda: dkw_deviation(np.inf, 0.1), "samples must be"),
        (lambda: hoeffding_tail(np.nan, 0.1), "got nan"),
    ],
)
def test_errors_name_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
