"""Dimensions of data whose dimension is known: exact spectra, Wishart moments, spheres, the digits."""

import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from sklearn.decomposition import PCA

from biospike.theory.effective_dimension import (
    components_for,
    effective_rank,
    flatten,
    neighbour_dimension,
    participation_ratio,
    pca_dimension,
    principal_subspace,
    rank_of,
    ratio_of,
    subsampled_pca_dimension,
    variances,
)
from validation.inputs.images import digits


def crosses(scales):
    """Samples at plus and minus each axis: their covariance is diagonal, exactly."""
    axes = np.diag(np.asarray(scales, dtype=float))
    return np.concatenate([axes, -axes]) + 0.25


def sphere(seed, n, dimensions, ambient=None):
    """Uniform samples of a hypersphere of `dimensions`, turned into a space of `ambient` dimensions."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, dimensions + 1))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    if ambient is None:
        return points
    frame = np.linalg.qr(rng.normal(size=(ambient, dimensions + 1)))[0]
    return points @ frame.T


@pytest.mark.parametrize("dimensions", [1, 4, 17])
def test_isotropic_data_fill_all_their_dimensions(dimensions):
    samples = crosses(np.ones(dimensions))
    assert participation_ratio(samples) == pytest.approx(dimensions)
    assert effective_rank(samples) == pytest.approx(dimensions)
    assert pca_dimension(samples, variance=1.0) == dimensions
    assert pca_dimension(samples, variance=0.95) == math.ceil(0.95 * dimensions)


def test_two_unequal_variances_by_hand():
    samples = crosses([2, 1])  # shares of the variance 4/5 and 1/5
    assert variances(samples) == pytest.approx(np.array([8, 2]) / 3)
    assert participation_ratio(samples) == pytest.approx(25 / 17)
    assert effective_rank(samples) == pytest.approx(0.8**-0.8 * 0.2**-0.2)
    assert [pca_dimension(samples, variance=v) for v in (0.79, 0.8, 0.81, 1.0)] == [1, 1, 2, 2]


def test_geometric_spectrum():
    # lam_i = q^i: the sums give (1 + q)/(1 - q) and exp(-ln(1 - q) - q ln q/(1 - q)).
    q = 0.9
    lam = q ** np.arange(2000)
    assert ratio_of(lam) == pytest.approx((1 + q) / (1 - q))
    assert rank_of(lam) == pytest.approx(math.exp(-math.log(1 - q) - q * math.log(q) / (1 - q)))
    assert components_for(lam, 0.95) == math.ceil(math.log(0.05) / math.log(q))


@given(st.lists(st.floats(1e-3, 10), min_size=1, max_size=12))
def test_order_of_the_two_ratios(lam):
    assert 1 - 1e-9 <= ratio_of(lam) <= rank_of(lam) * (1 + 1e-9) <= len(lam) * (1 + 2e-9)


@given(st.integers(0, 1000), st.integers(2, 12), st.integers(2, 12))
def test_spectrum_does_not_depend_on_axes_units_or_origin(seed, n, features):
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(n, features))
    frame = np.linalg.qr(rng.normal(size=(features, features)))[0]
    lam = variances(samples)
    np.testing.assert_allclose(variances(3 * samples @ frame + 1), 9 * lam, rtol=1e-8, atol=1e-9 * lam[0])
    np.testing.assert_allclose(lam.sum(), samples.var(axis=0, ddof=1).sum())
    assert len(lam) == min(n - 1, features)


def test_sampling_bias_of_the_participation_ratio():
    # Wishart moments with m = n - 1: E tr(S)^2 / E tr(S^2) = (m D + 2)/(m + D + 1).
    D, n, draws = 10, 40, 400
    rng = np.random.default_rng(1)
    m = n - 1
    lam = np.array([variances(rng.normal(size=(n, D))) for _ in range(draws)])
    first, second = lam.sum(axis=1) ** 2, (lam**2).sum(axis=1)
    for moment, exact in ((first, D * (m * D + 2) / m), (second, D * (m + D + 1) / m)):
        error = moment.std(ddof=1) / math.sqrt(draws)
        assert abs(moment.mean() - exact) < 4 * error  # 4 standard errors
    # The figure of the docstring, D n/(D + n) = 8.
    assert np.mean(first / second) == pytest.approx(8, rel=0.02)


def test_samples_are_flattened():
    images = np.random.default_rng(2).random((30, 4, 5))
    assert flatten(images).shape == (30, 20)
    assert participation_ratio(images) == participation_ratio(images.reshape(30, 20))


def test_subsamples_of_the_paper():
    samples = np.random.default_rng(3).normal(size=(200, 30)) * np.arange(1, 31) ** -1.0
    found = subsampled_pca_dimension(samples, seed=4)
    assert len(found.values) == 5
    assert found.mean == pytest.approx(np.mean(found.values))
    assert found.sd == pytest.approx(np.std(found.values, ddof=1))
    assert abs(found.mean - pca_dimension(samples)) <= 1
    assert found == subsampled_pca_dimension(samples, seed=4)
    assert math.isnan(subsampled_pca_dimension(samples, subsamples=1).sd)
    assert subsampled_pca_dimension(samples, fraction=1.0).values == (pca_dimension(samples),) * 5


def test_subsamples_scatter_less_than_samples_by_a_factor_of_two():
    # Of a mean: variance sigma^2/m (1 - m/n) over subsamples of m without replacement, against sigma^2/n over samples.
    rng = np.random.default_rng(5)
    n, m = 100, 80
    values = rng.normal(size=n)
    means = [values[rng.choice(n, m, replace=False)].mean() for _ in range(4000)]
    # A standard deviation of 4000 numbers has a relative error of 1.1 %: 4 of these.
    assert np.std(means) / (values.std(ddof=1) / math.sqrt(n)) == pytest.approx(math.sqrt(0.2 / 0.8), rel=0.05)


def test_digits_need_29_components():
    # As scikit-learn's own PCA(0.95) says; 28 hold 94.99 %, so that samples of them need 28 or 29.
    assert pca_dimension(digits()) == PCA(0.95).fit(digits().reshape(-1, 64)).n_components_ == 29
    assert set(subsampled_pca_dimension(digits()).values) <= {28, 29}


@pytest.mark.parametrize("method", ["two_nn", "mle"])
@pytest.mark.parametrize(("dimensions", "tolerance"), [(2, 0.15), (5, 0.15)])
def test_hypersphere(method, dimensions, tolerance):
    # The manifold has `dimensions`, the flat space around it one more, and the features 40. The relative standard error
    # of TwoNN is 1/sqrt(n), 3.2 %, of the other less; 4 of them, and what curvature does.
    samples = sphere(6, 1000, dimensions, ambient=40)
    assert pca_dimension(samples) == dimensions + 1
    assert neighbour_dimension(samples, method=method) == pytest.approx(dimensions, rel=tolerance)


def test_two_nn_against_its_own_likelihood():
    # Without the library: the ratios of a Poisson process have P(mu > x) = x^-d, so d = 1/mean(ln mu).
    samples = sphere(7, 1000, 3)
    distances = np.linalg.norm(samples[:, None] - samples, axis=2)
    nearest = np.sort(distances, axis=1)[:, 1:3]
    by_hand = 1 / np.log(nearest[:, 1] / nearest[:, 0]).mean()
    assert neighbour_dimension(samples) == pytest.approx(by_hand, rel=4 / math.sqrt(1000))


def test_mle_against_its_formula():
    samples = sphere(8, 300, 2)
    k = 7
    r = np.sort(np.linalg.norm(samples[:, None] - samples, axis=2), axis=1)[:, 1 : k + 1]
    by_hand = 1 / np.log(r[:, -1:] / r[:, :-1]).mean()
    assert neighbour_dimension(samples, method="mle", neighbours=k) == pytest.approx(by_hand, rel=1e-6)


def test_duplicates_are_left_out():
    samples = sphere(9, 200, 2)
    for method in ("two_nn", "mle"):
        assert neighbour_dimension(np.repeat(samples, 3, axis=0), method=method) == pytest.approx(
            neighbour_dimension(samples, method=method)
        )


def test_a_line_has_one_dimension():
    line = np.random.default_rng(10).random((2000, 1))
    assert participation_ratio(line) == 1
    for method in ("two_nn", "mle"):
        # 4 standard errors of 1/sqrt(n) and the border.
        assert neighbour_dimension(line, method=method) == pytest.approx(1, abs=0.1)


def test_missing_library_names_the_extra(monkeypatch):
    real = importlib.import_module

    def without(name, *rest):
        if name.startswith(("skdim", "sklearn")):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ValueError, match=r"pip install 'biospike\[dimension\]'"):
        neighbour_dimension(sphere(11, 50, 2))


def test_principal_subspace():
    rng = np.random.default_rng(12)
    samples = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 8)) + 5
    mean, basis = principal_subspace(samples, 3)
    np.testing.assert_allclose(mean, samples.mean(axis=0))
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(mean + (samples - mean) @ basis @ basis.T, samples, atol=1e-12)  # rank 3: nothing lost
    kept = ((samples - mean) @ basis).var(axis=0, ddof=1)
    np.testing.assert_allclose(kept, variances(samples)[:3])
    assert (basis[np.abs(basis).argmax(axis=0), range(3)] > 0).all()
    wide = rng.normal(size=(5, 400))
    assert principal_subspace(wide, 4)[1].shape == (400, 4)


def test_volume_of_the_pca_space_of_uniform_data():
    # A box of sides 1, 1/2, 1/4...: variances side^2/12, so the shares are those of a geometric series with q = 1/4.
    rng = np.random.default_rng(13)
    box = rng.random((4000, 12)) * 2.0 ** -np.arange(12)
    q = 0.25
    assert participation_ratio(box) == pytest.approx((1 + q) / (1 - q), rel=0.05)
    assert pca_dimension(box) == math.ceil(math.log(0.05) / math.log(q)) == 3
    side = integrate.quad(lambda x: (x - 0.5) ** 2, 0, 1)[0]
    assert variances(box)[0] == pytest.approx(side, rel=0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pca_dimension(np.ones((1, 3))), r"n at least 2, got \(1, 3\)"),
        (lambda: pca_dimension(np.arange(5.0)), r"got \(5,\)"),
        (lambda: pca_dimension([[1.0, np.nan], [0, 1]]), "must be finite, got nan"),
        (lambda: pca_dimension(np.full((9, 3), 0.3)), "all 9 samples are equal"),
        (lambda: pca_dimension(crosses([1, 2]), variance=1.2), "at most 1, got 1.2"),
        (lambda: subsampled_pca_dimension(crosses([1, 2]), fraction=1.5), "got 5 of 1.5"),
        (lambda: subsampled_pca_dimension(crosses([1, 2]), subsamples=0), "got 0 of 0.8"),
        (lambda: subsampled_pca_dimension(crosses([1, 2]), fraction=0.3), "of 4 samples is 1, expected at least 2"),
        (lambda: neighbour_dimension(sphere(14, 20, 2), method="nearest"), "'two_nn' or 'mle', got 'nearest'"),
        (lambda: neighbour_dimension(crosses([1, 2])), "at least 10 different samples, got 4"),
        (lambda: principal_subspace(crosses([1, 2]), 3), "from 1 to 2 for 4 samples of 2 features, got 3"),
        (lambda: principal_subspace(crosses([1, 2]), 0), "got 0"),
    ],
)
def test_errors_name_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
