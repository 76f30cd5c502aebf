"""What the transformer circuits are wired from: discrete LIF neurons, gates, graded units, and their synapses.

Exactness. The neurons are those of `biospike.ideal.lif`, statement by statement. A synapse adds to a current in the
step of its spike, in the order of the sources' indices; neurons read it, and clear it, at the start of the next step.
So every synaptic layer costs one step, and a sum of real weights has the order of `ideal.attention.ordered_matmul`.

Brian2 moves shared factors out of loops and rewrites ``x = x/c`` as ``x *= 1/c``. Here that changes no bit: the neurons
divide by tau, which is 2 or infinite, and every other statement rounds once, or multiplies by 0 or 1.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.ideal.attention import Affine
from biospike.ideal.lif import DiscreteLIF
from biospike.wiring import each_step_of
from circuits.projection import connect
from circuits.transformers.tape import DT, FUNCTIONS, recording

import brian2 as b2

NEURONS = """
v        : 1
current  : 1                 # of the last step's spikes
bias     : 1 (constant)
scale    : 1 (constant)
bit      : integer (constant)   # place in a spike word
"""
WEIGHTED = "current + bias"
SCALED = "scale*current"
# Biases start with the first input that can have arrived: membranes rest until then.
DRIVE = """
X = ({drive})*int(t_in_timesteps >= onset)
current = 0
"""

GATE = """
a        : 1
b        : 1
both     : 1
"""
CLOSE_GATE = """
both = a*b
a = 0
b = 0
"""

GRADED = """
current  : 1
bias     : 1 (constant)
y        : 1                 # weighted spikes of the last step
bit      : integer (constant)   # place in the word that gates its synapses
"""


def discrete_neurons(
    neurons: int, name: str, kind: DiscreteLIF, *, drive: str, onset: int, tape: int, more: str = "", **dtypes: Any
) -> b2.NeuronGroup:
    """Neurons of one of the conventions of `biospike.ideal.lif`, driven by synapses.

    Parameters
    ----------
    neurons
        How many.
    name
        Name of the group.
    kind
        The convention and its constants.
    drive
        `WEIGHTED` or `SCALED`: what enters the formula in the place of its input.
    onset
        First step whose input counts; spikes are recorded from it on.
    tape
        Words of recorded steps.
    more
        Further equations.
    dtypes
        Types of their variables.
    """
    update, reset = kind.statements()
    equations, on_spike, types = recording(tape)
    constants = {key: value for key, value in attrs.asdict(kind).items() if isinstance(value, float)}
    group = b2.NeuronGroup(
        neurons,
        f"{NEURONS}\n{equations}\n{more}",
        threshold=kind.threshold,
        reset=f"{reset}\n{on_spike}",
        dtype=types | {"bit": np.int64} | dtypes,
        namespace=FUNCTIONS | constants | {"onset": onset},
        name=name,
    )
    each_step_of(
        group, DRIVE.format(drive=drive) + update.replace("stim(t, i)", "X"), when="groups", name=f"{name}_each_step"
    )
    return group


def gates(neurons: int, name: str, *, onset: int, tape: int) -> b2.NeuronGroup:
    """Neurons that spike in the step after both of their inputs, ``a`` and ``b``, have arrived together."""
    equations, on_spike, types = recording(tape)
    group = b2.NeuronGroup(
        neurons,
        f"{GATE}\n{equations}",
        threshold="both > 0",
        reset=on_spike,
        dtype=types,
        namespace=FUNCTIONS | {"onset": onset},
        name=name,
    )
    each_step_of(group, CLOSE_GATE, when="groups", name=f"{name}_each_step")
    return group


def graded(neurons: int, name: str, *, more: str = "", each_step: str, **dtypes: Any) -> b2.NeuronGroup:
    """Units without threshold, which send a real value through their synapses in every step."""
    group = b2.NeuronGroup(
        neurons,
        f"{GRADED}\n{more}",
        threshold="t_in_timesteps >= 0",
        reset="",
        dtype={"bit": np.int64} | dtypes,
        namespace={},
        name=name,
    )
    each_step_of(group, each_step, when="groups", name=f"{name}_each_step")
    return group


def synapses(
    source: b2.NeuronGroup,
    target: b2.NeuronGroup,
    on_pre: str,
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    *,
    model: str = "",
    delay: int = 0,
    part: str = "",
) -> b2.Synapses:
    """One-to-one lists of sources and targets; a delay in steps comes on top of the step that every layer costs."""
    i, j = np.broadcast_arrays(i, j)
    made = b2.Synapses(
        source,
        target,
        model,
        on_pre=on_pre,
        delay=delay * DT,
        namespace=FUNCTIONS,
        name=f"{source.name}_to_{target.name}{part}",
    )
    made.connect(i=i.ravel(), j=j.ravel())
    return made


def project(source: b2.NeuronGroup, target: b2.NeuronGroup, features: int, units: int) -> b2.Synapses:
    """All-to-all synapses within tokens, with weights ``w`` (tokens, features, units)."""
    return connect(source, target, features, units, f"{source.name}_to_{target.name}")


def project_state(source: str, target: str, layers: tuple[Affine, ...], rows: int) -> dict[str, Any]:
    """Weights and biases of `project`, for layers side by side."""
    weight = np.concatenate([layer.weight for layer in layers], axis=1)
    bias = np.concatenate([layer.bias for layer in layers])
    return {
        f"{source}_to_{target}.w": np.broadcast_to(weight, (rows, *weight.shape)).ravel(),
        f"{target}.bias": np.broadcast_to(bias, (rows, bias.size)).ravel(),
    }


def link_words(
    group: b2.NeuronGroup, axons: b2.NeuronGroup, places: dict[str, NDArray[np.int64]], statements: str
) -> None:
    """Link variables of the group to spike words, and read them once a step, before they are cleared."""
    for name, place in places.items():
        setattr(group, name, b2.linked_var(axons, "word", index=place.ravel()))
    each_step_of(group, statements, when="before_groups", name=f"{group.name}_read_each_step")
