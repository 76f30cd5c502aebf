"""Sorting by Schur complements: theorems as identities of matrices, scores of known densities, thresholds of chains."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biospike.errors import InputError
from biospike.theory.score_schur import (
    causal_order,
    chain_threshold,
    information,
    kernel_information,
    linear_information,
    marginal,
    nonlinear_gap,
    variance_order,
    violations,
)


def tree(seed, nodes):
    rng = np.random.default_rng(seed)
    B, names = np.zeros((nodes, nodes)), rng.permutation(nodes)
    for k in range(1, nodes):
        B[names[k], names[rng.integers(k)]] = rng.uniform(0.3, 1.5) * rng.choice([-1, 1])
    return B


def test_information_by_hand():
    B = np.array([[0.0, 0.0], [2.0, 0.0]])  # x1 = 2 x0 + e
    np.testing.assert_allclose(information(B, 4.0), np.array([[5.0, -2.0], [-2.0, 1.0]]) / 4)
    np.testing.assert_allclose(information(B, [1.0, 4.0]), [[2.0, -0.5], [-0.5, 0.25]])
    covariance = np.array([[1.0, 2.0], [2.0, 5.0]])
    np.testing.assert_allclose(information(B), np.linalg.inv(covariance))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(2, 9))
def test_theorems_on_trees(seed, nodes):
    """The Schur complement is the marginal's information over any node, and of the same form over a leaf."""
    B = tree(seed, nodes)
    info = information(B)
    covariance = np.linalg.inv(info)
    for node in range(nodes):
        rest = np.delete(np.arange(nodes), node)
        left = marginal(info, [node])
        np.testing.assert_allclose(left @ covariance[np.ix_(rest, rest)], np.eye(nodes - 1), atol=1e-9)
        if not B[:, node].any():
            np.testing.assert_allclose(left, information(B[np.ix_(rest, rest)]), atol=1e-12)
    assert violations(causal_order(info), B) == 0
    assert violations(causal_order(info)[::-1], B) == nodes - 1
    assert violations(causal_order(info, tolerance=0.05, ridge=0.0), B) == 0


def test_marginal_over_a_block_is_one_node_after_the_other():
    info = information(tree(3, 7))
    np.testing.assert_allclose(marginal(info, [1, 4]), marginal(marginal(info, [4]), [1]), rtol=1e-10, atol=1e-12)


def test_noise_of_unequal_variance_turns_an_edge_around():
    B = np.array([[0.0, 0.0], [0.5, 0.0]])
    assert causal_order(information(B)) == [0, 1]
    assert causal_order(information(B, [1.0, 0.1])) == [1, 0]  # 1/s^2 of the leaf is above (1 + 10/4) of the cause


def test_gap_of_a_quadratic_effect():
    """-4 a^2 Var x/s^2, of x normal: f' = 2 a x + b."""
    x, weights = np.polynomial.hermite_e.hermegauss(20)
    for a, b, s in ((0.5, 1.0, 1.0), (1.0, -0.5, 0.5)):
        assert nonlinear_gap(2 * a * x + b, weights / weights.sum(), s**2) == pytest.approx(-4 * a**2 / s**2)
    assert nonlinear_gap(np.full(20, 3.0), weights / weights.sum()) == pytest.approx(0, abs=1e-12)


def test_gap_is_that_of_the_density_itself():
    """E[-Hessian log p] by finite differences of log p over samples, without the formula."""
    rng = np.random.default_rng(0)
    a, b, h = 0.5, 1.0, 1e-3
    x = rng.normal(size=400_000)
    samples = np.stack([x, a * x**2 + b * x + rng.normal(size=x.size)])

    def log_p(one, other):
        return -(one**2) / 2 - (other - a * one**2 - b * one) ** 2 / 2

    one, other = samples
    first = -(log_p(one + h, other) - 2 * log_p(one, other) + log_p(one - h, other)) / h**2
    across = -(log_p(one + h, other + h) - log_p(one + h, other - h) - log_p(one - h, other + h)
               + log_p(one - h, other - h)) / (4 * h**2)  # fmt: skip
    info = np.array([[first.mean(), across.mean()], [across.mean(), 1.0]])
    assert 1 - marginal(info, [1])[0, 0] == pytest.approx(-1.0, abs=5 * first.std() / np.sqrt(x.size))


def test_estimators_find_the_information_of_a_normal_density():
    B = np.diag([1.2, 0.8], -1)
    true = information(B)
    samples = np.linalg.solve(np.eye(3) - B, np.random.default_rng(2).normal(size=(3, 1500))).T
    # A precision of n samples has relative scatter sqrt(2/n).
    found = linear_information(samples)
    np.testing.assert_allclose(np.diag(found), np.diag(true), rtol=5 * np.sqrt(2 / 1500))
    # No less scatter for the kernel, whose ridge draws scores towards 0.
    kernel = np.diag(kernel_information(samples))
    np.testing.assert_allclose(kernel, np.diag(true), rtol=5 * np.sqrt(2 / 1500))
    assert (np.diag(kernel_information(samples, ridge=100.0)) < 0.9 * kernel).all()


def test_variance_order_and_violations_by_hand():
    assert variance_order(np.array([[0.0, 0.0, 0.0], [3.0, 1.0, 2.0]])) == [1, 2, 0]
    B = np.zeros((3, 3))
    B[1, 0] = B[2, 1] = 1.0
    assert [violations(order, B) for order in ([0, 1, 2], [0, 2, 1], [2, 1, 0])] == [0, 1, 2]


@pytest.mark.parametrize(("edges", "gain"), [(1, 0.618), (2, 0.755), (3, 0.819), (5, 0.881)])
def test_threshold_of_a_chain(edges, gain):
    assert chain_threshold(edges) == pytest.approx(gain, abs=5e-4)
    # Of Poisson units of mean 1: noise of each has its mean's variance.
    for factor, exact in ((0.99, False), (1.01, True)):
        w = chain_threshold(edges) * factor
        B = np.diag(np.full(edges, w), -1)
        order = causal_order(information(B, w ** np.arange(edges + 1)))
        assert (order == list(range(edges + 1))) is exact
        assert exact or order == list(range(edges, -1, -1))


def test_golden_ratio():
    assert chain_threshold(1) == pytest.approx((np.sqrt(5) - 1) / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: causal_order(np.ones((2, 3))), r"must be a finite matrix \(nodes, nodes\), got shape \(2, 3\)"),
        (lambda: causal_order([[np.nan]]), "must be a finite matrix"),
        (lambda: causal_order(np.eye(2), tolerance=-1), "must be at least 0, got -1"),
        (lambda: linear_information(np.ones((3, 3))), r"more of them than nodes, got \(3, 3\)"),
        (lambda: linear_information(np.ones((4, 2))), "node 0 has the same value in all samples"),
        (lambda: chain_threshold(0), "at least 1 edge, got 0"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
