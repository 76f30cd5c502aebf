"""Attention after attention and nothing beside it: how equal tokens become, exactly, by shares, and with value spikes.

Every stack has tokens in [0, 1], one head, random queries and keys, and values that are the tokens themselves, so that
all of it stays in [0, 1]:

    x <- A(x) x                                  ``exact`` softmax, ``shares`` of the circuit, ``values``: all spikes
    x <- (x + A(x) x)/2                          ``residual``, all spikes
    x <- 1/2 + LN(A(x) x)/(2 sqrt(d - 1))        ``layer norm`` on decoded counts, all spikes, and ``exact layer norm``

Between layers outputs are decoded and encoded again, but in ``network``, where all layers are one network of spikes.
A trial is a sample of tokens of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike import simulate
from biospike.ideal.softmax import softmax
from biospike.theory.rank import affine_rank, corrected_rank, dispersion, layer_norm, value_floor, value_variance
from circuits.attention import SpikingAttention
from circuits.presentation import present
from circuits.softmax import Escape
from circuits.stack import Stack

import brian2 as b2

Array = NDArray[np.float64]

STACKS = ("exact", "exact layer norm", "shares", "values", "residual", "layer norm", "network")
LAYERS = ["stack", "window", "trial", "layer", "spikes", "dispersion", "floor_law", "rank", "rank_corrected"]
RATE, STEP = 100 * b2.Hz, 1 * b2.ms
PER_STEP = 0.1
"""Attention spikes a row and step."""
TIE = PER_STEP
"""Chance, times 1/n, that another query attends to the same key in the same step, and routes the same value spike."""
DELAY = 500 * b2.ms
"""Of the keys of later layers of the network, which read the bursts of the one before: see `circuits.stack`."""
NETWORK_DEPTH = 3


@attrs.frozen
class Sizes:
    """How many tokens, features, layers and trials, and the windows in steps."""

    tokens: int
    features: int
    depth: int
    trials: int
    windows: tuple[int, ...]


@attrs.frozen(eq=False)
class Problem:
    """Tokens (trials, n, d) and weights (depth, 2, d, d) of queries and keys."""

    x: Array
    weights: Array
    seed: int
    target: str

    @classmethod
    def of(cls, sizes: Sizes, seed: int, target: str) -> Problem:
        """Draw tokens and weights."""
        rng, d = np.random.default_rng([seed, 1]), sizes.features
        weights = rng.normal(size=(sizes.depth, 2, d, d))
        return cls(rng.uniform(0.1, 0.9, (sizes.trials, sizes.tokens, d)), weights, seed, target)

    def logits(self, x: Array, layer: int) -> Array:
        """Nats, (trials, queries, keys)."""
        query, key = self.weights[layer]
        return np.asarray((x @ query) @ np.swapaxes(x @ key, -1, -2) / np.sqrt(x.shape[-1]))


@attrs.frozen(eq=False)
class Layer:
    """Tokens behind a layer, spikes a row (NaN without), and the standard deviation of their noise (trials, d)."""

    x: Array
    spikes: float
    deviations: Array
    floor: Array


def measure(sizes: Sizes, seed: int, target: str, tick: Callable[[str], None] = lambda name: None) -> pd.DataFrame:
    """One row a stack, window, trial and layer, columns `LAYERS`."""
    problem = Problem.of(sizes, seed, target)
    tables = []
    for stack, window in plan(sizes):
        tick(f"{stack}, {window} steps" if window else stack)
        layers = _network(problem, window) if stack == "network" else _layers(problem, stack, window)
        tables += [_rows(stack, window, number, layer) for number, layer in enumerate(layers, 1)]
    return pd.concat(tables, ignore_index=True)[LAYERS]


def plan(sizes: Sizes) -> list[tuple[str, int]]:
    """Stacks and windows, of exact attention none."""
    return [(stack, window) for stack in STACKS for window in ((0,) if stack.startswith("exact") else sizes.windows)]


def _rows(stack: str, window: int, number: int, layer: Layer) -> pd.DataFrame:
    return pd.DataFrame({
        "stack": stack, "window": window, "trial": np.arange(len(layer.x)), "layer": number, "spikes": layer.spikes,
        "dispersion": dispersion(layer.x), "floor_law": layer.floor,
        "rank": [affine_rank(one) for one in layer.x],
        "rank_corrected": [_corrected(one, own) for one, own in zip(layer.x, layer.deviations, strict=True)],
    })  # fmt: skip


def _corrected(x: Array, deviations: Array) -> float:
    return corrected_rank(x, deviations) if np.isfinite(deviations).all() else np.nan


def _layers(problem: Problem, stack: str, window: int) -> list[Layer]:
    """Decoded and encoded again between layers."""
    x, layers = problem.x, []
    for number in range(len(problem.weights)):
        layer = _layer(problem, stack, x, number, window)
        layers.append(layer)
        x = layer.x
    return layers


def _layer(problem: Problem, stack: str, x: Array, number: int, window: int) -> Layer:
    none = np.full(len(x), np.nan)
    unknown = np.full((len(x), x.shape[-1]), np.nan)
    attended = softmax(problem.logits(x, number)) @ x
    if stack == "exact":
        return Layer(attended, np.nan, unknown, none)
    if stack == "exact layer norm":
        return Layer(_normalised(attended), np.nan, unknown, none)
    if stack == "shares":
        out, spikes = _shares(problem, x, number, window)
        # Each query draws its own spikes, of values that are known.
        return Layer(out, spikes, np.sqrt(x.var(axis=1) / spikes), none)
    out, spikes = _values(problem, x, number, window)
    noise = np.sqrt(value_variance(attended.mean(axis=1)) / spikes)
    floor = _floor(out, spikes)
    if stack == "values":
        return Layer(out, spikes, noise, floor)
    if stack == "residual":
        # In balance a quarter of the variance stays and a quarter of that of the noise comes.
        return Layer((x + out) / 2, spikes, noise / 2, floor / np.sqrt(3))
    scale = 2 * np.sqrt(x.shape[-1] - 1) * out.std(axis=-1).mean(axis=1, keepdims=True)
    return Layer(_normalised(out), spikes, noise / scale, none)


def _normalised(x: Array) -> Array:
    """LayerNorm within [0, 1]: none of d features is more than sqrt(d - 1) standard deviations from their mean."""
    normalised = np.stack([0.5 + layer_norm(one) / (2 * np.sqrt(x.shape[-1] - 1)) for one in x])
    return normalised.clip(0, 1)  # of rounding


def _floor(out: Array, spikes: float) -> Array:
    n, mean = out.shape[1], out.mean(axis=1).clip(0, 1)  # decoded rates may leave it
    return value_floor(mean, n, spikes) * np.sqrt(1 - TIE / n)


def _shares(problem: Problem, x: Array, number: int, window: int) -> tuple[Array, float]:
    """Shares of the circuit's spikes times the tokens themselves."""
    trials, n, _ = x.shape
    data = simulate(
        Escape(rate=RATE, dt=STEP), problem.logits(x, number).reshape(-1, n), duration=window * STEP,
        seed=_seed(problem, number), target=problem.target,
    )  # fmt: skip
    counts = data["spike_count"].values[0, ..., -1].reshape(trials, n, n)
    return counts / counts.sum(axis=-1, keepdims=True) @ x, _effective(counts.sum(axis=-1))


