"""An older checkout beside this one: the same commands, each in an environment and with a cache of its own, in turn.

The older sources are those that git has of the commit. They run on the packages of this environment, which a virtual
environment of their own sees besides them, and compile into a cache of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from biospike.errors import InputError
from validation.speed.process import PeerError, measure_command

ROOT = Path(__file__).resolve().parents[2]
OLDER, THIS = "older", "this"

COMMANDS: dict[str, tuple[str, ...]] = {
    "compare_softmax": ("validation/compare_softmax.py",),
    "compare_attention": ("validation/compare_attention.py",),
    "calibrate_assumptions": ("validation/calibrate_assumptions.py", "--preset", "quick"),
}
"""What is timed: studies with their defaults, but for the toy, whose quick preset is the one with a target."""


@attrs.frozen
class Checkout:
    """Sources, the interpreter that runs them, and where they compile to."""

    name: str
    root: Path
    python: str
    cache: Path


def resolve(commit: str) -> str:
    """Full name of a commit.

    Raises
    ------
    InputError
        If this is no checkout of git, or git knows no such commit.
    """
    if not (ROOT / ".git").exists():
        raise InputError(f"--against {commit}: {ROOT} is no git checkout, which an older commit needs")
    found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found.returncode != 0:
        raise InputError(f"--against {commit}: git knows no such commit")
    return found.stdout.decode().strip()


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    except OSError as error:
        raise InputError(f"--against: git cannot be started: {error.strerror}") from None


@contextmanager
def checkouts(commit: str, place: Path) -> Iterator[tuple[Checkout, Checkout]]:
    """Lay out a commit in a directory, and yield it and this checkout."""
    with tempfile.TemporaryDirectory(dir=place, prefix="older-") as private:
        root, environment = Path(private, "sources"), Path(private, "environment")
        _extract(commit, root)
        venv.create(environment, with_pip=False, symlinks=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
        paths = [str(root), *(entry for entry in sys.path if entry.endswith("site-packages"))]
        (packages / "older.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
        older = Checkout(OLDER, root, str(environment / "bin" / "python"), Path(private, "older-cache"))
        yield older, Checkout(THIS, ROOT, sys.executable, Path(private, "this-cache"))


def _extract(commit: str, root: Path) -> None:
    packed = root.with_suffix(".tar")
    made = _git("archive", "--format=tar", f"--output={packed}", commit)
    if made.returncode != 0:
        raise PeerError(f"git archive failed: {made.stderr.decode(errors='replace').strip()}")
    with tarfile.open(packed) as archive:
        archive.extractall(root, filter="data")
    packed.unlink()


def run_both(commit: str, names: tuple[str, ...], repeats: int, place: Path, say: Any) -> Iterator[dict[str, Any]]:
    """Yield one row a command, checkout and run: the first of each on a cold cache, `repeats` more on a warm one.

    Raises
    ------
    PeerError
        If a command fails, with the last line that it printed.
    """
    with checkouts(commit, place) as both:
        for name in names:
            for number in range(1 + repeats):
                for one in both:
                    cache = "warm" if number else "cold"
                    say(f"against: {name}, {one.name} checkout, cache {cache}")
                    yield {"work": name, "checkout": one.name, "cache": cache, "repetition": number} | _timed(one, name)


def _timed(one: Checkout, name: str) -> dict[str, float]:
    cache = one.cache / name  # every command begins on a cold one
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=one.cache) as out:
        script, *options = COMMANDS[name]
        command = [one.python, str(one.root / script), "--quiet", "--out", out, *options]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return measure_command(command, environment | {"BIOSPIKE_CACHE": str(cache)}, cwd=out)
