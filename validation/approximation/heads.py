"""Spiking heads that serve as features: random candidates, of which the most useful are kept.

Candidates are Gaussian: queries, keys and values are ramps across the box of the tokens with a random direction and a
random place, scores of one of several sharpnesses. In every other head the keys run along the queries, so that a token
attends to its like. The ON and OFF outputs of a head are read separately: sum_j p_ij relu(+-v_j), sums over the set of
a rectified ramp, weighted by attention.

Of the candidates those are kept, one after the other, that most reduce the error of a linear read-out of all targets
together, in the rate domain, on tokens drawn for this purpose alone: orthogonal matching pursuit (Pati, Rezaiifar,
Krishnaprasad, Asilomar 1993) in blocks of the outputs of a head. The first heads of a list are thus the list of fewer
heads.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from circuits.attention import SpikingAttention

Array = NDArray[np.float64]

SHARPNESS = (1.25, 2.5, 5.0, 10.0)
"""Bounds of the scores of a head over the box, in nats."""
CANDIDATES_PER_HEAD = 8
FEWEST_CANDIDATES = 128
DESIGN_ROWS = 1024
"""Tokens, in all samples together, on which heads are chosen."""
DESIGN_NOISE = 0.01
"""Heads are chosen as if spikes left this fraction of an output's variance as noise, so that none is chosen for a
difference that spikes would drown."""


def draw_tokens(samples: int, tokens: int, features: int, rng: np.random.Generator) -> Array:
    """Tokens in the box, from the arcsine law in every feature: dense at the faces, where sup-norm errors are largest.

    It is the sampling measure of Chebyshev, for which least squares comes near the best uniform approximation.
    """
    return np.sin(np.pi / 2 * rng.uniform(size=(samples, tokens, features))) ** 2


def with_constant(x: Array) -> Array:
    """Tokens with a last feature of 1, which carries the biases."""
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)


def candidates(number: int, features: int, width: int, rng: np.random.Generator) -> Array:
    """Random weights (streams, features + 1, number, width), the biases last."""
    slopes = rng.normal(size=(3, features, number, width))
    slopes[1, :, ::2] = slopes[0, :, ::2]
    # Every ramp is 0 somewhere in the box. Where that is does not matter for keys: softmax ignores what all share.
    places = rng.uniform(size=(3, features, number, width))
    places[1] = 0.5
    weights = np.concatenate([slopes, -(slopes * places).sum(axis=1, keepdims=True)], axis=1)
    q, k, _ = largest_units(weights)
    weights[0] *= (rng.choice(SHARPNESS, number) * np.sqrt(width) / (q * k).sum(axis=-1))[:, None]
    return weights


def largest_units(weights: Array) -> Array:
    """Largest absolute unit over the box, (streams, number, width); an affine form has it at a corner."""
    bias, slopes = weights[:, -1], weights[:, :-1]
    return np.maximum(bias + np.maximum(slopes, 0).sum(axis=1), -(bias + np.minimum(slopes, 0).sum(axis=1)))


def block(weights: Array, template: SpikingAttention) -> SpikingAttention:
    """Attention block of these heads, otherwise like `template`; rates keep to its peak in all the box."""
    streams, features, heads, width = weights.shape
    W_q, W_k, W_v = weights.reshape(streams, features, heads * width)
    scales = template.peak_rate / largest_units(weights).max(axis=-1)
    return attrs.evolve(template, W_q=W_q, W_k=W_k, W_v=W_v, heads=heads, scales=scales)


def limit_features(circuit: SpikingAttention, x: Array) -> Array:
    """What the outputs spike per attention spike of their row in the rate-domain limit.

    Returns
    -------
    array (samples, tokens, heads, width, 2)
        The last axis is ON and OFF.
    """
    tokens = with_constant(x)
    attention = circuit.limit(tokens)["attention"].values
    return np.einsum("shij,sjhec->sihec", attention, circuit.rates(tokens)[:, :, 2], optimize=True)


def choose(features: Array, values: Array, number: int) -> list[int]:
    """Heads to keep, most useful first.

    Parameters
    ----------
    features : array (samples, tokens, candidates, width, 2)
        From `limit_features`.
    values : array (samples, tokens, targets)
    number
        How many to keep.
    """
    count = features.shape[2]
    rows = np.moveaxis(features, 2, 0).reshape(count, -1, features[0, 0, 0].size)
    rows = rows - rows.mean(axis=1, keepdims=True)
    noise = DESIGN_NOISE * rows.var(axis=1).mean() * rows.shape[1] * np.eye(rows.shape[2])
    left = values.reshape(-1, values.shape[-1])
    left = (left - left.mean(axis=0)) / left.std(axis=0)
    kept: list[int] = []
    for _ in range(number):
        explained = np.einsum("prf,ry->pfy", rows, left)
        gain = (explained * np.linalg.solve(rows.transpose(0, 2, 1) @ rows + noise, explained)).sum(axis=(1, 2))
        gain[kept] = -np.inf
        kept.append(int(gain.argmax()))
        basis, strength, _ = np.linalg.svd(rows[kept[-1]], full_matrices=False)
        basis = basis[:, strength > 1e-9 * strength[0]]  # an output that never spikes spans nothing
        left = left - basis @ (basis.T @ left)
        rows = rows - basis @ (basis.T @ rows)
    return kept