def _block(problem: Problem, x: Array, number: int) -> SpikingAttention:
    """Spiking attention to tokens whose values are the tokens: a value spike is an input spike, passed on."""
    query, key = problem.weights[number]
    block = SpikingAttention(W_q=query, W_k=key, W_v=np.eye(x.shape[-1]), mode="staged").fit(x)
    scales = block.known_scales.copy()
    scales[2] = 1.0
    return attrs.evolve(block, scales=scales)


def _values(problem: Problem, x: Array, number: int, window: int) -> tuple[Array, float]:
    """Outputs of the spiking block, decoded."""
    block = _block(problem, x, number)
    data = present(
        block, x, duration=window * STEP, windows=1, seed=_seed(problem, number), target=problem.target
    )  # fmt: skip
    out = block.read_out(data)["output"].values[0, :, 0, ..., -1]
    return np.clip(out, 0, 1), _effective(data["attention_count"].sum("key").values)


def _network(problem: Problem, window: int) -> list[Layer]:
    """The first layers as one network, in which nothing is decoded in between."""
    depth = min(NETWORK_DEPTH, len(problem.weights))
    d = problem.x.shape[-1]
    blocks = []
    for number in range(depth):
        query, key = problem.weights[number]
        later = {"encoders": "shared", "delay": DELAY} if number else {}
        blocks.append(SpikingAttention(W_q=query, W_k=key, W_v=np.eye(d), mode="staged", **later))
    stack = Stack(blocks=blocks, W_o=[np.eye(d)] * depth, residual=False).fitted(problem.x)
    first = stack.blocks[0]
    scales = first.known_scales.copy()
    scales[2] = 1.0
    stack = attrs.evolve(stack, blocks=(attrs.evolve(first, scales=scales), *stack.blocks[1:]))
    data = present(
        stack, problem.x, duration=window * STEP, windows=1, seed=_seed(problem, 0), target=problem.target
    )  # fmt: skip
    unknown = np.full((len(problem.x), d), np.nan)
    layers = []
    for number in range(depth):
        own = data.isel(trial=0, layer=number, checkpoint=-1)
        out = stack.read_out(data)["residual"].isel(trial=0, layer=number, checkpoint=-1)
        x = out.transpose("sample", "query", "feature").values
        counts = own["attention_count"].sum("key").values
        # Outputs are decoded by the clock, not by the row's own spikes: their number is a common factor of a token.
        factor = (1 - 1 / x.shape[1]) * counts.var() / counts.mean() ** 2
        spikes = _effective(counts)
        layers.append(Layer(x, spikes, unknown, np.hypot(_floor(x, spikes), np.sqrt(factor))))
    return layers


def _effective(counts: NDArray[Any]) -> float:
    """Spikes a row: the harmonic mean, since the variance of an output is one over them."""
    return float(1 / (1 / counts).mean())


def _seed(problem: Problem, number: int) -> int:
    """A seed of its own for every layer, so that no two layers share noise."""
    return problem.seed * 64 + number
