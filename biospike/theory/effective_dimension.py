"""How many dimensions real data fill: principal components, eigenvalue ratios, nearest neighbours.

Linear measures count the axes of the flat space that holds the data, weighted by their variance in different ways;
neighbour measures count the coordinates of the surface on which the samples lie. They are smaller where it is curved,
and larger where there is structure or noise on the scale of the neighbours with little variance. All act on samples
(n, ...), one a row, flattened and centred. n samples span at most n - 1 dimensions: a figure near that is a property of
the sample, not of the data.

With eigenvalues lam_i of the covariance matrix and their shares s_i = lam_i / sum(lam):

* `pca_dimension`: the smallest k with ``s_1 + ... + s_k >= variance``;
* `participation_ratio`: ``(sum lam)^2 / sum lam^2 = 1 / sum s^2``;
* `effective_rank`: ``exp(-sum s ln s)``.

All three are the number of dimensions for isotropic data and 1 for data on a line, and
participation ratio <= effective rank (Rényi entropies of order 2 and 1).
"""

from __future__ import annotations

import importlib
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from biospike.errors import InputError

Array = NDArray[np.float64]
NeighbourMethod = Literal["two_nn", "mle"]

NEIGHBOURS = 20
"""Neighbours a point of the maximum-likelihood estimator, the upper end of the range of Levina and Bickel."""
FEWEST = 10
"""Different samples that a neighbour estimate needs."""
ROUNDING = 1e-12
"""Cumulative shares are compared up to this, so that the last component of a variance of 1 is rounding-proof."""


class Subsampled(NamedTuple):
    """Dimension over random subsamples: mean, standard deviation (n - 1) and the values themselves."""

    mean: float
    sd: float
    values: tuple[int, ...]


