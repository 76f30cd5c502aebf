"""Logits from a user's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.ideal.softmax import check_logits

SUFFIXES = (".npy", ".npz", ".csv")


def read_logits(path: Path) -> NDArray[np.float64]:
    """Read rows of logits, in nats, one softmax a row; NaN, -inf or an empty CSV field masks a key.

    Parameters
    ----------
    path
        ``.npy``; ``.npz`` with an array `logits`, or with only one; ``.csv`` without header, shorter lines padded
        with masked keys.

    Returns
    -------
    ndarray (rows, keys)

    Raises
    ------
    InputError
        If the file is missing, unreadable or not rows of logits, naming file, value and what is accepted.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--logits {path}: expected a file that ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"--logits {path}: there is no such file")
    try:
        values = _read(path)
    except ValueError as error:
        raise InputError(f"--logits {path}: {' '.join(str(error).split())}") from None
    except Exception as error:  # a damaged file makes its readers raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"--logits {path}: cannot be read as {path.suffix} ({reason})") from None
    try:
        return check_logits(values)
    except ValueError as error:
        raise InputError(f"--logits {path}: {error}") from None


def _read(path: Path) -> NDArray[np.float64]:
    if path.suffix.lower() == ".csv":
        try:
            table = pd.read_csv(path, header=None, dtype=str, skip_blank_lines=True, skipinitialspace=True)
        except pd.errors.EmptyDataError:
            raise InputError("the file is empty; expected rows of numbers") from None
        except pd.errors.ParserError as error:
            raise InputError(f"lines differ in length, the longest must come first ({error})") from None
        except UnicodeDecodeError:
            raise InputError("the file is not text") from None
        numbers = table.apply(pd.to_numeric, errors="coerce")
        wrong = table.to_numpy()[(numbers.isna() & table.notna()).to_numpy()]
        if wrong.size:
            raise InputError(f"{wrong[0]!r} is not a number; expected rows of numbers without a header")
        return numbers.to_numpy(dtype=float)
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if "logits" not in names and len(names) != 1:
                raise InputError(f"expected an array named 'logits', found {', '.join(names) or 'nothing'}")
            return np.asarray(loaded["logits" if "logits" in names else names[0]])
