"""How keys are wired to the hubs of their rows, and the bookkeeping that all groups share."""

from __future__ import annotations

import numpy as np

from biospike.circuit import Shape, Source
from biospike.random import BRIAN_FUNCTIONS
from biospike.session import assemble

import brian2 as b2
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
from brian2.units.fundamentalunits import Quantity

WIDE = dict.fromkeys(("index", "seed", "bit", "word", "row_spikes", "last_spike_at"), np.int64)
"""The ``dtype`` of every group: integer variables that outgrow the 32 bits which Brian2 gives an ``integer``.

Addresses of random numbers and spike words use up to 64 bits; the spikes of a row, up to keys times steps, and the
squares of the intervals that are counted in them exceed 2**31. All other integers are bounded by `MOST_STEPS`, the
spikes of a neuron and places of neurons among them, or by the number of trials, which is below 2**31.
"""
ADDRESS = """
occupied       : integer (shared, constant)  # neurons with a key, the first ones; 0 stands for all
seed           : integer (shared, constant)
hub_index      : integer (constant)          # row of this batch
trial          : integer (constant)
index          : integer (constant)          # row*KEY_STRIDE + key
"""

# The intervals between a key's spikes are counted in spikes of the row: their variation is the regularity of the
# code, free of the fluctuations of the row's rate. A key spikes at most once a step, so its own counts, like the steps,
# need 32 bits; a row may spike as often as it has keys, and its count needs 64.
COUNTERS = """
row_spikes     : integer (linked)
last_spike_at  : integer                     # row_spikes at the key's last spike
gap_sum        : 1                           # sum of the intervals, in spikes of the row
gap_square_sum : 1
"""
MEASURE_GAP = """
gap = 1.0*(row_spikes - last_spike_at)
gap_sum += int(spike_count > 0)*gap
gap_square_sum += int(spike_count > 0)*gap*gap
last_spike_at = row_spikes
"""

# Cumulative counts are kept by the spike itself: it enters every checkpoint that is still to come. That costs
# nothing while a neuron is silent, and memory that does not grow with the duration.
CHECKPOINT = """
count_{c}      : integer
checkpoint_{c} : integer (shared, constant)  # in steps
"""
COUNT_CHECKPOINT = "count_{c} += int(t_in_timesteps < checkpoint_{c})"


def is_compiled() -> bool:
    """Whether what is built now is written as C++.

    Where it is not, synapses are made from arrays: Brian2's generators are loops over all neurons in Python, which take
    longer than a short run. In C++ they cost nothing, and an array would be a file.
    """
    return isinstance(b2.get_device(), CPPStandaloneDevice)


def count_spikes(checkpoints: int) -> tuple[str, str]:
    """Equations and reset statements of a group that counts its spikes at every checkpoint, and in all."""
    marks = range(checkpoints)
    equations = "\n".join(["spike_count : integer", *(CHECKPOINT.format(c=c) for c in marks)])
    return equations, "\n".join(["spike_count += 1", *(COUNT_CHECKPOINT.format(c=c) for c in marks)])


def each_step_of(group: b2.NeuronGroup, statements: str, *, when: str, name: str, order: int = 0) -> None:
    """Let every neuron of a group execute statements each step, in which it writes nothing but its own variables.

    That promise, which the compiler cannot prove of variables that are linked between groups, is kept on the object,
    and lets the loop be compiled to vector instructions.
    """
    group.run_regularly(statements, when=when, order=order, name=name).independent = True


def rows_of_keys(
    equations: str,
    *,
    hub: str,
    on_spike: str,
    threshold: str,
    reset: str,
    shape: Shape,
    linked: tuple[str, ...] = (),
    each_step: str = "",
    hub_each_step: str = "",
    method: str = "euler",
    hub_method: str = "exact",
    refractory: str | bool = False,
    delay: Quantity | None = None,
    driven: bool = False,
) -> b2.Network:
    """Wire rows of key neurons to one hub a row, with the bookkeeping that every circuit shares.

    Parameters
    ----------
    equations
        Model of a key neuron.
    hub
        Model of the hub: the row's inhibitory population.
    on_spike
        What a key's spike does to its hub (``_post``), delivered in the step of the spike, after the thresholds.
    threshold, reset, method, hub_method, refractory
        As in `brian2.NeuronGroup`, of the keys unless the name says hub.
    shape
        Size of the network.
    linked
        Variables of the hub that the keys read (declared ``linked`` in `equations`).
    each_step
        Statements that every key executes before the thresholds, after the hub.
    hub_each_step
        Statements that every hub executes at the start of a step.
    delay
        Synaptic delay from key to hub.
    driven
        Whether the equations read a ``drive``, which then comes from the source of the shape.

    Returns
    -------
    Network
        Objects ``keys``, ``hub``, ``inhibition``, after the prefix of the shape. Order n synapses: never all-to-all.
    """
    counters, count_spike = count_spikes(shape.checkpoints)
    source = shape.source if driven else Source(keys="")
    model = b2.Equations("\n".join([equations, source.keys, ADDRESS, COUNTERS, counters]))
    after_spike = "\n".join([reset, MEASURE_GAP, count_spike])
    key_group = b2.NeuronGroup(
        shape.keys,
        model,
        threshold=threshold,
        reset=after_spike,
        refractory=refractory,
        method=method,
        dtype=WIDE,
        namespace=BRIAN_FUNCTIONS,
        name=f"{shape.prefix}keys",
    )
    hub_group = b2.NeuronGroup(
        shape.rows,
        b2.Equations(f"{hub}\n{source.hub}\nrow_spikes : integer"),
        method=hub_method,
        dtype=WIDE,
        namespace={},
        name=f"{shape.prefix}hub",
    )
    key_group.hub_index = 0 if shape.hub_index is None else shape.hub_index
    for variable in (*linked, *source.linked, "row_spikes"):
        setattr(key_group, variable, b2.linked_var(hub_group, variable, index="hub_index"))
    if hub_each_step:
        each_step_of(hub_group, hub_each_step, when="before_groups", name=f"{shape.prefix}hub_each_step")
    if each_step:
        each_step_of(key_group, each_step, when="before_thresholds", name=f"{shape.prefix}keys_each_step")
    # Only what a spike does is delayed: the row's spikes are counted in the step they fall in, up to the last one.
    count = f"row_spikes_post += 1\n{source.on_spike}"
    inhibition = b2.Synapses(
        key_group,
        hub_group,
        on_pre=f"{count}\n{on_spike}" if delay is None else {"count": count, "act": on_spike},
        delay=None if delay is None else {"act": delay},
        namespace={},
        name=f"{shape.prefix}inhibition",
    )
    if is_compiled():
        if shape.hub_index is None:
            # The arguments of a compiled run are read here, since hub_index is one of them.
            b2.get_device().apply_run_args()
        inhibition.connect(j="hub_index_pre")
    else:
        inhibition.connect(i=np.arange(shape.keys), j=np.array(key_group.hub_index))
    return assemble(key_group, hub_group, inhibition)
