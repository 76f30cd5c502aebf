"""The race on the grid, with ties: rate, shares, error law and the rows that it refuses."""

import itertools

import numpy as np
import pytest

from biospike import metrics, simulate
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.theory.concentration import multinomial_tv
from biospike.theory.race import race_rate, race_tv, share_variance
from biospike.traces import record
from circuits.attention import SpikingAttention
from circuits.softmax import Race

import brian2 as b2

RNG = np.random.default_rng(5)
LARGEST = 0.1
"""Chance of the largest key, at the most that a race accepts."""
CHANCES = [
    np.array([0.07]),
    LARGEST * np.array([1.0, 0.3]),
    *(total / 10 * np.ones(10) for total in (0.05, 0.3, 1.0)),
    LARGEST * np.exp(-RNG.exponential(1.0, 12)),
    LARGEST * np.exp(-np.linspace(0, 6, 11)),
]


def subsets(chance):
    """Every set of keys that may spike in the step that closes the row, and its probability."""
    sets = np.array(list(itertools.product([0, 1], repeat=len(chance))))[1:]
    weight = np.prod(np.where(sets == 1, chance, 1 - chance), axis=1)
    return sets, weight / weight.sum()


@pytest.mark.parametrize("chance", CHANCES, ids=range(len(CHANCES)))
def test_shares_of_an_opening_against_enumeration(chance):
    sets, weight = subsets(chance)
    mean = weight @ sets
    # Ties kept: shares are in the ratio of the chances.
    np.testing.assert_allclose(mean / mean.sum(), chance / chance.sum(), rtol=1e-10)
    stray = sets - np.outer(sets.sum(axis=1), chance / chance.sum())
    np.testing.assert_allclose(share_variance(chance), weight @ stray**2 / mean.sum(), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("chance", CHANCES, ids=range(len(CHANCES)))
@pytest.mark.parametrize("closed_ms", [0, 1, 7])
def test_row_rate_against_enumeration(chance, closed_ms):
    sets, weight = subsets(chance)
    wait = 1 / (1 - np.prod(1 - chance))
    expected = weight @ sets.sum(axis=1) / (wait + 10 * closed_ms) / 1e-4
    circuit = Race(rate=chance.max() * 10 * b2.kHz, t_inh=closed_ms * b2.ms, dt=0.1 * b2.ms)
    np.testing.assert_allclose(np.asarray(circuit.row_rate(np.log(chance)[None])), [expected], rtol=1e-10)


def test_rate_on_the_grid_tends_to_that_of_continuous_time():
    z = np.array([[1.0, 0.0, -1.0, np.nan]])
    p = softmax(z)
    continuous = 1 / (1e-3 + p.max() / 200)
    errors = [abs(float(Race(dt=dt * b2.ms).row_rate(z)[0]) / continuous - 1) for dt in (0.1, 0.01, 0.001)]
    # First order in the step.
    np.testing.assert_allclose(np.diff(np.log10(errors)), -1, atol=0.01)


def drawn(chance, spikes, trials):
    """Counts of so many openings as give `spikes` on average, by drawing sets of the enumeration."""
    sets, weight = subsets(chance)
    openings = round(spikes / (weight @ sets.sum(axis=1)))
    cumulative = np.cumsum(weight) / weight.sum()
    rng = np.random.default_rng(1)
    counts = np.zeros((trials, len(chance)))
    for _ in range(openings):
        counts += sets[np.searchsorted(cumulative, rng.random(trials))]
    return counts


@pytest.mark.parametrize("spikes", [100, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("chance", CHANCES[1:], ids=range(1, len(CHANCES)))
def test_law_against_simulated_openings(chance, spikes):
    trials = 12_000
    counts = drawn(chance, spikes, trials)
    total = counts.sum(axis=1)
    tv = metrics.total_variation(counts / total[:, None], chance / chance.sum())
    law = race_tv(np.broadcast_to(chance, counts.shape), total)
    error = (tv - law).std(ddof=1) / np.sqrt(trials)
    assert error < 0.01 * tv.mean()
    assert abs(tv.mean() - law.mean()) < 0.01 * tv.mean() + 3.5 * error


def test_law_differs_from_the_multinomial_where_ties_matter_and_tends_to_it():
    p = np.full(10, 0.1)
    multinomial = multinomial_tv(p, 500)
    assert race_tv(p, 500) == pytest.approx(multinomial * np.sqrt(0.9), rel=1e-3)
    np.testing.assert_allclose(race_tv(1e-9 * p, 500), multinomial, rtol=1e-9)
    np.testing.assert_allclose(race_tv(np.array([0.05, 0.0]), 50), 0, atol=1e-15)


def test_rate_shares_and_law_at_the_largest_row_accepted():
    """Ten equal keys at rate*dt = 0.1: a spike of input a step, in ties of 1.5 spikes."""
    circuit, trials, seconds = Race(rate=1 * b2.kHz), 150, 0.2
    data = simulate(circuit, np.zeros((1, 10)), duration=seconds * b2.second, trials=trials, seed=3, target="numpy")
    counts = data.spike_count.values[:, 0, :, -1].astype(float)
    spikes = counts.sum(axis=1)
    expected = float(circuit.row_rate(np.zeros((1, 10)))[0]) * seconds
    assert expected > 150
    # The row starts open: part of one closed time, a spike and a half at most, is missing.
    assert abs(spikes.mean() - expected) < 1.5 + 4 * spikes.std(ddof=1) / np.sqrt(trials)
    tv = metrics.total_variation(metrics.shares(counts), np.full(10, 0.1))
    law = circuit.expected_tv(np.full((trials, 10), 0.1), spikes)
    error = (tv - law).std(ddof=1) / np.sqrt(trials)
    assert abs(tv.mean() - law.mean()) < 0.01 * law.mean() + 3 * error


class TestRefusedRows:
    @pytest.mark.parametrize("keys", [60, 300, 3000])
    def test_message_names_row_value_and_a_rate_that_is_accepted(self, keys):
        logits = np.full((3, keys), np.nan)
        logits[:, 0] = 1.0
        logits[1] = 0.0
        with pytest.raises(InputError) as raised:
            simulate(Race(), logits, duration="10 ms", target="numpy")
        text = str(raised.value)
        assert f"row 1 has rate*dt*sum_i exp(z_i - max z) = {0.02 * keys:.4g}" in text
        assert "\n" not in text
        largest = float(text.split("Race(rate=...) of at most ")[1].split(" Hz", maxsplit=1)[0])
        assert largest == pytest.approx(1e4 / keys, rel=1e-3)
        Race(rate=largest * b2.Hz).check_rows(logits, 0.1 * b2.ms)
        with pytest.raises(InputError, match="row 1"):
            Race(rate=1.002 * largest * b2.Hz).check_rows(logits, 0.1 * b2.ms)

    def test_fifty_equal_keys_are_the_most_at_the_default_rate(self):
        Race().check_rows(np.zeros((1, 50)), 0.1 * b2.ms)
        with pytest.raises(InputError, match="row 0"):
            Race().check_rows(np.zeros((1, 51)), 0.1 * b2.ms)

    def test_step_of_the_run_counts(self):
        Race().check_rows(np.zeros((1, 80)), 0.05 * b2.ms)
        simulate(Race(), np.zeros(80), duration="1 ms", dt="0.05 ms", target="numpy")
        with pytest.raises(InputError, match="row 0"):
            record(Race(), np.zeros(80), duration="1 ms")


class TestPinnedRows:
    """In an attention block a reference potential holds the rate of a row, whatever its logits."""

    @pytest.mark.parametrize("keys", [1, 2, 12])
    def test_input_is_the_one_that_gives_the_rate(self, keys):
        p = np.full((1, keys), 1 / keys)
        circuit = Race(rate=100 * b2.Hz, dt=1 * b2.ms)
        # For equal keys of chance a the rate is keys*a/(1 + q), one closed step, by a fine search.
        chance = np.linspace(0.05, 0.12, 200_001) / keys
        rate = keys * chance / (1 + 1 - (1 - chance) ** keys)
        found = chance[np.argmin(np.abs(rate - 0.1))]
        np.testing.assert_allclose(circuit.pinned_tv(p, np.array([200.0])), race_tv(found * p * keys, [200]), rtol=1e-4)
        np.testing.assert_allclose(race_rate(found * p * keys, 1), 0.1, rtol=1e-4)

    def test_block_refuses_a_rate_that_closed_rows_cannot_reach(self):
        weights = np.eye(2)
        SpikingAttention(weights, weights, weights, softmax=Race(rate=100 * b2.Hz, dt=1 * b2.ms)).check(1 * b2.ms)
        block = SpikingAttention(weights, weights, weights, softmax=Race(rate=1 * b2.kHz, dt=0.1 * b2.ms))
        with pytest.raises(InputError, match="closed for t_inh") as raised:
            block.check(0.1 * b2.ms)
        largest = float(str(raised.value).split("Race(rate=...) of at most ")[1].split(" Hz", maxsplit=1)[0])
        # exp(-4*sqrt(0.05)) of an input spike a step, every spike of which costs a closed millisecond.
        most = np.exp(-4 * np.sqrt(0.05))
        assert largest == pytest.approx(most / (1e-4 + most * 1e-3), rel=1e-3)
