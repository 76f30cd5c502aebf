"""The spikes of a comparison of simulators, kept in one file: everything its tables and figures are made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.recording import write_atomically
from circuits import SOFTMAX_CIRCUITS
from validation.simulators.cases import Spikes, constant_cases, frozen_cases, noise_cases
from validation.simulators.tables import CaseResult, CircuitResult

RECORDINGS = ("brian2", "nest", "nest_same_refractory")


class Recorded(NamedTuple):
    """Everything that was recorded."""

    cases: list[CaseResult]
    circuits: dict[str, CircuitResult]
    logits: NDArray[np.float64]
    seed: int
    neurons: int


def save_results(results: Recorded, path: Path) -> None:
    """Write the spikes as ``.npz``: ``case/NAME/SIMULATOR/step`` and ``neuron``, ``circuit/NAME/SIMULATOR/...``.

    Spikes of a circuit also have a ``seed``, the number of their recording; their ``neuron`` counts the unmasked keys
    of ``logits``, row after row. Steps are counted from 0. ``about`` is JSON.
    """
    arrays: dict[str, Any] = {"logits": results.logits}
    for result in results.cases:
        for name in RECORDINGS:
            spikes = getattr(result, name)
            if spikes is not None:
                prefix = f"case/{result.case.name}/{name}"
                arrays |= {f"{prefix}/{field}": v.astype(np.int32) for field, v in spikes._asdict().items()}
    for circuit, found in results.circuits.items():
        for name in RECORDINGS[:2]:
            recordings = getattr(found, name)
            seed = np.repeat(np.arange(len(recordings)), [len(spikes.step) for spikes in recordings])
            columns = {"seed": seed} | {
                field: np.concatenate([getattr(spikes, field) for spikes in recordings]) for field in Spikes._fields
            }
            arrays |= {f"circuit/{circuit}/{name}/{field}": v.astype(np.int32) for field, v in columns.items()}
    about = {
        "seed": results.seed,
        "neurons": results.neurons,
        "cases": {result.case.name: result.siegert_neuron for result in results.cases},
        "circuits": {
            name: {
                "steps": found.steps,
                "recordings": [len(found.brian2), len(found.nest)],
                "differing": found.differing,
                "target": found.target,
            }
            for name, found in results.circuits.items()
        },
    }
    arrays["about"] = np.array(json.dumps(about))

    def write(file: Path) -> None:
        with file.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomically(path, write)


def load_results(path: Path) -> Recorded:
    """Read what `save_results` wrote.

    Raises
    ------
    InputError
        If the file is not one of these.
    """
    with np.load(path, allow_pickle=False) as file:
        if "about" not in file.files:
            raise InputError(f"{path} does not hold the spikes of compare_simulators: it has no 'about'")
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays["about"]))
    seed, neurons = about["seed"], about["neurons"]
    known = {case.name: case for case in [*constant_cases(), *frozen_cases(seed), *noise_cases(neurons)]}

    def spikes(prefix: str, chosen: Any = slice(None)) -> Spikes:
        return Spikes(*(arrays[f"{prefix}/{field}"][chosen].astype(np.int64) for field in Spikes._fields))

    cases = []
    for name, rate in about["cases"].items():
        prefix = f"case/{name}"
        same = f"{prefix}/{RECORDINGS[2]}"
        third = spikes(same) if f"{same}/step" in arrays else None
        brian2, nest = (spikes(f"{prefix}/{one}") for one in RECORDINGS[:2])
        cases.append(CaseResult(known[name], brian2, nest, third, rate))
    circuits = {}
    for name, found in about["circuits"].items():
        both = []
        for simulator, number in zip(RECORDINGS, found["recordings"], strict=False):
            prefix = f"circuit/{name}/{simulator}"
            both.append([spikes(prefix, arrays[f"{prefix}/seed"] == one) for one in range(number)])
        circuits[name] = CircuitResult(
            SOFTMAX_CIRCUITS[name](), found["steps"], both[0], both[1], found["differing"], found["target"]
        )
    return Recorded(cases, circuits, arrays["logits"], seed, neurons)
