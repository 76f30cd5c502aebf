"""Claims about effective dimension, as read off the tables of the study."""

from __future__ import annotations

from validation.study.claims import PAPER, Claims, Finding
from validation.study.results import Missing, Results

CLAIMS = Claims()


@CLAIMS.add("effective dimension 47 (CIFAR-10), 68 (CIFAR-100), 89 (ImageNet)", PAPER)
def published_dimensions(results: Results) -> Finding:
    """Verdicts of the study on the published figures."""
    rows = results.table("claims")
    measured = rows.dropna(subset=["measured"])
    words = "; ".join(f"{row.claim} {row.measured:.0f}" for row in measured.itertuples())
    contradicted = (rows["verdict"] == "contradicted").any()
    verdict = "does not hold" if contradicted else "holds" if len(measured) == len(rows) else "unverified"
    return Finding(words, "", verdict)


@CLAIMS.add("one effective dimension describes a data set", "implicit in the design rule")
def estimators(results: Results) -> Finding:
    """Spread of the estimators within each set of images."""
    rows = results.table("summary")
    rows = rows[rows["data"].isin(["digits"]) | rows["data"].str.startswith("patches")].dropna(subset=["dimension"])
    if rows.empty:
        raise Missing("no set of images was measured")
    spread = rows.groupby("data", sort=False)["dimension"].agg(["min", "max"])
    factor = (spread["max"] / spread["min"]).max()
    return Finding(
        "; ".join(f"{name} {row['min']:.3g} to {row['max']:.3g}" for name, row in spread.iterrows()),
        "over estimators",
        f"does not hold: estimators differ up to {factor:.2g} times" if factor > 2 else "holds",
    )
