"""The same circuits on the study's rows with their logits doubled, and with a quarter of them.

What is found on one set of rows may be due to them: a verdict that other rows turn over is one about the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.packing import Plan
from biospike.simulation import plan
from biospike.tables import CONVERGENCE_MEANINGS, SUMMARY_MEANINGS, converge, summarise
from validation.softmax.controls import NORMALISATION, late_spikes, normalisation
from validation.softmax.tables import regularity_law
from validation.study.row_kinds import FACTORS, GIVEN, MEANING

from brian2.units.fundamentalunits import Quantity

OF_SUMMARY = (
    *("circuit", "rows", "trials", "window_ms", "spikes_per_row", "tv", "tv_low", "tv_high", "tv_expected", "limit_tv"),
    *("bias_tv", "bias_floor", "bias_low", "bias_high", "bias_resolvable", "isi_cv", "diagnostics"),
)
OF_RATES = ("tv_fixed", "rate_spread")
OF_CONVERGENCE = (
    *("order", "order_low", "order_high", "order_of_law", "order_of_law_low", "order_of_law_high", "verdict", "reason"),
)
ROW_SETS = {
    "rows_kind": MEANING,
    "cv_law": "the measured isi_cv times the multinomial law, about the circuit's limit",
} | {
    name: meaning
    for meanings, names in ((SUMMARY_MEANINGS, OF_SUMMARY), (NORMALISATION, OF_RATES),
                            (CONVERGENCE_MEANINGS, OF_CONVERGENCE))
    for name, meaning in meanings.items() if name in names
}  # fmt: skip
"""Columns of ``row_sets.csv`` that need words: the longest window of every circuit, and its verdict."""
COLUMNS = ["rows_kind", *OF_SUMMARY, "cv_law", *OF_RATES, *OF_CONVERGENCE]


def set_plans(
    circuits: Iterable[Circuit], logits: NDArray[np.float64], *, duration: Quantity, windows: Quantity, trials: int,
    seed: int,
) -> dict[tuple[str, str], Plan]:  # fmt: skip
    """Of every circuit on every other kind of rows, by both; without those that a circuit refuses."""
    plans = {}
    for kind, factor in FACTORS.items():
        for circuit in circuits if kind != GIVEN else ():
            options = {"duration": duration, "checkpoints": windows, "trials": trials, "seed": seed}
            try:
                plans[kind, circuit.name] = plan(circuit, factor * logits, **options)
            except InputError:
                continue
    return plans


def row_of_set(kind: str, data: xr.Dataset, circuit: Circuit) -> dict[str, object]:
    """Row of ``row_sets.csv`` of a result on other rows."""
    data = data.assign(late_spikes(None, data.sizes["row"]))
    summary = summarise(data, circuit)
    last = summary.iloc[-1].to_dict() | {name: normalisation(data)[name] for name in OF_RATES}
    last["tv_fixed"] = np.atleast_1d(last["tv_fixed"])[-1]
    last["cv_law"] = cv_law(data.assign_coords(circuit=circuit.name).expand_dims("circuit"), summary)
    return {"rows_kind": kind} | last | converge(data, summary)


def cv_law(data: xr.Dataset, summary: pd.DataFrame) -> float:
    """Error law with the measured CV, of one circuit."""
    return float(regularity_law(data, summary)["cv_law"].iloc[0])


def table(
    given: Mapping[str, Mapping[str, object]], plans: Mapping[tuple[str, str], Plan], results: Iterable[xr.Dataset]
) -> pd.DataFrame:
    """Rows of ``row_sets.csv``.

    Parameters
    ----------
    given
        Longest window and fit of every circuit on the study's own rows, by its name.
    plans, results
        Of the other rows.
    """
    rows: list[Mapping[str, object]] = [{"rows_kind": GIVEN} | dict(row) for row in given.values()]
    for (kind, _), work, data in zip(plans, plans.values(), results, strict=True):
        rows.append(row_of_set(kind, data, work.circuit))
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
