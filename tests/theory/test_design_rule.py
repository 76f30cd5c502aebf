"""The design rule: published figures, inverses, and the two errors against simulated coins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospike.theory import design_rule, paper
from biospike.theory.design_rule import (
    constant_of_read_out,
    error_with_projection,
    error_without_projection,
    projection_loss,
)
from biospike.theory.effective_dimension import principal_subspace, variances


def test_published_figures():
    # The rule at the paper's d_eff of CIFAR-10: 10 810 steps for eps = 0.1, and eps near 5 for T = 4.
    assert design_rule.timesteps(47, 0.1) == pytest.approx(10_810)
    assert design_rule.eps(47, 4) == pytest.approx(5.2, abs=0.01)
    assert paper.C_INTERVAL[0] < paper.C < paper.C_INTERVAL[1]


@given(st.floats(1, 1e3), st.floats(1e-3, 10), st.floats(0.1, 10))
def test_eps_and_timesteps_are_inverse(d_eff, eps, constant):
    assert design_rule.eps(d_eff, design_rule.timesteps(d_eff, eps, C=constant), C=constant) == pytest.approx(eps)
    assert design_rule.timesteps(2 * d_eff, eps) == pytest.approx(2 * design_rule.timesteps(d_eff, eps))


def low_rank(seed, n=400, features=24, rank=5):
    rng = np.random.default_rng(seed)
    samples = 0.5 + 0.12 * rng.normal(size=(n, rank)) @ np.linalg.qr(rng.normal(size=(features, rank)))[0].T * 3
    return np.clip(samples + 0.05 * rng.normal(size=(n, features)), 0, 1)


def test_both_errors_against_coins():
    x, T = low_rank(1), 50
    rng = np.random.default_rng(2)
    mean, basis = principal_subspace(x, 5)
    rates = rng.binomial(T, x) / T
    plain = ((rates - x) ** 2).sum(axis=1)
    projected = mean + (rates - mean) @ basis @ basis.T
    whole = ((projected - x) ** 2).sum(axis=1)
    inside = (((rates - x) @ basis) ** 2).sum(axis=1)
    loss = projection_loss(x, mean, basis)
    for measured, law in (
        (plain, error_without_projection(x, T)),
        (inside, error_with_projection(x, basis, T)),
        (whole, error_with_projection(x, basis, T) + loss),
    ):
        error = (measured - law).std(ddof=1) / math.sqrt(len(x))
        assert abs((measured - law).mean()) < 4 * error  # 4 standard errors
        assert error < 0.05 * law.mean()
    # The axes leave out the variances beyond the fifth.
    assert loss.mean() * len(x) / (len(x) - 1) == pytest.approx(variances(x)[5:].sum())


def test_projection_brings_in_the_number_of_axes():
    x = np.full((3, 64), 0.5)
    T = 10
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(64, 7)))[0]
    np.testing.assert_allclose(error_without_projection(x, T), 64 / 4 / T)
    np.testing.assert_allclose(error_with_projection(x, basis, T), 7 / 4 / T)
    assert constant_of_read_out(x, basis) == pytest.approx(0.25)
    # The rule with that constant, and eps^2 the summed squared error, is the law.
    eps = math.sqrt(7 / 4 / T)
    assert design_rule.timesteps(7, eps, C=constant_of_read_out(x, basis)) == pytest.approx(T)


def test_all_axes_project_nothing_away():
    x = np.random.default_rng(4).random((5, 6))
    np.testing.assert_allclose(error_with_projection(x, np.eye(6), 20), error_without_projection(x, 20))
    np.testing.assert_allclose(projection_loss(x, np.zeros(6), np.eye(6)), 0.0, atol=1e-30)
    assert constant_of_read_out(x, np.eye(6)) == pytest.approx(constant_of_read_out(x))


def test_constant_is_the_mean_over_all_directions():
    x = np.random.default_rng(5).random(30)
    rng = np.random.default_rng(6)
    constants = [constant_of_read_out(x, np.linalg.qr(rng.normal(size=(30, 3)))[0]) for _ in range(500)]
    error = np.std(constants, ddof=1) / math.sqrt(500)
    assert abs(np.mean(constants) - constant_of_read_out(x)) < 4 * error
    assert constant_of_read_out(x, lipschitz=3.0) == pytest.approx(9 * constant_of_read_out(x))
    # x uniform has mean x(1 - x) of 1/6.
    assert constant_of_read_out((np.arange(1000) + 0.5) / 1000) == pytest.approx(1 / 6, rel=1e-5)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_constant_never_exceeds_a_quarter(x):
    basis = np.linalg.qr(np.arange(9.0).reshape(3, 3) ** 2 + np.eye(3))[0][:, :2]
    assert 0 <= constant_of_read_out(x, basis) <= 0.25 + 1e-12
    assert 0 <= constant_of_read_out(x) <= 0.25 + 1e-12


def test_timesteps_broadcast_against_samples():
    x = np.random.default_rng(7).random((4, 6))
    assert error_without_projection(x, np.array([[1], [10], [100]])).shape == (3, 4)
    assert error_with_projection(x[0], np.eye(6)[:, :2], 10).shape == ()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: design_rule.timesteps(0, 0.1), "d_eff must be above 0, got 0.0"),
        (lambda: design_rule.timesteps(47, -0.1), "eps must be above 0, got -0.1"),
        (lambda: design_rule.eps(47, np.nan), "timesteps must be above 0, got nan"),
        (lambda: design_rule.eps(47, 4, C=0), "C must be above 0, got 0.0"),
        (lambda: error_without_projection([0.5, 1.5], 10), r"\[0, 1\], got 1.5"),
        (lambda: error_without_projection(0.5, 10), "single number 0.5"),
        (lambda: error_without_projection([0.5], 0), "timesteps must be above 0, got 0.0"),
        (lambda: error_with_projection([0.5, 0.5], np.eye(3), 10), r"shape \(2, dimensions\), got \(3, 3\)"),
        (lambda: error_with_projection([0.5, 0.5], np.ones((2, 2)), 10), "orthonormal"),
        (lambda: constant_of_read_out([0.5], lipschitz=-1), "lipschitz must be above 0, got -1.0"),
    ],
)
def test_errors_name_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
