"""Every study is one command: the same options, one line and status 2 for what is wrong, and that before it runs."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pytest

from validation import all as every
from validation.audit import study as audit
from validation.conventions import study as conventions
from validation.rule import study as rule
from validation.speed import study as speed
from validation.study import command_line
from validation.study.claims import Claims
from validation.study.record import StudyRecord

ROOT = Path(__file__).resolve().parents[2]
RECORDS = [
    *(study for study in every.STUDIES.values() if not study.script),
    speed.STUDY,
    conventions.STUDY,
    audit.STUDY,
    StudyRecord("all", every.Config, every.main, Claims()),
]
NAMES = [record.name for record in RECORDS]
Command = Callable[..., None]


class Reached(Exception):  # noqa: N818 - no error, but where a good command line comes to
    """The study would run now."""


def options_of(record: StudyRecord) -> dict[str, Any]:
    """Names of the options of a study, and their defaults."""
    return {field.name: field.default for field in attrs.fields(record.config)}


def mistakes(record: StudyRecord) -> list[tuple[list[str], list[str]]]:
    """Wrong arguments of a study, and what the line must say: the option, the value and what is accepted."""
    options = options_of(record)
    found = [
        (["--speed"], ["--speed"]),
        (["--seed", "-1"], ["seed", "-1", r"in \[0, |at least 0"]),
        (["--seed", "many"], ["--seed", "'many'", r"int\(\)|INT"]),
        (["--out", "/proc/none"], ["--out /proc/none cannot be written to", "name another directory"]),
    ]
    if "trials" in options:
        found += [
            (["--trials", "0"], ["trials", r"\b0\b", r"in \[1, |at least [128]\b"]),
            (["--trials", "many"], ["--trials", "'many'", r"int\(\)|INT"]),
        ]
    if "target" in options:
        found.append((["--target", "gpu"], ["target", "gpu", "auto", "numpy"]))
    if "preset" in options:
        found.append((["--preset", "papr"], ["--preset", "papr", "quick", "paper"]))
    for name, default in options.items():
        if isinstance(default, tuple) and default and isinstance(default[0], str):
            wrong = default[0][:-1]
            found.append(([f"--{name}", wrong], [f"--{name} {wrong}: ", f"did you mean '{default[0]}'", *default]))
    return found


MISTAKES = [
    pytest.param(record, *mistake, id=f"{record.name}: {' '.join(mistake[0])}")
    for record in RECORDS
    for mistake in mistakes(record)
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the command line of a study in an empty directory, up to where its work begins."""

    def reached(*_: object, **__: object) -> None:
        raise Reached

    def call(record: StudyRecord, *arguments: str) -> None:
        module = sys.modules[record.main.__module__]
        monkeypatch.setattr(module, "_run" if hasattr(module, "_run") else "run", reached)
        monkeypatch.setattr(sys, "argv", [record.name, *arguments])
        command_line.run(record.config, record.main, "")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    # None of this is asked about: NEST, the blocks of all input sets, a process that draws.
    monkeypatch.setattr("validation.simulators.nest.load_nest", lambda: SimpleNamespace(__version__="none"))
    monkeypatch.setattr(rule, "input_sets", lambda preset, seed: [rule.low_rank_set(2, 2, 2, seed)])
    monkeypatch.setattr("validation.softmax.study.WORTH_A_PROCESS", np.inf)
    return call


def test_every_command_is_here() -> None:
    entries = {path.stem for path in (ROOT / "validation").glob("*.py") if "command_line.run(" in path.read_text()}
    assert entries == set(NAMES)


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_script_and_module_say_the_same_help(
    record: StudyRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python validation/NAME.py`` and ``python -m validation.NAME``, of every option."""
    script = f"{ROOT}/validation/{record.name}.py"
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.delitem(sys.modules, f"validation.{record.name}", raising=False)  # of which runpy would warn
    texts = []
    for start in (
        lambda: runpy.run_path(script, run_name="__main__"),
        lambda: runpy.run_module(f"validation.{record.name}", run_name="__main__", alter_sys=True),
    ):
        with pytest.raises(SystemExit) as stop:
            start()
        assert not stop.value.code
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    options = options_of(record)
    assert {"seed", "out", "quiet"} <= set(options)
    for option in options:
        assert re.search(rf"^ +--{option.replace('_', '-')}\b", texts[0], flags=re.MULTILINE), option


@pytest.mark.parametrize(("record", "arguments", "words"), MISTAKES)
def test_a_mistake_is_one_line_and_status_2_before_anything_runs(
    record: StudyRecord, arguments: list[str], words: list[str], command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        command(record, *arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    for pattern in words:
        assert re.search(pattern, printed.err), pattern
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("record", RECORDS, ids=NAMES)
def test_without_a_mistake_the_study_runs(record: StudyRecord, command: Command, tmp_path: Path) -> None:
    """Otherwise the lines above could come of anything."""
    target = ["--target", "numpy"] if "target" in options_of(record) else []  # which builds nothing
    with pytest.raises(Reached):
        command(record, "--out", str(tmp_path / "new"), "--quiet", *target)
    assert (tmp_path / "new").is_dir()


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_script_and_module_start_anywhere(name: str, tmp_path: Path) -> None:
    """In processes of their own, from another directory."""
    for way in ([f"{ROOT}/validation/{name}.py"], ["-m", f"validation.{name}"]):
        command = [sys.executable, *way, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "--out" in done.stdout