def flatten(samples: ArrayLike) -> Array:
    """Samples as a matrix (n, features), checked.

    Raises
    ------
    InputError
        If there are fewer than 2 samples, none has a feature, or a value is not finite.
    """
    values = np.asarray(samples, dtype=float)
    if values.ndim < 2 or len(values) < 2 or not values[0].size:
        raise InputError(f"samples must have the shape (n, ...) with n at least 2, got {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"samples must be finite, got {values[~np.isfinite(values)][0]}")
    return values.reshape(len(values), -1)


def variances(samples: ArrayLike) -> Array:
    """Eigenvalues of the covariance matrix, the variances along the principal axes, largest first.

    Parameters
    ----------
    samples
        (n, ...), flattened.

    Returns
    -------
    array (min(n - 1, features),)
        With the divisor n - 1; they sum to the total variance of the features.

    Raises
    ------
    InputError
        As for `flatten`, or if all samples are equal.
    """
    flat = flatten(samples)
    centred = flat - flat.mean(axis=0)
    n, features = centred.shape
    # The smaller of covariance and Gram matrix: they share all eigenvalues that are not 0.
    gram = centred.T @ centred if features <= n else centred @ centred.T
    eigenvalues = np.linalg.eigvalsh(gram)[::-1][: min(n - 1, features)] / (n - 1)
    # What centring leaves of equal samples is rounding of the mean, about 1e-16 of the values.
    if not eigenvalues[0] > (1e-14 * np.abs(flat).max()) ** 2 * features:
        raise InputError(f"all {n} samples are equal: there is no variance to divide among dimensions")
    return np.maximum(eigenvalues, 0.0)


def pca_dimension(samples: ArrayLike, variance: float = 0.95) -> int:
    """Principal components that hold a fraction of the variance; the d_eff of arXiv:2604.15769.

    Parameters
    ----------
    samples
        (n, ...), flattened and centred, not scaled: features of large variance dominate.
    variance
        Fraction, above 0 and at most 1.

    Returns
    -------
    int
        From 1 to min(n - 1, features). Rises with the fraction and, while n is not far above it, with n.

    Raises
    ------
    InputError
        As for `variances`, or if the fraction is out of range.
    """
    return components_for(variances(samples), variance)


def components_for(eigenvalues: ArrayLike, variance: float = 0.95) -> int:
    """Number of the largest eigenvalues, given in descending order, that hold a fraction of their sum."""
    if not 0 < variance <= 1:
        raise InputError(f"variance must be a fraction above 0 and at most 1, got {variance}")
    held = np.cumsum(np.asarray(eigenvalues, dtype=float))
    return int(np.searchsorted(held / held[-1], variance - ROUNDING) + 1)


def subsampled_pca_dimension(
    samples: ArrayLike, variance: float = 0.95, subsamples: int = 5, fraction: float = 0.8, seed: int = 0
) -> Subsampled:
    """`pca_dimension` of random subsamples: the protocol of arXiv:2604.15769, five of 80 % without replacement.

    The standard deviation over subsamples that share most of their points is *not* the standard error: for a mean it
    is smaller by ``sqrt((1 - fraction) / fraction)``, a factor of 2 at 80 %.

    Parameters
    ----------
    samples
        (n, ...), flattened.
    variance
        Fraction of the variance.
    subsamples
        Their number, at least 1. With 1 the standard deviation is NaN.
    fraction
        Part of the samples in each, above 0 and at most 1.
    seed
        Of the choice of samples.

    Raises
    ------
    InputError
        As for `pca_dimension`, or if a subsample would hold fewer than 2 samples.
    """
    flat = flatten(samples)
    if not 0 < fraction <= 1 or subsamples < 1:
        raise InputError(f"need at least 1 subsample of a fraction in (0, 1], got {subsamples} of {fraction}")
    size = round(fraction * len(flat))
    if size < 2:
        raise InputError(f"{fraction:g} of {len(flat)} samples is {size}, expected at least 2")
    rng = np.random.default_rng(seed)
    values = [
        pca_dimension(flat[rng.choice(len(flat), size, replace=False)], variance=variance) for _ in range(subsamples)
    ]
    return Subsampled(
        float(np.mean(values)), float(np.std(values, ddof=1)) if subsamples > 1 else float("nan"), tuple(values)
    )


def participation_ratio(samples: ArrayLike) -> float:
    """Participation ratio ``(sum lam)^2 / sum lam^2`` of the covariance spectrum.

    In [1, min(n - 1, features)]. n normal samples of D equal variances read about ``D n / (D + n)``, so 1/PR is high
    by 1/n: take n well above the result. Gao et al., *A theory of multineuronal dimensionality, dynamics and
    measurement*, bioRxiv 214262 (2017).

    Raises
    ------
    InputError
        As for `variances`.
    """
    return ratio_of(variances(samples))


def ratio_of(eigenvalues: ArrayLike) -> float:
    """Participation ratio of given eigenvalues."""
    lam = np.asarray(eigenvalues, dtype=float)
    return float(lam.sum() ** 2 / (lam**2).sum())


def effective_rank(samples: ArrayLike) -> float:
    """Effective rank ``exp(-sum s ln s)`` of the covariance matrix, s its eigenvalues over their sum.

    Roy and Vetterli, *The effective rank: a measure of effective dimensionality*, EUSIPCO 2007, for a matrix with
    singular values s. Those of a covariance matrix are its eigenvalues; the effective rank of the data matrix itself,
    whose singular values are their roots, is larger. In [1, min(n - 1, features)], and at least `participation_ratio`.

    Raises
    ------
    InputError
        As for `variances`.
    """
    return rank_of(variances(samples))


def rank_of(eigenvalues: ArrayLike) -> float:
    """Effective rank of given eigenvalues."""
    lam = np.asarray(eigenvalues, dtype=float)
    return float(np.exp(entr(lam[lam > 0] / lam.sum()).sum()))


def neighbour_dimension(samples: ArrayLike, method: NeighbourMethod = "two_nn", neighbours: int = NEIGHBOURS) -> float:
    """Intrinsic dimension from the distances of nearest neighbours, by scikit-dimension.

    * ``two_nn``: the ratio mu of the distances to the second and the first neighbour has ``P(mu > x) = x^-d``; a line
      is fitted to the lower 90 %. Facco, d'Errico, Rodriguez, Laio, Scientific Reports 7, 12140 (2017).
    * ``mle``: ``1/d`` is the mean of ``ln(r_k / r_j)`` over points and neighbours j < k. Levina and Bickel, NIPS 2004,
      averaged as MacKay and Ghahramani (2005) correct it.

    Valid where density and curvature hardly change over a neighbourhood. Both read low in many dimensions, where all
    samples are near the border: 8.2 to 8.6 of 10 and about 15 of 20 for 2000 points of a cube. Values on a coarse grid,
    such as 8-bit pixels, distort small distances. Duplicates have distance 0 and are left out; a bootstrap with
    replacement makes duplicates, so take subsamples without.

    Parameters
    ----------
    samples
        (n, ...), flattened.
    method
        ``two_nn`` or ``mle``.
    neighbours
        k of ``mle``; fewer where there are fewer samples.

    Raises
    ------
    InputError
        If the method is unknown, scikit-dimension is not installed, or fewer than 10 samples differ.
    """
    return dimension_of(nearest_distances(samples, neighbours), method)


def nearest_distances(samples: ArrayLike, neighbours: int = NEIGHBOURS) -> Array:
    """Distances from each different sample to its nearest others, (different samples, neighbours), nearest first.

    Raises
    ------
    InputError
        As for `neighbour_dimension`.
    """
    nearest = _import("sklearn.neighbors").NearestNeighbors
    distinct = np.unique(flatten(samples), axis=0)
    if len(distinct) < FEWEST:
        raise InputError(f"a neighbour estimate needs at least {FEWEST} different samples, got {len(distinct)}")
    found, _ = nearest(n_neighbors=min(neighbours, len(distinct) - 1)).fit(distinct).kneighbors()
    return np.asarray(found, dtype=float)


def dimension_of(distances: ArrayLike, method: NeighbourMethod = "two_nn") -> float:
    """Estimate of `neighbour_dimension` from given `nearest_distances`."""
    if method not in ("two_nn", "mle"):
        raise InputError(f"method must be 'two_nn' or 'mle', got {method!r}")
    estimators = _import("skdim.id")
    r = np.asarray(distances, dtype=float)
    r = r[r[:, 0] > 0]  # two samples may differ by less than the rounding of a distance
    if method == "two_nn":
        return float(estimators.TwoNN(dist=True).fit(r[:, :2]).dimension_)
    # Of the samples themselves only the number counts once their distances are known.
    known = (r, np.zeros(r.shape, dtype=int))
    return float(estimators.MLE().fit(r, precomputed_knn_arrays=known, n_neighbors=r.shape[1]).dimension_)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise InputError(
            "nearest-neighbour dimensions need scikit-dimension, which is not installed: "
            "pip install 'biospike[dimension]'"
        ) from None


def principal_subspace(samples: ArrayLike, dimensions: int) -> tuple[Array, Array]:
    """Mean and first principal axes of the samples: the flat space that holds most of their variance (Pearson 1901).

    Parameters
    ----------
    samples
        (n, ...), flattened.
    dimensions
        Number of axes, from 1 to min(n - 1, features).

    Returns
    -------
    mean : array (features,)
    basis : array (features, dimensions)
        Orthonormal columns, in the order of their variance, the largest loading of each positive; ``mean + (x - mean)
        @ basis @ basis.T`` is the projection of x.

    Raises
    ------
    InputError
        If the samples have fewer than `dimensions` axes.
    """
    flat = flatten(samples)
    most = min(len(flat) - 1, flat.shape[1])
    if not 1 <= dimensions <= most:
        raise InputError(
            f"dimensions must be from 1 to {most} for {len(flat)} samples of {flat.shape[1]} features, got {dimensions}"
        )
    mean = flat.mean(axis=0)
    basis = np.linalg.svd(flat - mean, full_matrices=False)[2][:dimensions].T
    largest = np.take_along_axis(basis, np.abs(basis).argmax(axis=0)[np.newaxis], axis=0)
    return mean, basis * np.where(largest < 0, -1.0, 1.0)
