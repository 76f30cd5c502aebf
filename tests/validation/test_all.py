"""The run of every study and its index: what is complete is kept, what fails is said, every claim has a verdict."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
import pandas as pd
import pytest

from circuits import SOFTMAX_CIRCUITS
from validation import all as every
from validation.all import STUDIES, Config, code_digest, findings, index, prepare, run, run_study
from validation.study.claims import KINDS, Finding, claims_table, headline
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
            script = STUDIES[name].script or name
            module = __import__(f"validation.{script}", fromlist=["Config"])
            fields = {field.name.replace("_", "-") for field in module.Config.__attrs_attrs__}
            assert {option[2:] for option in options if option.startswith("--")} <= fields


FEWEST_TRIALS = 8
"""Of an interval over trials, at the presets."""
WITHOUT_TRIALS = ("calibrate_verdicts", "compare_frameworks", "sort_circuits")
"""Trials are a factor of the first; the second compares blocks spike by spike, the third sorts one tree a time."""


def trials_in(values: object) -> list[int]:
    """Every number named trials in a preset, however deep."""
    known = values if isinstance(values, dict) else attrs.asdict(values) if attrs.has(type(values)) else {}
    return [one for name, value in known.items() for one in ([value] if name == "trials" else trials_in(value))]


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_presets_have_trials_enough(preset: str) -> None:
    """By their options, by a preset of their own, or by default."""
    for name, options in prepare(Config(preset=preset)).items():
        given = dict(itertools.pairwise(options))
        own = getattr(sys.modules[STUDIES[name].main.__module__], "PRESETS", {}).get(given.get("--preset"))
        default = [field.default for field in STUDIES[name].config.__attrs_attrs__ if field.name == "trials"]
        found = [int(given["--trials"])] if "--trials" in given else trials_in(own) or default
        assert name in WITHOUT_TRIALS or min(found) >= FEWEST_TRIALS, name


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


def test_the_list_runs_nothing_and_prefers_minutes_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(every, "run_study", None)
    name = "compare_exponential"
    config = every.Config(studies=(name, "compare_softmax"), out=tmp_path, list=True)
    with pytest.raises(SystemExit) as stop:
        every.main(config)
    assert stop.value.code == 0
    known = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    options = every.prepare(config)[name]
    (tmp_path / name).mkdir()
    (tmp_path / name / every.MARK).write_text(json.dumps({"options": options, "seconds": 7380.0}))
    with pytest.raises(SystemExit):
        every.main(config)
    listed = capsys.readouterr().out
    assert "123.0" in listed
    assert "123.0" not in known
    assert "compare_softmax" in listed


def test_bad_jobs_are_refused() -> None:
    with pytest.raises(ValueError, match="--jobs must be at least 1, got 0"):
        prepare(Config(jobs=0))


def test_without_results_every_claim_is_not_measured(tmp_path: Path) -> None:
    table = claims_table(findings(tmp_path))
    assert len(table) > 80
    assert table["verdict"].str.startswith(("not measured", "not decidable here")).all()
    assert set(table["study"]) == set(STUDIES)
    assert not table["claim"].duplicated().any()
    assert set(table["kind"]) == set(KINDS)
    # Who says it, and where; only what is ours may stand without a place.
    assert (table["source"] != "").all()
    assert (table.loc[table["kind"] != "ours", "place"] != "").all()
    assert table.loc[table["kind"] == "ours", "source"].str.startswith("biospike").all()


@pytest.mark.parametrize("preset", every.PRESETS)
def test_the_headline_counts_kinds_apart(tmp_path: Path, preset: str) -> None:
    text = index(Config(preset=preset, out=tmp_path), claims_table(findings(tmp_path, preset)), [])
    for kind in KINDS:
        assert re.search(rf"^- {kind}, \d+: \d+ ", text, re.MULTILINE)
    assert ("not adjusted for their number" in text) == (preset == "quick")


def test_what_others_state_is_not_counted_as_the_papers() -> None:
    found = [("x", Finding("", "", verdict, kind="stated", source=source)) for verdict, source in (
        ("holds", "arXiv:2604.15769"), ("holds", "Shannon 1959"), ("depends: on x", "arXiv:2604.15769"))]  # fmt: skip
    assert headline(claims_table(found)) == "- stated, 2: 1 holds, 1 depends\n- stated by others, 1: 1 holds"


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
    finding = read("lateral inhibition by the mean", softmax_results(tmp_path, floor))
    assert finding.verdict.split(":")[0] == verdict
    assert f"{floor:.4f}" in finding.sentence


def test_the_longest_window_of_every_circuit_is_read(tmp_path: Path) -> None:
    root = softmax_results(tmp_path, 0.2)
    path = root / "compare_softmax" / "summary.csv"
    table = pd.read_csv(path)
    first = table.assign(tv=0.9, tv_low=0.8, tv_high=1.0)
    pd.concat([first, table]).to_csv(path, index=False)
    assert "0.2000" in read("lateral inhibition by the mean", root).sentence
    biased = np.where(table["circuit"] == "race", 0.05, 0.0)
    table.assign(bias_low=biased, bias_high=biased + 0.001).to_csv(path, index=False)
    assert "does not hold: race)" in read("inhibition by a common factor", root).verdict


def test_a_missing_row_is_told_from_a_missing_study(tmp_path: Path) -> None:
    root = softmax_results(tmp_path, 0.2)
    with pytest.raises(Missing, match="compare_softmax has no such rows"):
        Results(root / "compare_softmax").table(circuit="nobody")
    with pytest.raises(Missing, match="compare_attention was not run"):
        Results(root / "compare_attention").table()
