"""Neurons of frameworks that are replayed: the formulas of the references, and what one idealisation less does."""

from __future__ import annotations

import numpy as np
import pytest

from biospike.auditing.measure import node_row
from biospike.auditing.records import Currents
from biospike.auditing.replay import LEAK, RELAXATIONS, SUBSTEPS, SnnTorchLeaky, SpikingJellyNode, survival
from biospike.ideal.lif import SnnTorch, SpikingJellyHard, SpikingJellySoft

T, BATCH, N = 40, 3, 50


def currents(inputs, spikes=None, start=None):
    return Currents(layer="one", kind="node", inputs=inputs, spikes=np.zeros_like(inputs) if spikes is None else spikes,
                    start=start)  # fmt: skip


def inputs(dtype="float64", seed=0):
    """Multiples of 1/8, so that membranes meet the threshold exactly, and others."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [rng.integers(-4, 17, (T, BATCH, N)) / 8, rng.uniform(-0.5, 2.0, (T, BATCH, N))], axis=2
    ).astype(dtype)


PAIRS = [
    (SpikingJellyNode(v_th=1.0, reset="zero", tau=2.0, decay_input=True), SpikingJellyHard()),
    (SpikingJellyNode(v_th=1.2, reset="zero", tau=3.0, v_reset=-0.1),
     SpikingJellyHard(tau=3.0, v_th=1.2, v_reset=-0.1, decay_input=False)),
    (SpikingJellyNode(v_th=1.0, reset="subtract", tau=2.5, decay_input=True), SpikingJellySoft(tau=2.5)),
    (SpikingJellyNode(v_th=1.0, reset="zero"), SpikingJellyHard(tau=np.inf, decay_input=False)),
    (SnnTorchLeaky(v_th=1.0, reset="subtract", beta=0.9), SnnTorch(beta=0.9)),
    (SnnTorchLeaky(v_th=0.5, reset="zero", beta=0.7), SnnTorch(beta=0.7, thr=0.5, reset="zero")),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("neuron", "reference"), PAIRS, ids=str)
def test_replay_is_the_formula_of_the_reference(neuron, reference, dtype):
    x = inputs(dtype)
    found = neuron.replay(currents(x))
    expected = reference.run(x.reshape(T, -1), dtype).reshape(x.shape)
    assert 0.05 < found.mean() < 0.95
    assert np.array_equal(found, expected.astype(bool))


def test_a_state_that_was_carried_over_is_where_the_replay_begins():
    neuron, x = PAIRS[0][0], inputs()
    whole = neuron.replay(currents(x))
    # The membrane after the first half, by the formula.
    v = np.zeros_like(x[0])
    for drive in x[: T // 2]:
        h = v + (drive - v) / 2
        v = np.where(h >= 1, 0.0, h)
    assert np.array_equal(neuron.replay(currents(x[T // 2 :], start=v)), whole[T // 2 :])
    assert not np.array_equal(neuron.replay(currents(x[T // 2 :])), whole[T // 2 :])


def test_regular_trains_of_a_constant_current():
    """IF: an input of 1/4 fires every fourth step, with a refractory step that loses its input every fifth."""
    x = np.full((T, 1, 1), 0.25)
    neuron = SpikingJellyNode(v_th=1.0, reset="subtract")
    assert np.array_equal(np.flatnonzero(neuron.replay(currents(x))), np.arange(3, T, 4))
    assert np.array_equal(np.flatnonzero(neuron.replay(currents(x), "refractory")), np.arange(3, T, 5))
    # A leak of 1/20 a step brings the membrane to 5*(1 - .95**n): 1 at the fifth step.
    assert LEAK == 20
    leaky = SpikingJellyNode(v_th=1.0, reset="zero").replay(currents(x), "leak")
    assert np.array_equal(np.flatnonzero(leaky), np.arange(4, T, 5))
    # Without leak an input that is divided by 2 takes eight.
    kept = SpikingJellyNode(v_th=1.0, reset="zero", tau=2.0, decay_input=True).replay(currents(x), "leak")
    assert np.array_equal(np.flatnonzero(kept), np.arange(7, T, 8))


@pytest.mark.parametrize("neuron", [pair[0] for pair in PAIRS], ids=str)
def test_finer_steps_change_nothing_before_the_first_spike(neuron):
    """Without a crossing ten steps end where one does."""
    assert SUBSTEPS == 10
    x = np.random.default_rng(2).uniform(0, 0.3, (3, 1, 20))
    left, goal = neuron.towards(x[0])
    v = np.full_like(x[0], neuron.rest)
    fine, spikes = neuron._finely(v, x[0], 10.0)
    assert not spikes.any()
    np.testing.assert_allclose(fine, neuron.charged(v, x[0], 10.0), rtol=1e-12)
    assert 0 <= left <= 1
    assert goal.shape == v.shape


def test_finer_steps_lose_less_at_a_reset():
    """IF of 5/16 a step: with subtraction the same spikes, since what is over is kept; reset to zero loses it."""
    x = np.full((T, 1, 1), 0.3125)
    kept = SpikingJellyNode(v_th=1.0, reset="subtract")
    assert kept.replay(currents(x)).sum() == 12
    assert np.array_equal(kept.replay(currents(x), "dt"), kept.replay(currents(x)))
    # A spike every four steps, and every 3.2 where ten steps are made of one.
    zero = SpikingJellyNode(v_th=1.0, reset="zero")
    assert zero.replay(currents(x)).sum() == T // 4
    assert zero.replay(currents(x), "dt").sum() == int(T / 3.2)


def test_noise_and_spread_move_spikes_by_their_size():
    """One step: the fraction that a change of normal size moves across the threshold, by its integral."""
    n = 4000
    x = np.linspace(0.8, 1.2, n).reshape(1, 1, n)
    neuron = SpikingJellyNode(v_th=1.0, reset="subtract")
    for relaxed in ("noise", "spread"):
        found = neuron.replay(currents(x), relaxed, seed=3)
        moved = (found != neuron.replay(currents(x))).mean()
        # Mean of abs(normal)*.05/2 on each side, over .4: .05*sqrt(2/pi)/.4, sd of the count below 1/sqrt(n).
        assert abs(moved - 0.05 * np.sqrt(2 / np.pi) / 0.4) < 4 * np.sqrt(0.1 / n)
        assert not np.array_equal(found, neuron.replay(currents(x), relaxed, seed=4))


def test_thresholds_are_those_of_neurons_whatever_the_sample():
    x = np.repeat(inputs()[:, :1], 2, axis=1)
    found = PAIRS[0][0].replay(currents(x), "spread")
    assert np.array_equal(found[:, 0], found[:, 1])
    noisy = PAIRS[0][0].replay(currents(x), "noise")
    assert not np.array_equal(noisy[:, 0], noisy[:, 1])


def test_survival_and_its_interval():
    neuron, x = PAIRS[0][0], inputs()
    layer = currents(x, neuron.replay(currents(x)).astype(float))
    for relaxed in RELAXATIONS:
        found = survival(neuron, layer, relaxed)
        assert 0 < found.fraction < 1
        assert 0 <= found.low < found.fraction < found.high <= 1
    lost = layer.spikes.astype(bool) & ~neuron.replay(layer, "refractory")
    assert survival(neuron, layer, "refractory").fraction == pytest.approx(1 - lost.sum() / layer.spikes.sum())
    alone = currents(x[:, :1], layer.spikes[:, :1])
    assert survival(neuron, alone, "leak").low < survival(neuron, alone, "leak").high
    silent = currents(x, np.zeros_like(x))
    assert np.isnan(survival(neuron, silent, "leak").fraction)


def test_intervals_hold_the_expectation_of_independent_samples():
    """Noise on samples of one kind: 95 % intervals over batches hold the mean in nine of ten at least."""
    neuron = PAIRS[0][0]
    fractions, inside = [], []
    big = np.random.default_rng(9).uniform(0, 1.6, (20, 400, 20))
    layer = currents(big, neuron.replay(currents(big)).astype(float))
    true = survival(neuron, layer, "leak").fraction
    for start in range(0, 400, 10):
        part = slice(start, start + 10)
        found = survival(neuron, currents(big[:, part], layer.spikes[:, part]), "leak")
        fractions.append(found.fraction)
        inside.append(found.low <= true <= found.high)
    assert np.std(fractions) > 0
    # 40 of chance .95: 4 standard errors.
    assert np.mean(inside) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 40)


def test_a_replay_that_differs_says_so_and_nothing_more():
    neuron, x = PAIRS[0][0], inputs()
    spikes = neuron.replay(currents(x)).astype(float)
    good = node_row(currents(x, spikes), neuron, 0)
    assert good["note"] == f"replay identical, {int(spikes.sum())} spikes"
    spikes[3, 1, 4] = 1 - spikes[3, 1, 4]
    bad = node_row(currents(x, spikes), neuron, 0)
    assert bad["note"] == f"the replay differs in 1 of {x.size} steps: nothing survives it"
    assert "survival_leak" not in bad
