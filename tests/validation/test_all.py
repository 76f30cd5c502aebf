"""The run of every study and its index: what is complete is kept, what fails is said, every claim has a verdict."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from circuits import SOFTMAX_CIRCUITS
from validation import all as every
from validation.all import STUDIES, Config, code_digest, findings, index, prepare, run, run_study
from validation.study.claims import Finding, claims_table
from validation.study.results import Missing, Results


class Ran:
    """Stands for the processes of the studies: records their commands, and writes what is asked for."""

    def __init__(self, status: int = 0, line: str = "") -> None:
        self.commands: list[list[str]] = []
        self.answer = SimpleNamespace(returncode=status, stderr=line, stdout="")

    def __call__(self, command: list[str], **_: object) -> SimpleNamespace:
        self.commands.append(command)
        out = Path(command[command.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        return self.answer


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], Ran]:
    def replace(status: int = 0, line: str = "") -> Ran:
        recorder = Ran(status, line)
        monkeypatch.setattr(every, "git_revision", lambda: "revision")
        monkeypatch.setattr("validation.study.report.git_revision", lambda: "revision")
        monkeypatch.setattr(every.subprocess, "run", recorder)
        return recorder

    return replace


def test_every_study_exists_and_takes_the_options_of_both_presets() -> None:
    for preset in ("quick", "paper"):
        for name, options in prepare(Config(preset=preset)).items():
            module = __import__(f"validation.{name}", fromlist=["Config"])
            fields = {field.name.replace("_", "-") for field in module.Config.__attrs_attrs__}
            assert {option[2:] for option in options if option.startswith("--")} <= fields


def test_a_complete_study_is_not_run_again(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    recorder = ran()
    options = prepare(Config())["compare_softmax"]
    first, second = (run_study("compare_softmax", options, tmp_path) for _ in range(2))
    assert (first.state, second.state) == ("complete", "kept")
    assert len(recorder.commands) == 1
    assert recorder.commands[0][:3] == [sys.executable, "-m", "validation.compare_softmax"]
    # Another seed is another study.
    assert run_study("compare_softmax", [*options, "--trials", "2"], tmp_path).state == "complete"
    assert json.loads((tmp_path / "compare_softmax" / every.MARK).read_text())["options"][-1] == "2"


def test_changed_code_is_run_again(tmp_path: Path, ran: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ran()
    run_study("compare_softmax", [], tmp_path)
    assert len(code_digest()) == 64
    monkeypatch.setattr(every, "code_digest", lambda: "another")
    assert run_study("compare_softmax", [], tmp_path).state == "complete"
    assert len(recorder.commands) == 2


def test_a_study_that_fails_is_listed_with_its_line_and_stops_no_other(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    ran(2, "noise\nerror: NEST is not installed: pip install 'biospike[nest]'\n")
    config = Config(studies=("compare_simulators", "compare_softmax"), out=tmp_path, quiet=True)
    outcomes = run(config, prepare(config))
    assert [outcome.state for outcome in outcomes] == ["failed", "failed"]
    assert "NEST is not installed" in index(config, claims_table(findings(tmp_path)), outcomes)
    assert not (tmp_path / "compare_softmax" / every.MARK).exists()


def test_bad_jobs_are_refused() -> None:
    with pytest.raises(ValueError, match="--jobs must be at least 1, got 0"):
        prepare(Config(jobs=0))


def test_without_results_every_claim_is_not_measured(tmp_path: Path) -> None:
    table = claims_table(findings(tmp_path))
    assert len(table) > 50
    assert table["verdict"].str.startswith("not measured").all()
    assert set(table["study"]) == set(STUDIES)
    assert not table["claim"].duplicated().any()


def softmax_results(root: Path, floor: float) -> Path:
    """Tables of a comparison in which the subtractive circuit stops at `floor`."""
    out = root / "compare_softmax"
    out.mkdir()
    row = {"spikes_per_row": 1000.0, "tv": 0.03, "tv_low": 0.029, "tv_high": 0.031, "tv_expected": 0.0302}
    row |= {"bias_tv": 0.01, "bias_floor": 0.0099, "limit_tv": 0.0}
    rows = [{"circuit": name} | row for name in SOFTMAX_CIRCUITS]
    table = pd.DataFrame(rows).set_index("circuit")
    table.loc["subtractive", ["tv", "tv_low", "tv_high", "limit_tv"]] = [floor, 0.99 * floor, 1.01 * floor, floor]
    table.reset_index().to_csv(out / "summary.csv", index=False)
    return root


def read(name: str, root: Path) -> Finding:
    return next(found for _, found in findings(root) if found.claim.startswith(name))


@pytest.mark.parametrize(("floor", "verdict"), [(0.2, "does not hold"), (0.001, "holds")])
def test_the_verdict_follows_the_measurement(tmp_path: Path, floor: float, verdict: str) -> None:
    finding = read("subtractive lateral inhibition", softmax_results(tmp_path, floor))
    assert finding.verdict.split(":")[0] == verdict
    assert f"{floor:.4f}" in finding.sentence


def test_the_longest_window_of_every_circuit_is_read(tmp_path: Path) -> None:
    root = softmax_results(tmp_path, 0.2)
    path = root / "compare_softmax" / "summary.csv"
    table = pd.read_csv(path)
    first = table.assign(tv=0.9, tv_low=0.8, tv_high=1.0)
    pd.concat([first, table]).to_csv(path, index=False)
    assert "0.2000" in read("subtractive lateral inhibition", root).sentence
    biased = table.assign(bias_tv=np.where(table["circuit"] == "race", 0.05, table["bias_tv"]))
    biased.to_csv(path, index=False)
    assert read("inhibition by a common factor", root).verdict == "does not hold: race"


def test_a_missing_row_is_told_from_a_missing_study(tmp_path: Path) -> None:
    root = softmax_results(tmp_path, 0.2)
    with pytest.raises(Missing, match="compare_softmax has no such rows"):
        Results(root / "compare_softmax").table(circuit="none")
    with pytest.raises(Missing, match="compare_attention was not run"):
        Results(root / "compare_attention").table()


def test_a_data_set_without_images_says_nothing_of_estimators_of_images(tmp_path: Path) -> None:
    Results(tmp_path / "effective_dimension").directory.mkdir()
    rows = pd.DataFrame({"data": ["mine", "digits", "digits"], "dimension": [3.0, 2.0, 5.0]})
    for shown, verdict in ((rows, "does not hold: estimators differ up to 2.5 times"), (rows[:1], "not measured")):
        Results(tmp_path / "effective_dimension").tables(summary=shown)
        assert read("one effective dimension", tmp_path).verdict.startswith(verdict)


@pytest.mark.parametrize(
    ("coins", "block", "verdict", "words"),
    [
        (0.99, "1/sqrt(N)", "does not hold", "R^2 = 0.9900; attention blocks 0.500 to 0.500"),
        (0.99, "floor", "does not hold", "R^2 = 0.9900"),  # of the coins alone
        (0.9, "floor", "holds", "R^2 = 0.9000"),
        (np.nan, "floor", "not measured: no fit of these curves", ""),
    ],
)
def test_the_control_needs_coins_and_mentions_blocks(
    tmp_path: Path, coins: float, block: str, verdict: str, words: str
) -> None:
    out = Results(tmp_path / "spike_bounds")
    out.directory.mkdir()
    families = {"family": ["coin flips", "attention block"], "verdict": ["1/sqrt(N)", block]}
    out.tables(fits=pd.DataFrame(families | {"r_squared": [coins, 0.5], "exponent": [coins, -0.5]}))
    found = read("R^2 = ", tmp_path)
    assert found.verdict.startswith(verdict)
    assert found.sentence.endswith(words)
