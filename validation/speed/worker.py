"""A process of the benchmark: reads a request, carries it out, writes figures and counts, and ends.

Tasks: ``peer`` runs a problem; ``attention`` and ``block`` present tokens to an attention block; ``published`` runs a
published block; ``study`` runs the default study of `validation.compare_softmax`; ``memory`` runs a problem on biospike
and looks at the memory of the binaries.
"""

from __future__ import annotations

import json
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from validation.speed.problem import Counts, Problem

Figures = dict[str, float]
PROCESS_START = time.perf_counter()


def peer(request: dict[str, Any]) -> tuple[Figures, Counts]:
    """Run ``peer`` on the problem in ``problem``; with ``compile`` the hand-written loop is compiled first."""
    from validation.speed.peers import PEERS, timed  # noqa: PLC0415

    directory = Path(request["directory"])
    if request.get("compile"):
        from validation.speed.peers import loop as benchmark_loop  # noqa: PLC0415

        benchmark_loop.build(directory)
    outcome, seconds = timed(PEERS[request["peer"]], Problem.load(Path(request["problem"])), directory)
    return seconds, outcome.counts


def memory(request: dict[str, Any]) -> tuple[Figures, Counts]:
    """Run the problem in ``problem`` on biospike; ``binary_peak_mib`` is the largest resident set of a binary."""
    from biospike import simulate  # noqa: PLC0415
    from validation.speed.case import CIRCUITS, simulate_options  # noqa: PLC0415
    from validation.speed.watch import watch_binaries  # noqa: PLC0415

    problem = Problem.load(Path(request["problem"]))
    circuit = CIRCUITS[problem.circuit]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with watch_binaries(memory=True) as watched:
        logits = np.array(problem.logits)
        data = simulate(circuit, logits, target="cpp_standalone", jobs=1, **simulate_options(problem))
    counts = data["spike_count"].transpose("trial", "row", "key", "checkpoint").values
    figures = {"before_mib": before, "binary_peak_mib": watched.peak_kib / 1024}
    return figures, counts.reshape(-1, *counts.shape[2:])


def attention(request: dict[str, Any]) -> tuple[Figures, None]:
    """Present random tokens to a block; seconds of the binaries and of the call, and spikes of the attention."""
    from validation.speed.attention import present_tokens  # noqa: PLC0415

    return present_tokens(**request["block"]), None


def block(request: dict[str, Any]) -> tuple[Figures, None]:
    """Present tokens to the block of size ``block`` by ``peer``; see `validation.speed.block.run_peer`."""
    from validation.speed.block import BlockSize, run_peer  # noqa: PLC0415

    return run_peer(request["peer"], BlockSize(**request["block"]), Path(request["directory"])), None


def published(request: dict[str, Any]) -> tuple[Figures, None]:
    """Run ``peer`` on the published block ``name``."""
    from validation.speed.published import PUBLISHED, run_peer  # noqa: PLC0415

    return run_peer(request["peer"], PUBLISHED[request["name"]], request["seed"]), None


def study(request: dict[str, Any]) -> tuple[Figures, None]:
    """Run ``compare_softmax``; wall time in which a binary ran and in which none did, and processor time of Python.

    The wall time outside counts from the start of this process: imports, checks, preparation, reading, tables, rasters,
    figures and files.
    """
    from validation.speed.watch import watch_binaries  # noqa: PLC0415

    options = [word for name, value in request["options"].items() for word in (f"--{name}", value)]
    with watch_binaries() as watched:
        sys.argv = ["compare_softmax.py", "--quiet", "--out", request["out"], *options]
        runpy.run_module("validation.compare_softmax", run_name="__main__", alter_sys=True)
    ended, inside = time.perf_counter(), watched.busy_s()
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "inside_wall_s": inside,
        "outside_wall_s": ended - PROCESS_START - inside,
        "before_wall_s": min((start for start, _ in watched.binaries), default=ended) - PROCESS_START,
        "after_wall_s": ended - max((end for _, end in watched.binaries), default=ended),
        "outside_cpu_s": own.ru_utime + own.ru_stime,
        "binaries": len(watched.binaries),
        "compilations": watched.compilations,
    }, None


TASKS = {
    "peer": peer, "memory": memory, "attention": attention, "block": block, "published": published, "study": study,
}  # fmt: skip


def main(place: Path) -> None:
    """Carry out the request in a directory."""
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    figures, counts = TASKS[request["task"]](request)
    if counts is not None:
        np.save(place / "counts.npy", counts)
    (place / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
