"""Input sets of the design rule: images, patches, tokens of a transformer, and points of chosen rank.

Every sample is an array (tokens, features) in [0, 1]; its ambient dimension is n*d, its d_eff that of the flattened
samples. Each set has a calibration and a validation half without a pixel or token in common: the effective dimension,
the principal subspaces and C come from the first only.
"""

from __future__ import annotations

import itertools

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.theory.effective_dimension import pca_dimension, principal_subspace, subsampled_pca_dimension
from validation.data import token_block
from validation.inputs.images import digits, natural_patches

Array = NDArray[np.float64]

POOL = 1000
"""Samples of each half from which dimension and subspace are computed, where there are so many."""
TOKENS_OF_SENTENCE = 3
"""Tokens in a sample of the transformer's."""


@attrs.frozen(eq=False)
class InputSet:
    """Samples of one kind in two disjoint halves.

    Attributes
    ----------
    name : str
    kind : str
        ``real`` or ``synthetic``.
    calibration, validation : ndarray (samples, tokens, features)
        In [0, 1].
    d_eff : float
        Principal components for 95 % of the variance of the calibration half, the mean over five subsamples of 80 %.
    mean, basis : ndarray (n*d,), (n*d, axes)
        Principal subspace of the flattened calibration half, with 95 % of its variance.
    """

    name: str
    kind: str
    calibration: Array
    validation: Array
    d_eff: float
    mean: Array
    basis: Array

    @property
    def tokens(self) -> int:
        """Tokens of a sample, n."""
        return int(self.calibration.shape[1])

    @property
    def features(self) -> int:
        """Values of a token, d."""
        return int(self.calibration.shape[2])

    @property
    def ambient(self) -> int:
        """Values of a sample, n*d."""
        return self.tokens * self.features

    def simulated(self, samples: int) -> Array:
        """First samples of each half, (2, samples, tokens, features), as far as both halves have them."""
        return np.stack([self.calibration[:samples], self.validation[:samples]])


def subspace(samples: Array) -> tuple[Array, Array]:
    """Mean and principal axes that hold 95 % of the variance of the samples (n, ...)."""
    return principal_subspace(samples, pca_dimension(samples))


def input_set(name: str, kind: str, calibration: Array, validation: Array, seed: int) -> InputSet:
    """Measure effective dimension and principal subspace of the calibration half."""
    dimension = subsampled_pca_dimension(calibration, seed=seed)
    mean, basis = subspace(calibration)
    return InputSet(name, kind, calibration, validation, dimension.mean, mean, basis)


def digit_set(seed: int) -> InputSet:
    """Handwritten digits; a row of 8 pixels is a token."""
    images = np.random.default_rng([seed, 0]).permutation(digits())
    middle = len(images) // 2
    return input_set("digits", "real", images[:middle], images[middle:], seed)


def patch_set(size: int, seed: int) -> InputSet:
    """Patches of the two photographs; a row of coloured pixels is a token.

    The halves are the two photographs, since random patches of the same one overlap. So the validation half is of
    another scene, not only of other samples.
    """
    patches = natural_patches(size, 2 * POOL, seed).reshape(2 * POOL, size, 3 * size)
    return input_set(f"patches {size}x{size}", "real", patches[::2], patches[1::2], seed)


def sentence_set(seed: int) -> InputSet:
    """Triples of the shipped tokens, every second token for either half, without the constant feature."""
    block, rng = token_block(), np.random.default_rng([seed, 1])
    values = block.X[:, :-1]
    halves = []
    for start in (0, 1):
        triples = np.array(list(itertools.permutations(range(start, len(values), 2), TOKENS_OF_SENTENCE)))
        halves.append(values[rng.permutation(triples)])
    return input_set("MiniLM tokens", "real", halves[0], halves[1], seed)


def low_rank_set(tokens: int, features: int, rank: int, seed: int) -> InputSet:
    """Uniform points of a random flat space of so many dimensions, about the centre of the cube.

    They fill as much of [0, 1] as they can without being cut off, which would add dimensions.

    Raises
    ------
    InputError
        If the rank is not from 1 to tokens*features.
    """
    ambient = tokens * features
    if not 1 <= rank <= ambient:
        raise InputError(f"rank must be from 1 to {tokens}*{features} = {ambient}, got {rank}")
    rng = np.random.default_rng([seed, 2, tokens, features, rank])
    axes = np.linalg.qr(rng.standard_normal((ambient, rank)))[0]
    points = rng.uniform(-1, 1, (2 * POOL, rank)) @ axes.T
    samples = (0.5 + 0.5 * points / np.abs(points).max()).reshape(2 * POOL, tokens, features)
    name = f"rank {rank} in {tokens}x{features}"
    return input_set(name, "synthetic", samples[:POOL], samples[POOL:], seed)
