"""Rank of tokens and of heads: LayerNorm, the kernel of mixing heads, noise, and where spikes stop a collapse.

Tokens are the rows of X (n, d). `rank` is that of the matrix, `affine_rank` the dimension of the flat that its rows
span. With C the centring of features and s_i the standard deviation of token i, LayerNorm is D X C up to invertible
factors, D = diag(1/s), so that

    affine_rank(LN X) = rank[X C, s] - 1        exactly,

which is rank(X) if the ones are not in the row space of X and s is not in the column space of X C. It is
affine_rank(X) only if, besides, the flat of the tokens passes through the origin; otherwise it is one more.

Heads Y (n, heads*width) are mixed by W_O. Of Y -> Y W_O the kernel has n*(heads*width - rank W_O) dimensions: what of
the heads' outputs the tokens do not tell.

Attention without anything beside it makes tokens equal. Near that point exact softmax cubes what is left of their
differences, shares of N spikes only divide it by about sqrt(N), and value spikes, of which every query routes its own,
put a floor under it.

References
----------
Dong, Cordonnier, Loukas, *Attention is not all you need: pure attention loses rank doubly exponentially with depth*,
ICML 2021, arXiv:2103.03404. Davidson, Szarek, *Local operator theory, random matrices and Banach spaces* (2001),
theorem II.13, and Gordon (1985) for columns of unequal variance: the largest singular value of normal noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import float_array, refuse_not_finite
from biospike.errors import InputError

Array = NDArray[np.float64]

TOLERANCE = 1e-9
"""Singular values below this part of the largest are rounding."""
CHANCE = 0.01
"""With which noise alone may pass for a dimension."""


def matrix(values: ArrayLike, what: str = "tokens") -> Array:
    """Return a finite matrix (rows, columns).

    Raises
    ------
    InputError
        If it is none.
    """
    found = float_array(values, what)
    if found.ndim != 2 or found.size == 0:
        raise InputError(f"{what} must be a matrix (rows, columns), got shape {found.shape}")
    refuse_not_finite(found, what)
    return found


def rank(values: ArrayLike, tolerance: float = TOLERANCE) -> int:
    """Singular values above `tolerance` times the largest; 0 of a matrix of zeros."""
    spectrum = np.linalg.svd(matrix(values, "the matrix"), compute_uv=False)
    return int((spectrum > tolerance * spectrum[0]).sum())


def affine_rank(tokens: ArrayLike, tolerance: float = TOLERANCE) -> int:
    """Dimension of the flat that tokens (n, d) span: 0 if all are equal.

    Singular values of the centred tokens count above `tolerance` times the largest of the tokens themselves.
    """
    X = matrix(tokens)
    largest = np.linalg.svd(X, compute_uv=False)[0]
    return int((np.linalg.svd(X - X.mean(axis=0), compute_uv=False) > tolerance * largest).sum())


def layer_norm(tokens: ArrayLike, gamma: ArrayLike = 1.0, beta: ArrayLike = 0.0) -> Array:
    """Every token less the mean of its features, over their standard deviation, times gamma plus beta.

    Without the small number that keeps a constant token from a division by 0: that is an error here.

    Raises
    ------
    InputError
        If a token is constant.
    """
    X = matrix(tokens)
    centred = X - X.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    constant = spread[:, 0] <= 1e-14 * np.abs(X).max(axis=1)
    if constant.any():
        raise InputError(f"token {int(constant.argmax())} has equal features: LayerNorm divides by their spread, 0")
    return np.asarray(centred / spread * np.asarray(gamma, dtype=float) + np.asarray(beta, dtype=float))


class Hypotheses(NamedTuple):
    """What is asked of tokens so that LayerNorm keeps their affine rank; the last is the one that was missing.

    Attributes
    ----------
    no_constant_row, ones_not_in_rows, gamma_not_zero, deviations_not_in_columns : bool
        As listed: every token varies over features, the ones are not in the row space of the tokens, no gain is 0, the
        tokens' standard deviations are not in the column space of their centred features.
    through_origin : bool
        The flat of the tokens, centred over features, passes through the origin.
    """

    no_constant_row: bool
    ones_not_in_rows: bool
    gamma_not_zero: bool
    deviations_not_in_columns: bool
    through_origin: bool

    @property
    def listed(self) -> bool:
        """Whether all that are listed hold."""
        return all(self[:-1])


def hypotheses(tokens: ArrayLike, gamma: ArrayLike = 1.0) -> Hypotheses:
    """Which hypotheses tokens (n, d) and gains (d,) fulfil."""
    X = matrix(tokens)
    centred = X - X.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1))
    own = rank(centred) if centred.any() else 0
    return Hypotheses(
        bool((spread > 1e-14 * np.abs(X).max(axis=1)).all()),
        rank(np.vstack([X, np.ones(X.shape[1])])) > rank(X),
        bool((np.asarray(gamma, dtype=float) != 0).all()),
        rank(np.column_stack([centred, spread])) > own,
        affine_rank(centred) == own,
    )


def head_kernel(W_O: ArrayLike, tokens: int) -> int:
    """Dimensions of the outputs of heads that n tokens do not tell: n*(heads*width - rank W_O).

    Parameters
    ----------
    W_O
        (heads*width, features), of all heads.
    tokens
        n.
    """
    W = matrix(W_O, "W_O")
    return tokens * (len(W) - rank(W))


def stated_kernel(tokens: int, heads: int, width: int) -> int:
    """What is reported for it, n*(heads - 1)*width: right if all heads write to the same `width` dimensions."""
    return tokens * (heads - 1) * width


def literal_kernel(W_O: ArrayLike, heads: int, tokens: int) -> tuple[int, int]:
    """Kernel and image of Y -> (Y_h W_h)_h on those Y whose sum over heads is 0: dimensions.

    The reading in which the contributions of heads are told apart, not their outputs.
    """
    W = matrix(W_O, "W_O")
    if heads < 1 or len(W) % heads:
        raise InputError(f"heads must divide the {len(W)} rows of W_O, got {heads}")
    lost = tokens * sum(len(own) - rank(own) for own in np.split(W, heads))
    return lost, head_kernel(W, tokens) - lost


def dispersion(tokens: ArrayLike) -> Array:
    """How far tokens (..., n, d) are from equal: norm of the centred tokens over that of the tokens, in [0, 1]."""
    X = np.asarray(tokens, dtype=float)
    centred = X - X.mean(axis=-2, keepdims=True)
    return np.asarray(np.sqrt((centred**2).sum((-2, -1)) / (X**2).sum((-2, -1))))


def share_factor(tokens: int, spikes: ArrayLike) -> Array:
    """Factor a layer by which shares of N multinomial spikes shrink small differences of tokens, root mean square.

    sqrt((1 - 1/n)/N): tokens that are nearly equal are attended to nearly equally, and each query draws its own N.
    """
    return np.asarray(np.sqrt((1 - 1 / tokens) / np.asarray(spikes, dtype=float)))


def value_variance(x: ArrayLike, values: str = "bernoulli") -> Array:
    """Variance of what one attention spike routes of the values x, spikes a step: x*(1 - x), or x of Poisson trains."""
    rates = np.asarray(x, dtype=float)
    if values not in ("bernoulli", "poisson"):
        raise InputError(f"values must be 'bernoulli' or 'poisson', got {values!r}")
    return rates * (1 - rates) if values == "bernoulli" else rates


def value_floor(x: ArrayLike, tokens: int, spikes: ArrayLike, values: str = "bernoulli") -> Array:
    """Dispersion that value spikes leave to n equal tokens x (..., d): root mean square.

    floor^2 = (1 - 1/n) sum_c v_c/(N sum_c x_c^2), v of `value_variance`: every attention spike routes a value spike
    of its own. Queries that attend to one key in one step share it, which lowers v by that chance.
    """
    rates = np.asarray(x, dtype=float)
    variance = value_variance(rates, values).sum(-1)
    return np.asarray(np.sqrt((1 - 1 / tokens) * variance / (np.asarray(spikes, dtype=float) * (rates**2).sum(-1))))


def noise_edge(deviations: ArrayLike, tokens: int, chance: float = CHANCE) -> float:
    """Singular value that the centred noise of n tokens exceeds with at most this chance.

    Parameters
    ----------
    deviations
        Standard deviation of the noise of every feature, (d,); independent between tokens and features, normal.
    tokens
        n, centred: n - 1 are independent.
    chance
        The expectation is at most max s*sqrt(n - 1) + |s|, of equal s the edge s*(sqrt(n - 1) + sqrt(d)) that half of
        all samples would be near; the margin above it is max s*sqrt(2 ln(1/chance)).
    """
    s = np.asarray(deviations, dtype=float)
    margin = np.sqrt(2 * np.log(1 / chance)) if chance < 1 else 0.0
    return float(s.max() * (np.sqrt(tokens - 1) + margin) + np.sqrt((s**2).sum()))


def corrected_rank(tokens: ArrayLike, deviations: ArrayLike, chance: float = CHANCE) -> int:
    """Dimensions of the tokens' flat that noise does not explain: singular values of the centred above `noise_edge`.

    At most the affine rank of the tokens without noise, but for the given chance (Weyl's inequality).
    """
    X = matrix(tokens)
    spectrum = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    return int((spectrum > noise_edge(deviations, len(X), chance)).sum())
