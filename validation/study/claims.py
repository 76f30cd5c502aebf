"""Every claim of the paper and of the theory around it, read off the tables of the studies.

A claim is a function from the results to what was measured, its interval and a verdict: "holds", "does not hold",
"depends" or "unverified", with a reason after a colon where one is needed. Without its tables a claim is
"not measured".
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from biospike import load


class Missing(LookupError):  # noqa: N818 - a state of the results, not a fault
    """A table, or a row of it, is not there."""


class Finding(NamedTuple):
    """What was measured, its interval, and the verdict, in words."""

    measured: str
    interval: str
    verdict: str


class Results:
    """The tables below a directory of results.

    Parameters
    ----------
    root
        Directory with one directory a study.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @functools.cached_property
    def _known(self) -> dict[str, pd.DataFrame]:
        return {}

    def table(self, study: str, name: str = "summary", **where: object) -> pd.DataFrame:
        """Rows of ``STUDY/NAME.csv`` in which every column of `where` has its value.

        Raises
        ------
        Missing
            If there is no such file, or no such row.
        """
        path = self.root / study / f"{name}.csv"
        if str(path) not in self._known:
            if not path.is_file():
                raise Missing(f"{study} was not run")
            self._known[str(path)] = pd.read_csv(path)
        found = self._known[str(path)]
        for column, value in where.items():
            found = found[found[column].isin(value) if isinstance(value, list | tuple) else found[column] == value]
        if found.empty:
            raise Missing(f"{study} has no such rows")
        return found

    def dataset(self, study: str, name: str) -> xr.Dataset:
        """Return ``STUDY/NAME.nc``.

        Raises
        ------
        Missing
            If there is no such file.
        """
        path = self.root / study / f"{name}.nc"
        if not path.is_file():
            raise Missing(f"{study} was not run")
        return load(path)


class Claim(NamedTuple):
    """A claim, where it is made, the study that measures it, and how it is read."""

    claim: str
    source: str
    study: str
    read: Callable[[Results], Finding]


CLAIMS: list[Claim] = []


def claim(text: str, source: str, study: str) -> Callable[[Callable[[Results], Finding]], Callable[[Results], Finding]]:
    """Register a function as the reading of a claim."""

    def register(read: Callable[[Results], Finding]) -> Callable[[Results], Finding]:
        CLAIMS.append(Claim(text, source, study, read))
        return read

    return register


def between(low: float, high: float) -> str:
    """Interval in words; empty if it is not known."""
    return f"{low:.3g} to {high:.3g}" if np.isfinite([low, high]).all() else ""


def claims_table(results: Results) -> pd.DataFrame:
    """One row a claim: ``claim, source, study, measured, interval, verdict``."""
    # The readings register themselves when their modules are imported.
    from validation import claims_circuits, claims_models, claims_theory  # noqa: F401, PLC0415

    rows = []
    for made in CLAIMS:
        try:
            finding = made.read(results)
        except Missing as missing:
            finding = Finding("", "", f"not measured: {missing}")
        rows.append({"claim": made.claim, "source": made.source, "study": made.study, **finding._asdict()})
    return pd.DataFrame(rows)
