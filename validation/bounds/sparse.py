"""Spikes against error for sparse rows: the largest keys only, and the support that a threshold-linear curve leaves.

What is left out is a bias that no spike removes; among the keys that stay, fewer spikes go for the same error.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike import simulate
from biospike.ideal.softmax import softmax, sparsemax
from biospike.metrics import shares, t_interval, total_variation
from circuits.softmax import Escape, Integrate
from validation.study.row_kinds import FACTORS

import brian2 as b2

Array = NDArray[np.float64]

KEPT = (2, 4, 8)
"""Keys that stay, those of the largest logits."""
ALL, SPARSEMAX = "all", "sparsemax"
DURATION, STEP = 400 * b2.ms, 0.2 * b2.ms
CODES = {"escape": Escape, "integrate": Integrate}
SPARSE = ["rows_kind", "code", "kept", "keys", "rows", "trials", "spikes", "tv", "low", "high", "law", "left_out"]
"""Of ``sparse.csv``, one row a kind of rows, circuit and mask. `rows_kind`: given, or of logits doubled (peaked) or
quartered (flat); `kept`: so many largest logits, `all`, or the shares of `sparsemax`, the limit of threshold-linear
keys; `keys`: mean number; `spikes`: of a row; `tv`: total variation of the shares from those of the keys that stay,
`low` and `high` its 95 % interval (Student's t over trials); `law`: of the circuit; `left_out`: total variation of
these from the softmax of all keys, which no spike removes."""


def masked(logits: Array, kept: int | str) -> Array:
    """Logits of the keys that stay, NaN for the others, (rows, keys)."""
    if kept == ALL:
        return logits
    if kept == SPARSEMAX:
        p = sparsemax(logits)
        return np.log(np.where(p > 0, p, np.nan))
    order = np.argsort(np.argsort(-np.nan_to_num(logits, nan=-np.inf), axis=1, kind="stable"), axis=1, kind="stable")
    return np.where(order < int(kept), logits, np.nan)


def measure(logits: Array, trials: int, seed: int, target: str) -> pd.DataFrame:
    """Error of the shares for every kind of rows, circuit and mask, columns `SPARSE`."""
    masks = [(kind, kept) for kind in FACTORS for kept in (ALL, *KEPT, SPARSEMAX)]
    every = np.concatenate([masked(FACTORS[kind] * logits, kept) for kind, kept in masks])
    p, full = softmax(every), {kind: softmax(factor * logits) for kind, factor in FACTORS.items()}
    rows = []
    for code, circuit_type in CODES.items():
        circuit = circuit_type(dt=STEP)
        data = simulate(circuit, every, duration=DURATION, trials=trials, seed=seed, target=target)
        counts = data["spike_count"].isel(checkpoint=-1).transpose("trial", "row", "key").values.astype(float)
        spikes = counts.sum(axis=-1)
        law = np.asarray(circuit.expected_tv(p, spikes.mean(axis=0)))
        tv = total_variation(shares(counts), p)
        for number, (kind, kept) in enumerate(masks):
            mine = slice(number * len(logits), (number + 1) * len(logits))
            low, high = t_interval(tv[:, mine].mean(axis=1)[None])
            rows.append([kind, code, str(kept), (~np.isnan(every[mine])).sum(axis=1).mean(), len(logits), trials,
                         spikes[:, mine].mean(), tv[:, mine].mean(), low[0], high[0], law[mine].mean(),
                         total_variation(p[mine], full[kind]).mean()])  # fmt: skip
    return pd.DataFrame(rows, columns=SPARSE)
