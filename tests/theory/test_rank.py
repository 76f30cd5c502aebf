"""Rank of tokens and heads: dimensions counted by hand, exact identities, noise against random matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.theory.rank import (
    CHANCE,
    affine_rank,
    corrected_rank,
    dispersion,
    head_kernel,
    hypotheses,
    layer_norm,
    literal_kernel,
    noise_edge,
    rank,
    share_factor,
    stated_kernel,
    value_floor,
)


def flat(seed, n, d, dimension, offset):
    """Tokens in a flat of so many dimensions, through the origin or not."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, dimension)) @ rng.normal(size=(dimension, d))
    return X + offset * rng.normal(size=d)


def test_ranks_by_hand():
    line = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert (rank(line), affine_rank(line)) == (1, 1)
    beside = line + np.array([0.0, 1.0])
    assert (rank(beside), affine_rank(beside)) == (2, 1)
    equal = np.tile([0.1, 0.7, 0.3], (7, 1))
    assert (rank(equal), affine_rank(equal)) == (1, 0)
    assert rank(np.zeros((2, 3))) == 0


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(6, 12), st.integers(6, 12), st.integers(1, 4), st.booleans())
def test_affine_rank_behind_layer_norm_is_a_rank_before(seed, n, d, dimension, offset):
    """Proven: D X C with D = diag(1/s) spans a flat of rank[X C, s] - 1 dimensions."""
    X = flat(seed, n, d, dimension, offset)
    centred = X - X.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1)
    after = affine_rank(layer_norm(X, gamma=np.linspace(1, 2, d), beta=np.arange(d)))
    assert after == rank(np.column_stack([centred, spread])) - 1


@pytest.mark.parametrize("dimension", [2, 3, 5, 8])
@pytest.mark.parametrize("offset", [False, True])
def test_layer_norm_gains_a_dimension_where_the_flat_misses_the_origin(dimension, offset):
    X = flat(dimension, 16, 12, dimension, offset)
    known = hypotheses(X)
    assert known.listed
    assert known.through_origin is not offset
    assert affine_rank(X) == dimension
    assert affine_rank(layer_norm(X)) == dimension + offset


def test_the_hypotheses_exclude_full_rank_and_each_of_them_can_fail():
    full = np.random.default_rng(0).normal(size=(16, 12))
    assert not hypotheses(full).ones_not_in_rows
    wide = np.random.default_rng(0).normal(size=(6, 12))
    assert not hypotheses(wide).deviations_not_in_columns
    X = flat(1, 16, 12, 3, False)
    assert not hypotheses(X, gamma=[0.0, *np.ones(11)]).gamma_not_zero
    X[3] = 0.5
    assert not hypotheses(X).no_constant_row
    with pytest.raises(InputError, match="token 3 has equal features"):
        layer_norm(X)


def test_layer_norm_by_hand():
    np.testing.assert_allclose(layer_norm([[1.0, 2.0, 3.0]]), [[-np.sqrt(1.5), 0, np.sqrt(1.5)]], rtol=1e-15)


def kernel_by_matrix(W, n):
    """Dimension of the kernel of Y -> Y W on n tokens, from the matrix of the map itself."""
    whole = np.kron(np.eye(n), W.T)
    return whole.shape[1] - np.linalg.matrix_rank(whole)


@pytest.mark.parametrize("aligned", [False, True])
def test_kernel_of_heads(aligned):
    rng = np.random.default_rng(2)
    n, heads, width, d = 4, 2, 2, 4
    W = rng.normal(size=(heads * width, width)) @ rng.normal(size=(width, d)) if aligned else rng.normal(size=(4, 4))
    assert head_kernel(W, n) == kernel_by_matrix(W, n) == (8 if aligned else 0)
    assert stated_kernel(n, heads, width) == 8
    # The other reading: basis of the Y whose sum is 0, sent to the heads' own contributions.
    basis = np.linalg.svd(np.kron(np.eye(n), W.T))[2][n * rank(W) :].reshape(-1, n, heads, width)
    parts = np.einsum("bnhe,hed->bnhd", basis, W.reshape(heads, width, d)).reshape(len(basis), n * heads * d)
    image = np.linalg.matrix_rank(parts) if len(basis) else 0
    assert literal_kernel(W, heads, n) == (len(basis) - image, image)


def test_the_arithmetic_that_is_reported():
    assert stated_kernel(512, 12, 64) == 360_448
    assert stated_kernel(1, 12, 64) == 704
    with pytest.raises(InputError, match="heads must divide the 4 rows of W_O, got 3"):
        literal_kernel(np.eye(4), 3, 1)
    with pytest.raises(InputError, match="W_O must be a matrix"):
        head_kernel(np.ones(3), 1)


