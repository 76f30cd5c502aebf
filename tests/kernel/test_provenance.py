"""From any file of a study to the command that makes it again, and back."""

import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from biospike import files, provenance
from biospike.provenance import SUFFIX, command, describe, digest, find
from validation.compare_softmax import Config
from validation.softmax import study as compare_softmax
from validation.study import command_line


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study that its command line ran, and the directory it was run in."""
    directory = tmp_path_factory.mktemp("provenance")
    np.savetxt(directory / "z.csv", [[1.0, 0.0, -1.0], [0.5, 0.0, 0.0]], delimiter=",")
    arguments = ["--circuits", "race", "--duration", "60 ms", "--trials", "2", "--target", "numpy", "--quiet"]
    arguments += ["--logits", str(directory / "z.csv"), "--out", str(directory / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["compare_softmax.py", *arguments])
        patch.setattr(sys.modules["__main__"], "__spec__", None)
        patch.setattr(sys.modules["__main__"], "__file__", "/somewhere/validation/compare_softmax.py", raising=False)
        command_line.run(Config, compare_softmax.main, "")
    return directory / "out", arguments


def test_every_file_of_a_study_is_recorded(study):
    out, arguments = study
    (record,) = out.glob(f"*{SUFFIX}")
    facts = json.loads(record.read_text())
    names = {path.name for path in out.iterdir()} - {record.name}
    assert set(facts["files"]) == names
    assert {"summary.csv", "raster.png", "raster.pdf", "counts.nc", "report.md"} <= names
    for name in names:
        assert find(out / name)["arguments"] == arguments
        assert facts["files"][name] == digest(out / name)
    assert facts["inputs"] == {arguments[-3]: digest(out.parent / "z.csv")}
    assert len(facts["code"]) == 64


def test_the_command_makes_the_same_files_again(study, tmp_path):
    """Every file, the figures included, bit for bit; run as the user would run the printed line."""
    out, _ = study
    (line,) = re.findall(r"^command: +python (.*)$", describe(out / "raster.png"), flags=re.MULTILINE)
    again = [argument.replace(str(out), str(tmp_path / "again")) for argument in shlex.split(line)]
    done = subprocess.run([sys.executable, *again], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (
        {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.endswith(SUFFIX)}
        for directory in (out, tmp_path / "again")
    )
    assert first == second
    assert len(first) == 11


def test_changed_inputs_and_code_are_said(study, monkeypatch):
    out, _ = study
    text = describe(out / "summary.csv")
    assert "changed since" not in text
    (out.parent / "z.csv").write_bytes((out.parent / "z.csv").read_bytes() + b"\n")
    monkeypatch.setattr(provenance, "code_digest", lambda: "another")
    text = describe(out / "summary.csv")
    assert re.search(r"inputs that changed since: .*z\.csv", text)
    assert "code has changed since" in text


def test_an_edited_file_is_not_ascribed_to_the_command(study, tmp_path):
    out, _ = study
    (tmp_path / "out").mkdir()
    for path in out.iterdir():
        (tmp_path / "out" / path.name).write_bytes(path.read_bytes())
    table = tmp_path / "out" / "summary.csv"
    assert find(table)
    table.write_text(table.read_text() + "race\n")
    with pytest.raises(ValueError, match=r"not as compare_softmax\.provenance\.json says"):
        find(table)
    # A copy under another name is known by its content.
    (tmp_path / "out" / "figure 3.png").write_bytes((out / "raster.png").read_bytes())
    assert find(tmp_path / "out" / "figure 3.png")["study"] == "validation.compare_softmax"


def test_a_result_of_python_has_its_own(study, tmp_path):
    from biospike import save, simulate  # noqa: PLC0415
    from circuits.softmax import Race  # noqa: PLC0415

    save(simulate(Race(), [[1.0, 0.0]], duration="20 ms", seed=77, target="numpy"), tmp_path / "mine.nc")
    text = describe(tmp_path / "mine.nc")
    assert re.search(r"seed: +77", text)
    assert '"rate": 200.0' in text


@pytest.mark.parametrize(
    ("name", "words"), [("none.csv", "no such file"), ("plain.csv", "no record"), ("bad.nc", r"bad\.nc")]
)
def test_files_without_a_record(tmp_path, name, words):
    (tmp_path / "plain.csv").write_text("a\n")
    (tmp_path / "bad.nc").write_text("a\n")
    with pytest.raises(ValueError, match=words):
        find(tmp_path / name)


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("a\n")
    for content in ("{", "[]", '{"files": 3}'):
        (tmp_path / f"x{SUFFIX}").write_text(content)
        with pytest.raises(ValueError, match=r"x\.provenance\.json cannot be read"):
            find(tmp_path / "a.csv")


def test_command_of_a_figure_script():
    facts = {"study": "figures.softmax", "arguments": ["--results", "my results"]}
    assert command(facts) == "python figures/softmax.py --results 'my results'"


def test_two_studies_in_one_directory_keep_both_records(tmp_path):
    for name in ("first", "second"):
        files.write_atomically(tmp_path / f"{name}.csv", lambda path, name=name: path.write_text(name))
        provenance.keep(tmp_path, f"validation.{name}", [])
    assert find(tmp_path / "first.csv")["study"] in ("validation.first", "validation.second")
    assert find(tmp_path / "second.csv")["study"] == "validation.second"


def test_command_line(study, monkeypatch, capsys):
    out, _ = study
    monkeypatch.setattr(sys, "argv", ["provenance", str(out / "summary.csv")])
    provenance.main()
    assert "validation.compare_softmax" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["provenance", str(out / "none.csv")])
    with pytest.raises(SystemExit) as stop:
        provenance.main()
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: ")
    assert complaint.count("\n") == 1
