"""The bench of the audit: which rows, how many trials, and how a circuit's bias is measured on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike import execution, simulate
from biospike.circuit import Circuit
from biospike.ideal.softmax import softmax
from biospike.metrics import shares, total_variation
from biospike.simulation import build_ahead
from circuits.presentation import plan_presentation
from circuits.token_circuit import TokenCircuit
from validation.assumptions.sweep import Point, share_point
from validation.data import attention_rows
from validation.study.row_kinds import FACTORS, GIVEN

import brian2 as b2

Array = NDArray[np.float64]
Value = TypeVar("Value", float, str)

FEWEST_KEYS, MOST_KEYS, WIDEST = 8, 14, 5.2


@attrs.frozen(eq=False)
class Lab:
    """What every sweep of one audit shares.

    Attributes
    ----------
    trials
        Repetitions of every row.
    stretch
        Factor of every window: 1 in the quick preset.
    seed, target, quiet
        As of the command line.
    kind
        Of the rows, one of `validation.study.row_sets.FACTORS`. Of rows that are not the study's own a sweep is
        measured at the realistic end of its knob only.
    """

    trials: int
    stretch: float
    seed: int
    target: str
    quiet: bool = True
    kind: str = GIVEN

    @property
    def factor(self) -> float:
        """Of the logits."""
        return FACTORS[self.kind]

    @property
    def rows(self) -> Array:
        """Rows of logits that the circuits receive, (rows, keys)."""
        return self.factor * audit_rows()

    def values(self, knob: Sequence[Value]) -> Sequence[Value]:
        """Values of a knob that are measured, of all of them from ideal to realistic."""
        return knob if self.kind == GIVEN else knob[-1:]

    @property
    def options(self) -> dict[str, Any]:
        """Options of `biospike.simulate`, but for the window; its bars would be one a knob value."""
        return {"trials": self.trials, "seed": self.seed, "target": self.target, "progress": False}

    @property
    def regular(self) -> Lab:
        """A bench for regular codes, whose shares scatter ten times less: a quarter of the trials, but at least 8."""
        return attrs.evolve(self, trials=max(8, self.trials // 4))

    def run(self, circuit: Circuit, logits: Array, seconds: float) -> Array:
        """Spike counts (trials, rows, keys) of a window."""
        data = simulate(circuit, logits, duration=seconds * self.stretch * b2.second, checkpoints=1, **self.options)
        return np.asarray(data["spike_count"].values[..., 0], dtype=float)

    def prebuild(self, circuits: Sequence[Circuit], logits: Array, seconds: float) -> None:
        """Compile side by side what `run` would compile one after another."""
        window = seconds * self.stretch * b2.second
        build_ahead(list(circuits), logits, duration=window, checkpoints=1, **self.options)

    def prebuild_blocks(self, blocks: Sequence[tuple[TokenCircuit, Array]], steps: int) -> None:
        """As `prebuild`, for circuits of tokens with their tokens."""
        plans = [
            plan_presentation(
                circuit, tokens, duration=steps * circuit.dt, windows=1, trials=self.trials, seed=self.seed
            )
            for circuit, tokens in blocks
        ]
        execution.build_plans(plans, self.target, progress=False)

    def point(
        self,
        value: float | str,
        circuit: Circuit,
        logits: Array,
        seconds: float,
        *,
        target: Array | None = None,
        predict: bool = True,
    ) -> Point:
        """Bias of a circuit's shares.

        Parameters
        ----------
        value
            Of the knob.
        target : ndarray (rows, keys), optional
            Shares of the ideal; softmax of the logits by default.
        predict
            Whether the circuit's `limit` is a closed form of what this knob does.
        """
        ideal = softmax(logits) if target is None else target
        counts = self.run(circuit, logits, seconds)
        # Rounded, so that a law that says 0 does not read 1e-17.
        predicted = round(float(total_variation(circuit.limit(logits), ideal).mean()), 12) if predict else math.nan
        return share_point(value, shares(counts), ideal, predicted=predicted, spikes=float(counts.sum(axis=-1).mean()))

    def points(
        self,
        values: Sequence[float],
        circuit: Callable[[float], Circuit],
        seconds: float | Callable[[float], float],
        *,
        predict: bool = True,
    ) -> tuple[Point, ...]:
        """Bias at the `values` of a knob, on the `rows`."""
        rows = self.rows
        length = seconds if callable(seconds) else lambda value: seconds
        return tuple(
            self.point(value, circuit(value), rows, length(value), predict=predict) for value in self.values(values)
        )


def audit_rows() -> Array:
    """The real attention rows of the audit: all shipped ones of 8 to 14 keys that span at most 5.2 nats, 10 rows."""
    rows = attention_rows()
    keys = (~np.isnan(rows)).sum(axis=1)
    span = np.nanmax(rows, axis=1) - np.nanmin(rows, axis=1)
    chosen = rows[(keys >= FEWEST_KEYS) & (keys <= MOST_KEYS) & (span <= WIDEST)]
    return chosen[:, : int((~np.isnan(chosen)).sum(axis=1).max())]
