"""Softmax circuits on several sets of rows, as a claim reads them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from biospike.verdicts import NO_ERROR
from validation.study.results import Missing, Results
from validation.study.row_kinds import GIVEN


def on_all_rows(results: Results, circuits: Sequence[str], *, erring: bool = True) -> pd.DataFrame:
    """Longest windows of these circuits with their verdicts, on every set of rows, the study's own first.

    Raises
    ------
    Missing
        Without any of them, or, if they have to err, without any error to speak of.
    """
    rows = results.last("circuit", circuit=list(circuits)).reset_index().assign(rows_kind=GIVEN)
    if (results.directory / "convergence.csv").is_file():
        fits = results.table("convergence").drop(columns="limit_tv", errors="ignore")
        rows = rows.merge(fits, on="circuit", how="left", suffixes=("", "_of_fit"))
    if (results.directory / "row_sets.csv").is_file():
        sets = results.table("row_sets")
        rows = pd.concat([rows, sets[(sets["rows_kind"] != GIVEN) & sets["circuit"].isin(circuits)]])
    rows = rows[rows["tv"] > NO_ERROR] if erring else rows
    if not (rows["rows_kind"] == GIVEN).any():
        raise Missing(f"no error of {', '.join(circuits)} to explain")
    return rows.reset_index(drop=True)
