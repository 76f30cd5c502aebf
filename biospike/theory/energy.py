"""Energy of attention: the arithmetic that papers count, and the events that a network has.

The usual estimate charges a conventional network 4.6 pJ for every multiply-accumulate (MAC) and a spiking one 0.9 pJ
for every accumulate (AC), of which there are SOP = rate*T*MAC, `rate` being spikes per step of the layer's input. It
leaves out neuron updates, inhibition, memory and communication. `event_energy` counts what was recorded instead: every
spike at every synapse it reaches, and every update of a neuron.

The ratio of the two estimates is 4.6/(0.9*rate*T) whatever the network, so a claimed ratio is a claim about rate*T, the
spikes that a synapse sees in one inference (`activity_for_ratio`).

References
----------
M. Horowitz (2014), Computing's energy problem, ISSCC, doi:10.1109/ISSCC.2014.6757323 (45 nm, 32 bit floating point).
M. Davies et al. (2018), Loihi, IEEE Micro 38(1), 82-99, doi:10.1109/MM.2018.112130359, table 2.
P. A. Merolla et al. (2014), TrueNorth, Science 345, 668-673, doi:10.1126/science.1254642.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from biospike.errors import InputError
from biospike.parameters import number

MAC = 4.6
"""Multiply-accumulate, pJ (Horowitz 2014)."""
AC = 0.9
"""Accumulate, pJ (Horowitz 2014)."""


@attrs.frozen(kw_only=True)
class Device:
    """What an event costs.

    Parameters
    ----------
    name, source
        Of the figures.
    synaptic_event
        One spike at one synapse, pJ.
    neuron_update
        One step of one neuron, pJ.
    """

    name: str
    source: str
    synaptic_event: float = number(AC, minimum=0)
    neuron_update: float = number(MAC, minimum=0)


ARITHMETIC = Device(name="45 nm arithmetic", source="Horowitz 2014: an AC a synapse, a MAC an update, nothing else")
LOIHI = Device(name="Loihi", source="Davies et al. 2018, table 2", synaptic_event=23.6, neuron_update=52.0)
TRUENORTH = Device(
    name="TrueNorth",
    source="Merolla et al. 2014, all costs of a synaptic event",
    synaptic_event=26.0,
    neuron_update=0.0,
)
DEVICES: dict[str, Device] = {device.name: device for device in (ARITHMETIC, LOIHI, TRUENORTH)}


def attention_macs(tokens: int, features: int, heads: int, width: int) -> dict[str, int]:
    """Multiply-accumulates of an attention layer without output projection.

    Parameters
    ----------
    tokens, features, heads, width
        Sizes; width is d_k.

    Returns
    -------
    dict
        ``projections`` 3*n*features*H*d_k, ``scores`` n^2*H*d_k and ``routing``, as many.

    Raises
    ------
    InputError
        If a size is below 1.
    """
    sizes = {"tokens": tokens, "features": features, "heads": heads, "width": width}
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    pairs = tokens**2 * heads * width
    return {"projections": 3 * tokens * features * heads * width, "scores": pairs, "routing": pairs}


def conventional_energy(macs: float) -> float:
    """Energy of a conventional layer, 4.6 pJ a MAC; pJ."""
    return MAC * macs


def canonical_energy(macs: float, rate: float, steps: float) -> float:
    """Energy of a spiking layer as papers count it, 0.9 pJ * rate * T * MAC; pJ.

    Parameters
    ----------
    macs
        Multiply-accumulates of the conventional layer.
    rate
        Spikes per step of a neuron of the layer's *input*.
    steps
        T.

    Raises
    ------
    InputError
        If the rate is negative or the steps are not above 0.
    """
    if rate < 0 or steps <= 0:
        raise InputError(f"rate must be at least 0 and steps above 0, got {rate} and {steps}")
    return AC * rate * steps * macs


def activity_for_ratio(ratio: float) -> float:
    """Spikes a synapse may see in one inference, rate*T, for this ratio of conventional to canonical energy.

    0.13 for the paper's 38, 0.09 for its 57: less than one spike in seven synapses.
    """
    if not ratio > 0:
        raise InputError(f"ratio must be above 0, got {ratio}")
    return MAC / (AC * ratio)


def attention_fan_out(tokens: int, heads: int, width: int) -> dict[str, float]:
    """Synapses that a spike of each population of `circuits.attention.SpikingAttention` reaches.

    ``encoder`` (of one stream): the units of that stream. ``query`` and ``key``: the score neurons of a row or column.
    ``value``: the gates to the outputs of every query. ``attention``: the ON and OFF gates that it opens, and the
    inhibition of its row. ``output``: what comes after, none here.
    """
    return {
        "encoder": heads * width,
        "query": tokens,
        "key": tokens,
        "value": tokens,
        "attention": 2 * width + 1,
        "output": 0,
    }


def event_energy(
    spikes: Mapping[str, float], fan_out: Mapping[str, float], updates: float, device: Device = ARITHMETIC
) -> dict[str, float]:
    """Energy of recorded activity, pJ.

    Parameters
    ----------
    spikes
        Recorded spikes by population.
    fan_out
        Synapses that a spike of the population reaches; inhibition counts.
    updates
        Neurons times steps.
    device
        What an event costs.

    Returns
    -------
    dict
        By population, ``updates`` and ``total``.

    Raises
    ------
    InputError
        If a population has no fan-out, or a number is negative.
    """
    missing = set(spikes) - set(fan_out)
    if missing:
        raise InputError(f"no fan-out for {', '.join(sorted(missing))}")
    for name, value in {**spikes, "updates": updates}.items():
        if value < 0:
            raise InputError(f"{name} must be at least 0, got {value}")
    energy = {name: count * fan_out[name] * device.synaptic_event for name, count in spikes.items()}
    energy["updates"] = updates * device.neuron_update
    return energy | {"total": sum(energy.values())}
