"""Orders of the errors in T, decided as in every study: the rule needs 1/sqrt(T).

The error of a trial is the root mean square over the values of an input set, mean over the sets. Encoders alone have
exact laws, those of independent and of regular trains of the same values; of the attention none is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike.encoding import Encoder
from biospike.order import Laws
from biospike.tables import columns_of
from biospike.verdicts import Decision, Evidence, decide
from validation.rule.errors import count_variance

Array = NDArray[np.float64]

ORDERS = ["encoder", "circuit", "order_of_law", "order_of_law_low", "order_of_law_high", "bias_resolvable"]
ORDERS += ["trials_needed", "verdict", "reason"]


def decide_order(deviations: Sequence[Array], timesteps: Sequence[int], laws: Laws | None) -> Decision:
    """Decide on the order in T of one encoder and circuit.

    Parameters
    ----------
    deviations : sequence of ndarray (trial, window, sample, value)
        Of every input set: estimates less what they tend to. Samples have spikes of their own.
    timesteps
        Of the windows.
    laws
        Of the error, if they are known.
    """
    by_set = [np.sqrt((one**2).mean(axis=(2, 3))) for one in deviations]
    widest = max(one.shape[3] for one in deviations)
    rows = np.concatenate(
        [np.pad(one, ((0, 0), (0, 0), (0, 0), (0, widest - one.shape[3]))) for one in deviations], axis=2
    )
    return decide(
        Evidence(
            n=np.asarray(timesteps, dtype=float), errors=np.mean(by_set, axis=0),
            deviations=lambda window, some: rows[:, window, some], laws=laws, rows=rows.shape[2],
            free=sum(one.shape[2] * one.shape[3] for one in deviations), independent=True,
        )
    )  # fmt: skip


def laws_of_values(independent: Encoder, regular: Encoder, sets: Sequence[Array], timesteps: Sequence[int]) -> Laws:
    """Root mean square errors of values (sample, value) of every set, mean over the sets, in every window."""
    half, one = (
        np.array(
            [np.mean([np.sqrt(count_variance(encoder, x, steps).mean()) for x in sets]) for steps in timesteps]
        )
        for encoder in (independent, regular)
    )  # fmt: skip
    return Laws(half, one)


def order_table(data: xr.Dataset, decisions: Sequence[Decision]) -> pd.DataFrame:
    """The table of ``orders.csv``, one row an encoder and circuit, in the order of the runs of `data`."""
    named = zip(data["encoder"].values, data["circuit"].values, decisions, strict=True)
    rows = [{"encoder": encoder, "circuit": circuit} | columns_of(found) for encoder, circuit, found in named]
    return pd.DataFrame(rows, columns=ORDERS)
