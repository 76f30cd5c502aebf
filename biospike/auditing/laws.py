"""What the attention rows of one head need: spikes for an error, by the law of a circuit, and held against its neurons.

For escape and race the law is that of multinomial counts (`biospike.theory.concentration`), exact or with the ties of
the grid; any circuit with a closed form of its limit and an error law can be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.metrics import total_variation
from biospike.roots import row_roots
from biospike.simulation import simulate

import brian2 as b2

Array = NDArray[np.float64]

LEVELS = {"spikes_tv_10": 0.1, "spikes_tv_05": 0.05, "spikes_tv_01": 0.01}
"""Columns of the table, and the mean total variation that they are for."""
CHECKED = "spikes_tv_05"
"""Of which the simulation is held against the law."""
GROUP = "biospike.circuits"
MOST_SPIKES = 1e9
WINDOWS = 48


def circuits_of(circuits: Sequence[Circuit | str] | None) -> dict[str, Circuit]:
    """Circuits by name: those that are given, by themselves or by the name they are registered by; default escape.

    Raises
    ------
    InputError
        If a name is not registered, or something is no circuit.
    """
    found: dict[str, Circuit] = {}
    for one in ("escape",) if circuits is None else circuits:
        circuit = _registered(one) if isinstance(one, str) else one
        if not isinstance(circuit, Circuit):
            raise InputError(f"circuits must be names or circuits such as Race(), got {one!r}")
        found[circuit.name] = circuit
    if not found:
        raise InputError("circuits needs at least one name or circuit")
    return found


def _registered(name: str) -> Circuit:
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join(sorted(points)) or "none: install biospike, or give circuits such as circuits=[Escape()]"
        raise InputError(f"circuits: {name!r} is not registered as {GROUP}; registered are {known}")
    kind = points[name].load()
    return kind()


def spikes_for(circuit: Circuit, logits: Array, tv: float) -> Array:
    """Spikes a row needs for a mean total variation from softmax, by the error law of a circuit.

    Parameters
    ----------
    circuit
        Any with a limit and a law.
    logits : array (rows, keys)
        Nats; NaN masks a key.
    tv
        Above 0.

    Returns
    -------
    array (rows,)
        0 where one key has everything; infinite where the circuit never comes that near, or only beyond
        `MOST_SPIKES`; NaN where it has no law. Between whole numbers the law is interpolated.
    """
    target = _softmax(logits)
    limit = circuit.limit(logits)
    if circuit.expected_tv(limit[:1], np.ones(1), target[:1]) is None:
        return np.full(len(logits), np.nan)

    def above(spikes: Array, row: NDArray[np.int64]) -> Array:
        law = circuit.expected_tv(limit[row], spikes, target[row])
        assert law is not None
        return law - tv

    rows = np.arange(len(logits))
    first, last = above(np.ones(len(rows)), rows), above(np.full(len(rows), MOST_SPIKES), rows)
    found = np.where(first <= 0, 1.0, np.inf)
    found[target.max(axis=1) == 1] = 0.0
    reached = np.flatnonzero((first > 0) & (last <= 0))
    found[reached] = np.exp(
        row_roots(
            lambda log, row: above(np.exp(log), reached[row]),
            np.zeros(len(reached)),
            np.full(len(reached), np.log(MOST_SPIKES)),
        )
    )
    return found


def _softmax(logits: Array) -> Array:
    filled = np.where(np.isnan(logits), -np.inf, logits)
    weights = np.exp(filled - filled.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


class Check(NamedTuple):
    """A circuit's neurons on some rows, where they have about the spikes that the law asks for.

    Attributes
    ----------
    tv : array (rows, trials)
        Total variation from softmax.
    expected : array (rows, trials)
        By the law, at the spikes that were counted.
    """

    tv: Array
    expected: Array


def simulated(circuit: Circuit, logits: Array, spikes: Array, *, trials: int, seed: int, target: str) -> Check:
    """Run rows, and read each at the window in which it has about so many spikes.

    Parameters
    ----------
    circuit
        With a rate of the row, and a law.
    logits : array (rows, keys)
        Nats; NaN masks a key.
    spikes : array (rows,)
        At least 1 and finite.
    trials, seed, target
        As of `biospike.simulate`.
    """
    step = float(circuit.dt)
    known: Any = circuit  # not every circuit has the rate of a row in closed form
    rate = known.row_rate(logits) if hasattr(circuit, "row_rate") else known.rate
    windows = np.ceil(spikes / (np.asarray(rate) * step))
    marks = np.unique(np.rint(np.geomspace(windows.min(), windows.max(), WINDOWS)))
    data = simulate(
        circuit, logits, duration=marks[-1] * step * b2.second, trials=trials, seed=seed, target=target,
        checkpoints=marks * step * b2.second, limit=False,
    )  # fmt: skip
    counts = data["spike_count"].values  # (trial, row, key, checkpoint)
    nearest = np.abs(counts.sum(axis=2).mean(axis=0) - spikes[:, None]).argmin(axis=-1)
    read = counts[:, np.arange(len(spikes)), :, nearest]  # (row, trial, key)
    total = read.sum(axis=-1)
    target_shares = _softmax(logits)[:, None]
    with np.errstate(invalid="ignore"):
        tv = total_variation(read / total[..., None], target_shares)
    law = circuit.expected_tv(
        np.broadcast_to(circuit.limit(logits)[:, None], read.shape), total.astype(float),
        np.broadcast_to(target_shares, read.shape),
    )  # fmt: skip
    return Check(np.asarray(tv), np.full(tv.shape, np.nan) if law is None else np.asarray(law))
