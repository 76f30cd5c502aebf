"""Claims about the verdicts of this package, as read off the tables of the calibration."""

from __future__ import annotations

from validation.study.claims import OURS, Claims, Finding, judged
from validation.study.results import Results
from validation.study.verdict import FAILS, HOLDS, Case
from validation.study.words import between
from validation.verdicts.tables import FALSE, LEVEL

CLAIMS = Claims()


@CLAIMS.add("verdicts on order and floor are false in at most 5 % of studies", OURS)
def false_verdicts(results: Results) -> Finding:
    """Cells of known truth with significantly more false verdicts."""
    cells = results.table("cells")
    worst = cells.loc[cells["false"].idxmax()]
    above = int((cells["p_holm"] < LEVEL).sum())
    return judged(
        f"{len(cells)} codes of known truth, {int(cells['repetitions'].min())} studies each: "
        f"{cells['false'].mean():.1%} of the verdicts are false in the mean, {worst['false']:.1%} in the worst code; "
        f"{above} codes exceed {FALSE:.0%} (exact binomial test, Holm)",
        [Case(estimate=worst["false"], low=worst["low"], high=worst["high"], most=FALSE,
              word=FAILS if above else HOLDS)],
        decision="interval",
        interval=between(worst["low"], worst["high"]),
        threshold_from="chosen before the first run; by the test of all codes together",
        p_value=cells["p_holm"].min(),
        conditions="synthetic codes: multinomial, scaled multinomial and regular",
    )  # fmt: skip
