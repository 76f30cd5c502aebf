"""What an audit tells of biospike itself: whether its laws and its replays hold on the model at hand."""

from __future__ import annotations

import pandas as pd

from validation.study.claims import OURS, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.verdict import Case

CLAIMS = Claims()

MARGIN = 0.1
"""Of the law, relative: that of a mean over few rows and trials is not told any closer."""


@CLAIMS.add("neurons of a circuit make the error on rows of any model that its law says", OURS)
def law(results: Results) -> Finding:
    """Simulated total variation over the law at the counted spikes, by circuit, mean over heads."""
    rows = results.table("audit")
    rows = rows[rows["simulated_tv"].notna() & rows["law_tv"].gt(0)]
    if rows.empty:
        raise Missing("no row was simulated")
    cases = []
    for circuit, mine in rows.groupby("circuit", sort=False):
        ratio = (mine["simulated_tv"] / mine["law_tv"]).mean()
        # Heads have rows of their own, and the trials of each are drawn anew.
        half = ((mine["simulated_high"] - mine["simulated_low"]) / 2 / mine["law_tv"]).pow(2).sum() ** 0.5 / len(mine)
        cases.append(Case(name=str(circuit), estimate=ratio, low=ratio - half, high=ratio + half, least=1 - MARGIN,
                          most=1 + MARGIN))  # fmt: skip
    return judged(
        "total variation over the law: " + "; ".join(f"{case.name} {case.estimate:.3f}" for case in cases),
        cases,
        on="the circuit",
        threshold_from=f"{MARGIN:.0%} of the law",
        conditions=f"{len(rows)} heads, at about the spikes for .05",
    )


@CLAIMS.add("a node of a framework is replayed from its own currents, spike for spike", OURS)
def replay(results: Results) -> Finding:
    """Layers of nodes whose replay differs."""
    rows = results.table("audit")
    notes = rows.loc[rows["head"].isna() & rows["note"].astype(str).str.contains("replay "), ["layer", "note"]]
    if notes.empty:
        raise Missing("no node was replayed")
    wrong = notes["note"].str.contains("replay differs").sum()
    return judged(
        f"{wrong} of {len(notes)} layers differ",
        [Case.exact("layers that differ", float(wrong), least=0, most=0)],
        on="the node",
        decision="identity",
        threshold_from="identity",
        conditions=f"the {pd.unique(rows.loc[notes.index, 'kind']).size} kinds of nodes of this model",
    )
