"""Compile and start ``loop.cpp``, the hand-written loop that is the ceiling of the benchmark.

By itself, ``python -m validation.speed.peers.loop [circuit keys rows trials steps]`` runs it once and prints its cost.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from validation.speed.problem import Outcome, Problem

SOURCE = Path(__file__).with_name("loop.cpp")
ORDER = ("race", "escape", "integrate")


def build(directory: Path) -> Path:
    """Compile the loop into `directory` with the flags of `biospike.standalone`.

    Raises
    ------
    biospike.standalone.BuildError
        If there is no compiler or it fails.
    """
    from biospike import standalone  # noqa: PLC0415  (it needs Brian2, which running the loop does not)

    compiler, *arguments = standalone.compiler_command()
    binary = directory / "benchmark_loop"
    command = [compiler, *arguments, *standalone.FLAGS, str(SOURCE), "-o", str(binary)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode != 0:
        raise standalone.BuildError(f"{compiler} failed on {SOURCE.name}: {done.stderr[-2000:]}")
    return binary


def run(binary: Path, problem: Problem, *, skip_closed: bool = False) -> Outcome:
    """Run a problem.

    Parameters
    ----------
    binary
        Of `build`.
    problem
        What to run.
    skip_closed
        Leave out the steps in which a row of `race` is closed, and with them their random numbers.

    Raises
    ------
    RuntimeError
        If it fails or writes less than it should.
    """
    unmasked = problem.unmasked
    with tempfile.TemporaryDirectory(prefix="biospike-loop-") as private:
        written, read = Path(private, "input"), Path(private, "output")
        written.write_bytes(encode(problem, skip_closed=skip_closed))
        done = subprocess.run(
            [str(binary), str(written), str(read)], capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if done.returncode != 0 or done.stderr:
            raise RuntimeError(f"the hand-written loop failed with status {done.returncode}: {done.stderr}")
        found = np.fromfile(read, dtype=np.int32)
    expected = int(unmasked.sum()) * len(problem.marks)
    if found.size != expected:
        raise RuntimeError(f"the hand-written loop wrote {found.size} of {expected} counts")
    counts = problem.empty_counts()
    counts[unmasked] = found.reshape(-1, len(problem.marks))
    wall, cpu = map(float, done.stdout.split())
    return Outcome(counts, wall, cpu)


def encode(problem: Problem, *, skip_closed: bool) -> bytes:
    """Input file of the binary; its layout is said at the top of the source."""
    unmasked = problem.unmasked
    whole = [
        ORDER.index(problem.circuit),
        skip_closed,
        len(unmasked),
        int(unmasked.sum()),
        problem.steps,
        len(problem.marks),
        problem.seed,
        problem.closed_steps,
        problem.regularity,
    ]
    parts = [
        np.array(whole, dtype=np.int64),
        np.array([problem.dt, problem.w, problem.R0]),
        *(np.asarray(a, dtype=np.int64) for a in (problem.marks, unmasked.sum(axis=1), problem.trial)),
        problem.index[unmasked],
        *(np.asarray(a[unmasked], dtype=np.float64) for a in (problem.drive, problem.v, problem.theta)),
    ]
    return b"".join(part.tobytes() for part in parts)


def main() -> None:
    """Run one problem and print the cost of its loop."""
    from validation.speed.case import make_problem  # noqa: PLC0415  (needs Brian2, which the loop does not)
    from validation.speed.problem import Size  # noqa: PLC0415

    name, *numbers = sys.argv[1:] or ["integrate", "16", "25", "25", "10000"]
    keys, rows, trials, steps = map(int, numbers)
    size = Size(circuit=name, keys=keys, rows=rows, trials=trials, steps=steps, checkpoints=24, seed=1)
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(build(Path(directory)), make_problem(size))
    nanoseconds = outcome.loop_cpu_s / size.neuron_steps * 1e9
    print(f"{name}: {nanoseconds:.2f} ns per neuron and step, {outcome.counts[..., -1].sum()} spikes")


if __name__ == "__main__":
    main()
