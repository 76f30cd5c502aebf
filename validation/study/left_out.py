"""Circuits that cannot take one of a user's rows: left out of a study of several, refused alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Circuit
from biospike.errors import InputError


def those_that_take(
    circuits: Mapping[str, Circuit], logits: NDArray[np.float64], advice: str
) -> tuple[dict[str, Circuit], dict[str, str]]:
    """Part circuits by whether they take all rows.

    Parameters
    ----------
    circuits
        By name.
    logits : ndarray (rows, keys)
        Nats; NaN masks a key.
    advice
        How a user of this study sets a parameter of the circuit ``{name}``.

    Returns
    -------
    taken : dict of Circuit
    left_out : dict of str
        What each of the others says of a row, in one line.

    Raises
    ------
    InputError
        If none takes them.
    """
    left_out = {}
    for name, circuit in circuits.items():
        try:
            circuit.check_rows(logits, circuit.dt)
        except InputError as error:
            left_out[name] = f"{error}; {advice.format(name=name)}"
    if len(left_out) == len(circuits):
        raise InputError("; ".join(left_out.values()))
    return {name: circuit for name, circuit in circuits.items() if name not in left_out}, left_out


def say(left_out: Mapping[str, str]) -> None:
    """Print a line for each that is left out."""
    for line in left_out.values():
        print(f"left out: {line}", file=sys.stderr)


def paragraphs(left_out: Iterable[str]) -> list[str]:
    """Lines of circuits that were left out, for a report."""
    return [f"**Not run.** {line}." for line in left_out]
