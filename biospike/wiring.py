"""How keys are wired to the hubs of their rows, and the bookkeeping that all groups share."""

from __future__ import annotations

import attrs
import numpy as np

from biospike.circuit import Shape, Source
from biospike.random import BRIAN_FUNCTIONS
from biospike.session import assemble

import brian2 as b2
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
from brian2.units.fundamentalunits import Quantity

WIDE = dict.fromkeys(("index", "seed", "bit", "word", "row_spikes", "last_spike_at", "interneuron_spikes"), np.int64)
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
index          : integer (constant)          # row*KEY_STRIDE + key + member*MEMBER_STRIDE
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


@attrs.frozen(kw_only=True)
class Population:
    """Neurons that are alike: those of all keys, or the interneurons of all rows.

    Attributes
    ----------
    equations
        Model of a neuron.
    on_spike
        What a spike does to the hub of its row (``_post``), delivered in the step of the spike, after the thresholds.
    threshold, reset, method, refractory
        As in `brian2.NeuronGroup`.
    linked
        Variables of the hub that the neurons read (declared ``linked`` in `equations`).
    each_step
        Statements that every neuron executes before the thresholds, after the hub.
    delay
        Synaptic delay to the hub.
    """

    equations: str
    on_spike: str
    threshold: str
    reset: str
    linked: tuple[str, ...] = ()
    each_step: str = ""
    method: str = "euler"
    refractory: str | bool = False
    delay: Quantity | None = None


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
    interneurons: Population | None = None,
    members: int = 0,
) -> b2.Network:
    """Wire rows of key neurons to one hub a row, with the bookkeeping that every circuit shares.

    Parameters
    ----------
    equations, on_spike, threshold, reset, linked, each_step, method, refractory, delay
        Of the keys, as of a `Population`.
    hub
        Model of the hub: the row's inhibitory population, or the synapses by which keys and interneurons speak.
    shape
        Size of the network.
    hub_each_step
        Statements that every hub executes at the start of a step.
    hub_method
        As `method`, of the hub.
    driven
        Whether the equations read a ``drive``, which then comes from the source of the shape.
    interneurons, members
        Spiking interneurons, and how many a row has. They speak to the hub only, as the keys do.

    Returns
    -------
    Network
        Objects ``keys``, ``hub``, ``inhibition``, after the prefix of the shape, and with interneurons also
        ``interneurons`` and ``interneuron_synapses``. Order n synapses: never all-to-all.
    """
    keys = Population(
        equations=equations, on_spike=on_spike, threshold=threshold, reset=reset, linked=linked, each_step=each_step,
        method=method, refractory=refractory, delay=delay,
    )  # fmt: skip
    source = shape.source if driven else Source(keys="")
    counted = "row_spikes : integer" + ("\ninterneuron_spikes : integer" if interneurons else "")
    key_group = _neurons(keys, "keys", shape.keys, shape, f"{source.keys}\n{ADDRESS}\n{COUNTERS}", MEASURE_GAP)
    hub_group = b2.NeuronGroup(
        shape.rows,
        b2.Equations(f"{hub}\n{source.hub}\n{counted}"),
        method=hub_method,
        dtype=WIDE,
        namespace={},
        name=f"{shape.prefix}hub",
    )
    key_group.hub_index = 0 if shape.hub_index is None else shape.hub_index
    _link(key_group, hub_group, (*linked, *source.linked, "row_spikes"))
    if hub_each_step:
        each_step_of(hub_group, hub_each_step, when="before_groups", name=f"{shape.prefix}hub_each_step")
    if each_step:
        each_step_of(key_group, each_step, when="before_thresholds", name=f"{shape.prefix}keys_each_step")
    # Only what a spike does is delayed: the row's spikes are counted in the step they fall in, up to the last one.
    count = f"row_spikes_post += 1\n{source.on_spike}"
    inhibition = _speak(keys, key_group, hub_group, count, f"{shape.prefix}inhibition")
    if is_compiled() and shape.hub_index is None:
        # The arguments of a compiled run are read here, since hub_index is one of them.
        b2.get_device().apply_run_args()
    _connect(inhibition, key_group)
    objects = [key_group, hub_group, inhibition]
    if interneurons is not None:
        group = _neurons(interneurons, "interneurons", shape.rows * members, shape, ADDRESS, "")
        group.hub_index = np.repeat(np.arange(shape.rows), members)
        _link(group, hub_group, interneurons.linked)
        if interneurons.each_step:
            name = f"{shape.prefix}interneurons_each_step"
            each_step_of(group, interneurons.each_step, when="before_thresholds", name=name)
        name = f"{shape.prefix}interneuron_synapses"
        synapses = _speak(interneurons, group, hub_group, "interneuron_spikes_post += 1", name)
        _connect(synapses, group)
        objects += [group, synapses]
    return assemble(*objects)


def _neurons(
    population: Population, name: str, count: int, shape: Shape, bookkeeping: str, after_spike: str
) -> b2.NeuronGroup:
    counters, count_spike = count_spikes(shape.checkpoints)
    return b2.NeuronGroup(
        count,
        b2.Equations("\n".join([population.equations, bookkeeping, counters])),
        threshold=population.threshold,
        reset="\n".join(filter(None, [population.reset, after_spike, count_spike])),
        refractory=population.refractory,
        method=population.method,
        dtype=WIDE,
        namespace=BRIAN_FUNCTIONS,
        name=f"{shape.prefix}{name}",
    )


def _link(group: b2.NeuronGroup, hub: b2.NeuronGroup, variables: tuple[str, ...]) -> None:
    for variable in variables:
        setattr(group, variable, b2.linked_var(hub, variable, index="hub_index"))


def _speak(population: Population, group: b2.NeuronGroup, hub: b2.NeuronGroup, count: str, name: str) -> b2.Synapses:
    """Synapses of a population to the hub, not connected yet."""
    at_once = population.delay is None
    return b2.Synapses(
        group,
        hub,
        on_pre=f"{count}\n{population.on_spike}" if at_once else {"count": count, "act": population.on_spike},
        delay=None if at_once else {"act": population.delay},
        namespace={},
        name=name,
    )


def _connect(synapses: b2.Synapses, group: b2.NeuronGroup) -> None:
    """Every neuron to the hub of its row."""
    if is_compiled():
        synapses.connect(j="hub_index_pre")
    else:
        synapses.connect(i=np.arange(len(group)), j=np.array(group.hub_index))
