"""A full disk, a quota, an unwritable directory: one clear error, no partial file, and the sweep goes on afterwards."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from small_sweep import content, processes, run

from biospike import standalone
from biospike.sweep import POINTS
from validation.softmax import study as compare_softmax
from validation.study import command_line

SWEEP = 'circuits = ["race"]\nlogits = "z.csv"\nduration = "20 ms"\ntrials = 1\ntarget = "numpy"\nseed = [1, 2]\n'


@pytest.fixture
def small_disk(tmp_path):
    """Yield a file system in memory, and a way to change its size."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(*options):
        return subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(disk)], capture_output=True, check=False)

    if mount("-o", "size=16k").returncode != 0:
        pytest.skip("mounting a file system needs another user")
    yield disk, lambda size: mount("-o", f"remount,size={size}")
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_full_disk(small_disk, unbroken):
    disk, resize = small_disk
    with pytest.raises(OSError, match="No space left"):
        run(disk)
    found = content(disk)
    assert found.items() < unbroken.items()
    assert set(os.listdir(disk / POINTS)) == set(found), "something partial is left"
    resize("10m")
    run(disk)
    assert content(disk) == unbroken


def _run_with_quota(directory):
    # Without this the signal ends the process; with it, the write fails as it does at a quota.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    run(directory)


def test_quota(tmp_path, unbroken):
    child = processes.Process(target=_run_with_quota, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 1
    assert content(tmp_path) == {}
    assert os.listdir(tmp_path / POINTS) == []
    run(tmp_path)
    assert content(tmp_path) == unbroken


def test_command_says_it_in_one_line(small_disk, tmp_path, monkeypatch, capsys):
    disk, _ = small_disk
    np.savetxt(tmp_path / "z.csv", [[1.0, 0.0, -1.0]], delimiter=",")
    (tmp_path / "s.toml").write_text(SWEEP)
    (disk / "ballast").write_bytes(bytes(12 * 1024))
    arguments = ["compare_softmax", "--sweep", str(tmp_path / "s.toml"), "--out", str(disk / "out"), "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--quiet"])
    with pytest.raises(SystemExit) as stop:
        command_line.run(compare_softmax.Config, compare_softmax.main, "")
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line for line in lines if line.startswith("error:")] == lines
    assert len(lines) == 1
    assert "No space left" in lines[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_directory(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        run(tmp_path / "out")
    tmp_path.chmod(0o700)


def test_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="cannot be written to"):
        command_line.writable(tmp_path / "out")
    with pytest.raises(OSError, match="out"):
        run(tmp_path / "out")


def test_unwritable_build_cache(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(standalone.BuildError, match="BIOSPIKE_CACHE"):
        run(tmp_path / "out", target="cpp_standalone")
    assert content(tmp_path / "out") == {}


@pytest.mark.long
@pytest.mark.compiles
def test_disk_of_the_compiled_run_and_of_the_build_is_full(small_disk, tmp_path, monkeypatch, unbroken):
    """Neither gives a number; with room again, both go on."""
    disk, _ = small_disk
    monkeypatch.setenv("BIOSPIKE_CACHE", str(disk))
    with pytest.raises(standalone.BuildError, match=r"No space left|failed"):
        run(tmp_path / "out", seeds=(1,), target="cpp_standalone")
    monkeypatch.delenv("BIOSPIKE_CACHE")
    run(tmp_path / "elsewhere", seeds=(1,), target="cpp_standalone")  # compiles, if nobody has
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    with pytest.raises((standalone.RunError, OSError)):
        run(tmp_path / "out", seeds=(1,), target="cpp_standalone")
    assert content(tmp_path / "out") == {}
    monkeypatch.undo()
    run(tmp_path / "out", seeds=(1,), target="cpp_standalone")
    assert content(tmp_path / "out") == content(tmp_path / "elsewhere")
