"""Claims about softmax circuits and what they spend, on the study's rows of attention, on peaked and on flat ones."""

from __future__ import annotations

import attrs
import pandas as pd

from biospike.verdicts import NO_ERROR
from validation.study.claims import OURS, REPORTED, Claims, Finding
from validation.study.results import Missing, Results
from validation.study.row_kinds import GIVEN
from validation.study.row_sets import judged_by_rows
from validation.study.verdict import FAILS, SLOWER, UNDECIDED, Case
from validation.study.words import conditions

ROW_CLAIMS = Claims()
SMALL_CONSTANT = 10.0
"""What is taken for a small constant: an order of magnitude. The word is of nobody that can be asked."""


def _rows(results: Results) -> pd.DataFrame:
    return results.table("row_sets").rename(columns={"code": "circuit"})


def _given(rows: pd.DataFrame) -> pd.DataFrame:
    found = rows[rows["rows_kind"] == GIVEN]
    if found.empty:
        raise Missing("no circuit was run on the rows of the study")
    return found


@ROW_CLAIMS.add("O(n^2/eps^2) timesteps suffice for softmax to eps", REPORTED, kind="reported", place="toy example")
def enough(results: Results) -> Finding:
    """Largest ratio of the error of the softmax circuits to what n^2/T promises with constant 1."""
    rows = _rows(results)
    given = _given(rows)

    def margin(name: str, row: pd.Series) -> Case:
        ends = {end: row[f"margin_{end}"] for end in ("low", "high")}
        case = Case(name=name, estimate=row["margin"], **ends, most=1.0)
        # A floor breaks the order; an error above the promised one breaks the constant 1 only, which nobody states.
        floor = str(row["enough"]).startswith("fails")
        return attrs.evolve(case, word=FAILS if floor else UNDECIDED if case.verdict == FAILS else "")

    return judged_by_rows(
        "largest error over the promised one, n/sqrt(T): "
        + "; ".join(f"{row.circuit} {row.margin:.2f}, {row.enough}" for row in given.itertuples()),
        rows,
        margin,
        say=lambda row: f"{row['circuit']} {row['margin']:.2f}, {row['enough']}",
        threshold_from="constant 1, since no source has one; a floor is above any",
        conditions=conditions(given.iloc[0], "the row's mean number of keys"),
    )


def _ratio(row: pd.Series) -> str:
    return f"{row['circuit']} " + (
        "a floor" if row["verdict"] in SLOWER else f"{row['ratio_observed_theoretical']:.2g}"
    )


@ROW_CLAIMS.add("inhibition saturates the bound of n^2/eps^2 up to a small constant", OURS,
                place="suggested by a machine-written page")  # fmt: skip
def saturation(results: Results) -> Finding:
    """Spikes over n^2/eps^2, of the softmax circuits that fall as 1/sqrt(N) or stop."""
    rows = _rows(results)
    rows = rows[rows["ratio_observed_theoretical"].notna() | rows["verdict"].isin(SLOWER)]
    given = _given(rows)

    def constant(name: str, row: pd.Series) -> Case:
        if row["verdict"] in SLOWER:
            return Case(name=name, word=FAILS)
        ends = {"low": row["ratio_low"], "high": row["ratio_high"]}
        return Case(name=name, estimate=row["ratio_observed_theoretical"], **ends,
                    least=1 / SMALL_CONSTANT, most=SMALL_CONSTANT)  # fmt: skip

    return judged_by_rows(
        "spikes times eps^2/n^2: " + "; ".join(_ratio(row) for _, row in given.iterrows()),
        rows,
        constant,
        say=_ratio,
        decision="range",
        threshold_from=f"within a factor of {SMALL_CONSTANT:g}",
        conditions=conditions(given.iloc[0], "range over windows"),
    )


@ROW_CLAIMS.add("lateral inhibition spends fewer spikes on sparse attention", REPORTED, kind="reported",
                place="open problems: spike counts of sparse attention")  # fmt: skip
def sparse(results: Results) -> Finding:
    """Error among the keys that stay over that of all keys, at the same spikes a row."""
    found = []
    for (kind, code), mine in results.table("sparse").groupby(["rows_kind", "code"], sort=False):
        whole = mine[mine["kept"] == "all"].iloc[0]
        rest = mine[(mine["kept"] != "all") & (mine["left_out"] > NO_ERROR)]  # else they are not sparse
        found.append(
            rest.assign(
                circuit=code + ", " + rest["kept"], rows_kind=kind, ratio=rest["tv"] / whole["tv"],
                ratio_low=rest["low"] / whole["high"], ratio_high=rest["high"] / whole["low"],
            )
        )  # fmt: skip
    rows = pd.concat(found, ignore_index=True)
    given = _given(rows)

    def say(row: pd.Series) -> str:
        return f"{row['circuit']}: {row['ratio']:.2f}, {row['left_out']:.2g} left out"

    def spent(name: str, row: pd.Series) -> Case:
        ends = {"estimate": row["ratio"], "low": row["ratio_low"], "high": row["ratio_high"]}
        return Case(name=name, trials=row["trials"], most=1.0, **ends)

    return judged_by_rows(
        "error over that of all keys: " + "; ".join(say(row) for _, row in given.iterrows()),
        rows,
        spent,
        say=say,
        threshold_from="as large",
        conditions=conditions(given.iloc[0], "the same spikes a row; what is left out is a bias that no spike removes"),
    )
