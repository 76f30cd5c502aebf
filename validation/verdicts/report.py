"""What the calibration means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown
from validation.verdicts.tables import CELLS, COLUMNS, FALSE, LEVEL

WORST = 10
"""Cells that are shown."""


def report(preset: str, seed: int, calibration: pd.DataFrame, cells: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """Return the report as Markdown."""
    worst = cells.sort_values("false", ascending=False, kind="stable").head(WORST)
    by_truth = calibration.pivot_table(index=["truth", "fall"], columns="verdict", values="fraction", sort=False)
    told = cells[cells["undecided"] < 0.5]
    parts = [
        "# How often a verdict is false",
        f"{len(cells)} codes of known order and bias, {int(cells['repetitions'].min())} studies of each, {preset} "
        f"preset, seed {seed}, went through the function that decides order, floor and bias for every study "
        "(`biospike.verdicts`). Nothing was left out: the list of codes is fixed in the source.",
        "![calibration](calibration.png)",
        "A verdict is false if it is an order whose interval misses the code's order in these windows, a floor without "
        "a constant bias, or an order although the bias exceeds half of the error, or the upper limit that is printed "
        "with it. The order in these windows is that of the mean error of all studies of the code.",
        "## Verdicts by truth",
        markdown(by_truth.reset_index()),
        "Fractions of the studies, mean over codes of all sizes, most of which are too small to tell: a bias of .001 "
        "of rows with 30 spikes has to be undecided. A bias of the start (`transient`) leaves an order to tell only "
        "where it is small.",
        "## False verdicts",
        f"{cells['false'].mean():.2%} in the mean over codes; {(cells['p_holm'] < LEVEL).sum()} of {len(cells)} codes "
        f"exceed {FALSE:.0%} by an exact binomial test, adjusted by Holm. A verdict came out of most studies of "
        f"{len(told)} codes. Codes with most false verdicts:",
        markdown(worst),
        "## Claims",
        findings_text(findings),
        "## Columns",
        "`calibration.csv`: " + described(COLUMNS),
        "`cells.csv`: " + described(CELLS),
        made(),
    ]
    return "\n\n".join(parts) + "\n"
