"""Files and packages named as ours: one line says what hides what, instead of an ImportError somewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from biospike import shadows

ROOT = Path(shadows.__file__).parents[1]


@pytest.fixture
def unimported(monkeypatch):
    """Look for our packages as if they had not been imported."""
    for name in shadows.SIBLINGS:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_nothing_is_hidden_here(unimported):
    assert shadows.shadows() == []
    assert all((ROOT / name / "__init__.py").is_file() for name in shadows.SIBLINGS)


@pytest.mark.parametrize("name", shadows.SIBLINGS)
@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py"])
def test_what_hides_a_package_is_named(unimported, tmp_path, monkeypatch, name, form):
    other = tmp_path / form.format(name)
    other.parent.mkdir(exist_ok=True)
    other.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    (line,) = shadows.shadows()
    assert str(other) in line
    assert str(ROOT / name) in line
    assert "rename" in line
    assert "\n" not in line
    with pytest.warns(UserWarning, match=name):
        shadows.refuse_shadows()


def test_a_directory_without_code_hides_nothing(unimported, tmp_path, monkeypatch):
    """As ``results/validation``: Python goes on to the package."""
    (tmp_path / "validation").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert shadows.shadows() == []


def test_a_package_that_was_written_over_ours(unimported, tmp_path, monkeypatch):
    """Two distributions that install `circuits` into one directory leave the files of the later one."""
    for name in shadows.SIBLINGS:
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / name / "__init__.py", tmp_path / name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shadows, "ROOT", tmp_path)
    assert shadows.shadows() == []
    (tmp_path / "circuits" / "__init__.py").write_text('"""Asynchronous components."""\n')
    (line,) = shadows.shadows()
    assert "another distribution" in line
    assert str(tmp_path / "circuits") in line


@pytest.mark.long
@pytest.mark.parametrize("command", [[str(ROOT / "validation/spike_bounds.py")], ["-m", "validation.spike_bounds"]])
@pytest.mark.parametrize("name", ["circuits.py", "circuits/__init__.py"])
def test_scripts_end_with_one_line(tmp_path, command, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise SystemExit('run!')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    start = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, *command, "--help"], check=False, **start)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {tmp_path / name} hides biospike's package 'circuits'")


@pytest.mark.long
def test_a_script_of_another_checkout_is_refused(tmp_path):
    (tmp_path / "validation").mkdir()
    (tmp_path / "biospike").mkdir()
    (tmp_path / "biospike" / "__init__.py").write_text("")
    script = shutil.copy(ROOT / "validation" / "spike_bounds.py", tmp_path / "validation")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start: dict[str, Any] = {"env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, script, "--help"], check=False, **start)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {script} would run with the packages of {ROOT}")
    (tmp_path / "biospike" / "__init__.py").unlink()  # one's own script, with a folder of this name
    assert subprocess.run([sys.executable, script, "--help"], check=False, **start).returncode == 0
