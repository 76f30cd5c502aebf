"""The command `biospike`: its subcommands, circuits from files, and what it says of a broken machine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from biospike import InputError, simulate
from circuits.softmax import SOFTMAX_CIRCUITS, Race
from validation import command
from validation.bench import doctor
from validation.inputs.circuits import chosen_circuits, circuit_of_file

ROOT = Path(__file__).resolve().parents[3]
FILE = '''"""Ties: as of escape."""

import attrs
from typing import ClassVar

from beside_mine import RATE
from biospike.parameters import quantity
from circuits.softmax import Escape


@attrs.frozen(kw_only=True)
class Mine(Escape):
    """As escape, at another rate."""

    name: ClassVar[str] = "mine"
    rate: object = quantity(RATE, above=0 * RATE)


@attrs.frozen(kw_only=True)
class Taken(Escape):
    name: ClassVar[str] = "race"
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "circuit_of_mine.py").write_text(FILE)
    (tmp_path / "beside_mine.py").write_text("import brian2 as b2\nRATE = 300 * b2.Hz\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "circuit_of_mine.py"
    for name in ("circuit_of_mine", "beside_mine"):
        sys.modules.pop(name, None)


def run(monkeypatch, *arguments):
    monkeypatch.delitem(sys.modules, "validation.compare_softmax", raising=False)  # as in a process of its own
    monkeypatch.setattr(sys, "argv", ["biospike", *arguments])
    with pytest.raises(SystemExit) as stop:
        command.main()
    return stop.value.code


def test_help_names_every_study_and_every_command(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    said = capsys.readouterr().out
    for name in (*command.STUDIES, *command.OWN, "provenance", "sweep"):
        assert f"  {name}" in said
    assert {"compare_softmax", "all", "benchmark"} < set(command.STUDIES)


def test_a_wrong_command_is_one_line(monkeypatch, capsys):
    assert run(monkeypatch, "compare_softmx") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "did you mean 'compare_softmax'" in said


def test_a_study_is_the_module(monkeypatch, capsys):
    assert run(monkeypatch, "compare_softmax", "--trials", "0") == 2
    assert "trials must be a whole number" in capsys.readouterr().err
    assert run(monkeypatch, "sweep", "nowhere.toml") == 2
    assert "nowhere.toml" in capsys.readouterr().err


@pytest.mark.long
def test_what_the_command_makes_is_known_by_its_study(tmp_path):
    options = ["--circuits", "integrate", "--duration", "50 ms", "--trials", "2", "--target", "numpy", "--quiet"]
    started = [sys.executable, "-m", "validation.command", "compare_softmax", *options, "--out", str(tmp_path)]
    subprocess.run(started, check=True, cwd=ROOT)
    asked = [sys.executable, "-m", "validation.command", "provenance", str(tmp_path / "summary.csv")]
    said = subprocess.run(asked, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert "python -m validation.compare_softmax --circuits integrate" in said


def test_a_circuit_of_a_file_is_one_among_the_others(mine, capsys):
    found = chosen_circuits("--circuits", [f"{mine}:Mine", "control", "race"])
    assert list(found) == ["mine", "none", "self_inhibition", "race"]
    assert f"{mine} is executed" in capsys.readouterr().err
    data = simulate(found["mine"](), [[0.0, 1.0]], duration="0.1 s", trials=2, target="numpy")
    assert 40 < data["spike_count"][..., -1].sum() < 80  # 300 Hz in two trials
    assert sys.path[-1] == str(mine.parent)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("{folder}/nowhere.py:Mine", "there is no file"),
        ("{file}:Min", "no circuit of that file .did you mean 'Mine'"),
        ("{file}:Taken", "'race' is the name of another circuit"),
        ("{folder}/broken.py:Mine", "ZeroDivisionError: division by zero"),
        ("{folder}/two words.py:Mine", "needs a name such as"),
        ("{folder}/json.py:Mine", "another module is named json"),
        ("{folder}/mine.txt:Mine", "unknown circuit"),
    ],
)
def test_what_cannot_be_had_of_a_file_is_said_in_one_line(named, words, mine):
    (mine.parent / "broken.py").write_text("1 / 0\n")
    for name in ("two words", "json"):
        (mine.parent / f"{name}.py").write_text("")
    with pytest.raises(InputError, match=words):
        chosen_circuits("--circuits", [named.format(folder=mine.parent, file=mine)])


def test_a_sweep_executes_no_file(mine, tmp_path, monkeypatch, capsys):
    (tmp_path / "sweep.toml").write_text(f'circuits = ["{mine}:Mine"]\n')
    assert run(monkeypatch, "sweep", str(tmp_path / "sweep.toml")) == 2
    said = capsys.readouterr().err
    assert "unknown circuit" in said
    assert "executed" not in said


def test_the_same_class_twice_is_once_and_another_of_its_name_is_refused(mine):
    kind = circuit_of_file("--circuits", f"{mine}:Mine")
    assert chosen_circuits("--circuits", [f"{mine}:Mine"] * 2) == {"mine": kind}
    assert chosen_circuits("--circuits", ["race"]) == {"race": Race}
    with pytest.raises(InputError, match="needs at least one"):
        chosen_circuits("--circuits", [])


def test_a_scaffold_passes_its_own_test(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "new", "circuit", "my_own", "--to", str(tmp_path)) == 0
    assert "biospike check" in capsys.readouterr().out
    monkeypatch.setattr(sys, "path", list(sys.path))
    kind = circuit_of_file("check", f"{tmp_path / 'my_own.py'}:MyOwn")
    data = simulate(kind(), [[0.3, -1.2, 0.9]], duration="0.5 s", trials=2, target="numpy")
    counts = data["spike_count"][..., -1].values
    # The row fires R0*T spikes and those that raise its inhibition to balance, log(sum of drives)/w, w = 0.1.
    balance = np.log(np.exp([0.3 - 0.9, -1.2 - 0.9, 0.0]).sum()) / 0.1
    assert abs(counts.sum(axis=-1) - 250 - balance).max() <= 3
    # A deterministic key is within a spike of its drive.
    assert abs(counts / counts.sum(axis=-1, keepdims=True) - kind().limit([[0.3, -1.2, 0.9]])).max() < 2 / 250
    assert run(monkeypatch, "new", "circuit", "my_own", "--to", str(tmp_path)) == 2
    assert "exists; nothing was written" in capsys.readouterr().err
    assert run(monkeypatch, "new", "circuit", "my_other", "--to", str(tmp_path / "my_own.py")) == 2
    assert f"--to {tmp_path / 'my_own.py'} cannot be written to" in capsys.readouterr().err
    sys.modules.pop("my_own")


def test_a_sweep_needs_its_file(monkeypatch, capsys):
    for arguments in ((), ("--quiet",)):
        assert run(monkeypatch, "sweep", *arguments) == 2
        assert "needs a file first" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["brian2", "circuits", "json"])
def test_a_scaffold_hides_no_module(name, monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "new", "circuit", name, "--to", str(tmp_path)) == 2
    assert "a module has this name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["race", "My", "9lives", "a-b", "class"])
def test_a_scaffold_needs_a_name(name, monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "new", "circuit", name, "--to", str(tmp_path)) == 2
    assert "small letters" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.compiles
def test_a_scaffold_is_checked_and_tested_in_processes_of_its_own(tmp_path):
    for arguments in (["new", "circuit", "own", "--to", str(tmp_path)], ["check", f"{tmp_path}/own.py:Own"]):
        subprocess.run([sys.executable, "-m", "validation.command", *arguments], check=True, cwd=ROOT)
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_own.py"]
    subprocess.run(tests, check=True, cwd=tmp_path)


def test_claims_are_those_of_the_index(tmp_path, monkeypatch, capsys):
    row = {"claim": "c", "measured": "m", "verdict": "holds", "study": "s", "kind": "ours"}
    pd.DataFrame([row, row | {"verdict": "undecided", "study": "t"}]).to_csv(tmp_path / "claims.csv", index=False)
    assert run(monkeypatch, "claims", "--results", str(tmp_path), "--study", "s") == 0
    assert capsys.readouterr().out == "[s] c\n  m\n  holds\n1 claims\n"
    pd.DataFrame([row | {"preset": "quick", "date": "2026-11-28", "revision": "abc"}]).to_csv(
        tmp_path / "claims.csv", index=False
    )
    assert run(monkeypatch, "claims", "--results", str(tmp_path)) == 0
    assert capsys.readouterr().out.startswith("claims.csv: quick, 2026-11-28, abc\n[s] c\n")
    pd.DataFrame([row, row | {"verdict": "undecided", "study": "t"}]).to_csv(tmp_path / "claims.csv", index=False)
    for more, words in ((["--study", "q"], "--study q"), (["--verdict", "maybe"], "there are holds, undecided")):
        assert run(monkeypatch, "claims", "--results", str(tmp_path), *more) == 2
        assert words in capsys.readouterr().err
    assert run(monkeypatch, "claims", "--results", str(tmp_path / "none")) == 2
    assert "there is no claims.csv" in capsys.readouterr().err


def test_the_index_that_ships_is_read_without_results_of_ones_own(monkeypatch, capsys):
    assert run(monkeypatch, "claims", "--verdict", "holds") == 0
    said = capsys.readouterr().out
    assert said.startswith("claims_quick.csv: quick, 20")
    assert int(said.splitlines()[-1].split()[0]) > 20


def test_doctor_finds_a_sound_machine_sound_and_a_broken_one_broken(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "ENOUGH", 0)
    found = {what: (good, words) for good, what, words in doctor.lines()}
    assert found["cache"] == (True, found["cache"][1])
    assert str(tmp_path) in found["cache"][1]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    (tmp_path / "brian_preferences").write_text("")
    monkeypatch.chdir(tmp_path)
    assert doctor.main([]) == 1
    said = capsys.readouterr().out
    for words in ("AMISS compiler: $CXX = 'no-such-compiler'", "AMISS cache:", "AMISS compiled target:", "preferences"):
        assert words in said


def test_entry_points_are_circuits():
    from importlib.metadata import entry_points  # noqa: PLC0415

    points = {point.name: point for point in entry_points(group="biospike.circuits")}
    if not points:
        pytest.skip("installed before circuits were registered: pip install -e . again")
    for name, point in points.items():
        assert SOFTMAX_CIRCUITS[name] is point.load()
