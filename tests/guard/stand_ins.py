"""What stands in for NEST and for the processes of the benchmark: made-up spikes and times, the same on every machine.

What is held with them is what the studies make of spikes and times: every table, not how a simulator is asked.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pytest

from biospike import execution, standalone
from biospike.ideal.softmax import softmax

NEST = "validation.simulators.nest"
"""The module that asks NEST."""
FIRED = 0.02
"""Probability of a spike a step."""


def without_nest(patch: pytest.MonkeyPatch, module: Any) -> None:
    """Give `module`, that of the study of simulators, coins for NEST, and a few short cases of single neurons."""
    spikes = sys.modules[module.Case.__module__].Spikes

    def coins(n: int, steps: int, seed: int) -> Any:
        return spikes(*np.nonzero(np.random.default_rng(seed).random((steps, n)) < FIRED))

    def neurons(nest: Any, parameters: Any, n: int, *, steps: int, seed: int = 1, **_: Any) -> Any:
        return coins(n, steps, seed)

    def rows(nest: Any, wiring: Any, unmasked: Any, *, steps: int, seed: int, **_: Any) -> Any:
        return coins(int(unmasked.sum()), steps, seed)

    prepare = module.prepare

    def short(config: Any) -> Any:
        study = prepare(config)
        kinds = {case.kind: case for case in study.cases}
        named = [case for case in study.cases if case.name.startswith("exactly")]
        return attrs.evolve(study, cases=[attrs.evolve(case, steps=200) for case in [*kinds.values(), *named]])

    patch.setattr(f"{NEST}.load_nest", lambda: SimpleNamespace(__version__="none"))
    patch.setattr(f"{NEST}.run_neurons", neurons)
    patch.setattr(f"{NEST}.run_rows", rows)
    patch.setattr(f"{NEST}.siegert_rate", lambda *_: 12.5)
    patch.setattr(module, "prepare", short)


def made_up_processes(patch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Start and compile nothing: a process of the benchmark says that it took so many seconds as were before it."""
    number = itertools.count(1)

    def answer(command: list[str], **options: Any) -> Any:
        place = Path(command[-1])
        if (place / "request.json").is_file():
            request = json.loads((place / "request.json").read_text())
            (place / "figures.json").write_text(json.dumps(_figures(request["task"], float(next(number)))))
            (place / "measured.json").write_text(json.dumps(_measured(float(next(number)))))
            if "problem" in request:
                np.save(place / "counts.npy", _counts(Path(request["problem"])))
        said, nothing = ("made up", "") if {"text", "encoding"} & options.keys() else (b"made up", b"")
        return subprocess.CompletedProcess(command, 0, said, nothing)

    patch.setattr(subprocess, "run", answer)
    patch.setattr(execution, "build_plans", lambda plans, target, progress: None)
    patch.setattr(standalone, "compiler", lambda: "c++")
    patch.setattr("validation.speed.measure.verify_study", lambda *_: "")
    patch.setattr("validation.speed.measure.expected_counts", lambda place, _: _counts(place / "problem"))
    patch.setattr("validation.speed.measure.missing", lambda peer: peer == "torch")
    patch.setattr("validation.speed.measure.lacks", lambda peer: "torch" if peer == "float32" else "")
    patch.setattr("validation.speed.measure.fused.library", lambda: None)
    patch.setattr("validation.speed.measure.build_loop", lambda _: None)
    patch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))


def _figures(task: str, seconds: float) -> dict[str, float]:
    """Answer of a worker."""
    timed = {"loop_wall_s": seconds, "loop_cpu_s": seconds, "call_wall_s": 2 * seconds, "call_cpu_s": 3 * seconds}
    return {
        "peer": timed | {"compilations": 0},
        "memory": {"before_mib": 10 * seconds, "binary_peak_mib": 20 * seconds},
        "attention": timed | {"neurons": 100, "steps": 200, "spikes": 300},
        "block": timed | {"steps": 200, "digest": 1, "compilations": 0},
        "published": {"call_cpu_s": seconds, "above_mib": 2 * seconds, "different": 0.0, "rate": 0.5},
        "study": {
            "inside_wall_s": seconds, "outside_wall_s": 2 * seconds, "before_wall_s": 3 * seconds,
            "after_wall_s": 4 * seconds, "outside_cpu_s": 5 * seconds, "binaries": 7, "compilations": 0,
        },
    }[task]  # fmt: skip


def _measured(seconds: float) -> dict[str, float]:
    """What the process that starts a worker says of it."""
    return {"process_wall_s": seconds, "process_cpu_s": seconds, "peak_mib": 100 * seconds, "code": 0}


def _counts(problem: Path) -> Any:
    """One spike a step and slot, shared as exactly as whole spikes can be: (slots, keys, checkpoints)."""
    trials = json.loads((problem / "problem.json").read_text())["trials"]
    shares = np.tile(softmax(np.load(problem / "logits.npy")), (trials, 1))
    return np.rint(shares[..., None] * np.load(problem / "marks.npy")).astype(np.int32)
