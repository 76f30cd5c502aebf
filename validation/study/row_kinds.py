"""Kinds of rows that a study repeats itself on: its own, their logits doubled, and a quarter of them.

Apart from what is said of them, since simulations hang on these numbers and not on words.
"""

from __future__ import annotations

GIVEN = "given"
FACTORS = {GIVEN: 1.0, "peaked": 2.0, "flat": 0.25}
"""Of the logits, by the kind of the rows."""
NAMES = {GIVEN: "these rows", "peaked": "peaked rows", "flat": "flat rows"}
MEANING = f"{GIVEN}: the rows of the study; " + "; ".join(
    f"{kind}: their logits times {factor:g}" for kind, factor in FACTORS.items() if kind != GIVEN
)
"""Of the column ``rows_kind``."""
