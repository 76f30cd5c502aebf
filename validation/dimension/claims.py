"""Claims about effective dimension, as read off the tables of the study."""

from __future__ import annotations

from biospike.theory import paper
from validation.dimension.tables import Z
from validation.study.claims import IMPLIED, REPORTED, Claim, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.verdict import Case
from validation.study.words import conditions

CLAIMS = Claims()
FACTOR = 2.0
"""Ratio of two dimensions of one set up to which they are called one: C of the design rule has an interval of a factor
of 1.4, so that a d_eff twice as large is another rule."""


def _published(name: str, mean: float, sd: float) -> Claim:
    """Claim that a data set has the published dimension, within what its subsamples scatter."""

    def read(results: Results) -> Finding:
        row = results.table("claims", claim=name).iloc[0]
        if not row["measured"] > 0:
            raise Missing(f"no file of {name} was given: --data FILE --claim {name}")
        return judged(
            f"{row['measured']:.1f} of {row['ambient']:.0f} dimensions",
            [Case(estimate=row["measured"], low=row["low"], high=row["high"], least=mean - Z * sd, most=mean + Z * sd)],
            threshold_from=f"{mean} +- {Z:.2f} * {sd}",
            conditions=conditions(row, "of the tensor that was given: no source says which"),
        )

    return Claim(
        f"effective dimension {mean} +- {sd} of {name}", REPORTED, read, "reported", "data sets; abstract: 47-89"
    )


CLAIMS.extend(_published(name, *stated) for name, stated in paper.DIMENSIONS.items())


@CLAIMS.add("one effective dimension describes a data set", IMPLIED, kind="implied",
            place="the design rules have one d_eff")  # fmt: skip
def estimators(results: Results) -> Finding:
    """Ratio of the largest estimate to the smallest within each set of images."""
    rows = results.table("summary")
    rows = rows[rows["data"].isin(["digits"]) | rows["data"].str.startswith("patches")].dropna(subset=["dimension"])
    if rows.empty:
        raise Missing("no set of images was measured")
    cases, told = [], []
    for name, mine in rows.groupby("data", sort=False):
        least, most = mine.loc[mine["dimension"].idxmin()], mine.loc[mine["dimension"].idxmax()]
        low = most["low"] / least["high"]
        high = most["high"] / least["low"] if least["low"] > 0 else float("inf")
        cases.append(Case(name=str(name), estimate=most["dimension"] / least["dimension"], low=low, high=high,
                          most=FACTOR))  # fmt: skip
        told.append(f"{name} {least['dimension']:.3g} ({least['estimator']}) to {most['dimension']:.3g} "
                    f"({most['estimator']})")  # fmt: skip
    return judged(
        "over estimators: " + "; ".join(told),
        cases,
        on="the data",
        threshold_from=f"a factor of {FACTOR:g}",
        conditions=conditions(
            rows.iloc[0], "intervals of random halves; nearest-neighbour estimates only if installed"
        ),
    )


CLAIMS.unread(
    "the effective dimension may vary over samples and tasks", REPORTED, "every set has one dimension in these tables",
    kind="reported", place="limits",
)  # fmt: skip
CLAIMS.unread(
    "the effective dimension makes design rules for language data too", IMPLIED,
    "the study has 11 tokens of one sentence, too few for a dimension", kind="implied",
    place="abstract: language benchmarks; digest: SST-2",
)  # fmt: skip
