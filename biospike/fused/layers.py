"""Layers of the published blocks by a kernel: weighted spikes in the order of their network, and what neurons answer.

No layer of these blocks feeds back on one before it: a block is its layers, one after another, each for all steps.
What is not a sum of real numbers needs no kernel, and is left to NumPy.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import RunError
from biospike.fused.compiled import library
from biospike.ideal.attention.layers import Affine, Reals, Spikes
from biospike.ideal.lif import DiscreteLIF, SpikingJellyHard, SpikingJellySoft
from biospike.translation_unit import FLAGS

NONE, HARD, SOFT = range(3)
"""What answers, as ``kernels/layer.h`` numbers it."""


class Job(ctypes.Structure):
    """As ``kernels/layer.h`` declares it."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("items", "steps", "rows", "features", "units", "neuron")),
        *((name, ctypes.c_double) for name in ("gain", "v_th", "v_reset")),
        *((name, ctypes.c_void_p) for name in ("x", "weights", "bias", "spikes", "currents")),
    )


def fire(x: ArrayLike, layer: Affine, neuron: DiscreteLIF, *, flags: tuple[str, ...] = FLAGS) -> Spikes:
    """Spikes (T, ..., units) of neurons at rest, driven by the weighted spikes of a layer.

    Parameters
    ----------
    x
        Spikes, 0 or 1, (T, ..., features).
    layer
        Weights and biases.
    neuron
        A hard reset and a tau that is a power of two, or a soft one without leak.
    flags
        Of the library.

    Raises
    ------
    biospike.standalone.BuildError
        If the kernels cannot run here.
    RunError
        If the neuron has no kernel, or a membrane is not finite at the end.
    """
    spikes = np.asarray(x)
    rows = spikes.reshape(1, len(spikes), -1, spikes.shape[-1])
    made = _run(rows, layer.weight[None], layer.bias, flags=flags, **_constants(neuron))
    return made.reshape(*spikes.shape[:-1], -1)


def weigh(x: ArrayLike, layer: Affine, *, flags: tuple[str, ...] = FLAGS) -> Reals:
    """Currents (..., units) of a layer, for spikes (..., features); arguments and errors as of `fire`."""
    spikes = np.asarray(x)
    made = _run(spikes.reshape(1, 1, -1, spikes.shape[-1]), layer.weight[None], layer.bias, neuron=NONE, flags=flags)
    return made.reshape(*spikes.shape[:-1], -1)


def multiply(spikes: ArrayLike, values: ArrayLike, *, flags: tuple[str, ...] = FLAGS) -> Reals:
    """Products (..., n, m) of spikes (..., n, k) and real values (..., k, m), added in the order of k; as `fire`."""
    left, right = np.asarray(spikes), np.asarray(values)
    leading = left.shape[:-2]
    rows = left.reshape(-1, 1, *left.shape[-2:])
    made = _run(rows, right.reshape(-1, *right.shape[-2:]), np.zeros(right.shape[-1]), neuron=NONE, flags=flags)
    return made.reshape(*leading, left.shape[-2], right.shape[-1])


def _constants(neuron: DiscreteLIF) -> dict[str, Any]:
    """How the kernel calls a neuron, and its constants."""
    if isinstance(neuron, SpikingJellyHard) and neuron.decay_input and math.frexp(neuron.tau)[0] == 0.5:
        return {"neuron": HARD, "gain": 1 / neuron.tau, "v_th": neuron.v_th, "v_reset": neuron.v_reset}
    if isinstance(neuron, SpikingJellySoft) and not neuron.decay_input and neuron.tau == math.inf:
        return {"neuron": SOFT, "v_th": neuron.v_th}
    raise RunError(f"target 'fused' has no kernel for neurons {neuron}")


def _run(x: NDArray[Any], weights: NDArray[Any], bias: ArrayLike, *, flags: tuple[str, ...], **constants: Any) -> Any:
    """Run the kernel on spikes (items, steps, rows, features) and weights (items, features, units)."""
    items, steps, rows, features = x.shape
    units = weights.shape[-1]
    if weights.shape != (items, features, units) or np.shape(bias) != (units,):
        raise RunError(f"target 'fused': {x.shape} spikes do not fit {weights.shape} weights, {np.shape(bias)} biases")
    given: dict[str, NDArray[Any]] = {
        "x": np.ascontiguousarray(x, dtype=np.uint8),
        "weights": np.ascontiguousarray(weights, dtype=np.float64),
        "bias": np.ascontiguousarray(bias, dtype=np.float64),
    }
    kind, place = (np.float64, "currents") if constants["neuron"] == NONE else (np.uint8, "spikes")
    made = np.empty((items, steps, rows, units), kind)
    arrays = {name: array.ctypes.data for name, array in (given | {place: made}).items()}
    job = Job(items=items, steps=steps, rows=rows, features=features, units=units, **constants, **arrays)
    if library(flags).biospike_layer(ctypes.byref(job)):
        raise RunError("target 'fused': a membrane is not finite at the end of the run")
    if place == "currents" and not np.isfinite(made).all():
        raise RunError("target 'fused': a current is not finite")
    return made
