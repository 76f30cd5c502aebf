"""Where binaries and the files of runs go, on machines of every kind."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from biospike import directories, simulate, standalone
from circuits.softmax import Race

LOGITS = [[1.0, 0.0, -1.0]]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("BIOSPIKE_CACHE", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_the_named_cache(home, tmp_path, monkeypatch):
    for given, expected in {
        "/a/b": Path("/a/b"),
        "caches/x": tmp_path / "caches/x",
        "../x": tmp_path.parent / "x",
        "~": home,
        "~/my caches": home / "my caches",
        "": home / ".cache/biospike",
        " ": home / ".cache/biospike",
    }.items():
        monkeypatch.setenv("BIOSPIKE_CACHE", given)
        assert directories.cache_directory() == expected


def test_the_users_caches(home, tmp_path, monkeypatch):
    """Empty stands for unset, and a relative path is to be ignored, says the XDG specification."""
    for given, expected in {
        "": home / ".cache",
        "relative": home / ".cache",
        str(tmp_path / "xdg"): tmp_path / "xdg",
        "~/xdg": home / "xdg",
    }.items():
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert directories.cache_directory() == expected / "biospike"
    assert not (tmp_path / "relative").exists()


def test_a_home_that_nobody_knows_is_named(home, monkeypatch):
    monkeypatch.setenv("BIOSPIKE_CACHE", "~nobody-of-this-name/x")
    with pytest.raises(standalone.BuildError, match=r"\$BIOSPIKE_CACHE = '~nobody"):
        directories.cache_directory()
    data = simulate(Race(), LOGITS, duration="20 ms", target="auto")
    assert "$BIOSPIKE_CACHE" in data.attrs["target_reason"]
    assert data.attrs["target"] == "numpy"


def test_without_a_usable_home_the_cache_is_private_among_temporary_files(home, tmp_path, monkeypatch):
    home.write_text("a file in the way")
    private = tmp_path / "tmp" / f"biospike-{os.getuid()}"
    assert directories.cache_directory() == private
    assert private.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("HOME", "")
    assert directories.cache_directory() == private
    private.chmod(0o777)  # whoever may write here could leave a program to be run
    with pytest.raises(standalone.BuildError, match=r"other users.*\$BIOSPIKE_CACHE"):
        directories.cache_directory()
    private.rmdir()
    private.symlink_to(tmp_path)
    with pytest.raises(standalone.BuildError, match=r"\$BIOSPIKE_CACHE"):
        directories.cache_directory()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.long
def test_a_user_whom_the_machine_does_not_know():
    """As in a container that is started with a number: no entry in the list of users, no $HOME."""
    program = (
        "import os, sys\nfrom biospike import simulate, standalone\nfrom circuits.softmax import Race\n"
        "run = lambda: simulate(Race(), [[1.0, 0.0]], duration='50 ms', target='numpy')['spike_count'].values.max()\n"
        "run(); os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
        "if not all(os.access(sys.modules[name].__file__, os.R_OK) for name in ('biospike', 'brian2')): sys.exit(77)\n"
        "print(standalone.cache_directory(), standalone.hindrance())\nprint(run())\n"
    )
    # Not among the test's own files, which that user may not enter.
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        environment = {"PATH": os.environ["PATH"], "TMPDIR": place, "PYTHONPATH": os.pathsep.join(sys.path)}
        start: dict[str, Any] = {"cwd": place, "env": environment, "capture_output": True, "text": True}
        done = subprocess.run([sys.executable, "-c", program], check=False, **start)
    if done.returncode == 77:
        pytest.skip("biospike or Brian2 lie where their owner alone can read them")
    assert done.returncode == 0, done.stderr
    where, count = done.stdout.splitlines()
    assert where == f"{place}/biospike-54321 None"
    assert int(count) > 0


def test_a_file_in_the_way_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "file"))
    reason = standalone.hindrance()
    assert reason is not None
    assert "File exists" in reason
    assert "$BIOSPIKE_CACHE" in reason
    data = simulate(Race(), LOGITS, duration="20 ms", target="auto")
    assert (data.attrs["target"], data.attrs["target_reason"]) == ("numpy", reason)


@pytest.mark.parametrize(("option", "words"), [("noexec", "mounted noexec"), ("ro", "cannot be written to")])
def test_mounts_on_which_nothing_can_start_or_be_kept(tmp_path, monkeypatch, option, words):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(disk)], capture_output=True, check=False)
    if mount.returncode != 0:
        pytest.skip("mounting a file system needs another user")
    try:
        monkeypatch.setenv("BIOSPIKE_CACHE", str(disk))
        with pytest.raises(standalone.BuildError, match=rf"{words}.*\$BIOSPIKE_CACHE"):
            simulate(Race(), LOGITS, duration="20 ms", target="cpp_standalone")
        data = simulate(Race(), LOGITS, duration="20 ms", target="auto")
        assert data.attrs["target"] == "numpy"
        assert words in data.attrs["target_reason"]
        # Nobody named it: another is found.
        monkeypatch.delenv("BIOSPIKE_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert directories.cache_directory() == tmp_path / f"biospike-{os.getuid()}"
        assert standalone.hindrance() is None
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_program_that_may_not_start_is_named(tmp_path):
    """As where a policy forbids it that no mount option tells of."""
    (tmp_path / "main").write_text("")
    with pytest.raises(standalone.RunError, match=r"cannot be started \(Permission denied\).*\$BIOSPIKE_CACHE"):
        standalone.run(standalone.Binary(tmp_path, {}, reused=True), {}, 1e-4, 1.0, [])


def test_scratch_goes_through_memory_only_if_it_has_room(tmp_path, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    free = 2**30
    monkeypatch.setattr(directories.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    monkeypatch.setattr(directories, "MEMORY", tmp_path)
    assert directories.scratch_directory() == tmp_path
    assert directories.scratch_directory(free // 2 - 1) == tmp_path
    assert directories.scratch_directory(free // 2) == Path("/tmp")
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert directories.scratch_directory() == Path("/tmp"), "asked for by name"
