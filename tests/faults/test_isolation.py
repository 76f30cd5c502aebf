"""Nobody gets in: nothing that lies about is executed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import validation
from biospike import standalone
from validation.inputs.logits import read_logits

SCRIPT = Path(validation.__file__).with_name("compare_softmax.py")
HOSTILE = "codegen.target = open('evaluated', 'w').close() or 'numpy'\ncore.default_float_dtype = float32\n"


def environment():
    return os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent)}


def test_preferences_in_the_working_directory_are_not_evaluated(tmp_path):
    """Neither by an import nor by a run; what would have been is below."""
    (tmp_path / "brian_preferences").write_text(HOSTILE)
    script = (
        "from biospike import simulate\nfrom circuits.softmax import Race\n"
        "data = simulate(Race(), [[1.0, 0.0, -1.0]], duration='60 ms', target='numpy')\n"
        "print(int(data.spike_count[..., -1].sum()))\n"
    )
    start = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", script], check=False, **start)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    assert os.listdir(tmp_path) == ["brian_preferences"]


@pytest.mark.long
@pytest.mark.parametrize("command", [["-m", "validation.compare_softmax"], [str(SCRIPT)]], ids=["module", "script"])
def test_preferences_are_not_evaluated_by_a_study(tmp_path, command):
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "brian_preferences").write_text(HOSTILE)
    options = ["--circuits", "race", "--duration", "60 ms", "--trials", "2", "--target", "numpy", "--quiet"]
    options += ["--out", str(tmp_path / "out"), "--logits", str(tmp_path / "z.csv")]
    np.savetxt(tmp_path / "z.csv", [[1.0, 0.0, -1.0]], delimiter=",")
    start = {"cwd": tmp_path / "hostile", "env": environment(), "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, *command, *options], check=False, **start)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "hostile") == ["brian_preferences"]
    assert (tmp_path / "out" / "summary.csv").stat().st_size > 100


def test_the_trap_would_have_caught_plain_brian2(tmp_path):
    (tmp_path / "brian_preferences").write_text(HOSTILE)
    subprocess.run([sys.executable, "-c", "import brian2"], cwd=tmp_path, capture_output=True, check=False)
    assert (tmp_path / "evaluated").exists()


def test_compiled_runs_start_in_a_private_directory_with_a_minimal_environment(tmp_path, monkeypatch):
    """A binary that writes down where it is and what it was given."""
    program = tmp_path / "entry"
    (program / "static_arrays").mkdir(parents=True)
    script = ["#!/bin/sh", f"pwd > {tmp_path}/where", f"env > {tmp_path}/env", 'echo 1 1.0 > "$2/last_run_info.txt"']
    (program / "main").write_text("\n".join([*script, ""]))
    (program / "main").chmod(0o755)
    monkeypatch.setenv("SECRET", "token")
    monkeypatch.setenv("LD_PRELOAD", "")
    standalone.run(standalone.Binary(program, {}, reused=True), {}, 1e-4, 1.0, [])
    where = Path((tmp_path / "where").read_text().strip())
    assert where.name.startswith("biospike-")
    assert where not in (Path.cwd(), program)
    assert not where.exists(), "the private directory is gone afterwards"
    given = {line.split("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    of_the_shell = {"PWD", "SHLVL", "_", "OLDPWD"}
    assert given - of_the_shell <= {"LD_BIND_NOW", "BIOSPIKE_DT", "BIOSPIKE_DURATION", "LD_LIBRARY_PATH"}
    assert "BIOSPIKE_DT" in given


class Pickled:
    def __reduce__(self):
        return (open, ("evaluated", "w"))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_pickles_are_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"z.{suffix}"
    array = np.array([[Pickled()]], dtype=object)
    np.save(path, array, allow_pickle=True) if suffix == "npy" else np.savez(path, logits=array)
    with pytest.raises(ValueError, match=r"z\.np"):
        read_logits(path)
    assert not (tmp_path / "evaluated").exists()
