"""The law of a model's output: its terms against variances of simulated trains, exact at first order."""

import numpy as np
import pytest

from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.theory import propagation as law

HEADS, TOKENS, WIDTH = 2, 5, 3
DRAWS = 4000
FIVE = 5 * np.sqrt(2 / DRAWS)
"""Five standard errors of a variance, of a sum of many terms, which is nearly normal."""


@pytest.fixture(scope="module")
def head():
    rng = np.random.default_rng(3)
    q, k, v, g = rng.normal(size=(4, HEADS, TOKENS, WIDTH)) + 1.0  # alike, so that errors that are shared add up
    return q, k, v, g, softmax(q @ k.swapaxes(-1, -2) / np.sqrt(WIDTH))


def scale_of(x):
    return np.abs(x).max(axis=(-1, -2), keepdims=True)


def train(rng, x, steps):
    """ON/OFF Bernoulli trains of signed mean x, (draws, steps, *x.shape)."""
    c = scale_of(x) / law.RATE
    fired = rng.random((DRAWS, steps, *x.shape)) < np.abs(x) / c
    return fired * (np.sign(x) * c)


def test_variance_of_a_step(head):
    x = head[0]
    steps = train(np.random.default_rng(1), x, 8).reshape(-1, *x.shape)
    mean, spread = steps.mean(axis=0), steps.var(axis=0)
    w = law.train_variance(x, scale_of(x))
    c = scale_of(x) / law.RATE
    fourth = c**3 * np.abs(x)  # at least the fourth moment about the mean, of which the spread of a variance is made
    assert (np.abs(mean - x) < 6 * np.sqrt(w / len(steps))).all()
    assert (np.abs(spread - w) < 6 * np.sqrt(fourth / len(steps))).all()
    assert w.min() > 0


def test_attention_spikes_of_multinomial_rows(head):
    _, _, v, g, p = head
    spikes = np.arange(4, 4 + HEADS * TOKENS).reshape(HEADS, TOKENS)  # of each row its own
    rng = np.random.default_rng(2)
    counts = rng.multinomial(spikes, p, size=(DRAWS, HEADS, TOKENS))
    error = (((counts / spikes[..., None] - p) @ v) * g).sum(axis=(1, 2, 3))
    expected = (law.attention_term(p, v, g) / spikes).sum()
    assert error.var() == pytest.approx(expected, rel=FIVE)


def test_regular_rows_to_the_first_order_in_one_over_n(head):
    _, _, v, g, p = head
    spikes = np.full((HEADS, TOKENS), 400.5)
    phases = np.random.default_rng(4).random((DRAWS, *p.shape))
    counts = np.floor(spikes[..., None] * p + phases)
    error = (((counts / counts.sum(axis=-1, keepdims=True) - p) @ v) * g).sum(axis=(1, 2, 3))
    expected = law.regular_term(p, v, g, spikes).sum()
    assert error.var() == pytest.approx(expected, rel=FIVE + 3 / 400)
    assert expected < 0.01 * (law.attention_term(p, v, g) / spikes).sum()


def test_row_spikes_that_read_value_trains(head):
    """Every step each query draws at most one key, and reads that key's value of this step, as all others do."""
    _, _, v, g, p = head
    steps, rate = 16, 0.9
    rng = np.random.default_rng(5)
    values = train(rng, v, steps)
    fired = rng.random((DRAWS, steps, HEADS, TOKENS)) < rate
    chosen = (rng.random((DRAWS, steps, HEADS, TOKENS, 1)) > p.cumsum(axis=-1)[..., :-1]).sum(axis=-1)
    read = np.take_along_axis(values, chosen[..., None], axis=3) * fired[..., None]
    spikes = fired.sum(axis=1)
    assert spikes.min() > 0
    error = ((read.sum(axis=1) / spikes[..., None] - p @ v) * g).sum(axis=(1, 2, 3))
    inverse = (1 / spikes).mean(axis=0)
    rows = law.attention_term(p, v, g) + law.value_term(p, v, g, scale_of(v))
    shared = law.shared_value_term(p, v, g, scale_of(v)).sum() / steps
    expected = (rows * inverse).sum() + shared
    assert error.var() == pytest.approx(expected, rel=FIVE)
    assert shared > 2 * FIVE * expected  # or the shared term would not be seen


