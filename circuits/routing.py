"""Routing of values: O = S^A S^V, an attention spike i -> j lets the value spikes of token j through to output i.

Attention spikes of a row and value spikes of a unit are spike words over tokens; the bits they share are what arrives
at the output neuron of that row and unit. ON neurons relay ON values and OFF neurons OFF values, a spike for each that
arrives; if several arrive at once, one a step.
"""

from __future__ import annotations

import numpy as np

from biospike.spike_words import COINCIDENCES, words
from biospike.wiring import count_spikes, each_step_of
from circuits.projection import BlockShape, Vocabulary

import brian2 as b2

ROUTED_WORD = """
a_{w}          : integer (linked)         # attention spikes of the row
value_{w}      : integer (linked)         # value spikes of the unit, over tokens
"""
OUTPUTS = """
v              : 1                        # routed spikes that are owed
"""


def route(shape: BlockShape, vocabulary: Vocabulary, axons: b2.NeuronGroup, prefix: str) -> b2.NeuronGroup:
    """Output neurons (slot, token, head, width, sign)."""
    size = (shape.slots, shape.tokens, shape.heads, shape.width, 2)
    parts = range(words(shape.tokens))
    counters, count_spike = count_spikes(shape.checkpoints)
    outputs = b2.NeuronGroup(
        int(np.prod(size)),
        "\n".join([OUTPUTS, *(ROUTED_WORD.format(w=w) for w in parts), counters]),
        threshold="v >= 1",
        reset=f"v -= 1\n{count_spike}",
        namespace=COINCIDENCES,
        name=f"{prefix}outputs",
    )
    r, i, h, e, sign = np.indices(size, sparse=True)
    for w in parts:
        for name, place in (("a", vocabulary.row[r, h, i, w]), ("value", vocabulary.value[r, sign, h, e, w])):
            index = np.broadcast_to(place, size).ravel()
            setattr(outputs, f"{name}_{w}", b2.linked_var(axons, "word", index=index))
    arrived = " + ".join(f"coincidences(a_{w}, value_{w})" for w in parts)
    each_step_of(outputs, f"v += {arrived}", when="before_groups", name=f"{prefix}outputs_each_step")
    return outputs
