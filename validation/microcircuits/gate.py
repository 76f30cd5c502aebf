"""Where a barrage of synaptic events is a common gate: its distance under the threshold, swept.

The mean field of every stored neuron, distance and rate, of both codes and both steps of the top share, and closed
loops that are simulated at some of these points, with private and with common events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from biospike.packing import Plan
from biospike.share_verdicts import window_biases
from biospike.simulation import plan
from biospike.tables import summarise
from biospike.theory.barrage import Surface
from circuits.softmax.conductance import Conductance, balance
from validation.data.gate_surfaces import NEURONS, gate_surfaces, neuron

import brian2 as b2

Array = NDArray[np.float64]

GATE = {
    "neuron": "of the shipped ones; with a parameter changed by 30 % if one is named",
    "distance_mV, distance_sigma": "of the barrage's reversal potential under the threshold, and that over the "
    "standard deviation of the membrane in the background alone; empty for GABA_A in the fixed background",
    "common_share": "share of the barrage's fluctuations that all keys of a row have in common",
    "rate": "R, Hz, which a neuron would have alone in its row",
    "rows_kind": "natural: rows of a trained transformer; peaked, flat: their logits times 2, and times 1/4",
    "code": "calibrated: drives that fire in proportion to exp(z) at half of the top rate; linear: kappa mV a nat",
    "loop": "mean field; slow, fast: simulated, with the hub's weight at .02 and .3 a spike of every neuron of a key",
    "top_from, top_to": "share of the largest key before and after the step whose log-ratios give the spread",
    "spread": "largest less smallest log-ratio of the rates of keys 0 to 4 nats below the top, over that of the top; "
    "0 is a gate",
    "tv": "total variation of the shares from softmax, mean over rows (of the limit, or of trials where simulated)",
    "bias": "rms L2 bias of a row against softmax: of the limit, or from the products of different trials, minus the "
    "root where they are negative; low, high: its 95 % interval where simulated (jackknife over trials)",
}
WIDTHS = {
    "best": "distance in sigma_V at which the bias is least",
    "bias": "there, rms over the kinds of rows",
    "least, most": "ends of the distances at which it is below the threshold; empty where it is nowhere",
}
COLUMNS = [name.strip() for names in GATE for name in names.split(",")] + ["low", "high"]
RATES = (40.0, 20.0, 10.0)
STEPS = ((1.0, 0.5), (0.5, 0.25))
CODES = ("calibrated", "linear")
DEPTHS = np.arange(5.0)
"""Nats below the top of the keys whose log-ratios are compared."""
STANDS = 0.01
"""The gate stands where the upper limit of its bias is below: a third of what plain GABA_A has at the lowest rate."""
LOOPS = {"slow": 0.02, "fast": 0.3}
"""Weights of the hub."""


@attrs.frozen
class Point:
    """A closed loop that is simulated."""

    neuron: str
    distance: float | None
    rate: float = 40.0
    code: str = "calibrated"
    common: float = 0.0
    loop: str = "slow"

    @property
    def circuit(self) -> Conductance:
        """Its circuit."""
        return attrs.evolve(
            neuron(self.neuron),
            distance=self.distance,
            rate=self.rate * b2.Hz,
            code=self.code,
            common=self.common,
            w=LOOPS[self.loop],
        )


QUICK = (Point("destexhe", 3.0), Point("destexhe", 4.0), Point("destexhe", 5.0))
PAPER = (
    *(Point(name, far, rate) for name in NEURONS for rate in RATES for far in (3.0, 3.5, 4.0, 4.5, 5.0)),
    *(Point(name, None, rate, code) for name in NEURONS for rate in RATES for code in CODES),
    *(Point("destexhe", 4.0, common=share) for share in (0.1, 0.3, 1.0)),
    Point("destexhe", 4.0, code="linear"),
    Point("destexhe", 4.0, loop="fast"),
)  # fmt: skip


def spread(surface: Surface, rate: float, top_from: float, top_to: float) -> float:
    """Of the log-ratios, when inhibition lowers the top key from one share of `rate`, Hz, to another.

    Keys are those that fire at exp(-depth) of the top one's rate before the step.
    """
    alone = float(surface.current_at(0.0, np.log(rate)))
    before, after = (
        surface.level_at(alone, np.log(rate * share)) if share < 1 else 0.0 for share in (top_from, top_to)
    )
    start = np.log(rate * top_from) - DEPTHS
    ratio = surface.log_rate(after, surface.current_at(before, start)) - start
    return float(np.ptp(ratio) / -ratio[0])


def mean_field_table(
    kinds: dict[str, Array], surfaces: dict[tuple[str, float | None], Surface] | None = None
) -> pd.DataFrame:
    """Spread, total variation and bias of the mean field at every stored neuron and distance.

    Parameters
    ----------
    kinds
        Rows (rows, keys) by their kind, nats.
    surfaces
        By neuron and distance; default the stored ones.
    """
    rows = []
    for (name, distance), surface in (gate_surfaces() if surfaces is None else surfaces).items():
        for rate in RATES:
            spreads = {step: spread(surface, rate, *step) for step in STEPS}
            for code in CODES:
                for kind, logits in kinds.items():
                    p, fired = softmax(logits), balance(surface, rate, code, logits)[2]
                    limit = fired / fired.sum(axis=1, keepdims=True)
                    shared = _where(name, distance) | {
                        "common_share": 0.0, "rate": rate, "rows_kind": kind, "code": code, "loop": "mean field",
                        "tv": float(total_variation(limit, p).mean()),
                        "bias": float(np.sqrt(((limit - p) ** 2).sum(axis=1).mean())),
                    }  # fmt: skip
                    rows += [shared | {"top_from": a, "top_to": b, "spread": spreads[a, b]} for a, b in STEPS]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _where(name: str, distance: float | None) -> dict[str, Any]:
    deviation = neuron(name).barrage.deviation
    far = np.nan if distance is None else distance
    return {"neuron": name, "distance_sigma": far, "distance_mV": far * deviation * 1e3}


def gate_plans(
    points: Sequence[Point], kinds: dict[str, Array], *, trials: int, seconds: float, seed: int
) -> list[Plan]:
    """Of every point, all rows at once, kind after kind."""
    rows = np.concatenate(list(kinds.values()))
    return [
        plan(one.circuit, rows, duration=seconds * b2.second, trials=trials, seed=seed + 3, checkpoints=1)
        for one in points
    ]


def simulated_table(points: Sequence[Point], kinds: dict[str, Array], results: Iterable[xr.Dataset]) -> pd.DataFrame:
    """Total variation and bias of the points of `gate_plans`, one row a kind."""
    rows = []
    for point, data in zip(points, results, strict=True):
        first = 0
        for kind, logits in kinds.items():
            some = data.isel(row=slice(first, first + len(logits)))
            first += len(logits)
            counts = some["spike_count"].transpose("checkpoint", "trial", "row", "key").values
            found = window_biases(counts[-1:], softmax(logits), independent=True)[0]
            rows.append(_where(point.neuron, point.distance) | {
                "common_share": point.common, "rate": point.rate, "rows_kind": kind, "code": point.code,
                "loop": point.loop, "tv": summarise(some, point.circuit).iloc[-1]["tv"],
                "bias": float(np.sign(found.squared) * np.sqrt(abs(found.squared))), "low": found.low,
                "high": found.high,
            })  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def widths(table: pd.DataFrame) -> pd.DataFrame:
    """Best distance of every neuron, rate, code and loop, and the range of distances over which the gate stands.

    A bias counts by its upper limit where it has one. It is that of all kinds of rows together, of equal weight.
    Columns `best`, `bias` there, `least`, `most`: standard deviations, empty where it stands nowhere.
    """
    swept = table[table["distance_sigma"].notna()].drop_duplicates(
        subset=["neuron", "distance_sigma", "rate", "rows_kind", "code", "loop", "common_share"]
    )
    counted = swept.assign(square=swept["high"].fillna(swept["bias"]) ** 2)
    keys = ["neuron", "rate", "code", "loop", "common_share"]
    together = counted.groupby([*keys, "distance_sigma"], sort=False)["square"].mean().pow(0.5).reset_index(name="bias")
    rows = []
    for key, one in together.groupby(keys, sort=False):
        best = one.loc[one["bias"].idxmin()]
        stands = one.loc[one["bias"] < STANDS, "distance_sigma"]
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"best": best["distance_sigma"], "bias": best["bias"], "least": stands.min(), "most": stands.max()}
        )
    return pd.DataFrame(rows)
