"""Rungs of the ladder, the rows that they are held on, and how a study of them is cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Circuit
from circuits.softmax import SOFTMAX_CIRCUITS, InterneuronPool
from validation.data import attention_rows
from validation.microcircuits import gate
from validation.study import row_kinds
from validation.study.row_kinds import GIVEN

Array = NDArray[np.float64]

FACTORS = {"natural" if kind == GIVEN else kind: factor for kind, factor in row_kinds.FACTORS.items()}
"""Of the logits, by the kind of the rows."""
SIZES: dict[str, tuple[int, ...]] = {"interneurons": (16, 64)}
"""Neurons of a key at which a rung is run; the others at their own."""
FEWER = {"hodgkin_huxley": {"natural": 1, "peaked": 1, "flat": 0}}
"""Rows of a kind, where a neuron costs too much for more."""
PROBES = (0.0, -1.0, -2.0, -3.0, -4.0)
"""Logits of the keys whose rates are compared with and without competitors."""


@attrs.frozen
class Preset:
    """Rows of a kind, trials, seconds; trials of the probes; and of the onset gains, trials and seconds.

    `onset` are parts of the critical gain; `rates` those, in Hz, at which an operating point is simulated; `gates`
    barrages whose closed loop is, on so many rows of a kind.
    """

    rows: int
    trials: int
    seconds: float
    probe_trials: int
    onset: tuple[float, ...]
    onset_seconds: float
    rates: tuple[float, ...]
    gates: tuple[gate.Point, ...] = ()
    gate_rows: int = 0


PRESETS = {
    "quick": Preset(6, 8, 2.0, 8, (0.25, 0.5, 0.75), 4.0, (2.0, 10.0, 40.0), gate.QUICK, 2),
    "paper": Preset(24, 16, 4.0, 32, (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25), 20.0,
                    (1.0, 2.0, 5.0, 10.0, 20.0, 40.0), gate.PAPER, 24),
}  # fmt: skip


def rungs(names: Iterable[str]) -> list[Circuit]:
    """Circuits of these names at their own operating points, at every size of `SIZES`."""
    found: list[Circuit] = []
    for name in names:
        circuit = SOFTMAX_CIRCUITS[name]()
        sizes = SIZES.get(name, ()) if "members" in {field.name for field in attrs.fields(type(circuit))} else ()
        of_size: list[Any] = [{"members": size} for size in sizes] or [{}]
        found += [attrs.evolve(circuit, **changes) for changes in of_size]
    return found


def rows_by_kind(count: int) -> dict[str, Array]:
    """So many rows of every kind, spread over the layers and heads of the shipped ones."""
    shipped = attention_rows()
    chosen = shipped[np.linspace(0, len(shipped) - 1, count).round().astype(int)]
    chosen = chosen[:, ~np.isnan(chosen).all(axis=0)]
    return {kind: chosen * factor for kind, factor in FACTORS.items()}


def rows_for(circuit: Circuit, kind: str, rows: Array) -> Array:
    """Rows of a kind that a rung is run on: the first ones where it may have fewer."""
    return rows[: FEWER.get(circuit.name, {}).get(kind, len(rows))]


def probes() -> Array:
    """Two rows: the probes alone, and with competitors that halve the softmax of each."""
    weight = float(np.exp(PROBES).sum())
    # As many at the top as fit, and one for the rest.
    whole = int(weight)
    others = np.array([0.0] * whole + [np.log(weight - whole)])
    alone = np.append(PROBES, np.full(len(others), np.nan))
    return np.stack([alone, np.append(PROBES, others)])


def interneurons_of(circuit: Circuit) -> int:
    """Spiking interneurons of a row."""
    return circuit.interneurons


def loop(circuit: Circuit, rows: Array) -> tuple[float, float]:
    """Mean over rows of their loop's gain, and of that from which it oscillates; NaN without interneurons."""
    if not isinstance(circuit, InterneuronPool):
        return np.nan, np.nan
    gain, onset, _ = circuit.loop(rows)
    return float(gain.mean()), float(onset.mean())


def stable(circuit: Circuit, rows: Array) -> bool:
    """Whether limits, biases and verdicts of these rows may be printed."""
    return not isinstance(circuit, InterneuronPool) or bool(circuit.stable_rows(rows).all())


def kappa(circuit: Circuit) -> float:
    """Input for a nat of logit, mV; NaN for a code that is exponential already."""
    return float(circuit.used_kappa()) * 1e3 if hasattr(circuit, "used_kappa") else np.nan
