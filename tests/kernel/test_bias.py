"""Squared bias by products of trials: exact expectation, exact flips, and how often it is found."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from biospike.bias import LEVEL, measure_bias, pool, products, why_untestable

RNG = np.random.default_rng(11)


def by_loops(d):
    """B and the leave-one-out values of its jackknife, pair by pair."""
    trials, rows, _ = d.shape

    def squared(kept):
        pairs = list(itertools.combinations(kept, 2))
        return sum(d[a, r] @ d[b, r] for a, b in pairs for r in range(rows)) / (len(pairs) * rows)

    every = range(trials)
    return squared(every), [squared([a for a in every if a != left]) for left in every]


@pytest.mark.parametrize("trials", [3, 8])
def test_squared_bias_and_its_interval_pair_by_pair(trials):
    d = RNG.normal(0.5, 1, (trials, 3, 4))
    found = measure_bias(d, independent=True)
    squared, without = by_loops(d)
    assert found.squared == pytest.approx(squared, rel=1e-12)
    spread = math.sqrt((trials - 1) / trials * sum((x - np.mean(without)) ** 2 for x in without))
    half = {3: 4.302652729911275, 8: 2.364624251592785}[trials] * spread  # Student's t, 2 and 7 degrees of freedom
    assert found.high == pytest.approx(math.sqrt(squared + half), rel=1e-9)
    assert found.low == pytest.approx(math.sqrt(max(squared - half, 0)), rel=1e-9, abs=1e-12)


def test_expectation_over_every_outcome_is_the_squared_bias():
    """Two keys, three spikes, two trials: all outcomes of a code of share q that is held against p."""
    p, q, spikes = 0.4, 0.7, 3
    expected = 0.0
    for a, b in itertools.product(range(spikes + 1), repeat=2):
        d = np.array([[[k / spikes - p, p - k / spikes]] for k in (a, b)])
        expected += binom.pmf(a, spikes, q) * binom.pmf(b, spikes, q) * measure_bias(d, independent=True).squared
    assert expected == pytest.approx(2 * (q - p) ** 2, rel=1e-12)


@pytest.mark.parametrize(("trials", "rows"), [(7, 3), (3, 3), (2, 6)])
def test_p_value_counts_every_flip(trials, rows):
    d = RNG.normal(0.2, 1, (trials, rows, 2))
    by_row = trials < 7

    def total(signs):
        return sum(
            signs[a][r] * signs[b][r] * (d[a, r] @ d[b, r])
            for a, b in itertools.combinations(range(trials), 2)
            for r in range(rows)
        )

    if by_row:
        every = [np.reshape(s, (trials, rows)) for s in itertools.product((1, -1), repeat=trials * rows)]
    else:
        every = [np.repeat(np.array(s)[:, None], rows, axis=1) for s in itertools.product((1, -1), repeat=trials)]
    sums = np.array([total(signs) for signs in every])
    observed = total(np.ones((trials, rows)))
    assert measure_bias(d, independent=True).p_value == pytest.approx((sums >= observed - 1e-9).mean(), abs=1e-12)


def test_drawn_flips_agree_with_counted_ones():
    """15 trials are drawn: the chance is that of the normal limit, here of products with a known one."""
    d = np.ones((15, 1, 1))
    d[:6] = -1  # 9 against 6
    found = measure_bias(d, independent=False).p_value
    sums = np.array([(15 - 2 * k) ** 2 for k in range(16)])
    chance = binom.pmf(range(16), 15, 0.5)[sums >= 9].sum()
    assert found == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / 2000))


def test_which_flips_are_valid():
    assert not why_untestable(7, 1, independent=False)
    assert why_untestable(6, 72, independent=False) == "few trials"
    assert not why_untestable(2, 6, independent=True)
    assert why_untestable(2, 5, independent=True) == "few trials"
    assert why_untestable(1, 72, independent=True) == "few trials"


def test_small_keys_are_pooled_and_lonely_bins_dropped():
    p = np.array([[0.6, 0.3, 0.07, 0.03], [0.97, 0.01, 0.01, 0.01], [0.5, 0.5, 0.0, 0.0]])
    d = np.array([[0.1, -0.05, -0.02, -0.03], [0.03, -0.01, -0.01, -0.01], [0.2, -0.2, 0.0, 0.0]])
    pooled, bins = pool(d, p, np.full(3, 100.0))
    assert bins.tolist() == [4 - 1 + 1 - 1, 1, 2]  # 3 spikes are merged with 7; 3 with 97, which leaves one bin
    np.testing.assert_allclose(pooled[0], [-0.05, 0.1, -0.05, 0, 0])
    np.testing.assert_allclose(pooled[1], 0)
    np.testing.assert_allclose(pooled[2], [0, 0.2, -0.2, 0, 0])
    unpooled, every = pool(d, p, np.full(3, 1e4))
    assert every.tolist() == [4, 4, 2]
    np.testing.assert_allclose(unpooled[:, 1:], d)


def found_of(bias, scatter, trials, rows, runs=200, independent=True):
    """Biases of runs of normal deviations, (row, entry) = (rows, 3), and of a window with 4 times fewer spikes."""
    shift = np.full(3, bias / math.sqrt(3))
    made = []
    for _ in range(runs):
        late = RNG.normal(0, scatter, (trials, rows, 3))
        early = (late + math.sqrt(3) * RNG.normal(0, scatter, late.shape)) / 1  # twice the scatter, correlated
        made.append((late, early, shift))
    return [
        [measure_bias(late + s, early + factor * s, 4.0, independent=independent) for late, early, s in made]
        for factor in (1, 4)
    ]


@pytest.mark.parametrize(("trials", "rows"), [(8, 4), (3, 8)])
def test_no_bias_is_rarely_found_and_the_resolvable_one_nearly_always(trials, rows):
    runs = 200
    none = found_of(0.0, 1.0, trials, rows, runs)[0]
    # Four binomial standard errors above the level.
    assert np.mean([one.found for one in none]) <= LEVEL + 4 * math.sqrt(LEVEL / runs)
    resolvable = float(np.nanmedian([one.resolvable for one in none]))
    constant, fading = found_of(resolvable, 1.0, trials, rows, runs)
    assert np.mean([one.found for one in constant]) >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / runs)
    assert np.mean([one.found and one.lasting <= 0.05 for one in fading]) <= 0.05
    clear, start = found_of(3 * resolvable, 1.0, trials, rows, 50)
    assert np.mean([one.found and one.lasting <= 0.05 for one in clear]) >= 0.95
    assert np.mean([one.found and one.fading <= 0.05 for one in start]) >= 0.95
    # The scatter about a bias tells what would have been seen without it.
    if trials > 3:
        assert np.median([one.resolvable for one in clear]) == pytest.approx(resolvable, rel=0.3)


def test_rows_that_share_everything_are_flipped_together():
    """72 copies of one row: flips of rows would find a bias in most runs, flips of trials do not."""
    one = RNG.normal(0, 1, (100, 8, 1, 3))
    found = [measure_bias(np.repeat(d, 72, axis=1), independent=False).found for d in one]
    assert np.mean(found) <= LEVEL + 4 * math.sqrt(LEVEL / 100)


def test_products_are_of_rows_or_of_their_sum():
    few, many = (RNG.normal(size=(trials, 5, 2)) for trials in (3, 8))
    assert products(few, few).shape == (5, 3, 3)
    np.testing.assert_allclose(products(many, many)[0], np.einsum("are,bre->ab", many, many))
