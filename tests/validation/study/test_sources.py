"""Every statement of the sources has a claim, and every claim that is somebody's answers to a statement."""

from pathlib import Path

import pytest

from validation.all import STUDIES, findings
from validation.study.claims import PAPER, claims_table
from validation.study.sources import SOURCES, answers

CLAIMS = [claim for study in STUDIES.values() for claim in study.claims]


@pytest.mark.parametrize("name", SOURCES)
def test_every_statement_has_claims(name: str) -> None:
    assert SOURCES[name].words
    for begins in SOURCES[name].claims:
        assert any(claim.claim.startswith(begins) for claim in CLAIMS), begins


def test_every_reported_claim_answers_to_a_statement() -> None:
    """Of the paper, and of the two works that the digest tells of."""
    begins = tuple(one for statement in SOURCES.values() for one in statement.claims)
    for claim in CLAIMS:
        if claim.kind in ("stated", "reported") and (PAPER in claim.source or "digest" in claim.source):
            assert claim.claim.startswith(begins), claim.claim


def test_the_table_counts_verdicts(tmp_path: Path) -> None:
    table = answers(claims_table(findings(tmp_path)))
    assert list(table["id"]) == list(SOURCES)
    assert (table["claims"] != "").all()
    assert table.set_index("id").loc["convergence", "claims"] == "1 not measured"
