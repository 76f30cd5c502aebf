"""Recorded spikes: the bits of integers, bit t of word w for step 64*w + t, read and written while a network runs.

Input spikes are state that is read when a run starts, and the spikes of every population are recorded in the same form.
One compiled circuit therefore serves all inputs, weights and durations of up to as many steps as there are bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.spike_words import BITS, COINCIDENCES

import brian2 as b2
from brian2 import Function

Spikes = NDArray[np.uint8]

DT = 1 * b2.ms
"""Length of a step; it labels the axis of time and nothing else."""

TAPE = "spikes_{w} : integer (constant)   # of steps 64*w to 64*w + 63, one bit a step"
READ_TAPE = "spike_at(spikes_{w}, t_in_timesteps - {start})"
RECORD = "record_{w} : integer   # spikes of steps 64*w to 64*w + 63 after the onset"
RECORD_SPIKE = "record_{w} = with_bit(record_{w}, t_in_timesteps - onset - {start})"


def spike_at(word: ArrayLike, step: ArrayLike) -> NDArray[np.float64]:
    """Bit `step` of the word, as 0.0 or 1.0; 0.0 for a step that it does not hold."""
    bits, place = np.asarray(word, dtype=np.int64).view(np.uint64), np.asarray(step, dtype=np.int64)
    inside = (place >= 0) & (place < BITS)
    shift = np.where(inside, place, 0).astype(np.uint64)
    return np.where(inside, (bits >> shift) & np.uint64(1), np.uint64(0)).astype(float)


def with_bit(word: ArrayLike, step: ArrayLike) -> NDArray[np.int64]:
    """Set bit `step` of the word; a step that it does not hold leaves it as it is."""
    place = np.asarray(step, dtype=np.int64)
    inside = (place >= 0) & (place < BITS)
    one = np.where(inside, np.left_shift(np.uint64(1), np.where(inside, place, 0).astype(np.uint64)), np.uint64(0))
    return np.asarray(word, dtype=np.int64) | one.view(np.int64)


def _function(python: Any, kind: str, cpp: str) -> Function:
    function = Function(
        python,
        arg_names=["word", "step"],
        arg_units=[1, 1],
        return_unit=1,
        arg_types=["integer", "integer"],
        return_type=kind,
        stateless=True,
    )
    name = python.__name__
    function.implementations.add_implementation("numpy", python, name=name)
    function.implementations.add_implementation("cpp", f"#include <stdint.h>\n{cpp}", name=name)
    declared = {"float": "double", "integer": "int64_t"}[kind]
    function.implementations.add_implementation(
        "cython",
        f'cdef extern from *:\n    """\n    #include <stdint.h>\n    {cpp}\n    """\n'
        f"    {declared} {name}(int64_t word, int64_t step)\n",
        name=name,
    )
    return function


# with_bit takes the word it changes: an expression of shared values alone would be kept in a 32-bit temporary.
FUNCTIONS: dict[str, Any] = COINCIDENCES | {
    "spike_at": _function(
        spike_at,
        "float",
        "static inline double spike_at(int64_t word, int64_t step) "
        "{ return (step >= 0 && step < 64) ? (double)(((uint64_t)word >> step) & 1u) : 0.0; }",
    ),
    "with_bit": _function(
        with_bit,
        "integer",
        "static inline int64_t with_bit(int64_t word, int64_t step) "
        "{ return (step >= 0 && step < 64) ? (int64_t)((uint64_t)word | ((uint64_t)1 << step)) : word; }",
    ),
}


def pack(spikes: ArrayLike, tape: int) -> list[NDArray[np.int64]]:
    """Words of spikes (T, ...): one array (neurons,) for each 64 steps."""
    rows = np.asarray(spikes).reshape(len(np.asarray(spikes)), -1).astype(np.uint64)
    tapes = np.zeros((tape, rows.shape[1]), np.uint64)
    for t, row in enumerate(rows):
        tapes[t // BITS] |= row << np.uint64(t % BITS)
    return list(tapes.view(np.int64))


def unpack(tapes: list[NDArray[np.int64]], steps: int) -> Spikes:
    """Spikes (steps, neurons) of words: the inverse of `pack`."""
    return np.array([spike_at(tapes[t // BITS], t % BITS) for t in range(steps)], np.uint8)


def recorded(neurons: int, name: str, tape: int) -> b2.NeuronGroup:
    """Neurons that repeat the spikes on their tape from step 0 on."""
    places = range(tape)
    group = b2.NeuronGroup(
        neurons,
        "\n".join([*(TAPE.format(w=w) for w in places), "bit : integer (constant)"]),
        threshold=" + ".join(READ_TAPE.format(w=w, start=BITS * w) for w in places) + " > 0",
        reset="",
        dtype={f"spikes_{w}": np.int64 for w in places} | {"bit": np.int64},
        namespace=FUNCTIONS,
        name=name,
    )
    return group


def recording(tape: int) -> tuple[str, str, dict[str, Any]]:
    """Equations, statements of a spike, and dtypes by which a population records its spikes from ``onset`` on."""
    places = range(tape)
    equations = "\n".join(RECORD.format(w=w) for w in places)
    on_spike = "\n".join(RECORD_SPIKE.format(w=w, start=BITS * w) for w in places)
    return equations, on_spike, {f"record_{w}": np.int64 for w in places}
