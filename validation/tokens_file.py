"""Tokens of an attention block: the shipped ones, the toy of the paper, or a user's file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from validation.data import token_block

SUFFIXES = (".npy", ".npz")
WEIGHTS = ("q", "k", "v")
SEEDS = (1, 2, 3)
WIDTH = 4
TOY = ((0.8, 0.2), (0.3, 0.7))
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
    path: Path, *, heads: int | None = None, width: int | None = None, seeds: Sequence[int] | None = None
) -> TokenInput:
    """Read tokens in [0, 1], and weights or the seeds from which to draw them.

    Parameters
    ----------
    path
        ``.npy`` with X (tokens, features) or (samples, tokens, features); ``.npz`` with `X` and, optionally, weights
        `W_q`, `W_k`, `W_v` (features, heads*width), each a matrix or an integer seed (also as `seed_q` and so on),
        `heads`, a number or a list of heads, `key_mask`, and `tokens`, a name for each.
    heads
        Number of heads; default that of the file, else 1.
    width, seeds
        Units of a head, and three seeds, for weights that are not in the file; default `WIDTH` and `SEEDS`.

    Raises
    ------
    InputError
        If the file is missing, unreadable or of the wrong content, naming file, value and what is accepted.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--tokens {path}: expected a file that ends in {' or '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"--tokens {path}: there is no such file")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {"X": loaded}
        else:
            with loaded:
                arrays = {name: np.asarray(loaded[name]) for name in loaded.files}
        return _assemble(arrays, path.name, heads, width, seeds)
    except (OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"--tokens {path}: cannot be read as {path.suffix} ({error})") from None
    except ValueError as error:
        raise InputError(f"--tokens {path}: {error}") from None


def drawn_weights(seed: int, features: int, columns: int) -> NDArray[np.float64]:
    """Return normal weights of a seed, of variance 3/features.

    A unit then has variance 1 if features are uniform in [0, 1], of which the mean square is 1/3, and logits are of the
    order of a nat.
    """
    return np.random.default_rng(seed).normal(0.0, np.sqrt(3 / features), (features, columns))


def _assemble(
    arrays: dict[str, NDArray], name: str, heads: int | None, width: int | None, seeds: Sequence[int] | None
) -> TokenInput:
    X = _tokens(arrays)
    number = heads if heads is not None else _number_of_heads(arrays)
    if number < 1:
        raise InputError(f"heads must be at least 1, got {number}")
    given = {stream: _weights(arrays, stream) for stream in WEIGHTS}
    matrices = {stream: value for stream, value in given.items() if isinstance(value, np.ndarray)}
    missing = [stream for stream, value in given.items() if value is None]
    if matrices and missing:
        raise InputError(f"W_{missing[0]} is missing: give all of W_q, W_k, W_v, each a matrix or an integer seed")
    if seeds is not None and not missing:
        raise InputError("--weight-seeds is given, but the file says its weights itself")
    if width is not None and (matrices or width < 1):
        known = "the file has weights as matrices" if matrices else f"got {width}"
        raise InputError(f"--width is for weights that are drawn, and at least 1; {known}")
    units = number * (WIDTH if width is None else width)
    columns = next(iter(matrices.values())).shape[1] if matrices else units
    used = []
    for stream, fallback in zip(WEIGHTS, SEEDS if seeds is None else seeds, strict=True):
        value = given[stream]
        if isinstance(value, np.ndarray):
            continue
        used.append(fallback if value is None else value)
        if used[-1] < 0:
            raise InputError(f"the seed of W_{stream} must be at least 0, got {used[-1]}")
        matrices[stream] = drawn_weights(used[-1], X.shape[-1], columns)
    origin = f"weights drawn with seeds {', '.join(map(str, used))}" if used else "its weights"
    return TokenInput(
        X=X,
        W_q=matrices["q"],
        W_k=matrices["k"],
        W_v=matrices["v"],
        heads=number,
        labels=_labels(arrays.get("tokens"), X.shape[-2]),
        source=f"tokens of {name}, {origin}",
        key_mask=_mask(arrays.get("key_mask")),
    )


def _tokens(arrays: dict[str, NDArray]) -> NDArray[np.float64]:
    if "X" not in arrays:
        raise InputError(f"expected an array named 'X', found {', '.join(arrays) or 'nothing'}")
    X = arrays["X"]
    if X.dtype.kind not in "biuf" or X.ndim not in (2, 3) or X.size == 0:
        raise InputError(
            f"X must be numbers of the shape (tokens, features) or (samples, tokens, features), got {X.dtype} {X.shape}"
        )
    values = X.astype(float)
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        raise InputError(f"X must lie in [0, 1], the rates of the encoders; got {values[outside][0]}")
    return values


def _number_of_heads(arrays: dict[str, NDArray]) -> int:
    if "heads" not in arrays:
        return 1
    heads = arrays["heads"]
    if heads.dtype.kind not in "iu" or heads.ndim > 1:
        raise InputError(f"heads must be a whole number, or a list of heads, got {heads.dtype} {heads.shape}")
    return int(heads) if heads.ndim == 0 else heads.size


def _weights(arrays: dict[str, NDArray], stream: str) -> NDArray[np.float64] | int | None:
    """Matrix or seed of a stream; None if the file has neither."""
    names = [name for name in (f"W_{stream}", f"seed_{stream}") if name in arrays]
    if len(names) > 1:
        raise InputError(f"give W_{stream} or seed_{stream}, not both")
    if not names:
        return None
    value = arrays[names[0]]
    if value.ndim == 0:
        if value.dtype.kind not in "iu":
            raise InputError(f"{names[0]} must be a matrix or a whole number, its seed, got {value}")
        return int(value)
    if names[0].startswith("seed") or value.ndim != 2 or value.dtype.kind not in "biuf":
        raise InputError(
            f"{names[0]} must be a matrix of the shape (features, heads*width) or a seed, got {value.dtype} "
            f"{value.shape}"
        )
    return value.astype(float)


def _mask(mask: NDArray | None) -> NDArray[np.bool_] | None:
    if mask is None or mask.dtype == bool:
        return mask
    if mask.dtype.kind in "iu" and np.isin(mask, (0, 1)).all():
        return mask.astype(bool)
    raise InputError(f"key_mask must be True or False for every token, got {mask.dtype} {mask.shape}")


def _labels(tokens: ArrayLike | None, number: int) -> list[str]:
    if tokens is None:
        return [str(token) for token in range(number)]
    names = [str(token) for token in np.ravel(tokens)]
    if len(names) != number:
        raise InputError(f"tokens names {len(names)} tokens, X has {number}")
    return names