def near_equal(seed, n, d, size):
    rng = np.random.default_rng(seed)
    return 0.5 + size * rng.uniform(-1, 1, (n, d)), rng.normal(size=(2, d, d))


@pytest.mark.parametrize("seed", range(3))
def test_exact_attention_cubes_small_differences(seed):
    """The slope of log dispersion behind on before is 3 as differences vanish."""
    found = []
    for size in (1e-2, 1e-3):
        x, (left, right) = near_equal(seed, 8, 6, size)
        found.append(dispersion(softmax((x @ left) @ (x @ right).T / np.sqrt(6)) @ x))
    slope = np.log10(found[0] / found[1])
    assert slope == pytest.approx(3, abs=0.05)  # the next order is of relative size 1e-2


def test_shares_divide_small_differences_by_the_root_of_their_number():
    x, (left, right) = near_equal(0, 8, 6, 1e-4)
    rng = np.random.default_rng(5)
    p = softmax((x @ left) @ (x @ right).T / np.sqrt(6))
    counts = np.array([[rng.multinomial(100, row) for row in p] for _ in range(400)])
    found = np.sqrt((dispersion(counts / 100 @ x) ** 2).mean()) / dispersion(x)
    # 400 matrices of 7*6 numbers: a standard error below 1/sqrt(2*400*42) in the root; four of them.
    assert found == pytest.approx(share_factor(8, 100), rel=4 / np.sqrt(2 * 400 * 42) + 1e-3)


@pytest.mark.parametrize(("values", "spikes"), [("bernoulli", 54), ("bernoulli", 404), ("poisson", 54)])
def test_value_spikes_leave_a_floor(values, spikes):
    rng = np.random.default_rng(6)
    x, n = rng.uniform(0.1, 0.9, 6), 8
    shape = (600, n, 6)
    counts = rng.binomial(spikes, x, shape) if values == "bernoulli" else rng.poisson(spikes * x, shape)
    found = np.sqrt((dispersion(counts / spikes) ** 2).mean())
    # The square of the norm below fluctuates as the noise does: a relative 1/(n N).
    assert found == pytest.approx(value_floor(x, n, spikes, values), rel=4 / np.sqrt(2 * 600 * 42) + 2 / (n * spikes))
    with pytest.raises(InputError, match="'bernoulli' or 'poisson', got 'regular'"):
        value_floor(x, n, spikes, "regular")


def test_noise_passes_for_a_dimension_as_rarely_as_is_said():
    """Without a margin a tenth of all matrices of noise do."""
    rng = np.random.default_rng(7)
    n, d, draws = 8, 6, 4000
    noise = rng.normal(size=(draws, n, d))
    largest = np.linalg.svd(noise - noise.mean(axis=1, keepdims=True), compute_uv=False)[:, 0]
    bare = (largest > noise_edge(np.ones(d), n, chance=1.0)).mean()
    assert 0.05 < bare < 0.15
    assert (largest > noise_edge(np.ones(d), n)).mean() <= CHANCE
    unequal = np.array([3.0, 1.0, 1.0, 0.1, 0.1, 0.1])
    spread = noise * unequal
    largest = np.linalg.svd(spread - spread.mean(axis=1, keepdims=True), compute_uv=False)[:, 0]
    assert (largest > noise_edge(unequal, n, chance=1.0)).mean() > 0  # the bound is not idle
    assert (largest > noise_edge(unequal, n)).mean() <= CHANCE


@pytest.mark.parametrize("dimension", [0, 1, 3])
def test_corrected_rank_finds_what_stands_out_and_no_more(dimension):
    rng = np.random.default_rng(8)
    signal = np.zeros((40, 10))
    if dimension:
        signal = rng.normal(size=(40, dimension)) @ np.linalg.qr(rng.normal(size=(10, dimension)))[0].T * 10
    found = [corrected_rank(signal + rng.normal(size=signal.shape), np.ones(10)) for _ in range(50)]
    assert affine_rank(signal + rng.normal(size=signal.shape)) == 10
    assert set(found) == {dimension}


def test_dispersion_by_hand():
    assert dispersion(np.ones((3, 4))) == 0
    assert dispersion([[1.0], [-1.0]]) == pytest.approx(1)
    assert dispersion([[1.0], [3.0]]) == pytest.approx(np.sqrt(2 / 10))
