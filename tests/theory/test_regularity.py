"""Laws of regular codes and of few spikes, against counts drawn directly and against every outcome, enumerated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from biospike.ideal.softmax import softmax
from biospike.metrics import shares, total_variation
from biospike.theory.concentration import multinomial_tv
from biospike.theory.regularity import biased_renewal_tv, binomial_deviation_mean, regular_tv, tied_keys
from validation.data import attention_rows

P = np.array([0.45, 0.25, 0.15, 0.1, 0.04, 0.01])
ROW = softmax(np.random.default_rng(3).normal(0, 1, (1, 14)))[0]


def drawn(p: np.ndarray, n: float, windows: int, spread: float = 0.0, seed: int = 0) -> tuple[float, float]:
    """Mean TV of the shares of floor(x + phase) over window ends, and its standard error; silent windows left out."""
    rng = np.random.default_rng(seed)
    ends = n * (1 + spread * rng.uniform(-1, 1, windows))
    counts = np.floor(ends[:, None] * p + rng.uniform(size=(windows, p.size)))
    tv = total_variation(shares(counts[counts.sum(axis=1) > 0]), p)
    return float(tv.mean()), float(tv.std() / np.sqrt(windows))


def of_keys_alone(p: np.ndarray, n: float) -> np.ndarray:
    """What forgets that the errors of the other keys enter through the sum: keys/(6n) once all have spiked."""
    x = n * p
    return np.asarray(np.where(x >= 1, 1 / 6, x * (1 - x)).sum(axis=-1) / n)


def enumerated(p: np.ndarray, n: float, ends: int = 400) -> float:
    """First-order law over every outcome of every key, its fractional part spread evenly if it has spiked."""
    x, total = n * p, 0.0
    parts, inverse = np.unique(p, return_inverse=True)
    grid = (np.arange(ends) + 0.5) / ends
    # A lattice with a generator that is odd in every share: fractional parts are even, and those of two shares too.
    f = np.stack([grid if k == 0 else (grid * (2 * k + 31) % 1) for k in range(parts.size)], axis=1)[:, inverse]
    f = np.where(x >= 1, f, x)
    for fired in itertools.product((0.0, 1.0), repeat=p.size):
        d = np.array(fired) - f
        chance = np.where(np.array(fired) > 0, f, 1 - f).prod(axis=1)
        total += (chance * np.abs(d - p * d.sum(axis=1, keepdims=True)).sum(axis=1)).mean()
    return total / (2 * n)


@pytest.mark.parametrize(
    ("name", "p"),
    [("fourteen", ROW), ("equal", np.full(14, 1 / 14)), ("two", np.array([0.53, 0.47])), ("six", P)],
)
def test_regular_law_against_windows_drawn_directly(name: str, p: np.ndarray) -> None:
    """Ends spread over 5 %, so that the fractional parts of 1/14 of 2000 spikes turn 14 times; terms beyond the first
    order are 1/n of it, the normal others 1.5 %."""
    tv, error = drawn(p, 2000.0, 20_000, spread=0.05)
    law = float(regular_tv(p, 2000.0))
    assert abs(tv - law) < 4 * error + 0.015 * law
    assert abs(float(of_keys_alone(p, 2000.0)) - law) > 4 * error + 0.015 * law


@pytest.mark.parametrize(
    ("p", "n"),
    [
        (np.array([0.53, 0.47]), 100.0),
        (np.array([0.9, 0.1]), 100.0),
        (np.array([0.5, 0.5]), 100.0),
        (np.full(3, 1 / 3), 100.0),
        (np.array([0.3, 0.3, 0.2, 0.2]), 100.0),
        (P, 30.0),
        (P, 8.0),
        (np.array([0.99, 0.004, 0.003, 0.002, 0.001]), 100.0),
        (np.array([0.9999, 0.00004, 0.00003, 0.00002, 0.00001]), 50.0),
    ],
    ids=["two", "two unlike", "two equal", "three equal", "pairs", "all spiked but one", "few", "alone", "dominated"],
)
def test_regular_law_against_every_outcome(p: np.ndarray, n: float) -> None:
    """The bound of the docstring."""
    assert float(regular_tv(p, n)) == pytest.approx(enumerated(p, n), rel=0.015)


def test_regular_law_in_closed_form() -> None:
    """Two keys of nearly equal share, two equal ones, and one that takes nearly all."""
    assert float(regular_tv([0.5 + 1e-9, 0.5 - 1e-9], 1e3)) == pytest.approx(7 / 30e3, rel=0.01)
    assert float(regular_tv([0.5, 0.5], 1e3)) == pytest.approx(1 / 6e3, rel=1e-3)
    q = 1e-8
    # A window without another spike, and one with it: 1 - n*q to n*q.
    assert float(regular_tv([1 - q, q], 1e3)) == pytest.approx((1 - 1e3 * q) * q + 1e3 * q * 1e-3, rel=1e-3)
    assert np.isnan(regular_tv(P, 0.0))


def test_regular_law_on_the_shipped_rows() -> None:
    """Counts of a fixed clock, drawn; four standard errors and the 0.3 % of many keys."""
    p, rng = softmax(attention_rows()), np.random.default_rng(5)
    n = 1009 * (1 + 0.02 * rng.uniform(-1, 1, (400, 1, 1)))
    tv = total_variation(shares(np.floor(n * p + rng.uniform(size=(400, *p.shape)))), p).mean(axis=1)
    law = regular_tv(p, 1009.0).mean()
    assert abs(tv.mean() - law) < 4 * tv.std() / np.sqrt(400) + 0.003 * law
    assert of_keys_alone(p, 1009.0).mean() < 0.97 * law


@pytest.mark.parametrize(
    ("p", "low", "high"), [(np.full(14, 1 / 14), 7.5, 8.5), (np.append(np.full(13, 1e-3), 0.987), 2.0, 2.3)]
)
def test_integrators_that_start_empty_stray_as_documented(p: np.ndarray, low: float, high: float) -> None:
    # Leftover charges, each uniform on [0, 1), from the formula and not from the library.
    left = np.random.default_rng(9).random((20_000, 14))
    tv_times_n = np.abs(p * left.sum(axis=-1, keepdims=True) - left).sum(axis=-1).mean() / 2
    assert low < 14 / tv_times_n < high


def test_tied_keys() -> None:
    p = np.array([[0.2, 0.3, 0.2, 0.1, 0.2], [0.5, 0.0, 0.0, 0.25, 0.25]])
    np.testing.assert_array_equal(tied_keys(p), [[3, 1, 3, 1, 3], [1, 2, 2, 2, 2]])


@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize(("ratio", "target"), [(1.0, 0.3), (1.0, 0.12), (0.6, 0.35), (1.2, 0.05), (0.0, 0.1)])
def test_binomial_deviation_against_every_count(n: int, ratio: float, target: float) -> None:
    p, counts = 0.3, np.arange(n + 1)
    exact = (binom.pmf(counts, n, p) * np.abs(p + ratio * (counts / n - p) - target)).sum()
    assert float(binomial_deviation_mean(p, n, ratio, target)) == pytest.approx(exact, rel=1e-9)


def test_binomial_deviation_at_the_ends() -> None:
    assert float(binomial_deviation_mean(0.0, 5.0, 1.0, 0.2)) == pytest.approx(0.2)
    assert float(binomial_deviation_mean(1.0, 5.0, 1.0, 0.2)) == pytest.approx(0.8)
    assert np.isnan(binomial_deviation_mean(0.3, 0.0, 1.0, 0.3))


@pytest.mark.parametrize(("keys", "n"), [(6, 500), (300, 40), (50_257, 40)])
def test_biased_law_without_bias_is_the_multinomial_law_times_cv(keys: int, n: int) -> None:
    """A normal number of the same variance would read 1.24 times as much at 40 spikes on 300 keys, and above 1 on
    50,257, which no TV is."""
    p = P if keys == 6 else np.full(keys, 1 / keys)
    exact = float(multinomial_tv(p, n))
    assert float(biased_renewal_tv(p, n, 1.0, p)) == pytest.approx(exact, rel=1e-9)
    assert float(biased_renewal_tv(p, n, 0.25, p)) == pytest.approx(0.25 * exact, rel=1e-9)
    assert exact < 1


def test_biased_law_without_noise_is_the_bias() -> None:
    q = P[::-1]
    bias = np.abs(P - q).sum() / 2
    assert float(biased_renewal_tv(q, 500.0, 0.0, P)) == pytest.approx(bias)
    assert float(biased_renewal_tv(q, 1e12, 1.0, P)) == pytest.approx(bias, rel=1e-4)


def test_biased_law_against_multinomial_shares() -> None:
    """Shares drawn from q held against p, at few spikes; five standard errors of an exact law."""
    rng = np.random.default_rng(2)
    q = P + np.array([-0.02, 0.01, 0.01, 0.0, 0.005, -0.005])
    tv = total_variation(rng.multinomial(30, q, size=20_000) / 30, P)
    assert abs(tv.mean() - float(biased_renewal_tv(q, 30.0, 1.0, P))) < 5 * tv.std() / np.sqrt(tv.size)
