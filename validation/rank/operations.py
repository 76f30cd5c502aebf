"""What LayerNorm, residual attention and an MLP do to the rank of tokens: random tokens of chosen rank, no neuron."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.ideal.softmax import softmax
from biospike.theory.rank import affine_rank, hypotheses, layer_norm, rank

Array = NDArray[np.float64]

LAYER_NORM, RESIDUAL, ALIGNED, MLP = "layer norm", "residual attention", "aligned heads", "mlp behind aligned heads"
OPERATIONS = ["operation", "kind", "tokens", "features", "heads", "rank", "rank_after", "affine_rank",
              "affine_rank_after", "expected", "listed", "through_origin", "samples", "agree"]  # fmt: skip
MEANINGS = {
    "kind": "how the tokens were drawn",
    "rank": "of the matrix of tokens before the operation, `affine_rank` the dimension of the flat that they span",
    "rank_after": "behind it, `affine_rank_after` likewise",
    "expected": "what the theory of this package says: of `affine_rank_after` for LayerNorm, else of `rank_after`",
    "listed": "whether all hypotheses on LayerNorm that are listed hold, `through_origin` whether the missing one does",
    "samples": "random draws, `agree` the fraction of them with the ranks shown",
}
"""Columns of ``operations.csv``."""
SAMPLES = 8
TOKENS, FEATURES, HEADS = 16, 12, 3
WIDE = 24
"""Features where rank has room to grow."""
KINDS = ("equal", "two kinds", "two parallel kinds", "rank 1", "rank 2", "rank 3")


def tokens_of_rank(rng: np.random.Generator, dimension: int, *, offset: bool, features: int = FEATURES) -> Array:
    """Tokens in a random flat of so many dimensions, through the origin or not, (tokens, features)."""
    flat = rng.normal(size=(TOKENS, dimension)) @ rng.normal(size=(dimension, features))
    return np.asarray(flat + rng.normal(size=features) if offset else flat)


def tokens_of_kind(rng: np.random.Generator, kind: str) -> Array:
    """Tokens (TOKENS, WIDE) that residual attention reads: one of `KINDS`."""
    if kind == "equal":
        return np.tile(rng.normal(size=WIDE), (TOKENS, 1))
    which = np.arange(TOKENS) % 2
    if kind == "two kinds":
        return rng.normal(size=(2, WIDE))[which]
    if kind == "two parallel kinds":
        return np.outer([1.0, 2.0], rng.normal(size=WIDE))[which]
    return tokens_of_rank(rng, int(kind[-1]), offset=False, features=WIDE)


def residual_attention(rng: np.random.Generator, X: Array, heads: int) -> Array:
    """Tokens plus the attention of random heads to them: X + sum_h A_h X W_h."""
    d = X.shape[1]
    after = X.copy()
    for _ in range(heads):
        left, right, out = rng.normal(size=(3, d, d)) / np.sqrt(d)
        after += softmax((X @ left) @ (X @ right).T / np.sqrt(d)) @ X @ out
    return np.asarray(after)


def expected_growth(kind: str, heads: int) -> int:
    """Rank behind residual attention of generic heads.

    Tokens of few kinds stay of so many kinds, whatever the heads; else every head adds as many dimensions as there are.
    """
    few = {"equal": 1, "two kinds": 2, "two parallel kinds": 2}
    return few.get(kind) or int(kind[-1]) * (1 + heads)


def aligned_output(rng: np.random.Generator, n: int, d: int, width: int, heads: int) -> Array:
    """Outputs of heads that all write into the same `width` dimensions, (n, d)."""
    shared = rng.normal(size=(width, d))
    outputs = rng.normal(size=(heads, n, width)) @ rng.normal(size=(heads, width, width))
    return np.asarray(outputs.sum(axis=0) @ shared)


def mlp(rng: np.random.Generator, X: Array) -> Array:
    """ReLU network with one hidden layer of four times the features, biases included."""
    d = X.shape[1]
    hidden = np.maximum(X @ rng.normal(size=(d, 4 * d)) / np.sqrt(d) + rng.normal(size=4 * d), 0)
    return np.asarray(hidden @ rng.normal(size=(4 * d, d)))


def measure(seed: int) -> pd.DataFrame:
    """Every operation on every kind of tokens, columns `OPERATIONS`."""
    rows = [*_layer_norms(), *_residuals(), *_aligned()]
    return pd.DataFrame([_row(seed, number, *row) for number, row in enumerate(rows)])[OPERATIONS]


def _layer_norms() -> Iterator[tuple[Any, ...]]:
    for dimension in (2, 3, 5, 8):
        for offset in (False, True):
            kind = f"{'offset' if offset else 'linear'} {dimension}"

            def make(
                rng: np.random.Generator, dimension: int = dimension, offset: bool = offset
            ) -> tuple[Array, Array]:
                X = tokens_of_rank(rng, dimension, offset=offset)
                return X, layer_norm(X, gamma=rng.uniform(0.5, 2, FEATURES), beta=rng.normal(size=FEATURES))

            yield LAYER_NORM, kind, 0, dimension + offset, make

    def full(rng: np.random.Generator) -> tuple[Array, Array]:
        X = rng.normal(size=(TOKENS, FEATURES))
        return X, layer_norm(X)

    # Centring features takes a dimension of tokens that fill all of them.
    yield LAYER_NORM, "full rank", 0, FEATURES - 1, full


def _residuals() -> Iterator[tuple[Any, ...]]:
    for kind in KINDS:

        def make(rng: np.random.Generator, kind: str = kind) -> tuple[Array, Array]:
            X = tokens_of_kind(rng, kind)
            return X, residual_attention(rng, X, HEADS)

        yield RESIDUAL, kind, HEADS, expected_growth(kind, HEADS), make


def _aligned() -> Iterator[tuple[Any, ...]]:
    for n, d, width, heads in ((4, 4, 2, 2), (64, 32, 2, 16)):

        def out(rng: np.random.Generator, size: tuple[int, ...] = (n, d, width, heads)) -> tuple[Array, Array]:
            return rng.normal(size=size[:2]), aligned_output(rng, *size)

        def behind(rng: np.random.Generator, size: tuple[int, ...] = (n, d, width, heads)) -> tuple[Array, Array]:
            X = aligned_output(rng, *size)
            return X, mlp(rng, X)

        yield ALIGNED, f"n {n}, width {width}", heads, width, out
        yield MLP, f"n {n}, width {width}", heads, min(n, d), behind


def _row(seed: int, number: int, operation: str, kind: str, heads: int, expected: int, make: Any) -> dict[str, Any]:
    found = []
    for sample in range(SAMPLES):
        before, after = make(np.random.default_rng([seed, number, sample]))
        known = hypotheses(before)
        found.append((rank(before), rank(after), affine_rank(before), affine_rank(after),
                      *((known.listed, known.through_origin) if operation == LAYER_NORM else ("", ""))))  # fmt: skip
    shown = max(found, key=found.count)
    names = ("rank", "rank_after", "affine_rank", "affine_rank_after", "listed", "through_origin")
    return {
        "operation": operation, "kind": kind, "tokens": len(before), "features": before.shape[1], "heads": heads,
        "expected": expected, "samples": SAMPLES, "agree": found.count(shown) / SAMPLES,
    } | dict(zip(names, shown, strict=True))  # fmt: skip
