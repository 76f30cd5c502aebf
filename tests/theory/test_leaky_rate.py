"""Rate of the leaky LIF neuron: exact cases, simulation within stated standard errors, order, limits."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from biospike.ideal.lif import Paper, SpikingJellySoft
from biospike.theory import leaky_rate
from biospike.theory.leaky_rate import _Neurons, _stationary, leaky_lif_rate

TOLERANCE = 1e-4


def draw(seed, features=8, units=8, drive=0.5, spread=0.3):
    """Weights of both signs whose mean drive is about `drive` for the inputs of `features` random features."""
    random = np.random.default_rng(seed)
    x = random.uniform(0.05, 0.95, (2, features))
    weights = random.normal(0, spread, (features, units))
    return weights + (drive - x.mean(axis=0) @ weights) / x.mean(axis=0).sum(), x


def simulate(neuron, weights, x, replicates, steps, burn, seed):
    """Mean rate of every unit over independent replicates, and its standard error."""
    random = np.random.default_rng(seed)
    spikes = random.random((burn + steps, replicates, len(x))) < x
    inputs = (spikes @ weights).reshape(burn + steps, -1)
    rates = neuron.run(inputs)[burn:].mean(axis=0).reshape(replicates, -1)
    return rates.mean(axis=0), rates.std(axis=0, ddof=1) / np.sqrt(replicates)


@pytest.mark.parametrize("beta", [0.2, 0.5, 0.9, 0.98])
def test_against_simulation(beta):
    weights, x = draw(1, drive=0.5 if beta > 0.8 else 0.8)
    rates = leaky_lif_rate(weights, x, beta)
    soft = SpikingJellySoft(tau=1 / (1 - beta), decay_input=False)
    for i, row in enumerate(x):
        simulated, error = simulate(soft, weights, row, replicates=100, steps=2000, burn=int(10 / (1 - beta)), seed=i)
        # 4.5 standard errors; of 64 normal numbers one is farther with probability 4e-4.
        assert (np.abs(rates[i] - simulated) < 4.5 * error + TOLERANCE).all()
        assert (error < 3e-3).all()
    assert ((rates > 0.05) & (rates < 0.95)).sum() > 0.8 * rates.size


def test_the_papers_reset_costs_more():
    # The threshold is subtracted after the decay, where it counts 1/beta.
    beta, (weights, x) = 0.7, draw(2)
    rates = leaky_lif_rate(weights, x, beta)
    assert rates.min() > 0.05
    for i, row in enumerate(x):
        simulated, error = simulate(Paper(beta=beta), weights, row, replicates=50, steps=500, burn=40, seed=i)
        assert (simulated < rates[i] - 4 * error).all()


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 0.99])
def test_a_weight_of_one_threshold_passes_every_spike(beta):
    x = np.array([0.0, 0.01, 0.3, 0.9, 1.0])
    np.testing.assert_allclose(leaky_lif_rate([[1.0]], x[:, None], beta)[:, 0], x, atol=1e-9)


def test_threshold_out_of_reach():
    # v never exceeds W/(1 - beta).
    beta = 0.8
    weights = np.array([[0.19, 0.1], [-5.0, 0.05], [-0.3, 0.5]])
    x = [[1.0, 0.5, 0.0], [1.0, 0.0, 0.0], [0.3, 0.9, 0.0]]
    np.testing.assert_allclose(leaky_lif_rate(weights, x, beta), 0, atol=1e-12)
    assert leaky_lif_rate(weights + 0.3, x[1:2], beta).min() > 0.2


def test_constant_drive_follows_the_orbit():
    beta, steps = Fraction(1, 2), 1500
    drives = [Fraction(k, 100) for k in (30, 49, 53, 57, 61, 66, 70, 83, 97, 99, 100, 120)]
    rates = leaky_lif_rate([[float(d) for d in drives], [7.0] * len(drives)], [[1.0, 0.0]], 0.5)[0]
    for drive, rate in zip(drives, rates, strict=True):
        v, count = Fraction(0), 0
        for _ in range(steps):
            u = beta * v + drive
            count += u >= 1
            v = u - (u >= 1)
        # The count of a periodic orbit strays from rate*steps by less than two, the transient included.
        assert abs(count - rate * steps) < 2
    # From v = 1/15 on, 0.7 fires in every second step.
    assert rates[6] == pytest.approx(0.5, abs=1e-9)
    np.testing.assert_array_equal(rates[[0, 1, -2, -1]], [0, 0, 1, 1])
    assert (np.diff(rates) >= 0).all()


@pytest.mark.parametrize(
    ("beta", "weights", "x", "decimals"),
    [
        (0.25, [0.9], [0.7], 6),
        (0.25, [0.82, -0.3], [0.8, 0.2], 4),
        (0.125, [0.6, 0.55, -0.4], [0.5, 0.9, 0.3], 4),
        (0.5, [0.85], [0.9], 4),
    ],
)
def test_against_a_finite_chain(beta, weights, x, decimals):
    # With the membrane rounded to so many decimals the chain has a few thousand states. That moves the rate by the
    # probability of being so close to the threshold, about 10^-decimals.
    outcomes = np.array(list(itertools.product((0, 1), repeat=len(x))))
    chance = np.prod(np.where(outcomes, x, 1 - np.array(x)), axis=1)
    v: np.ndarray
    p: np.ndarray
    v, p = np.zeros(1), np.ones(1)
    for _ in range(150):
        u = np.round(beta * v[:, None] + outcomes @ weights, decimals).ravel()
        before, p = p, np.outer(p, chance).ravel()
        rate = p[u >= 1].sum()
        v, state = np.unique(np.round(u - (u >= 1), decimals), return_inverse=True)
        p = np.bincount(state.ravel(), p)
    np.testing.assert_allclose(p, before, atol=1e-6)
    assert 0.05 < rate < 0.95
    found = leaky_lif_rate(np.array(weights)[:, None], [x], beta)[0, 0]
    assert found == pytest.approx(rate, abs=TOLERANCE + 10.0**-decimals)


def test_a_tie_off_the_grid_is_reported():
    # 0.25*0.8 + 0.8 is the threshold; no grid of powers of two has an edge at 0.8.
    with pytest.warns(RuntimeWarning, match=r"1 of 1 rates are known to \d\.\de-03 only"):
        leaky_lif_rate([[0.8], [-0.3]], [[0.8, 0.2]], 0.25)


def test_without_memory_the_rate_is_a_tail_of_the_input():
    random = np.random.default_rng(3)
    weights, x = random.integers(1, 6, (7, 5)) / 8, random.random((3, 7))
    weights[:2] *= -1
    outcomes = np.array(list(itertools.product((0, 1), repeat=7)))
    fires = outcomes @ weights >= 1
    expected = [np.prod(np.where(outcomes, row, 1 - row), axis=1) @ fires for row in x]
    # Eighths are edges of the grid: sums that equal the threshold count.
    np.testing.assert_allclose(leaky_lif_rate(weights, x, 0.0), expected, atol=1e-12)
    assert np.median(expected) > 0.05
    assert np.isclose(outcomes @ weights, 1).any(axis=0).all()


def test_without_leak_the_rate_is_the_clipped_mean():
    weights, x = draw(4, drive=0.3, spread=0.6)
    mean = np.clip(x @ weights, 0, 1)
    np.testing.assert_array_equal(leaky_lif_rate(weights, x, 1.0), mean)
    inside = (mean > 0.1) & (mean < 0.9)
    assert inside.sum() > 0.5 * mean.size
    leaks = np.array([0.1, 0.03, 0.01])
    missing = [np.abs(leaky_lif_rate(weights, x, 1 - leak) - mean)[inside].mean() for leak in leaks]
    # The rate is E I - (1 - beta) E v, and E v tends to a constant.
    order = np.polyfit(np.log(leaks), np.log(missing), 1)[0]
    assert 0.8 < order < 1.2


@pytest.mark.parametrize("smooth", [True, False])
def test_second_order_in_the_cells(smooth):
    random = np.random.default_rng(5)
    x, beta, low, width = random.uniform(0.2, 0.8, 16), 0.6, 4, 9
    weights = random.normal(0.05, 0.2, (16, 24))
    neurons = _Neurons(weights, x, beta, 1e-6, low, smooth)
    bins = np.array([8, 16, 32, 64, 256])
    rates = []
    for b in bins:
        mass = np.zeros((24, width * b))
        mass[:, low * b] = 1
        rates.append(_stationary(neurons, b, mass)[1])
    errors = [np.sqrt(np.mean((rate - rates[-1]) ** 2)) for rate in rates[:-1]]
    order = -np.polyfit(np.log(bins[:-1]), np.log(errors), 1)[0]
    assert 1.7 < order < 2.4
    assert errors[-1] < 3e-4
    assert np.mean(rates[-1]) > 0.05
    np.testing.assert_allclose(leaky_lif_rate(weights, x[None], beta)[0], rates[-1], atol=TOLERANCE)


def test_a_finer_tolerance_changes_less_than_the_coarser_one():
    weights, x = draw(6)
    rates = leaky_lif_rate(weights, x, 0.9)
    assert rates.min() > 0.05
    np.testing.assert_allclose(leaky_lif_rate(weights, x, 0.9, tolerance=5e-6), rates, atol=TOLERANCE)


@pytest.mark.parametrize("beta", [0.4, 0.95])
def test_more_weight_more_rate(beta):
    weights, x = draw(7, units=3)
    rates = np.array([leaky_lif_rate(weights + shift, x, beta) for shift in np.linspace(-0.3, 0.3, 7)])
    assert (np.diff(rates, axis=0) >= -TOLERANCE).all()
    assert (np.ptp(rates, axis=0) > 0.4).all()


def test_neurons_do_not_depend_on_their_company(monkeypatch):
    weights, x = draw(8, units=6, drive=0.2, spread=0.5)
    rates = leaky_lif_rate(weights, x, 0.8)
    assert (rates > 0.05).sum() > 0.5 * rates.size
    # All neurons of a chunk are iterated until the last is stationary to a hundredth of the tolerance.
    alone = np.hstack([leaky_lif_rate(weights[:, [k]], x, 0.8) for k in range(6)])
    np.testing.assert_allclose(alone, rates, atol=TOLERANCE / 20)
    monkeypatch.setattr(leaky_rate, "CHUNK_CELLS", 1500)
    np.testing.assert_allclose(leaky_lif_rate(weights, x, 0.8), rates, atol=TOLERANCE / 20)
    np.testing.assert_allclose(leaky_lif_rate(weights, x[1:], 0.8), rates[1:], atol=TOLERANCE / 20)


def test_features_that_never_or_always_spike():
    weights, x = draw(9, units=3)
    rates = leaky_lif_rate(weights, x, 0.7)
    more = np.vstack([weights, [9.0, -9.0, 1.0], weights[:1], -weights[:1]])
    same = np.column_stack([x, [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(leaky_lif_rate(more, same, 0.7), rates)
    assert rates.min() > 0.05


def test_neurons_beyond_the_reach_of_chance():
    x = np.full((1, 20), 0.5)
    rates = leaky_lif_rate(np.outer(np.ones(20), [-0.5, 0.5]), x, 0.99)
    np.testing.assert_array_equal(rates, [[0.0, 1.0]])


def test_shapes():
    assert leaky_lif_rate(np.ones((3, 0)), np.ones((2, 3)), 0.5).shape == (2, 0)
    assert leaky_lif_rate(np.ones((3, 4)), np.ones((0, 3)), 0.5).shape == (0, 4)
    np.testing.assert_array_equal(leaky_lif_rate(np.ones((0, 4)), np.ones((2, 0)), 0.5), np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [[0.5]], 0.5), r"\(features, units\) and x of \(inputs, features\), got \(1,\) and \(1, 1\)"),
        (([[1.0]], [0.5], 0.5), r"got \(1, 1\) and \(1,\)"),
        (([[1.0]], [[0.5, 0.5]], 0.5), r"got \(1, 1\) and \(1, 2\)"),
        (([[np.inf]], [[0.5]], 0.5), "weights have to be finite, got inf"),
        (([[1.0]], [[1.5]], 0.5), r"x has to be in \[0, 1\], got 1.5"),
        (([[1.0]], [[np.nan]], 0.5), r"x has to be in \[0, 1\], got nan"),
        (([[1.0]], [[0.5]], 1.01), r"beta has to be in \[0, 1\], got 1.01"),
        (([[1.0]], [[0.5]], -0.1), r"beta has to be in \[0, 1\], got -0.1"),
        (([[1.0]], [[0.5]], 0.5, 0.0), r"tolerance has to be in \(0, 1\), got 0.0"),
        (([[900.0], [-900.0]], [[0.5, 0.5]], 0.99), "thresholds at beta = 0.99, at most 4096 are accepted"),
    ],
)
def test_errors_name_the_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        leaky_lif_rate(*arguments)


def test_failure_is_reported(monkeypatch):
    weights, x = draw(10, units=3)
    monkeypatch.setattr(leaky_rate, "MOST_CELLS", 2**10)
    with pytest.warns(RuntimeWarning, match=r"[1-6] of 6 rates are known to \d\.\de-0\d only"):
        leaky_lif_rate(weights, x, 0.5, tolerance=1e-7)
    monkeypatch.setattr(leaky_rate, "MOST_CYCLES", 1)
    with pytest.raises(RuntimeError, match=r"no stationary distribution after 9 steps at beta = 0\.5"):
        leaky_lif_rate(weights, x, 0.5)
