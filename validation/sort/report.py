"""What the sorting study means, in plain words made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from validation.sort.tables import MEANINGS, THEOREM_MEANINGS
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown


def report(seed: int, theorems: pd.DataFrame, orders: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """Return the report as Markdown."""
    parts = [
        "# Sorting causes by score and Schur complement",
        f"Seed {seed}. The method and its theorems are those of a third-party digest; the work itself is not at hand.",
        "![sort](sort.png)",
        "Left: fraction of exact orders of random trees, dashed for weights of 0.3 to 0.8. Right: fraction of edges "
        "whose effect is put before its cause, of all other systems, with their numbers of nodes.",
        "A leaf has the smallest diagonal of the information only where all noise has one variance. Counts of spikes "
        "have a variance near their mean: along a chain of Poisson units the order is found where the gain makes up "
        "for that, gain^L (1 + gain) > 1, and comes out reversed below. Sorting by variance has the same threshold "
        "there, and explains what is found on cubes; trees are where Schur complements do more. In the attention block "
        "the rate of the rows is pinned, so that what comes late varies least, and the order comes out reversed.",
        "## Theorems",
        markdown(theorems),
        described(THEOREM_MEANINGS),
        "## Orders",
        markdown(orders),
        described(MEANINGS),
        "## Claims",
        findings_text(findings),
        made(f"seed {seed}"),
    ]
    return "\n\n".join(parts) + "\n"
