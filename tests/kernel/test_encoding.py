import numpy as np
import pytest
from scipy.stats import binom, poisson

from biospike.encoding import ENCODERS, Bernoulli, Poisson, Regular, encode

MARKS = [32, 64, 128, 256, 512, 1024, 2048, 4096]
VALUES = np.random.default_rng(7).uniform(0.02, 0.98, 400)


@pytest.fixture(scope="module")
def errors():
    """Mean absolute error (value, checkpoint) of every encoder, over 8 trials, with its standard error."""
    found = {}
    for name, kind in ENCODERS.items():
        encoder = kind()
        counts = encode(encoder, VALUES, MARKS, trials=8, seed=3)
        assert counts[..., -1].sum() > 1000, name
        found[name] = np.abs(counts / encoder.full_count(MARKS) - VALUES[:, None])
    return found


@pytest.mark.parametrize(("name", "order"), [("bernoulli", -0.5), ("poisson", -0.5), ("regular", -1.0)])
def test_order_of_convergence(errors, name, order):
    mean = errors[name].mean(axis=(0, 1))
    # Each of the 3200 trains is independent; the slope's error follows from the errors of the eight means.
    relative = errors[name].std(axis=(0, 1)) / np.sqrt(errors[name][..., 0].size) / mean
    x = np.log(MARKS) - np.log(MARKS).mean()
    slope = (x * np.log(mean)).sum() / (x**2).sum()
    # Checkpoints of one train share its history, so the errors may add up coherently.
    error = (np.abs(x) * relative).sum() / (x**2).sum()
    # A further 0.01: at T = 32 a rare value has not yet its asymptotic error.
    assert abs(slope - order) < 4 * error + 0.01


@pytest.mark.parametrize("name", ENCODERS)
def test_error_law(errors, name):
    expected = ENCODERS[name]().expected_error(VALUES[:, None], MARKS).mean(axis=0)
    measured = errors[name].mean(axis=(0, 1))
    # Spread over trials and values of the deviation from each value's own law.
    deviation = errors[name] - ENCODERS[name]().expected_error(VALUES[:, None], MARKS)
    standard_error = deviation.std(axis=(0, 1)) / np.sqrt(deviation[..., 0].size)
    assert np.all(np.abs(measured - expected) < 4 * standard_error)


def test_bernoulli_law_is_the_mean_deviation_of_the_binomial():
    k = np.arange(31)
    for x in (0.1, 0.37, 0.8):
        direct = (np.abs(k / 30 - x) * binom.pmf(k, 30, x)).sum()
        np.testing.assert_allclose(Bernoulli().expected_error(x, 30), direct, rtol=1e-12)


def test_poisson_law_is_the_mean_deviation_of_the_poisson_distribution():
    encoder = Poisson()
    for x in (0.05, 0.4, 1.0):
        mean = x * encoder.full_count(300)
        k = np.arange(200)
        direct = (np.abs(k - mean) * poisson.pmf(k, mean)).sum() / encoder.full_count(300)
        np.testing.assert_allclose(encoder.expected_error(x, 300), direct, rtol=1e-12)


def test_regular_never_strays_by_a_spike():
    counts = encode(Regular(), VALUES, MARKS, trials=2, seed=5)
    assert np.all(np.abs(counts - VALUES[:, None] * MARKS) < 1)
    assert counts[..., -1].min() > 0


def test_hoeffding_bound_is_wide_but_holds(errors):
    steps, alpha = MARKS[-1], 0.05
    bound = np.sqrt(np.log(2 / alpha) / (2 * steps))
    assert (errors["bernoulli"][..., -1] > bound).mean() < alpha


@pytest.mark.parametrize("name", ENCODERS)
def test_exact_limits(name):
    """Zero never spikes; one fires every step it can."""
    counts = encode(ENCODERS[name](), [0.0, 1.0], [500])
    assert counts[0, 0, 0] == 0
    if name != "poisson":
        assert counts[0, 1, 0] == 500
    else:
        assert 10 < counts[0, 1, 0] < 100


def test_poisson_intervals_are_exponential():
    """Fano factor of the counts is one, to four standard errors, sqrt(2/(samples-1))."""
    counts = encode(Poisson(), np.full(2000, 0.5), [1000], seed=11)[0, :, 0]
    assert counts.mean() > 10
    assert abs(counts.var(ddof=1) / counts.mean() - 1) < 4 * np.sqrt(2 / 1999)


@pytest.mark.parametrize(
    ("x", "marks", "words"),
    [([1.2], [10], "1.2"), ([np.nan], [10], "nan"), ([0.5], [0], "increase"), ([0.5], [5, 5], "increase")],
)
def test_bad_input_names_the_value(x, marks, words):
    with pytest.raises(ValueError, match=words):
        encode(Bernoulli(), x, marks)
