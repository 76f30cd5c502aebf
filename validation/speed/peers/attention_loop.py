"""Compile and call ``attention_loop.cpp``, the hand-written loop that is the ceiling of the attention block."""

from __future__ import annotations

import ctypes
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike import standalone
from biospike.errors import InputError

SOURCE = Path(__file__).with_suffix(".cpp")
LIBRARY = "attention_loop.so"
GROUPS = ("encoder", "neurons", "keys", "outputs")
WHOLE = (
    *("slots", "tokens", "features", "copies", "heads", "width", "marks", "steps"),
    *("seed", "from_step", "score_from", "score_to", "attend_from", "first_spikes", "regularity"),
)
REAL = ("step_charge", "keep", "release", "w", "fall")
GIVEN = (
    *("mark", "trial", "input_index", "row_index", "x", "weights", "bias", "v"),
    *("charge", "unmasked", "key_v", "key_theta", "reference"),
)
MADE = ("inputs", "streams", "keys", "outputs", "end_keys", "scores", "row_spikes", "repeated")


class Case(ctypes.Structure):
    """As the source declares it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in WHOLE),
        *((name, ctypes.c_double) for name in REAL),
        *((name, ctypes.c_void_p) for name in (*GIVEN, *MADE)),
    )


def build(directory: Path) -> Path:
    """Compile the loop into `directory`; raises `BuildError` if the compiler fails."""
    compiler, *arguments = standalone.compiler_command()
    library = directory / LIBRARY
    command = [compiler, *arguments, *standalone.FLAGS, "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-lm"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode != 0:
        raise standalone.BuildError(f"{compiler} failed on {SOURCE.name}: {done.stderr[-2000:]}")
    return library


class Loop:
    """What runs a batch in the place of `biospike.fused.run_circuit`; ``took`` is the processor time of the loop."""

    def __init__(self, library: Path) -> None:
        self.function = ctypes.CDLL(str(library)).attention_loop
        self.took = 0.0

    def __call__(
        self, circuit: Any, target: str, shape: Any, state: dict[str, Any], *, dt: float, steps: int
    ) -> dict[str, NDArray[Any]]:
        """Counts by ``group.name``, from the state that the network would start from.

        Raises
        ------
        InputError
            If the block is not of the one kind that the loop knows.
        """
        _require(circuit, state)
        r, n, h, d, marks = shape.slots, shape.tokens, shape.heads, shape.width, shape.checkpoints
        copies, rows = int(circuit.structure["copies"]), shape.slots * shape.heads * shape.tokens
        counts = {
            "inputs": r * n * copies * shape.features, "streams": r * n * 3 * h * d * 2,
            "keys": rows * n, "outputs": r * n * h * d * 2,
        }  # fmt: skip

        def whole(name: str, size: int) -> NDArray[np.int64]:
            return np.broadcast_to(np.asarray(state[name], dtype=np.int64).ravel(), size)

        def real(name: str, size: int) -> NDArray[np.float64]:
            return np.array(np.broadcast_to(np.asarray(state.get(name, 1.0), dtype=float).ravel(), size))

        marked = [[int(state[f"{group}.checkpoint_{m}"]) for m in range(marks)] for group in GROUPS]
        given = {
            "mark": np.array(marked),
            "trial": whole("encoder.trial", counts["inputs"]).reshape(r, -1)[:, 0].copy(),
            "input_index": whole("encoder.index", counts["inputs"]).reshape(r, -1)[:, 0].copy(),
            "row_index": whole("keys.index", counts["keys"]).reshape(rows, n)[:, 0].copy(),
            "x": real("encoder.x", counts["inputs"]),
            "weights": np.array(np.asarray(state["weights.w"])[0], dtype=float),
            "bias": np.array(np.asarray(state["dendrites.bias"])[0], dtype=float),
            "v": real("neurons.v", counts["streams"]),
            "charge": real("keys.charge", counts["keys"]).reshape(rows, n)[:, 0].copy(),
            "unmasked": real("keys.unmasked", counts["keys"]),
            "key_v": real("keys.v", counts["keys"]),
            "key_theta": real("keys.theta", counts["keys"]),
            "reference": real("hub.reference", rows),
        }
        made: dict[str, NDArray[Any]] = {name: np.zeros((marks, size), np.int32) for name, size in counts.items()}
        made |= {"end_keys": np.zeros(counts["keys"], np.int32), "scores": np.zeros((marks, counts["keys"]))}
        made |= {"row_spikes": np.zeros(rows, np.int64), "repeated": np.zeros(r, np.int64)}
        case = Case(
            slots=r, tokens=n, features=shape.features, copies=copies, heads=h, width=d, marks=marks, steps=steps,
            seed=int(state["keys.seed"]), regularity=int(state.get("keys.regularity", 0)),
            from_step=int(state["neurons.from_step"]), score_from=int(state["keys.score_from"]),
            score_to=int(state["keys.score_to"]), attend_from=int(state["hub.attend_from"]),
            first_spikes=int(state["hub.first_spikes"]), step_charge=float(state["keys.R0_drive"]) * dt,
            keep=float(state["keys.keep"]), release=float(state["hub.release"]), w=float(state["hub.w_reference"]),
            fall=float(state["hub.fall"]), **{name: one.ctypes.data for name, one in (given | made).items()},
        )  # fmt: skip
        before = time.process_time()
        self.function(ctypes.byref(case))
        self.took += time.process_time() - before
        names = {"encoder.count": "inputs", "neurons.count": "streams", "keys.count": "keys", "keys.A": "scores"}
        found = {f"{name}_{m}": made[of][m] for name, of in names.items() for m in range(marks)}
        found |= {f"outputs.count_{m}": made["outputs"][m] for m in range(marks)}
        return found | {name: made[name] for name in ("repeated",)} | {
            "keys.spike_count": made["end_keys"], "hub.row_spikes": made["row_spikes"],
        }  # fmt: skip


def _require(circuit: Any, state: dict[str, Any]) -> None:
    """Raise `InputError` unless inputs are Bernoulli, membranes have no leak, rows are pinned, and keys no delay."""
    kinds = (circuit.encoder.name, circuit.softmax.name)
    if kinds[0] != "bernoulli" or kinds[1] not in ("escape", "integrate") or circuit.structure["delay"] != 0:
        raise InputError(f"the loop knows Bernoulli inputs, rows of escape or integrate and no delay, got {kinds}")
    if not np.isinf(float(state["neurons.tau_m"])):
        raise InputError("the loop knows no leak")
