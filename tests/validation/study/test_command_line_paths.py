"""Paths on the command line, and files as this user wants them."""

import os
from pathlib import Path

import attrs
import pytest

from biospike.files import owned_prefix, remove_abandoned, write_atomically
from validation.study import command_line


@attrs.frozen
class Options:
    """Options of the test."""

    out: Path = Path("results")
    logits: Path | None = None
    name: str = "~"


def test_a_tilde_is_the_users_home(monkeypatch, tmp_path):
    """As in ``--out=~/x``, of which no shell makes a home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["study", "--out=~/my results", "--logits=~/z.npy"])
    options = command_line._parse(Options, "")
    assert (options.out, options.logits, options.name) == (tmp_path / "my results", tmp_path / "z.npy", "~")
    monkeypatch.setattr("sys.argv", ["study", "--out=a/~/b"])
    assert command_line._parse(Options, "") == Options(out=Path("a/~/b"))


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_user_gives(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "table.csv", lambda file: file.write_text("1\n"))
    finally:
        os.umask(before)
    assert (tmp_path / "table.csv").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_paths_of_any_bytes(tmp_path):
    path = tmp_path / os.fsdecode(b"r\xff\xe9: s.csv")
    write_atomically(path, lambda file: file.write_text("1\n"))
    assert path.read_text() == "1\n"


def test_what_another_user_left_is_left(tmp_path, monkeypatch):
    """In a directory that users share nobody may remove the files of others."""
    name = owned_prefix("x").replace(f"~{os.getpid()}~", "~999999999~")
    (tmp_path / name).write_text("")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError()))
    remove_abandoned(tmp_path)
    monkeypatch.undo()
    assert (tmp_path / name).exists()
    remove_abandoned(tmp_path)
    assert not (tmp_path / name).exists()
    remove_abandoned(tmp_path / "missing")
