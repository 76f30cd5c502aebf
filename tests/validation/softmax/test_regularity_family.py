"""The law of the CV where it can fail: counts of known truth, and what is said of them."""

from __future__ import annotations

import attrs
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from biospike.ideal.softmax import softmax
from biospike.theory.concentration import multinomial_tv
from validation.softmax.claims import CLAIMS
from validation.softmax.regularity import (
    REGULARITIES,
    TRIALS,
    WINDOWS,
    regularity_plans,
    regularity_table,
    verdict,
)
from validation.softmax.report import family_text
from validation.study.results import Results

import brian2 as b2

LOGITS = np.random.default_rng(4).normal(0, 1.2, (72, 14))
P = softmax(LOGITS)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """A Poisson code in the place of every member: the law is right for k = 1 and for nobody else."""
    plans = regularity_plans(LOGITS, 3.2 * b2.second, seed=1)
    assert [attrs.asdict(work.circuit)["regularity"] for work in plans] == list(REGULARITIES)
    assert all(len(work.marks) == WINDOWS and work.trials == TRIALS for work in plans)
    rng = np.random.default_rng(7)
    spikes = np.array([100, 100, 200, 400, 800, 1600])
    counts = np.cumsum([rng.multinomial(n, P, size=(TRIALS, len(P))) for n in spikes], axis=0)
    data = xr.Dataset(
        {
            "spike_count": (("checkpoint", "trial", "row", "key"), counts),
            "logits": (("row", "key"), LOGITS),
            "gap_sum": (("trial", "row", "key"), counts[-1] / P),
            "gap_square_sum": (("trial", "row", "key"), counts[-1] * (2 - P) / P**2),
        },
        coords={"window_ms": ("checkpoint", [100.0, 200, 400, 800, 1600, 3200])},
    )
    return regularity_table(plans, [data] * len(plans))


def test_the_law_holds_for_the_poisson_code_alone(table: pd.DataFrame) -> None:
    assert len(table) == len(REGULARITIES) * WINDOWS
    poisson = table[table["k"] == 1]
    assert set(poisson["verdict"]) <= {"holds", "undecided"}
    assert "holds" in set(poisson["verdict"])
    assert set(table[table["k"] > 1]["verdict"]) == {"does not hold"}
    exact = multinomial_tv(P, 100.0).mean()
    assert poisson["cv_law"].iloc[0] == pytest.approx(exact)
    assert poisson["tv"].iloc[0] == pytest.approx(exact, rel=0.1)
    assert table[table["k"] == 16]["cv_law"].iloc[0] == pytest.approx(exact / 4)
    assert table[table["k"] == np.inf]["cv_law"].max() == 0
    assert table["isi_cv"].iloc[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.98, 1.02, "holds"), (1.04, 1.06, "undecided"), (1.06, 1.08, "does not hold"), (0.9, 0.94, "does not hold"),
     (np.nan, np.nan, "undecided")],
)  # fmt: skip
def test_verdict(low: float, high: float, words: str) -> None:
    assert verdict(low, high, 1.0) == words


def test_what_is_said_follows_from_the_table(table: pd.DataFrame, tmp_path) -> None:
    [claim] = [one for one in CLAIMS if "nothing but the CV differs" in one.claim]

    def found(rows: pd.DataFrame) -> str:
        rows.to_csv(tmp_path / "regularity.csv", index=False)
        return claim.find(Results(tmp_path)).verdict

    assert found(table).startswith("depends")
    assert found(table[table["verdict"] == "holds"]) == "holds"
    assert found(table.assign(tv=0.0)).startswith("not measured")
    text = "\n".join(family_text(table))
    poisson, *others = (line for line in text.splitlines() if line.startswith("* "))
    assert "does not hold" not in poisson
    assert all(" holds at" not in line for line in others)
    assert len(others) == len(REGULARITIES) - 1
    assert family_text(None) == []
