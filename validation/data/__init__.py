"""Data that ship with the package, from a trained transformer: see README.md beside this file."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class TokenBlock(NamedTuple):
    """
    The tokens of a sentence, and the projections of some heads of one attention layer. All arrays are dimensionless.

    Attributes
    ----------
    X : ndarray, shape (tokens, features)
        Features between 0 and 1. The last is the constant 1, which carries the biases.
    W_q, W_k, W_v : ndarray, shape (features, heads * width)
        ``X @ W_q`` are the queries, head after head, and so on. The logits of a head are q.k/sqrt(width) in nats.
    heads : int
        The number of heads.
    tokens : list of str
        The WordPiece tokens.
    """

    X: FloatArray
    W_q: FloatArray
    W_k: FloatArray
    W_v: FloatArray
    heads: int
    tokens: list[str]


def attention_rows() -> FloatArray:
    """
    Load the default input of the studies: real attention logits, one softmax row per layer and head of MiniLM.

    Returns
    -------
    ndarray, shape (72, 32)
        Logits q.k/sqrt(d) in nats. Rows shorter than the longest end in NaN, which masks those keys.
    """
    with as_file(files(__name__) / "attention_rows.npz") as path, np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive["logits"], dtype=np.float64)


def token_block(path: Path | None = None) -> TokenBlock:
    """
    Load the default input of a self-attention block: real tokens and projections, of four heads of MiniLM.

    Parameters
    ----------
    path : Path, optional
        Another block, as ``make_token_block.py`` writes it.

    Returns
    -------
    TokenBlock
        By default 11 tokens of 11 features, and 4 heads of width 32.
    """
    if path is None:
        with as_file(files(__name__) / "token_block.npz") as shipped:
            return token_block(shipped)
    with np.load(path, allow_pickle=False) as archive:
        X, W_q, W_k, W_v = (np.asarray(archive[name], dtype=np.float64) for name in ("X", "W_q", "W_k", "W_v"))
        return TokenBlock(X, W_q, W_k, W_v, heads=len(archive["heads"]), tokens=archive["tokens"].tolist())


def output_spectra() -> tuple[FloatArray, FloatArray]:
    """
    Load singular values of the output projections W_O of MiniLM.

    Returns
    -------
    whole : ndarray, shape (6, 384)
        Of every layer, largest first.
    heads : ndarray, shape (6, 12, 32)
        Of the rows of every head alone.
    """
    with as_file(files(__name__) / "output_spectra.npz") as path, np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive["whole"], dtype=np.float64), np.asarray(archive["heads"], dtype=np.float64)
