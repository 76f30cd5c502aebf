"""Rows and circuits of which nothing can be told: tables, figures and report are made, and never say nan."""

import re

import numpy as np
import pandas as pd
import pytest

from circuits.softmax import Diffusive, Escape
from validation.simulators.cases import Spikes
from validation.simulators.claims import CLAIMS
from validation.simulators.data import Recorded
from validation.simulators.figures import draw
from validation.simulators.report import report
from validation.simulators.tables import NEURONS, CircuitResult, not_run, summary_table
from validation.study.results import Results

NAN = np.nan
STEPS = 400
ROWS = {
    "one key": [[0.3, NAN, NAN]],
    "saturated": [[900.0, 0.0, 0.0]],
    "ordinary": [[1.0, 0.0, -1.0], [0.0, NAN, 2.0]],
}


def recording(logits, spikes, seed):
    """Spikes of the largest key of every row; none at all, or at random steps."""
    random = np.random.default_rng(seed)
    first = np.concatenate([[0], np.cumsum((~np.isnan(logits)).sum(axis=1))[:-1]])
    step = np.sort(random.choice(STEPS, spikes, replace=False))
    return Spikes(np.repeat(step, len(first)), np.tile(first, len(step)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "spikes"), [("one key", 50), ("saturated", 0), ("ordinary", 1)])
def test_what_is_written(name, spikes, tmp_path):
    logits = np.array(ROWS[name])
    seeds = [[recording(logits, spikes, 10 * group + number) for number in range(2)] for group in range(4)]
    circuits = {
        "escape": CircuitResult(Escape(), STEPS, seeds[0], seeds[1], 0, "numpy"),
        "diffusive": CircuitResult(Diffusive(), STEPS, seeds[2], seeds[3], 0, "numpy"),
    }
    results = Recorded([], circuits, logits, 1, 2)
    summary = summary_table(circuits, logits)
    summary = pd.concat([summary, not_run(["race"], summary)], ignore_index=True)
    controls = pd.DataFrame(columns=["control", "changed_in", "where", "measured", "without_it", "with_it", "verdict"])
    tables = {"neurons": pd.DataFrame(columns=NEURONS), "summary": summary, "controls": controls}

    left = summary[summary["circuit"] == "race"]
    assert (left["verdict"] == "not run").all()
    assert set(left["measure"]) == set(summary.loc[summary["circuit"] == "escape", "measure"])
    assert left[["brian2", "nest", "rank"]].isna().all(axis=None)

    out = Results(tmp_path)
    out.tables(**tables)
    findings = CLAIMS.findings(out)
    verdict = next(one.verdict for one in findings if "two seeds" in one.claim)
    assert verdict.startswith("undecided")
    line = "race: row 0 has too many keys"
    text = report(results, tables, version="3", findings=findings, left_out={"race": line})
    assert f"**Not run.** {line}." in text
    assert "No measure tells" not in text
    for written in (text, summary.to_csv(index=False)):
        assert not re.search(r"\b(nan|inf)\b", written.replace("nanmean", ""), re.IGNORECASE), written
    figures = draw(results, tables)
    assert set(figures) == {"raster", "shares", "isi"}
    for figure in figures.values():
        figure.canvas.draw()
        assert "not run: race" in [one.get_text() for one in figure.texts]


def test_a_difference_is_said_though_others_are_not_told(tmp_path):
    rows = {
        "circuit": "escape",
        "measure": ["a", "ks_b"],
        "verdict": ["differ", "too few spikes"],
        "rank": [0.001, NAN],
    }
    pd.DataFrame(rows | {"difference": [1.0, NAN], "seed_to_seed": [0.1, NAN]}).to_csv(
        tmp_path / "summary.csv", index=False
    )
    found = next(one for one in CLAIMS.findings(Results(tmp_path)) if "two seeds" in one.claim)
    assert found.verdict.startswith("does not hold")
    assert "escape a" in found.verdict + found.sentence
    assert "nan" not in found.sentence + found.interval
