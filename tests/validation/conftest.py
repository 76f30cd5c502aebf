"""What the tests of all claims share: a claim, read off small tables that a test makes up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr

from validation.study.claims import DECISIONS, Claim, Claims, Finding
from validation.study.results import Results

Tables = Mapping[str, Any]
"""Tables as lists of rows, and datasets, by the names of their files."""


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Claims, str, Tables], Finding]:
    """Read the claim that begins with these words off tables."""
    number = itertools.count()

    def of(claims: Claims, begins: str, tables: Tables) -> Finding:
        (claim,) = (one for one in claims if one.claim.startswith(begins))
        directory = tmp_path / str(next(number))
        directory.mkdir()
        results = Results(directory)
        for name, table in tables.items():
            if isinstance(table, xr.Dataset):
                table.to_netcdf(directory / f"{name}.nc", engine="h5netcdf")
                results._saved[name] = table
            else:
                results.tables(**{name: pd.DataFrame(table)})
        found = claim.find(results)
        if not found.verdict.startswith("not measured"):
            # What a referee asks first: on what the verdict rests, and under which conditions.
            assert found.sentence
            assert found.conditions
            assert found.decision in DECISIONS
            assert found.threshold_from or found.decision in ("identity", "order", "closed form")
            assert "nan" not in found.sentence + found.interval + found.conditions
        return found

    return of


def readable(claims: Claims, empty: Path) -> list[Claim]:
    """Claims that are read off tables: without any they are not measured because the study was not run."""
    return [claim for claim in claims if claim.find(Results(empty)).verdict.endswith("was not run")]


@pytest.fixture
def covers(tmp_path: Path) -> Callable[[Claims, Sequence[str]], None]:
    """Fail unless every claim that is read off tables begins as one of the tested ones."""

    def check(claims: Claims, tested: Sequence[str]) -> None:
        left = [one.claim for one in readable(claims, tmp_path) if not any(one.claim.startswith(t) for t in tested)]
        assert not left, f"no opposite tables for {left}"

    return check
