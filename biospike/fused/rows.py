"""A batch of rows by a kernel: from the state that its network would start from, to the spikes that it would count."""

from __future__ import annotations

import ctypes
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import RunError
from biospike.fused.compiled import library
from biospike.project import Sized
from biospike.state import check_finite, fitting
from biospike.translation_unit import FLAGS


class Job(ctypes.Structure):
    """As ``kernels/job.h`` declares it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("rows", "steps", "marks", "seed", "regularity", "closed")),
        *((name, ctypes.c_double) for name in ("dt", "a", "b")),
        *((name, ctypes.c_void_p) for name in ("first", "trial", "mark", "index", "hub", "drive", "v", "theta")),
        *((name, ctypes.c_void_p) for name in ("counts", "spike_count", "row_spikes", "gap_sum", "gap_square_sum")),
        *((name, ctypes.c_void_p) for name in ("hub_end", "repeated")),
    )


@attrs.frozen
class Kernel:
    """What a kernel is called, and where it finds its numbers in the state of a network.

    Attributes
    ----------
    function : str
        Of the library.
    hub : str
        Variable of the hubs that changes.
    a, b : str
        Real constants, as the kernel calls them; empty where it has none.
    """

    function: str
    hub: str
    a: str = ""
    b: str = ""


KERNELS: dict[str, Kernel] = {
    "pinned": Kernel("biospike_pinned", "hub.I", "hub.w", "hub.R0"),
    "race": Kernel("biospike_race", "hub.opens_at"),
    "divided": Kernel("biospike_divided", "hub.g", "hub.g_half", "hub.tau_g"),
    "race_continuous": Kernel("biospike_race_continuous", "hub.opens_at"),
    "pinned_continuous": Kernel("biospike_pinned_continuous", "hub.I", "hub.w", "hub.R0"),
}
INTEGERS, REALS = np.dtype(np.int64), np.dtype(np.float64)


def run(
    name: str,
    shape: Sized,
    state: dict[str, Any],
    *,
    dt: float,
    steps: int,
    clocked: bool = True,
    flags: tuple[str, ...] = FLAGS,
) -> dict[str, NDArray[Any]]:
    """Run a kernel on the state that a network would start from.

    Parameters
    ----------
    name
        Of `KERNELS`.
    shape
        Size of the network: hubs, keys and checkpoints.
    state
        Initial values, SI base units, by ``group.name``, as of `biospike.packing.Plan.state`. Checkpoints increase.
    dt, steps
        Step in second, and how many.
    clocked
        False: every row of integrators is walked step by step, which finds the same spikes.
    flags
        Of the library.

    Returns
    -------
    dict
        The counts and moments that `biospike.packing.Plan.collect` takes, by ``group.name``, and ``repeated`` (rows,):
        1 where the clock of a row left a spike in doubt, and it was walked.

    Raises
    ------
    biospike.standalone.BuildError
        If the kernels cannot run here.
    RunError
        If a value does not fit, or a variable is not finite at the end.
    """
    kernel, loaded = KERNELS[name], library(flags)
    hubs, neurons, checkpoints = shape.sizes
    used = int(state["keys.occupied"])

    def of_keys(variable: str, kind: np.dtype[Any], default: float = 0) -> NDArray[Any]:
        full = f"keys.{variable}"
        return np.ascontiguousarray(fitting(full, state.get(full, default), kind, neurons)[:used])

    marks = np.array([int(state[f"keys.checkpoint_{c}"]) for c in range(checkpoints)])
    if np.any(np.diff(marks) <= 0):
        raise RunError(f"{name}: checkpoints must increase, got {marks.tolist()}")
    first = np.searchsorted(of_keys("hub_index", INTEGERS), np.arange(hubs + 1))
    given = {
        "first": first,
        # A row without keys has no trial.
        "trial": np.append(of_keys("trial", INTEGERS), 0)[first[:-1]],
        "mark": marks,
        "index": of_keys("index", INTEGERS),
        "hub": np.array(fitting(kernel.hub, state[kernel.hub], REALS, hubs)),
        "drive": of_keys("drive", REALS),
        "v": of_keys("v", REALS),
        "theta": of_keys("theta", REALS, 1.0),
    }
    made: dict[str, NDArray[Any]] = {
        "counts": np.zeros((neurons, checkpoints), dtype=np.int32),
        "spike_count": np.zeros(neurons, dtype=np.int32),
        "row_spikes": np.zeros(hubs, dtype=np.int64),
        "gap_sum": np.zeros(neurons),
        "gap_square_sum": np.zeros(neurons),
        "hub_end": np.zeros(hubs),
        "repeated": np.zeros(hubs, dtype=np.int64),
    }
    job = Job(
        rows=int(np.count_nonzero(np.diff(first))),  # those without keys are the last
        steps=steps,
        marks=checkpoints,
        seed=int(state["keys.seed"]),
        regularity=int(state.get("keys.regularity", 0)),
        closed=int(state.get("hub.closed_steps", 0)),
        dt=dt,
        a=float(state.get(kernel.a, 0.0)),
        b=float(state.get(kernel.b, 0.0)),
        **{key: values.ctypes.data for key, values in (given | made).items()},
    )
    wrong = getattr(loaded, kernel.function)(ctypes.byref(job), ctypes.c_int(clocked))
    check_finite(name, {kernel.hub: made["hub_end"]})
    if wrong:
        raise RunError(f"{name}: keys.v is not finite at the end of the run")
    counts = {f"keys.count_{c}": made["counts"][:, c] for c in range(checkpoints)}
    of_all = {f"keys.{key}": made[key] for key in ("spike_count", "gap_sum", "gap_square_sum")}
    return counts | of_all | {"hub.row_spikes": made["row_spikes"], "repeated": made["repeated"]}