def test_scores_counted_from_shared_trains(head):
    q, k, v, g, p = head
    rng = np.random.default_rng(6)
    steps = 5
    z = np.einsum("stHic,stHjc->sHij", train(rng, q, steps), train(rng, k, steps)) / (steps * np.sqrt(WIDTH))
    mean = q @ k.swapaxes(-1, -2) / np.sqrt(WIDTH)
    along = g @ v.swapaxes(-1, -2)
    a = p * (along - (p * along).sum(axis=-1, keepdims=True))
    error = (a * (z - mean)).sum(axis=(1, 2, 3))
    expected = law.score_term(p, q, k, v, g, scale_of(q), scale_of(k)).sum() / steps
    kurtosis = (error**4).mean() / error.var() ** 2  # few steps: far from normal
    assert error.var() == pytest.approx(expected, rel=5 * np.sqrt((kurtosis - 1) / DRAWS))
    each = law.score_variance(q, k, scale_of(q), scale_of(k)) / steps
    found = z.var(axis=0)
    fourth = ((z - mean) ** 4).mean(axis=0)
    assert (np.abs(found - each) < 6 * np.sqrt(fourth / DRAWS)).all()
    independent = (a**2 * each).sum()
    assert abs(expected - independent) > 0.1 * expected  # one train a neuron is not one a pair


def test_shares_of_a_slow_gate(head):
    """Mean of the exponential of a filtered score, exactly: in every step and channel a pair of spikes, or none."""
    q, k, _, _, p = head
    variance = law.score_variance(q, k, scale_of(q), scale_of(k))
    size = scale_of(q)[..., None] * scale_of(k)[..., None] / law.RATE**2
    product = q[..., :, None, :] * k[..., None, :, :]
    chance, jump = np.abs(product) / size, np.sign(product) * size / np.sqrt(WIDTH)

    def off(tau):
        """Largest relative error of the law's shares."""
        keep = np.exp(-1 / tau)
        log = np.zeros(p.shape)
        for weight in (1 - keep) * keep ** np.arange(int(12 * tau)):
            log += np.log1p(chance * np.expm1(weight * jump)).sum(axis=-1)
        return np.abs(law.jensen_shares(p, variance, tau) / softmax(log) - 1).max()

    assert np.abs(law.jensen_shares(p, variance, 200.0) / p - 1).max() > 0.02
    assert off(200.0) < 0.01
    assert off(200.0) / off(400.0) == pytest.approx(4, rel=0.1)  # what is left is of the second order in 1/tau


def test_bias_is_linear_in_what_the_shares_miss(head):
    _, _, v, g, p = head
    other = softmax(np.log(p) + 0.1 * v[..., :1].swapaxes(-1, -2))
    change = ((other @ v - p @ v) * g).sum(axis=(-1, -2))
    np.testing.assert_allclose(law.bias_term(other, p, v, g), change, rtol=1e-12)
    assert np.abs(change).min() > 1e-3


def test_masked_keys_take_no_part(head):
    _, _, v, g, _ = head
    p = softmax(np.where(np.tri(TOKENS, dtype=bool), 0.3, -np.inf) + np.zeros((HEADS, 1, 1)))
    wild = v.copy()
    wild[:, -1] = 1e3  # only the last query sees it
    before, after = law.attention_term(p, v, g), law.attention_term(p, wild, g)
    np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
    assert (before[:, 0] == 0).all()  # one key: nothing to divide
    assert (after[:, -1] > before[:, -1]).all()


def test_probes_have_unit_covariance():
    r = law.probes(6, 6, np.random.default_rng(0))
    np.testing.assert_allclose(r.T @ r / 6, np.eye(6), atol=1e-12)
    r = np.concatenate([law.probes(6, 2, np.random.default_rng(seed)) for seed in range(2000)])
    np.testing.assert_allclose(r.T @ r / len(r), np.eye(6), atol=6 * np.sqrt(2 / 2000))
    assert np.allclose(r[0] @ r[1], 0)


def test_gradient_of_the_cosine():
    rng = np.random.default_rng(8)
    z, dz, r = rng.normal(size=(3, 4)), 1e-6 * rng.normal(size=(3, 4)), rng.normal(size=(2, 4))

    def along(z):
        return r @ (z / np.linalg.norm(z, axis=1, keepdims=True)).T

    found = (law.cosine_gradient(z, r[:, None]) * dz).sum(axis=-1)
    np.testing.assert_allclose(found, (along(z + dz) - along(z - dz)) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: law.probes(4, 5, np.random.default_rng(0)), "probes must be 1 to 4"),
        (lambda: law.jensen_shares([0.5, 0.5], [1.0, 1.0], 0), "tau must be above 0 steps, got 0"),
    ],
)
def test_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
