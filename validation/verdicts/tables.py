"""Tables of the calibration: how often each verdict comes out of a code of known truth, and how often it is false.

A verdict is *false* if it is an order whose interval misses the order by reference of the code in these windows; a
floor without a constant bias; or an order although the bias exceeds half of the error of the longest window, or the
upper limit of the bias that is printed with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from biospike.verdicts import BETWEEN, FLOOR, HALF, ONE, UNDECIDED
from validation.verdicts.codes import Cell
from validation.verdicts.measure import bias_length, order_in_windows

WORDS = (HALF, BETWEEN, ONE, FLOOR, UNDECIDED)
FALSE = 0.05
"""Fraction of false verdicts that no cell may exceed."""
LEVEL = 0.05
"""Of the test of all cells together."""
ORDERS = {0.5: HALF, 0.65: BETWEEN, 0.75: BETWEEN, 0.85: BETWEEN, 1.0: ONE}

COLUMNS: Mapping[str, str] = {
    "truth": "order of the code without its bias, as an exponent of N",
    "bias": "total variation of a row's bias in the longest window, exact",
    "fall": "none, constant, or transient: falling as 1/N",
    "rows": "rows of the study",
    "keys": "keys of a row",
    "trials": "trials of the study",
    "spikes": "spikes of a row in the longest window",
    "sharing": "independent, or shared: rows of a trial see the same spikes",
    "shape": "shares of a row: flat, peaked, natural (keys of shipped rows), never (a third of the keys never spikes)",
    "verdict": "verdict",
    "fraction": "fraction of the repetitions that came out so",
    "low": "lower end of its 95 % interval (Clopper and Pearson)",
    "high": "upper end of its 95 % interval (Clopper and Pearson)",
    "false": "fraction of the repetitions that came out so and are false",
    "right": "whether this is a verdict that the truth asks for; of a bias of the start undecided, or the order",
}
"""Columns of ``calibration.csv``, one row a cell and verdict."""
CELLS: Mapping[str, str] = {name: meaning for name, meaning in COLUMNS.items() if name not in
                            ("verdict", "fraction", "low", "high", "false", "right")} | {
    "repetitions": "studies",
    "order_in_windows": "order by reference of the mean error of all repetitions, what an interval should cover",
    "right": "fraction with the verdict that the truth asks for",
    "undecided": "fraction without a verdict",
    "reason": "most frequent reason of those",
    "false": "fraction of false verdicts",
    "low": "lower end of its 95 % interval (Clopper and Pearson)",
    "high": "upper end of its 95 % interval (Clopper and Pearson)",
    "p_value": "chance of so many false verdicts or more if 5 % are false, exact binomial test",
    "p_holm": "the same, adjusted over all cells by Holm",
    "trials_needed": "median of the trials that are said to decide",
}  # fmt: skip
"""Columns of ``cells.csv``, one row a cell."""


def right_verdicts(cell: Cell) -> tuple[str, ...]:
    """Verdicts that the truth asks for; where a bias of the start is small, the order is right too."""
    if cell.fall == "constant":
        return (FLOOR,)
    return (UNDECIDED, ORDERS[cell.order]) if cell.fall == "transient" else (ORDERS[cell.order],)


def is_false(cell: Cell, studies: pd.DataFrame) -> NDArray[np.bool_]:
    """Which verdicts of a cell are false, (repetitions,); `studies` as of `measure`."""
    errors = np.array(studies["errors"].to_list())
    order = studies["verdict"].isin((HALF, BETWEEN, ONE)).to_numpy()
    truth = order_in_windows(cell, errors)
    missed = order & ~((studies["low"] <= truth) & (truth <= studies["high"])).to_numpy()
    hidden = np.zeros(len(studies), dtype=bool)
    if cell.bias:
        hidden = order & ((cell.bias > errors[:, -1] / 2) | (bias_length(cell) > studies["limit"].to_numpy()))
    invented = (studies["verdict"] == FLOOR).to_numpy() & (cell.fall != "constant")
    return np.asarray(missed | hidden | invented)


def tabulate(found: Iterable[tuple[Cell, list[dict[str, Any]]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``calibration.csv`` and ``cells.csv`` of what `measure_all` yields."""
    verdicts, cells = [], []
    for cell, rows in found:
        studies = pd.DataFrame(rows)
        errors = np.array(studies["errors"].to_list())
        false, number, expected = is_false(cell, studies), len(studies), right_verdicts(cell)
        named = _named(cell)
        for word in WORDS:
            mine = (studies["verdict"] == word).to_numpy()
            low, high = proportion_interval(int(mine.sum()), number)
            verdicts.append(
                named | {"verdict": word, "fraction": mine.mean(), "low": low, "high": high,
                         "false": (mine & false).mean(), "right": word in expected}
            )  # fmt: skip
        low, high = proportion_interval(int(false.sum()), number)
        reasons = studies.loc[studies["verdict"] == UNDECIDED, "reason"]
        cells.append(
            named
            | {
                "repetitions": number, "order_in_windows": order_in_windows(cell, errors),
                "right": studies["verdict"].isin(expected).mean(), "undecided": len(reasons) / number,
                "reason": reasons.mode().iloc[0] if len(reasons) else "", "false": false.mean(), "low": low,
                "high": high, "p_value": float(scipy.stats.binom.sf(false.sum() - 1, number, FALSE)),
                "trials_needed": studies["needed"].astype(float).median(),
            }
        )  # fmt: skip
    table = pd.DataFrame(cells)
    table["p_holm"] = holm(table["p_value"].to_numpy())
    return pd.DataFrame(verdicts)[list(COLUMNS)], table[list(CELLS)]


def _named(cell: Cell) -> dict[str, Any]:
    names = ("bias", "fall", "rows", "keys", "trials", "spikes", "sharing", "shape")
    return {"truth": -cell.order} | {name: getattr(cell, name) for name in names}


def proportion_interval(hits: int, number: int) -> tuple[float, float]:
    """95 % interval of a proportion (Clopper and Pearson, Biometrika 26, 404, 1934)."""
    interval = scipy.stats.binomtest(hits, number).proportion_ci(0.95)
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Chances adjusted for their number (Holm, Scand. J. Stat. 6, 65, 1979)."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty_like(values)
    found[order] = np.minimum(adjusted, 1.0)
    return found
