"""Which compiled binaries a process starts, and when they run: by watching every process that Python starts.

It does not matter how biospike starts its binaries, as long as it is through `subprocess`: a process counts as a binary
if the file that is executed lies in the cache of binaries, and as a compilation if it is the compiler or Python, which
generates the code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

POLL_S = 0.002


@attrs.define
class Watched:
    """Processes that were started: when each ran, and the most memory that a binary had, where it was looked for."""

    binaries: list[list[float]] = attrs.field(factory=list)
    compilations: int = 0
    peak_kib: int = 0

    def busy_s(self) -> float:
        """Wall time during which at least one binary ran."""
        return union_s(self.binaries)


def union_s(intervals: list[list[float]]) -> float:
    """Length of the union of [start, end] intervals, second."""
    total, reached = 0.0, -float("inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


@contextmanager
def watch_binaries(*, memory: bool = False) -> Iterator[Watched]:
    """Watch `subprocess.Popen`, and with it `subprocess.run`, within the block.

    Parameters
    ----------
    memory
        Look every 2 ms how much memory a binary has had. What ``getrusage`` says of a child is no less than what its
        parent had when it was started.
    """
    from biospike.standalone import cache_directory, compiler  # noqa: PLC0415  (needs Brian2)

    watched, original = Watched(), subprocess.Popen
    home = str(cache_directory().resolve())
    # Asked for now: while processes are watched, one that tries the compiler would ask again.
    compilers = (compiler(), sys.executable)

    class Popen(original):  # type: ignore[misc,valid-type]
        """A process that says when it started and when it was waited for."""

        def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
            now = time.perf_counter()
            self._interval: list[float] = [now, now]
            super().__init__(args, *rest, **options)
            program = args if isinstance(args, str) else os.fspath(args[0])
            binary = str(Path(program).resolve()).startswith(home + os.sep)
            if binary:
                watched.binaries.append(self._interval)
            elif program in compilers and "--version" not in args:
                watched.compilations += 1
            if binary and memory:
                threading.Thread(target=_follow, args=(watched, self.pid), daemon=True).start()

        def wait(self, *rest: Any, **options: Any) -> int:
            code: int = super().wait(*rest, **options)
            self._interval[1] = time.perf_counter()
            return code

    subprocess.Popen = Popen  # type: ignore[misc]
    try:
        yield watched
    finally:
        subprocess.Popen = original  # type: ignore[misc]


@contextmanager
def watch_kernels() -> Iterator[list[float]]:
    """Processor times of the kernels of target fused that run within the block, one a batch, second."""
    from biospike import fused  # noqa: PLC0415  (needs Brian2)

    took: list[float] = []
    original = fused.run_circuit

    def timed(*arguments: Any, **options: Any) -> Any:
        before = time.thread_time()
        found = original(*arguments, **options)
        took.append(time.thread_time() - before)
        return found

    fused.run_circuit = timed
    try:
        yield took
    finally:
        fused.run_circuit = original


def _follow(watched: Watched, pid: int) -> None:
    """Keep the largest resident set of a process until it is gone; Linux only."""
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            program = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            return
        line = next((one for one in status.splitlines() if one.startswith("VmHWM")), None)
        if line is None:
            return
        if program.endswith("main"):
            watched.peak_kib = max(watched.peak_kib, int(line.split()[1]))
        time.sleep(POLL_S)
