"""No sentence puts into the paper's mouth what only a digest says, or nobody does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import biospike
from biospike.theory import paper
from validation.all import STUDIES
from validation.study.claims import IMPLIED, KINDS, PAPER, REPORTED, REVIEWED

ROOT = Path(biospike.__file__).parents[1]
SEARCHED = (
    *("README.md", "CONTRIBUTING.md", "docs/**/*.md", "findings/*"),
    *(f"{package}/**/*.py" for package in ("biospike", "circuits", "validation", "figures")),
)
WORDS = re.compile(
    r"\bas printed|papers? (?:prints?|reports?|says?|states?|gives?|asks?|claims?)\b|"
    r"(?:said|stated|printed) (?:in|by) the paper|\bTheorem 1\b"
)
ALLOWED = {
    "validation/attention/energy.py": (r"paper claims \{low:g\}", "the abstract's range of energies"),
    "validation/frameworks/report.py": (r"The paper claims \{low:g\}", "the abstract's range of energies"),
    "biospike/theory/concentration.py": (r"Theorem 1 of", "another publication, named there"),
}
"""What may be found where, and why: the abstract says it."""


def sources() -> list[Path]:
    return sorted({path for pattern in SEARCHED for path in ROOT.glob(pattern) if path.is_file()})


def text(path: Path) -> str:
    """The file in one line, so that words are found across line ends."""
    return re.sub(r'["\s#]+', " ", path.read_text(encoding="utf-8"))


def test_only_what_the_abstract_says_is_called_the_papers_words() -> None:
    found: dict[str, list[str]] = {}
    for path in sources():
        name, words = path.relative_to(ROOT).as_posix(), text(path)
        if name in ALLOWED:
            assert re.search(ALLOWED[name][0], words), f"{name} no longer needs an exception"
            words = re.sub(ALLOWED[name][0], "", words)
        if hits := [words[max(hit.start() - 40, 0) : hit.end() + 40] for hit in WORDS.finditer(words)]:
            found[name] = hits
    assert not found


@pytest.mark.parametrize(
    "sentence",
    ["Lemma 3 of the paper as printed", "as the paper prints it", "the paper reports 47", "the paper\n# gives"],
)
def test_the_search_finds_such_words(sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(sentence)
    assert WORDS.search(text(tmp_path / "x"))
    assert len(sources()) > 200


STATED = {
    "convergence", "necessary", "tight", "control", "significance", "four", "energy",
}  # fmt: skip
"""Readings of what the abstract states; two more of its statements are not decidable here."""


def test_the_papers_name_stands_with_a_claim_of_its_kind() -> None:
    """Stated is what the abstract says; what a digest, a review page or a step of the theory says names that too."""
    claims = [claim for study in STUDIES.values() for claim in study.claims]
    by_kind = {kind: [claim for claim in claims if claim.kind == kind] for kind in KINDS if kind != "ours"}
    for claim in by_kind["reported"]:
        assert claim.source in (REPORTED, REVIEWED) or PAPER not in claim.source
    others = {f"{work}, in whose theory it is a step" for work in (paper.RANK, paper.SORT)}
    assert {claim.source for claim in by_kind["implied"]} <= {IMPLIED} | others
    stated = [claim for claim in by_kind["stated"] if claim.source == PAPER]
    assert all("abstract" in claim.place for claim in stated)
    assert {claim.read.__name__ for claim in stated} - {"<lambda>"} == STATED
    assert len(stated) == len(STATED) + 2
    assert all(PAPER not in claim.source for claim in claims if claim.kind in ("ours", ""))
    assert paper.DIGEST in REPORTED
