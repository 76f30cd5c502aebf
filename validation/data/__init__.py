"""Data that ship with the package: attention logits of a trained transformer, see README.md beside this file."""

from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray


def attention_rows() -> NDArray[np.float64]:
    """
    Load the default input of the studies: real attention logits, one softmax row per layer and head of MiniLM.

    Returns
    -------
    ndarray, shape (72, 32)
        Logits q.k/sqrt(d) in nats. Rows shorter than the longest end in NaN, which masks those keys.
    """
    with as_file(files(__name__) / "attention_rows.npz") as path, np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive["logits"], dtype=np.float64)
