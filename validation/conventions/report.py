"""The report of ``compare_conventions``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from validation.conventions.packages import ENVIRONMENTS, PACKAGES
from validation.conventions.probes import FACTS, PROBES, SAME
from validation.conventions.tables import COLUMNS, LEVELS, by_neuron, lines_of_changes
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown


def report(table: pd.DataFrame, levels: pd.DataFrame, findings: Sequence[Finding], seed: int) -> str:
    """Return the report as Markdown."""
    versions = table.drop_duplicates("package").set_index("package")["version"].to_dict()
    asked = [f"{name} {version}" for name, version in versions.items()]
    questions = [f"* **{name}**: {ask.__doc__}" for name, ask in PROBES.items()]
    questions += [f"* **{name}**: {words}" for name, words in FACTS.items()]
    changes = lines_of_changes(table) or ["Every answer is the shipped table's, where that has the question."]
    lacking = [f"* {name}: {ENVIRONMENTS[PACKAGES[name].environment]}" for name in PACKAGES if name not in versions]
    parts = [
        "# What a step of a neuron means",
        f"The same questions to {', '.join(asked)}. Spikes answer them, from rest, with nothing known of the inside; "
        "x1 is the smallest input that makes a neuron at rest fire, found to the last bit.",
        "![conventions](conventions.png)",
        "## Against the shipped table",
        "\n".join(f"* {line}" for line in changes),
        "## Answers",
        markdown(by_neuron(table)),
        "## Questions",
        "\n".join([*questions, f"* **{SAME}**: {SAME_WORDS}"]),
        "## Noise of a chip",
        "Keys of a race on Loihi fire by uniform noise of eight bits, so that the shares of a row are multiples of one "
        "part in as many: a dynamic range. The last line is at most one spike in ten steps, as in the circuits.",
        markdown(levels),
        "## Claims",
        findings_text(findings),
        *(["## Not asked", "\n".join(lacking)] if lacking else []),
        "## Columns",
        described(COLUMNS | LEVELS),
        made(f"seed {seed}"),
    ]
    return "\n\n".join(parts) + "\n"


SAME_WORDS = (
    "numbers of spikes that differ between the package and the convention's formula, of 10,000 under random inputs and "
    "multiples of x1/8."
)
