"""Real input of spiking transformers: images and tokens, made spikes by a small patch stem."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from biospike.errors import InputError
from biospike.ideal.attention import LIF, Affine, Fire, fire, fold_batch_norm, project
from biospike.ideal.attention.layers import Reals, Spikes
from biospike.ideal.lif import DiscreteLIF
from validation.data import token_block
from validation.inputs.images import digits, natural_patches

DIGIT_PATCH = 2
PHOTOGRAPH = 32
"""Pixels on a side of a piece of a photograph: the size of a CIFAR image."""
INPUTS = ("digits", "patches", "tokens")
FURTHEST = 50.0
"""Bound of the shift that is searched for, in standard deviations of the current."""


class Tokens(NamedTuple):
    """Values in [0, 1] that a stem turns into spikes.

    Attributes
    ----------
    values : ndarray (batch, tokens, features)
    size : tuple of int, optional
        Height and width in tokens of an image.
    source : str
        Where they come from.
    """

    values: NDArray[np.float64]
    size: tuple[int, int] | None
    source: str


def cut(images: NDArray[np.float64], patch: int) -> NDArray[np.float64]:
    """Patches of images as tokens, (batch, height, width[, 3]) -> (batch, tokens, patch*patch[*3]), row by row."""
    batch, height, width = images.shape[:3]
    pieces = images.reshape(batch, height // patch, patch, width // patch, patch, -1)
    return pieces.transpose(0, 1, 3, 2, 4, 5).reshape(batch, (height // patch) * (width // patch), -1)


def read_input(name: str, tokens: int, batch: int, seed: int) -> Tokens:
    """Tokens of one of `INPUTS`.

    Parameters
    ----------
    name
        ``"digits"``: 16 tokens of 2 by 2 pixels. ``"patches"``: pieces of photographs of 32 by 32 pixels.
        ``"tokens"``: the 11 tokens that ship with the package.
    tokens
        Tokens that a piece of a photograph is cut into, a square number that divides it.
    batch
        Number of images.
    seed
        Which images.

    Raises
    ------
    InputError
        If scikit-learn is needed and not installed.
    """
    if name == "tokens":
        block = token_block()
        return Tokens(block.X[None], None, f"{len(block.tokens)} tokens of a sentence in the middle layer of MiniLM")
    if name == "digits":
        everything = digits()
        chosen = np.sort(np.random.default_rng(seed).choice(len(everything), batch, replace=False))
        side = everything.shape[1] // DIGIT_PATCH
        return Tokens(cut(everything[chosen], DIGIT_PATCH), (side, side), f"digits {', '.join(map(str, chosen))}")
    side = round(tokens**0.5)
    pieces = cut(natural_patches(PHOTOGRAPH, batch, seed), PHOTOGRAPH // side)
    return Tokens(pieces, (side, side), f"{batch} piece{'s' * (batch > 1)} of 32 x 32 pixels of two photographs")


def matched_layer(weight: Reals, x: NDArray, rate: float, kind: DiscreteLIF = LIF, neurons: Fire = fire) -> Affine:
    """Layer with batch norm, fitted to its input, of which the neurons fire at a given rate.

    As a trained batch norm does, every unit's current is given mean 0 and variance 1 over all samples, tokens and
    steps; one shift, common to all units, then makes the mean firing rate the wanted one, as nearly as whole spikes
    allow.

    Parameters
    ----------
    weight
        (features, units).
    x
        Input of the layer, (T, batch, tokens, features).
    rate
        Spikes a step, between 0 and 1.
    kind, neurons
        The neuron that follows, and what runs it.

    Raises
    ------
    InputError
        If the rate is not between 0 and 1, or cannot be reached.
    """
    if not 0 < rate < 1:
        raise InputError(f"rate must be between 0 and 1, got {rate}")
    plain = Affine(weight, np.zeros(weight.shape[1]))
    currents = project(x, plain)
    every = tuple(range(currents.ndim - 1))
    mean, variance = currents.mean(axis=every), currents.var(axis=every)
    normal = (currents - mean) / np.sqrt(variance + 1e-5)

    def surplus(shift: float) -> float:
        return float(neurons(kind, normal + shift).mean()) - rate

    if surplus(-FURTHEST) > 0 or surplus(FURTHEST) < 0:
        raise InputError(f"a firing rate of {rate} cannot be reached by a shift of the currents")
    shift = brentq(surplus, -FURTHEST, FURTHEST, xtol=1e-6)
    return fold_batch_norm(weight, 0.0, mean, variance, np.ones(len(mean)), np.full(len(mean), shift))


def random_weight(rng: np.random.Generator, features: int, units: int) -> Reals:
    """Weights of variance 1/features, (features, units)."""
    return rng.normal(0.0, features**-0.5, (features, units))


def stem(tokens: Tokens, channels: int, steps: int, rate: float, seed: int) -> Spikes:
    """Spikes of a patch stem, (steps, batch, tokens, channels): one linear layer, batch norm and LIF, direct coding.

    The values are its current in every step, as in the published models, and it fires at `rate`.
    """
    values = np.broadcast_to(tokens.values, (steps, *tokens.values.shape))
    weight = random_weight(np.random.default_rng(seed), values.shape[-1], channels)
    return fire(LIF, project(values, matched_layer(weight, values, rate)))
