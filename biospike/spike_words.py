"""Spike words: the spikes that up to 64 neurons emit in one step, as the bits of one integer.

A sum over neurons of products of spikes, sum_d s_d*r_d, is then the number of bits that two words share. A matrix
product of spike trains such as S^Q (S^K)^T costs one operation for 64 products, and needs no synapse for each of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brian2 import Function

BITS = 64


def words(neurons: int) -> int:
    """Words that hold the spikes of this many neurons."""
    return -(-neurons // BITS)


def bit(neuron: ArrayLike) -> NDArray[np.int64]:
    """Bit of each neuron within its word, ``neuron // BITS``; the last is the sign bit of the integer."""
    shift = (np.asarray(neuron) % BITS).astype(np.uint64)
    return np.left_shift(np.uint64(1), shift).view(np.int64)


def coincidences(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Number of neurons that spiked in both words."""
    both = np.asarray(a, dtype=np.int64) & np.asarray(b, dtype=np.int64)
    return np.bitwise_count(both.view(np.uint64)).astype(float)


def _brian_function() -> Function:
    function = Function(
        coincidences,
        arg_names=["a", "b"],
        arg_units=[1, 1],
        return_unit=1,
        arg_types=["integer", "integer"],
        return_type="float",
        stateless=True,
    )
    cpp = "static inline double coincidences(int64_t a, int64_t b) { return (double)__builtin_popcountll(a & b); }"
    function.implementations.add_implementation("numpy", coincidences, name="coincidences")
    function.implementations.add_implementation("cpp", f"#include <stdint.h>\n{cpp}", name="coincidences")
    cython = f'cdef extern from *:\n    """\n    #include <stdint.h>\n    {cpp}\n    """\n'
    function.implementations.add_implementation(
        "cython", f"{cython}    double coincidences(int64_t a, int64_t b)\n", name="coincidences"
    )
    return function


COINCIDENCES: dict[str, Any] = {"coincidences": _brian_function()}
"""Namespace that makes `coincidences` usable in equations."""
