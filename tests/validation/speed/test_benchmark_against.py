"""An older checkout beside this one: its own sources, cache and environment, and one line where there is none."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from biospike.errors import InputError
from validation.compare_softmax import __file__ as script
from validation.speed import against
from validation.speed.process import PeerError
from validation.speed.report import _against

SCRIPT = """
import os, sys
import numpy
from older_or_this import NAME
cache = os.environ["BIOSPIKE_CACHE"]
assert sys.argv[1:3] == ["--quiet", "--out"], sys.argv
open(os.environ["SEEN"], "a").write(f"{NAME} {len(os.listdir(cache))} {sys.prefix != sys.base_prefix}\\n")
open(os.path.join(cache, "compiled"), "w").close()
"""


def git(place: Path, *arguments: str) -> str:
    named = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", "-C", str(place), *named, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of a study in a repository of its own, of which the second is checked out."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    place = tmp_path / "checkout"
    (place / "validation").mkdir(parents=True)
    (place / "validation" / "study.py").write_text(SCRIPT)
    git(place, "init", "--quiet")
    for name in ("older", "this"):
        for module in (place, place / "validation"):
            (module / "older_or_this.py").write_text(f"NAME = '{name}'\n")
        git(place, "add", ".")
        git(place, "commit", "--quiet", "-m", name)
    monkeypatch.setattr(against, "ROOT", place)
    monkeypatch.setattr(against, "COMMANDS", {"study": ("validation/study.py",)})
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    return place


def test_each_checkout_runs_its_own_sources_on_its_own_cache(repository: Path, tmp_path: Path) -> None:
    commit = against.resolve("HEAD~1")
    assert commit == git(repository, "rev-parse", "HEAD~1")
    rows = list(against.run_both(commit, ("study",), 1, tmp_path, lambda _: None))
    assert [(row["checkout"], row["cache"]) for row in rows] == [
        ("older", "cold"), ("this", "cold"), ("older", "warm"), ("this", "warm"),
    ]  # fmt: skip
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    assert [line[:2] for line in seen] == [["older", "0"], ["this", "0"], ["older", "1"], ["this", "1"]]
    assert seen[0][2] == "True", "the older one has an environment of its own"
    assert all(row["process_cpu_s"] > 0 for row in rows)
    assert not list(tmp_path.glob("older-*"))
    heading, _, table = _against(pd.DataFrame(rows))
    assert "older" in heading
    assert "ratio_process_cpu_s" in table


def test_a_study_that_fails_is_named(repository: Path, tmp_path: Path) -> None:
    (repository / "validation" / "study.py").write_text("raise SystemExit('it has no such option')")
    git(repository, "commit", "--quiet", "-a", "-m", "broken")
    with pytest.raises(PeerError, match="it has no such option"):
        list(against.run_both(against.resolve("HEAD"), ("study",), 0, tmp_path, lambda _: None))


def test_commits_that_nobody_knows_are_one_line(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--against nowhere: git knows no such commit"):
        against.resolve("nowhere")
    monkeypatch.setattr(against, "ROOT", repository / "validation")
    with pytest.raises(InputError, match="is no git checkout"):
        against.resolve("HEAD")


def test_the_studies_are_there() -> None:
    for name, (path, *_) in against.COMMANDS.items():
        assert (Path(script).parent / f"{name}.py").samefile(against.ROOT / path)
