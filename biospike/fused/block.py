"""A batch of attention blocks by a kernel: from the state that its network would start from, to what it would count.

The state is that of `circuits.attention.SpikingAttention`. One matrix of weights serves all tokens: as a network has
it, a list entry a synapse, 256 tokens of 384 features need gigabytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from biospike.errors import RunError
from biospike.fused.compiled import library
from biospike.state import fitting
from biospike.translation_unit import FLAGS

ENCODERS = ("bernoulli", "poisson", "regular")
ROWS = ("pinned", "race", "divided")
"""Kernels of encoders and rows, as ``kernels/block.h`` numbers them."""
STREAMS = 3
GROUPS = ("encoder", "neurons", "keys", "outputs")
"""What counts, in the order of the job's marks."""

Array = NDArray[Any]


class Shape(Protocol):
    """Size of a batch; see `circuits.projection.BlockShape`."""

    @property
    def slots(self) -> int:
        """Copies of the network."""

    @property
    def tokens(self) -> int:
        """Of one input."""

    @property
    def features(self) -> int:
        """Of one token."""

    @property
    def heads(self) -> int:
        """Number of heads."""

    @property
    def width(self) -> int:
        """Units of a head."""

    @property
    def checkpoints(self) -> int:
        """How many cumulative counts are kept."""


