"""A run with what no run on rows of any kind has: its tables and its report are written anew from other counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from run_facts import Facts

from biospike.tables import converge, summarise
from circuits import SOFTMAX_CIRCUITS
from validation.softmax.claims import CLAIMS
from validation.softmax.controls import normalisation
from validation.softmax.report import report
from validation.softmax.tables import halving
from validation.softmax.tables import not_run as without
from validation.study.results import Results

SPIKES, LATE = 20_000, 60
"""Of a made-up row in the longest window; and of its first key more than its share, from an eighth of it on."""


def made_up(facts: Facts, excess: int) -> np.ndarray:
    """Counts (window, trial, row, key) of independent spikes, and a few more of one key that came once."""
    rng = np.random.default_rng(5)
    windows, trials = len(facts.data["window_ms"]), facts.data.sizes["trial"]
    total = np.rint(np.geomspace(40, SPIKES, windows)).astype(int)
    added = np.diff(total, prepend=0)
    counts = np.cumsum([rng.multinomial(n, facts.p, size=(trials, len(facts.p))) for n in added], axis=0)
    counts[total >= SPIKES / 8, :, :, 0] += excess
    return counts.astype(np.int32)


def rewritten(
    facts: Facts, place: Path, counts: dict[str, np.ndarray], *, fused: str = "", left_out: str = "",
    sets: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
) -> Facts:  # fmt: skip
    """A run with other counts of some circuits, another target of one, a circuit that was not run, other row sets."""
    data = facts.data.load().copy(deep=True)
    for name, made in counts.items():
        at = facts.names.index(name)
        values = data["spike_count"].transpose("circuit", "checkpoint", "trial", "row", "key")
        values[at] = made
        data["spike_count"] = values
    data["target"] = ("circuit", ["fused" if name == fused else "numpy" for name in facts.names])
    summaries, fits, steps = [], [], []
    for name in facts.names:
        one = data.sel(circuit=name)
        one = one.assign_attrs(circuit=name, dt_ms=float(one["dt_ms"]))
        summary = summarise(one, SOFTMAX_CIRCUITS[name]())
        summaries.append(summary.assign(**normalisation(one)))
        fits.append(converge(one, summary))
        steps.append(halving(one))
    lines = {}
    if left_out:
        rows, fit = without(left_out, summaries[0])
        summaries.append(rows)
        fits.append(fit)
        lines = {left_out: f"{left_out}: row 0 has too many keys"}
    summary = pd.concat([table.astype(object) for table in summaries], ignore_index=True).infer_objects()
    curves = {name: facts.tables[name] for name in ("floor_curve", "regularity", "row_sets")}
    curves["row_sets"] = sets(curves["row_sets"].fillna({"reason": ""}))
    out = Results(place)
    out.save("counts", data)
    out.tables(summary=summary, convergence=pd.DataFrame(fits), **curves)
    findings = CLAIMS.findings(out)
    out.report(report(data, summary, pd.DataFrame(fits), pd.DataFrame(steps), findings, lines, curves))
    return Facts(place)


def turned(table: pd.DataFrame) -> pd.DataFrame:
    """Row sets on which one verdict turns, another is open, and the rest stay."""
    told = table.assign(verdict="1/N", reason="")
    told.loc[(told["circuit"] == "escape") & (told["rows_kind"] == "given"), "verdict"] = "1/sqrt(N)"
    told.loc[(told["circuit"] == "none") & (told["rows_kind"] != "given"), ["verdict", "reason"]] = (
        "undecided", "few windows",
    )  # fmt: skip
    return told
