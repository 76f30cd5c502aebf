"""Softmax by spike times, as in SpikedAttention: its closed form, its window, and its distance from softmax."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biospike.ideal.attention import SpikeSoftmax
from biospike.ideal.softmax import softmax


@pytest.mark.parametrize(
    ("base", "steps", "low", "high"),
    [(1.15, 40, 0.013, 0.018), (1.4, 16, 0.032, 0.040)],
)
def test_spike_softmax_is_as_far_from_softmax_as_published_figures_say(
    base: float, steps: int, low: float, high: float
) -> None:
    # Standard normal logits; the distance grows with the number of keys while the rounding is the same.
    logits = np.random.default_rng(15)
    for keys in (16, 32, 64):
        scores = logits.normal(size=(2000, keys))
        shares = SpikeSoftmax(base=base, steps=steps).run(scores).shares
        assert low < np.abs(shares - softmax(scores)).sum(axis=-1).mean() / 2 < high


@given(arrays(float, (3, 7), elements=st.floats(-8, 8)))
def test_spike_times_are_the_closed_form(scores: np.ndarray) -> None:
    spike_softmax = SpikeSoftmax(base=1.15, steps=40)
    exact = 0.5 + (scores.max(axis=-1, keepdims=True) - scores) / math.log(1.15)
    result = spike_softmax.run(scores)
    # Where the ramp meets the membrane exactly, rounding decides.
    near = np.abs(exact - np.round(exact)) < 1e-9
    expected = np.where(np.ceil(exact) <= 39, np.ceil(exact), -1)
    np.testing.assert_array_equal(result.step[~near], expected[~near])
    np.testing.assert_array_equal(result.step[scores == scores.max(axis=-1, keepdims=True)], 1)
    weights = np.where(result.step < 0, 0, 1.15 ** -result.step.astype(float))
    np.testing.assert_allclose(result.shares, weights / weights.sum(axis=-1, keepdims=True), rtol=1e-12)
    assert np.all(result.spikes.sum(axis=0) == (result.step >= 0))


def test_spike_softmax_silences_keys_beyond_its_window() -> None:
    edge = (40 - 1 - 0.5) * math.log(1.15)  # 5.4 nats
    result = SpikeSoftmax().run([0, -edge + 1e-6, -edge - 1e-6, np.nan])
    np.testing.assert_array_equal(result.step, [[1, 39, -1, -1]])
    assert result.shares[0, 2] == result.shares[0, 3] == 0