class Job(ctypes.Structure):
    """As ``kernels/block.h`` declares it."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in (
                *("slots", "tokens", "features", "copies", "heads", "width", "marks", "steps"),
                *("seed", "encoder", "rows", "regularity", "closed", "delay"),
                *("from_step", "score_from", "score_to", "attend_from", "first_spikes"),
            )
        ),
        *(
            (name, ctypes.c_double)
            for name in ("dt", "tau_m", "rate_per_step", "R0", "keep", "release", "w", "fall", "g_half", "tau_g")
        ),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("mark", "trial", "input_index", "row_index", "x", "input_v", "input_theta", "weights", "bias", "v"),
                *("charge", "unmasked", "key_v", "key_theta", "reference", "hub"),
                *("input_count", "stream_count", "key_count", "score", "output_count", "spike_count", "row_spikes"),
                "repeated",
            )
        ),
    )


def run(
    parts: Sequence[str],
    structure: dict[str, Any],
    shape: Shape,
    state: dict[str, Any],
    *,
    dt: float,
    steps: int,
    nearly: bool = True,
    flags: tuple[str, ...] = FLAGS,
) -> dict[str, Array]:
    """Run the kernel on the state that a network would start from.

    Parameters
    ----------
    parts
        Kernels of the encoder and of the rows: one of `ENCODERS` and one of `ROWS`.
    structure
        Of the block: `copies` of the encoders, and the `delay` of the keys, second.
    shape
        Size of the network.
    state
        Initial values, SI base units, by ``group.name``, as of `circuits.presentation.Presentation.state`.
    dt, steps
        Step in second, and how many.
    nearly
        False: every exponential is that of the library, which finds the same spikes.
    flags
        Of the library.

    Returns
    -------
    dict
        What `circuits.attention.SpikingAttention.collect` takes, by ``group.name``, and ``repeated`` (slots,): 1 where
        a spike was in doubt, and the slot was run again with exact exponentials.

    Raises
    ------
    biospike.standalone.BuildError
        If the kernels cannot run here.
    RunError
        If a value does not fit, or a variable is not finite at the end.
    """
    loaded, (encoder, rows) = library(flags), parts
    r, n, h, d, marks = shape.slots, shape.tokens, shape.heads, shape.width, shape.checkpoints
    copies = int(structure["copies"])
    inputs, neurons, keys, outputs = n * copies * shape.features, 2 * n * STREAMS * h * d, h * n * n, 2 * n * h * d

    def real(name: str, size: tuple[int, ...], default: float | None = None) -> Array:
        value = state[name] if default is None else state.get(name, default)
        return np.ascontiguousarray(fitting(name, value, np.float64, int(np.prod(size))).reshape(size))

    def whole(name: str, size: tuple[int, ...]) -> Array:
        return fitting(name, state[name], np.int64, int(np.prod(size))).reshape(size)

    hub = {"race": "hub.opens_at", "divided": "hub.g"}.get(rows)
    index, row_index = whole("encoder.index", (r, inputs)), whole("keys.index", (r * h * n, n))
    charge = real("keys.charge", (r * h * n, n))
    trial = whole("encoder.trial", (r, inputs))[:, 0]
    _require("addresses in a line", np.diff(index) == 1, np.diff(row_index) == 1)
    _require("one charge a row", charge == charge[:, :1])
    _require("one trial a slot", whole("keys.trial", (r, h * n * n)) == trial[:, None])
    _require("one seed", np.array(state["keys.seed"] == state["encoder.seed"]))
    if rows == "pinned":
        _require("rows without inhibition of their own", real("hub.w", (1,)) == 0, real("hub.I", (r * h * n,)) == 0)
    given = {
        "mark": np.array([[int(state[f"{group}.checkpoint_{c}"]) for c in range(marks)] for group in GROUPS]),
        "trial": trial.copy(),
        "input_index": index[:, 0].copy(),
        "row_index": row_index[:, 0].copy(),
        "x": real("encoder.x", (r, inputs)),
        "input_v": real("encoder.v", (r, inputs), 0.0),
        "input_theta": real("encoder.theta", (r, inputs), 1.0),
        "weights": _shared("weights.w", state["weights.w"], r * n, shape.features * STREAMS * h * d),
        "bias": _shared("dendrites.bias", state["dendrites.bias"], r * n, STREAMS * h * d),
        "v": real("neurons.v", (r, neurons)),
        "charge": charge[:, 0].copy(),
        "unmasked": real("keys.unmasked", (r, keys)),
        "key_v": real("keys.v", (r, keys), 0.0),
        "key_theta": real("keys.theta", (r, keys), 1.0),
        "reference": real("hub.reference", (r * h * n,)),
        "hub": np.zeros(1) if hub is None else real(hub, (r * h * n,)),
    }
    made: dict[str, Array] = {
        "input_count": np.zeros((marks, r * inputs), dtype=np.int32),
        "stream_count": np.zeros((marks, r * neurons), dtype=np.int32),
        "key_count": np.zeros((marks, r * keys), dtype=np.int32),
        "score": np.zeros((marks, r * keys)),
        "output_count": np.zeros((marks, r * outputs), dtype=np.int32),
        "spike_count": np.zeros(r * keys, dtype=np.int32),
        "row_spikes": np.zeros(r * h * n, dtype=np.int64),
        "repeated": np.zeros(r, dtype=np.int64),
    }
    job = Job(
        slots=r,
        tokens=n,
        features=shape.features,
        copies=copies,
        heads=h,
        width=d,
        marks=marks,
        steps=steps,
        seed=int(state["keys.seed"]),
        encoder=ENCODERS.index(encoder),
        rows=ROWS.index(rows),
        regularity=int(state.get("keys.regularity", 0)),
        closed=int(state.get("hub.closed_steps", 0)),
        delay=round(structure["delay"] / dt),
        from_step=int(state["neurons.from_step"]),
        score_from=int(state["keys.score_from"]),
        score_to=int(state["keys.score_to"]),
        attend_from=int(state["hub.attend_from"]),
        first_spikes=int(state["hub.first_spikes"]),
        dt=dt,
        tau_m=float(state["neurons.tau_m"]),
        rate_per_step=float(state.get("encoder.rate_per_step", 1.0)),
        R0=float(state["keys.R0_drive"]),
        keep=float(state["keys.keep"]),
        release=float(state["hub.release"]),
        w=float(state["hub.w_reference"]),
        fall=float(state["hub.fall"]),
        g_half=float(state.get("hub.g_half", 1.0)),
        tau_g=float(state.get("hub.tau_g", 1.0)),
        **{key: values.ctypes.data for key, values in (given | made).items()},
    )
    if loaded.biospike_block(ctypes.byref(job), ctypes.c_int(nearly)):
        raise RunError("attention: a membrane or reference potential is not finite at the end of the run")
    counted = {"encoder.count": "input_count", "neurons.count": "stream_count", "keys.count": "key_count"}
    counted |= {"keys.A": "score", "outputs.count": "output_count"}
    found = {f"{name}_{c}": made[of][c] for name, of in counted.items() for c in range(marks)}
    return found | {
        "keys.spike_count": made["spike_count"],
        "hub.row_spikes": made["row_spikes"],
        "repeated": made["repeated"],
    }


def _require(what: str, *true: Array) -> None:
    """Raise `RunError` unless all of it is true: the kernel takes it for granted."""
    if not all(one.all() for one in true):
        raise RunError(f"attention: target 'fused' needs {what}")


def _shared(name: str, value: Any, copies: int, size: int) -> Array:
    """What all of `copies` have in common; it is not written out for each."""
    values = np.asarray(value)
    if values.shape[0] != copies or values[0].size != size or (values.strides[0] and (values != values[:1]).any()):
        raise RunError(f"attention: target 'fused' needs {name} to be the same for all {copies} tokens")
    return fitting(name, values[0], np.float64, size).copy()
