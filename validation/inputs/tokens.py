"""Tokens of an attention block: the shipped ones, the toy of the paper, or a user's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import float_array
from biospike.errors import InputError
from validation.data import token_block
from validation.inputs import archive, mask_names, weight_names
from validation.inputs.archive import Archive
from validation.inputs.array_files import load_arrays
from validation.inputs.weight_names import STREAMS

SUFFIXES = (".npy", ".npz")
SEEDS = (1, 2, 3)
WIDTH = 4
TOY = ((0.8, 0.2), (0.3, 0.7))
UNDERSTOOD = (
    "X, tokens, W_q, q_proj.weight, in_proj_weight, seed_q, b_q, q_proj.bias, heads, key_mask, attention_mask",
    "key_padding_mask, attn_mask, causal, score_scale",
)
DESCRIPTIONS = ("layer", "sentence", "provenance", "logits", "output")
"""What the shipped file holds besides: where its tokens come from, and what attention makes of them."""
TOY_SCALE = 3.0
"""Score scale of the toy. With that of ordinary attention, 0.71, its logits differ by at most 0.3 nats."""


@attrs.frozen(eq=False, kw_only=True)
class TokenInput:
    """Tokens, and the weights that project them.

    Attributes
    ----------
    X : ndarray (tokens, features) or (samples, tokens, features)
        Values in [0, 1].
    W_q, W_k, W_v : ndarray (features, heads*width)
    heads : int
    labels : list of str
        Name of every token.
    source : str
        Where all this comes from, in words.
    key_mask : ndarray of bool, optional
        False for padding tokens.
    score_scale : float, optional
        Factor of the scores; None for width**-0.5.
    biases : dict of str to ndarray (heads*width,)
        `b_q`, `b_k` and `b_v`, as far as there are any: arguments of `circuits.SpikingAttention`.
    causal : bool
        Whether a token attends only to itself and those before it.
    """

    X: NDArray[np.float64]
    W_q: NDArray[np.float64]
    W_k: NDArray[np.float64]
    W_v: NDArray[np.float64]
    heads: int
    labels: list[str]
    source: str
    key_mask: NDArray[np.bool_] | None = None
    score_scale: float | None = None
    biases: dict[str, Any] = attrs.field(factory=dict)
    causal: bool = False


def shipped() -> TokenInput:
    """Return the tokens and heads of a trained transformer that ship with the package."""
    block = token_block()
    source = f"{len(block.tokens)} tokens of a sentence in the middle layer of MiniLM, {block.heads} of its heads"
    return TokenInput(
        X=block.X, W_q=block.W_q, W_k=block.W_k, W_v=block.W_v, heads=block.heads, labels=block.tokens, source=source
    )


def toy() -> TokenInput:
    """Return the toy of the paper: two tokens, weights of the identity."""
    one = np.eye(2)
    return TokenInput(
        X=np.array(TOY), W_q=one, W_k=one, W_v=one, heads=1, labels=["token 1", "token 2"], score_scale=TOY_SCALE,
        source=f"toy input of the paper, X = {[list(row) for row in TOY]}, identity weights",
    )  # fmt: skip


def read_tokens(
    path: Path,
    *,
    heads: int | None = None,
    width: int | None = None,
    seeds: Sequence[int] | None = None,
    orientation: str | None = None,
) -> TokenInput:
    """Read tokens in [0, 1], and weights or the seeds from which to draw them.

    Parameters
    ----------
    path
        ``.npy`` with X (tokens, features) or (samples, tokens, features); ``.npz`` with `X` and, optionally, weights
        `W_q`, `W_k`, `W_v` (features, heads*width), each a matrix or an integer seed (also as `seed_q` and so on),
        biases `b_q`, `b_k`, `b_v`, `heads`, a number or a list of heads, `key_mask`, `causal`, `score_scale`, and
        `tokens`, a name for each. Weights, biases, masks and numbers are also known by their names in PyTorch and
        Hugging Face: `validation.inputs.weight_names`, `validation.inputs.mask_names`, `validation.inputs.archive`.
    heads
        Number of heads; default that of the file, else 1.
    width, seeds
        Units of a head, and three seeds, for weights that are not in the file; default `WIDTH` and `SEEDS`.
    orientation
        "in-out" or "out-in", for matrices whose name does not say it.

    Raises
    ------
    InputError
        If the file is missing, unreadable or of the wrong content, holds a name that is not understood or two that
        disagree, naming file, value and what is accepted.
    """
    weight_names.check_orientation(orientation)
    loaded = load_arrays(path, "--tokens", SUFFIXES)
    arrays = {"X": loaded} if isinstance(loaded, np.ndarray) else loaded
    try:
        return _assemble(Archive(arrays), path.name, heads, width, seeds, orientation)
    except InputError as error:
        raise InputError(f"--tokens {path}: {error}") from None


def drawn_weights(seed: int, features: int, columns: int) -> NDArray[np.float64]:
    """Return normal weights of a seed, of variance 3/features.

    A unit then has variance 1 if features are uniform in [0, 1], of which the mean square is 1/3, and logits are of the
    order of a nat.
    """
    return np.random.default_rng(seed).normal(0.0, np.sqrt(3 / features), (features, columns))


def _assemble(
    file: Archive,
    name: str,
    heads: int | None,
    width: int | None,
    seeds: Sequence[int] | None,
    orientation: str | None,
) -> TokenInput:
    for description in DESCRIPTIONS:
        file.left.pop(description, None)
    if "X" not in file.left:
        raise InputError(f"expected an array named 'X', found {', '.join(file.names) or 'nothing'}")
    X = _tokens(file.left.pop("X"))
    own_heads = file.take({"heads": _number_of_heads, **archive.HEADS})
    number = heads if heads is not None else own_heads if own_heads is not None else 1
    if number < 1:
        raise InputError(f"heads must be at least 1, got {number}")
    given = {stream: _weights(file, stream, orientation, X.shape[-1]) for stream in STREAMS}
    biases = {f"b_{stream}": bias for stream in STREAMS if (bias := weight_names.take_bias(file, stream)) is not None}
    key_mask, causal = _masks(file, X.shape[-2], 1 if X.ndim == 2 else len(X))
    labels = _labels(file.left.pop("tokens", None), X.shape[-2])
    score_scale = file.take(archive.SCALE)
    file.require_nothing_left(UNDERSTOOD)
    matrices, used = _matrices(given, X.shape[-1], number, width, seeds)
    columns = matrices["q"].shape[1]
    for side, values in biases.items():
        if values.shape != (columns,):
            raise InputError(f"{side} has the shape {values.shape}; accepted is ({columns},), one for each column")
    origin = f"weights drawn with seeds {', '.join(map(str, used))}" if used else "its weights"
    return TokenInput(
        X=X,
        W_q=matrices["q"],
        W_k=matrices["k"],
        W_v=matrices["v"],
        heads=number,
        labels=labels,
        source=f"tokens of {name}, {origin}",
        key_mask=key_mask,
        score_scale=score_scale,
        biases=biases,
        causal=causal,
    )


def _matrices(
    given: dict[str, Any], features: int, heads: int, width: int | None, seeds: Sequence[int] | None
) -> tuple[dict[str, NDArray[np.float64]], list[int]]:
    """Weights of every stream, drawn where only a seed is known, and the seeds that were used."""
    matrices = {stream: value for stream, value in given.items() if isinstance(value, np.ndarray)}
    missing = [stream for stream, value in given.items() if value is None]
    if matrices and missing:
        raise InputError(f"W_{missing[0]} is missing: give all of W_q, W_k, W_v, each a matrix or an integer seed")
    if seeds is not None and not missing:
        raise InputError("--weight-seeds is given, but the file says its weights itself")
    if width is not None and (matrices or width < 1):
        known = "the file has weights as matrices" if matrices else f"got {width}"
        raise InputError(f"--width is for weights that are drawn, and at least 1; {known}")
    units = heads * (WIDTH if width is None else width)
    columns = next(iter(matrices.values())).shape[1] if matrices else units
    used: list[int] = []
    for stream, fallback in zip(STREAMS, SEEDS if seeds is None else seeds, strict=True):
        value = given[stream]
        if isinstance(value, np.ndarray):
            continue
        used.append(fallback if value is None else value)
        if used[-1] < 0:
            raise InputError(f"the seed of W_{stream} must be at least 0, got {used[-1]}")
        matrices[stream] = drawn_weights(used[-1], features, columns)
    return matrices, used


def _tokens(X: NDArray[Any]) -> NDArray[np.float64]:
    if X.dtype.kind not in "biufV" or X.ndim not in (2, 3) or X.size == 0:
        raise InputError(
            f"X must be numbers of the shape (tokens, features) or (samples, tokens, features), got {X.dtype} {X.shape}"
        )
    values = float_array(X, "X")
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        raise InputError(f"X must lie in [0, 1], the rates of the encoders; got {values[outside][0]}")
    return values


def _number_of_heads(name: str, heads: NDArray[Any]) -> int:
    if heads.dtype.kind not in "iu" or heads.ndim > 1:
        raise InputError(f"heads must be a whole number, or a list of heads, got {heads.dtype} {heads.shape}")
    return int(heads) if heads.ndim == 0 else heads.size


def _weights(file: Archive, stream: str, orientation: str | None, features: int) -> NDArray[np.float64] | int | None:
    """Matrix or seed of a stream; None if the file has neither."""
    names = [name for name in (f"W_{stream}", f"seed_{stream}") if name in file.left]
    if len(names) > 1:
        raise InputError(f"give W_{stream} or seed_{stream}, not both")
    if not names or (names[0].startswith("W") and file.left[names[0]].ndim):
        return weight_names.take_weight(file, stream, orientation, features)
    value = file.left.pop(names[0])
    if value.ndim or value.dtype.kind not in "iu":
        raise InputError(f"{names[0]} must be a matrix or a whole number, its seed, got {value}")
    return int(value)


def _masks(file: Archive, tokens: int, samples: int) -> tuple[NDArray[np.bool_] | None, bool]:
    """Key mask and whether attention is causal, of all names that say something of it."""
    flag = file.take(archive.CAUSAL)
    found = [file.take(readers) for readers in (mask_names.KEY_MASKS, mask_names.SCORE_MASKS)]
    split = [mask_names.as_block_mask(mask, tokens, samples) for mask in found if mask is not None]
    keys = [mask for mask, _ in split if mask is not None]
    wrong = [mask.shape for mask in keys if mask.shape not in ((tokens,), (samples, tokens))]
    if wrong:
        raise InputError(f"a mask of keys has the shape {wrong[0]}; accepted are ({tokens},) and ({samples}, {tokens})")
    if len(keys) == 2 and not (keys[0] == keys[1]).all():
        raise InputError("the mask of keys and that of scores disagree; leave one of them out")
    return (keys[0] if keys else None), bool(flag) or any(causal for _, causal in split)


def _labels(tokens: ArrayLike | None, number: int) -> list[str]:
    if tokens is None:
        return [str(token) for token in range(number)]
    names = [str(token) for token in np.ravel(tokens)]
    if len(names) != number:
        raise InputError(f"tokens names {len(names)} tokens, X has {number}")
    return names
