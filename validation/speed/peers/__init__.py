"""The peers: who runs a problem, what each needs installed, and which circuits and sizes it is asked to run.

A peer is run in a process of its own (`validation.speed.worker`), and imports only what it needs there.
"""

from __future__ import annotations

import importlib
import importlib.util
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from validation.speed.problem import Outcome, Problem

IDENTICAL, LAW = "identical", "law"
"""How a peer's counts are held against the hand-written loop's: the same integers, or the same law."""


@attrs.frozen(kw_only=True)
class Peer:
    """A simulator that takes part.

    Attributes
    ----------
    name, label : str
        In tables and options, and in figures and text.
    run : callable (problem, directory) -> Outcome
        `directory` holds the compiled loop, and a folder ``cython`` if Brian2 shall not use its own cache.
    imports : tuple of str
        Modules that it uses, which are imported before its call is timed.
    needs : tuple of str
        Those that must be installed and may not be.
    circuits : tuple of str
        What it can express.
    agreement : str
        `IDENTICAL` or `LAW`.
    most : float
        Neurons times steps above which it is not asked, to keep a run within minutes.
    most_keys : float
        Keys a row above which it is not asked: all-to-all synapses grow with their square.
    """

    name: str
    label: str
    run: Callable[[Problem, Path], Outcome]
    imports: tuple[str, ...]
    needs: tuple[str, ...] = ()
    circuits: tuple[str, ...] = ("race", "escape", "integrate")
    agreement: str = LAW
    most: float = np.inf
    most_keys: float = np.inf

    def missing(self) -> str:
        """First module that is not installed; empty if all are."""
        return next((name for name in self.needs if importlib.util.find_spec(name) is None), "")


def _biospike(jobs: int | None, target: str = "cpp_standalone") -> Callable[[Problem, Path], Outcome]:
    def run(problem: Problem, directory: Path) -> Outcome:
        from biospike import simulate  # noqa: PLC0415
        from validation.speed.case import CIRCUITS, simulate_options  # noqa: PLC0415
        from validation.speed.watch import watch_binaries, watch_kernels  # noqa: PLC0415

        circuit = CIRCUITS[problem.circuit]()
        options = simulate_options(problem) | {"check": False, "limit": False}
        with watch_binaries() as watched, watch_kernels() as kernels:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            data = simulate(circuit, np.array(problem.logits), target=target, jobs=jobs, **options)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        counts = data["spike_count"].transpose("trial", "row", "key", "checkpoint").values
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cpu, busy = (sum(kernels), sum(kernels)) if target == "fused" else (cpu, watched.busy_s())
        return Outcome(counts.reshape(-1, *counts.shape[2:]), busy, cpu, watched.compilations)

    return run


def _loop(skip_closed: bool) -> Callable[[Problem, Path], Outcome]:
    def run(problem: Problem, directory: Path) -> Outcome:
        from validation.speed.peers import loop as benchmark_loop  # noqa: PLC0415

        return benchmark_loop.run(directory / "benchmark_loop", problem, skip_closed=skip_closed)

    return run


def _numpy(problem: Problem, directory: Path) -> Outcome:
    from validation.speed.peers import with_numpy  # noqa: PLC0415

    return with_numpy.run(problem)


def _numba(problem: Problem, directory: Path) -> Outcome:
    from validation.speed.peers import with_numba  # noqa: PLC0415

    return with_numba.run(problem)


def _jax(problem: Problem, directory: Path) -> Outcome:
    from validation.speed.peers import with_jax  # noqa: PLC0415

    return with_jax.run(problem)


def _brian2(problem: Problem, directory: Path) -> Outcome:
    from validation.speed.peers import plain_brian2  # noqa: PLC0415

    cache = directory / "cython"
    return plain_brian2.run(problem, cache=cache if cache.exists() else None)


def _nest(problem: Problem, directory: Path) -> Outcome:
    from validation.speed.peers import with_nest  # noqa: PLC0415

    return with_nest.run(problem)


def _framework(name: str) -> Callable[[Problem, Path], Outcome]:
    def run(problem: Problem, directory: Path) -> Outcome:
        from validation.speed.peers import frameworks as benchmark_frameworks  # noqa: PLC0415

        return benchmark_frameworks.run(name, problem)

    return run


OWN = ("biospike", "validation.speed.case", "validation.speed.watch")
FRAMEWORKS = ("torch", "validation.speed.peers.frameworks")
LOOP = ("validation.speed.peers.loop",)
SLOW: dict[str, Any] = {"most": 2.5e8}
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(name="loop", label="hand-written C++ loop", run=_loop(False), imports=LOOP, agreement=IDENTICAL),
        Peer(
            name="loop_skipping",
            label="the same, closed rows skipped",
            run=_loop(True),
            imports=LOOP,
            agreement=IDENTICAL,
            circuits=("race",),
        ),
        Peer(name="biospike", label="biospike, one core", run=_biospike(1), imports=OWN, agreement=IDENTICAL),
        Peer(
            name="biospike_cores",
            label="biospike, all cores",
            run=_biospike(None),
            imports=OWN,
            agreement=IDENTICAL,
        ),
        Peer(name="fused", label="biospike, fused", run=_biospike(1, "fused"), imports=OWN, agreement=IDENTICAL),
        Peer(
            name="numba",
            label="Numba loop",
            run=_numba,
            imports=("validation.speed.peers.with_numba",),
            needs=("numba",),
        ),
        Peer(
            name="jax",
            label="JAX scan",
            run=_jax,
            imports=("validation.speed.peers.with_jax",),
            needs=("jax",),
            **SLOW,
        ),
        Peer(name="numpy", label="NumPy loop", run=_numpy, imports=("validation.speed.peers.with_numpy",), **SLOW),
        Peer(
            name="brian2",
            label="plain Brian2, cython",
            run=_brian2,
            imports=("validation.speed.peers.plain_brian2",),
            needs=("Cython",),
            most_keys=256,
            **SLOW,
        ),
        Peer(
            name="nest",
            label="NEST",
            run=_nest,
            imports=("validation.speed.peers.with_nest",),
            needs=("nest",),
            circuits=("race", "escape"),
            most_keys=256,
            **SLOW,
        ),
        Peer(
            name="snntorch",
            label="snnTorch loop",
            run=_framework("snntorch"),
            imports=(*FRAMEWORKS, "snntorch"),
            needs=("torch", "snntorch"),
            **SLOW,
        ),
        Peer(
            name="spikingjelly",
            label="SpikingJelly loop",
            run=_framework("spikingjelly"),
            imports=(*FRAMEWORKS, "spikingjelly.activation_based.neuron"),
            needs=("torch", "spikingjelly"),
            **SLOW,
        ),
    )
}
REFERENCE = "biospike"
CEILING = "loop"


def timed(peer: Peer, problem: Problem, directory: Path) -> tuple[Outcome, dict[str, float]]:
    """Run a peer; seconds of the call, from the problem to its counts, on the wall and of the processor.

    Its imports come first and are not part of the call.
    """
    for name in peer.imports:
        importlib.import_module(name)
    wall, cpu = time.perf_counter(), _cpu_s()
    outcome = peer.run(problem, directory)
    call = {"call_wall_s": time.perf_counter() - wall, "call_cpu_s": _cpu_s() - cpu}
    loop = {"loop_wall_s": outcome.loop_wall_s, "loop_cpu_s": outcome.loop_cpu_s}
    return outcome, loop | call | {"compilations": outcome.compilations}


def _cpu_s() -> float:
    """Processor time of this process and of all children it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
