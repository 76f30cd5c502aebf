import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from biospike import random

WORD = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((WORD,) * 4, (WORD,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """The known-answer vectors that the authors of Philox publish with Random123."""
    assert " ".join(f"{int(word):08x}" for word in random.philox(counter, key)) == expected


COUNTERS = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1), st.integers(0, 2**62), st.integers(-5, 2**31 - 1)
)


@given(COUNTERS)
def test_uniform_is_a_pure_function_in_the_unit_interval(counter):
    first = random.uniform(*counter)
    assert 0 <= first < 1
    assert first == random.uniform(*counter)


@given(COUNTERS, st.integers(0, 3))
def test_every_word_of_the_counter_matters(counter, which):
    other = list(counter)
    other[which] += 1
    assert random.uniform(*counter) != random.uniform(*other)


def _along(axis, count=20000):
    counter = [5, 2, 3 * 2**20 + 7, 11]
    counter[axis] = np.arange(count)
    return random.uniform(*counter)


@pytest.mark.parametrize("axis", range(4))
def test_uniform_along_every_axis(axis):
    """Kolmogorov-Smirnov of 40 blocks: their p-values are uniform too, so that no threshold is flaky."""
    blocks = _along(axis).reshape(40, -1)
    p = [stats.kstest(block, "uniform").pvalue for block in blocks]
    assert stats.kstest(p, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("axis", range(4))
def test_neighbours_are_independent(axis):
    """Serial correlation at lags 1 to 5 within 4.5 standard errors, 1/sqrt(count); and across neighbouring streams."""
    u = _along(axis) - 0.5
    for lag in range(1, 6):
        correlation = (u[lag:] * u[:-lag]).mean() * 12
        assert abs(correlation) < 4.5 / np.sqrt(len(u))
    counter = [5, 2, 3 * 2**20 + 7, 11]
    for other in range(4):
        if other != axis:
            counter[axis], counter[other] = np.arange(20000), counter[other] + 1
            assert abs((u * (random.uniform(*counter) - 0.5)).mean() * 12) < 4.5 / np.sqrt(20000)


def test_normal_is_box_and_mullers():
    """Equal to the formula with NumPy's own log and cosine, on the two numbers of each block."""
    index = np.arange(200_000)
    words = random.philox((4, index, 0, 0), (9, 0))
    u, w = ((words[k] << np.uint64(32) | words[k + 1]) >> np.uint64(11) for k in (0, 2))
    expected = np.sqrt(-2 * np.log1p(-(u * 2.0**-53))) * np.cos(2 * np.pi * (w * 2.0**-53))
    # Near its zeros NumPy's cosine carries the rounding of 2*pi*w.
    np.testing.assert_allclose(random.normal(9, 0, index, 4), expected, rtol=1e-14, atol=5e-15)


def test_normal_distribution():
    sample = random.normal(9, 0, np.arange(200_000), 4).reshape(40, -1)
    p = [stats.kstest(block, "norm").pvalue for block in sample]
    assert stats.kstest(p, "uniform").pvalue > 1e-4
    # Fourth moment 3 with variance 96: the tails, to four standard errors.
    assert abs((sample**4).mean() - 3) < 4 * np.sqrt(96 / sample.size)


def test_exponential_is_the_quantile_of_the_uniform():
    index = np.arange(200_000)
    u = random.uniform(9, 0, index, 4)
    np.testing.assert_allclose(random.exponential(9, 0, index, 4), -np.log1p(-u), rtol=1e-15, atol=1e-16)


@pytest.mark.parametrize("shape", [1, 4, 16])
def test_gamma_distribution(shape):
    sample = random.gamma(1, 0, np.arange(20_000), 0, shape)
    assert stats.kstest(sample, stats.gamma(shape, scale=1 / shape).cdf).pvalue > 1e-4


def test_gamma_of_shape_zero_is_one():
    assert np.all(random.gamma(1, 0, np.arange(10), 0, 0) == 1.0)
