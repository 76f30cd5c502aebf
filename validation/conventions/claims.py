"""The claim that this study measures: that a convention of biospike is the package's neuron."""

from __future__ import annotations

from validation.conventions.probes import SAME
from validation.study.claims import OURS, Claims, Finding, judged
from validation.study.results import Results
from validation.study.verdict import Case

CLAIMS = Claims()


@CLAIMS.add("every convention of biospike emits the spikes of the neuron of the package that it is named after", OURS)
def formulas_are_packages(results: Results) -> Finding:
    """Spikes that differ between package and formula."""
    rows = results.table("conventions", probe=SAME).to_dict("records")
    counts = [int(row["seen"].split(" of ")[0]) for row in rows]
    cases = [
        Case.exact(f"{row['package']} {row['model']}", count, least=0, most=0)
        for row, count in zip(rows, counts, strict=True)
    ]
    packages = {row["package"]: row["version"] for row in rows}
    return judged(
        f"{sum(counts)} differences in {len(rows)} neurons of "
        + ", ".join(f"{name} {version}" for name, version in packages.items()),
        cases,
        on="the neuron",
        decision="identity",
        threshold_from="identity",
        conditions="10,000 random and dyadic inputs a neuron",
    )
