"""Formulas of Theorems 7 and 8 with constants 1: values by hand, scaling, inverses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospike.theory import universal

sizes = st.integers(1, 500)
errors = st.floats(1e-3, 2.0)


def test_values_by_hand():
    # n = 4, d = 2, d_k = 2, eps = 0.1.
    assert universal.layers(0.1) == pytest.approx(2.302585093)
    assert universal.heads(4, 2, 0.1) == pytest.approx(16 * 2 * 100)
    assert universal.timesteps(4, 2, 0.1) == pytest.approx(16 * 4 * 100)
    assert universal.spikes(4, 2, 0.1) == pytest.approx(8 * 100)
    assert universal.spikes(4, 2, 0.1, lipschitz=3) == pytest.approx(7200)


@given(sizes, sizes, errors)
def test_scaling(n, size, eps):
    heads, steps, spikes = (
        universal.heads(n, size, eps),
        universal.timesteps(n, size, eps),
        universal.spikes(n, size, eps),
    )
    for formula, value in ((universal.heads, heads), (universal.timesteps, steps), (universal.spikes, spikes)):
        assert formula(n, size, eps / 2) == pytest.approx(4 * value)
    assert universal.heads(2 * n, size, eps) == pytest.approx(4 * heads)
    assert universal.timesteps(2 * n, size, eps) == pytest.approx(4 * steps)
    assert universal.spikes(2 * n, size, eps) == pytest.approx(2 * spikes)
    assert universal.heads(n, 2 * size, eps) == pytest.approx(2 * heads)
    assert universal.timesteps(n, 2 * size, eps) == pytest.approx(4 * steps)
    if eps < 1:
        assert universal.layers(eps / 2) == pytest.approx(universal.layers(eps) + math.log(2))


@given(sizes, sizes, errors)
def test_errors_invert_the_demands(n, size, eps):
    for demand, granted in (
        (universal.heads, universal.error_of_heads),
        (universal.timesteps, universal.error_of_timesteps),
        (universal.spikes, universal.error_of_spikes),
    ):
        assert granted(n, size, demand(n, size, eps)) == pytest.approx(eps)
    assert universal.error_of_spikes(n, size, universal.spikes(n, size, eps, 2.5), 2.5) == pytest.approx(eps)


def test_no_layer_for_an_error_of_the_size_of_the_function():
    np.testing.assert_array_equal(universal.layers([1.0, 3.0]), [0.0, 0.0])


def test_broadcast_and_nan():
    eps = np.array([0.1, np.nan])
    assert universal.heads(np.array([[2], [3]]), 2, eps).shape == (2, 2)
    for values in (universal.layers(eps), universal.heads(4, 2, eps), universal.timesteps(4, 2, eps)):
        np.testing.assert_array_equal(np.isnan(values), [False, True])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: universal.layers(0), "eps must be above 0, got 0"),
        (lambda: universal.heads(0, 2, 0.1), "tokens must be above 0, got 0"),
        (lambda: universal.heads(4, -2, 0.1), "features must be above 0, got -2"),
        (lambda: universal.timesteps(4, 0, 0.1), "width must be above 0"),
        (lambda: universal.spikes(4, 2, 0.1, lipschitz=0), "lipschitz must be above 0"),
        (lambda: universal.error_of_heads(4, 2, 0), "number must be above 0"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()
