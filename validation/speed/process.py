"""One run of one peer in a process of its own, and what that process cost: time, processor, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from biospike.standalone import RunError
from validation.speed.problem import Counts

# A process inherits the peak of its parent's memory when it is started, so a small parent starts it: this one.
LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
status, used = os.wait4(pid, 0)[1:]
with open(sys.argv[1], "w") as file:
    json.dump({
        "process_wall_s": time.perf_counter() - start,
        "process_cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
        "code": os.waitstatus_to_exitcode(status),
    }, file)
"""
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")}


class PeerError(RunError):
    """A peer failed."""


@attrs.frozen(eq=False)
class Run:
    """What one run gave.

    Attributes
    ----------
    figures : dict
        ``loop_``, ``call_`` and ``process_`` with ``wall_s`` and ``cpu_s``; ``peak_mib``, the largest resident set of
        the process and its children, each by itself.
    counts : ndarray (slots, keys, checkpoints) or None
        Of a peer; None for other tasks.
    """

    figures: dict[str, float]
    counts: Counts | None


def run(task: str, *, environment: dict[str, str] | None = None, **request: Any) -> Run:
    """Carry out a task of `validation.speed.worker` in a process of its own.

    Raises
    ------
    PeerError
        If it fails, with the last line that it printed.
    """
    with tempfile.TemporaryDirectory(prefix="biospike-benchmark-") as private:
        place = Path(private)
        (place / "request.json").write_text(json.dumps({"task": task} | request), encoding="utf-8")
        worker = [sys.executable, "-m", "validation.speed.worker", str(place)]
        own = os.environ | THREADS | {"PYTHONPATH": python_path()} | (environment or {})
        measured = _launched(worker, own, place, None, needed="figures.json")
        figures = json.loads((place / "figures.json").read_text(encoding="utf-8"))
        counts = np.load(place / "counts.npy") if (place / "counts.npy").exists() else None
    return Run(figures | measured, counts)


def measure_command(command: Sequence[str], environment: Mapping[str, str], *, cwd: str) -> dict[str, float]:
    """``process_wall_s``, ``process_cpu_s`` and ``peak_mib`` of a command with its children; errors as of `run`."""
    with tempfile.TemporaryDirectory(prefix="biospike-benchmark-") as private:
        return _launched(command, environment, Path(private), cwd)


def _launched(
    command: Sequence[str], environment: Mapping[str, str], place: Path, cwd: str | None, *, needed: str = ""
) -> dict[str, float]:
    """Start a command from a small process; it must end well, and leave the file that is needed in its place."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, str(place / "measured.json"), *command],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    said = done.stderr.strip().splitlines()
    path = place / "measured.json"
    measured: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if measured.pop("code", 1) != 0 or not (place / needed).exists():
        raise PeerError(said[-1] if said else f"the process ended with status {done.returncode}")
    return measured


def python_path() -> str:
    """The path of modules as it is here, without the directory of this file, whose modules are `validation`'s."""
    here = Path(__file__).resolve().parent
    entries = [entry or os.getcwd() for entry in sys.path]
    return os.pathsep.join([str(here.parent), *(entry for entry in entries if Path(entry).resolve() != here)])
