"""Claims about the verdicts of this package, as read off the tables of the calibration."""

from __future__ import annotations

from validation.study.claims import OURS, Claims, Finding
from validation.study.results import Results
from validation.study.words import between
from validation.verdicts.tables import FALSE, LEVEL

CLAIMS = Claims()


@CLAIMS.add("verdicts on order and floor are false in at most 5 % of studies", OURS)
def false_verdicts(results: Results) -> Finding:
    """Cells of known truth with significantly more false verdicts."""
    cells = results.table("cells")
    worst = cells.loc[cells["false"].idxmax()]
    above = int((cells["p_holm"] < LEVEL).sum())
    return Finding(
        f"{len(cells)} codes of known truth, {int(cells['repetitions'].min())} studies each: "
        f"{cells['false'].mean():.1%} of the verdicts are false in the mean, {worst['false']:.1%} in the worst code; "
        f"{above} codes exceed {FALSE:.0%} (exact binomial test, Holm)",
        between(worst["low"], worst["high"]),
        "does not hold" if above else "holds",
        estimate=worst["false"], low=worst["low"], high=worst["high"], level=0.95, threshold=FALSE,
        threshold_from="chosen before the first run", p_value=cells["p_holm"].min(),
        conditions="synthetic codes: multinomial, scaled multinomial and regular",
    )  # fmt: skip
