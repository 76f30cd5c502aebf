"""How far two runs of a block are apart: spikes, rates, attention, distances of spike trains, and what they cost."""

from __future__ import annotations

import importlib
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike.ideal.attention import (
    DualSpikeAttention,
    QKChannelAttention,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
    SpikingBertAttention,
    split_heads,
)
from circuits.transformers.membranes import Volley
from circuits.transformers.tape import DT as STEP

Stages = dict[str, NDArray[Any]]


def stages(result: Any) -> Stages:
    """Stages of a run by name, the real ones too."""
    return dict(zip(result._fields, result, strict=True))


def spiking(found: Stages) -> Stages:
    """Those that are spikes."""
    return {name: value for name, value in found.items() if value.dtype == np.uint8}


class Difference(NamedTuple):
    """What separates a run from the reference.

    Attributes
    ----------
    spikes : int
        Of the reference, over all stages that both have.
    mismatches : int
        Entries, a neuron in a timestep, that differ.
    rate_reference, rate_other : float
        Spikes of a neuron in a timestep.
    error : float
        Root-mean-square difference of the neurons' rates over the window, relative to the reference's rates.
    """

    spikes: int
    mismatches: int
    rate_reference: float
    rate_other: float
    error: float


def relative_error(reference: NDArray[Any], other: NDArray[Any]) -> float:
    """Norm of the difference of the averages over time, in units of the reference's; NaN if that is zero."""
    mine, yours = reference.mean(axis=0, dtype=float), other.mean(axis=0, dtype=float)
    norm = float(np.sqrt(np.mean(mine**2)))
    return float(np.sqrt(np.mean((mine - yours) ** 2))) / norm if norm > 0 else float("nan")


def differ(reference: NDArray[Any], other: NDArray[Any]) -> Difference:
    """Compare one stage, (T, ...), spike by spike."""
    return Difference(
        int(reference.sum()),
        int((reference != other).sum()),
        float(reference.mean()),
        float(other.mean()),
        relative_error(reference, other),
    )


def total(differences: dict[str, Difference], sizes: dict[str, int]) -> Difference:
    """All stages together; rates are weighted by the neurons of a stage, and there is no common error."""
    weight = np.array([sizes[name] for name in differences], dtype=float)
    parts = list(differences.values())
    return Difference(
        sum(part.spikes for part in parts),
        sum(part.mismatches for part in parts),
        float(np.average([part.rate_reference for part in parts], weights=weight)),
        float(np.average([part.rate_other for part in parts], weights=weight)),
        float("nan"),
    )


def synaptic_events(block: Any, x: NDArray[Any], found: Stages) -> dict[str, float]:
    """Additions that the spikes of a run cause, by the population that spikes: events, not averages.

    A spike of the input reaches the units of every projection; a product of two spikes costs one addition where both
    meet. SSA is counted through its fast weights: an addition for every key and value spike that coincide in a token,
    and a row of the fast weights for every query spike.
    """
    spikes = {name: float(value.sum()) for name, value in found.items() if value.dtype == np.uint8}
    inputs, channels = float(x.sum()), float(block.channels)
    if isinstance(block, SpikformerSSA):
        width = channels / block.heads
        pairs = (split_heads(part, block.heads).sum(axis=-1, dtype=float) for part in (found["k"], found["v"]))
        key_value = float(np.multiply(*pairs).sum())
        return {
            "x": 3 * channels * inputs, "k and v": key_value, "q": width * spikes["q"],
            "attention": channels * spikes["attention"],
        }  # fmt: skip
    if isinstance(block, QKTokenAttention | QKChannelAttention):
        gated = channels / block.heads if isinstance(block, QKTokenAttention) else found["k"].shape[2]
        return {
            "x": 2 * channels * inputs, "q": spikes["q"], "k": spikes["k"], "mask": gated * spikes["mask"],
            "masked": channels * spikes["masked"],
        }  # fmt: skip
    if isinstance(block, SpikeDrivenAttention):
        tokens = found["q"].shape[2]
        return {
            "x": 3 * channels * inputs, "q": spikes["q"], "k": spikes["k"], "v": spikes["v"], "kv": spikes["kv"],
            "mask": tokens * spikes["mask"],
        }  # fmt: skip
    if isinstance(block, DualSpikeAttention):
        return {
            "x to y": 2 * channels * inputs, "x to attention": len(block.patches) * inputs,
            "attention": block.width * spikes["attention"],
        }  # fmt: skip
    if isinstance(block, SpikingBertAttention):
        tokens = found["k"].shape[2]
        return {"x": 3 * channels * inputs, "k": tokens * spikes["k"], "v": tokens * spikes["v"]}
    raise TypeError(f"no count of synaptic events for {type(block).__name__}")


def conventional_macs(block: Any, tokens: int) -> dict[str, float]:
    """Multiply-accumulates of the same layer with real numbers, once for one sample, by the layer's input."""
    patches = len(block.patches) if isinstance(block, DualSpikeAttention) else 0
    return layer_macs(type(block), tokens, block.channels, patches)


def layer_macs(kind: type, tokens: int, channels: int, patches: int = 0) -> dict[str, float]:
    """As `conventional_macs`, of a kind of block at a size; `patches` of `DualSpikeAttention` alone."""
    n, c = float(tokens), float(channels)
    if issubclass(kind, SpikformerSSA):
        return {"x": 3 * n * c * c, "q": n * n * c, "v": n * n * c, "attention": n * c * c}
    if issubclass(kind, QKTokenAttention | QKChannelAttention):
        return {"x": 2 * n * c * c, "q": n * c, "k": n * c, "masked": n * c * c}
    if issubclass(kind, SpikeDrivenAttention):
        return {"x": 3 * n * c * c, "q": n * c, "k": n * c, "kv": n * c}
    if issubclass(kind, DualSpikeAttention):
        return {"x": 2 * n * c * c + n * patches * c, "attention": n * patches * c}
    if issubclass(kind, SpikingBertAttention):
        return {"x": 3 * n * c * c, "k": n * n * c, "v": n * n * c}
    raise TypeError(f"no count of multiply-accumulates for {kind.__name__}")


def trains(reference: NDArray[Any], volley: Volley, most: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Spike times, second, of the reference and of a membrane, for the `most` neurons that fire most in the reference.

    A spike of the reference is at the end of its timestep, where its membrane is compared with the threshold.
    """
    rows = reference.reshape(len(reference), -1)
    chosen = np.argsort(-rows.sum(axis=0, dtype=np.int64), kind="stable")[:most]
    chosen = chosen[rows[:, chosen].any(axis=0)]
    step = float(STEP)
    return [(step * (np.flatnonzero(rows[:, i]) + 1), np.sort(volley.time[volley.neuron == i])) for i in chosen]


def train_distances(pairs: list[tuple[NDArray[Any], NDArray[Any]]], window: float) -> tuple[float, float]:
    """Mean distances of pairs of spike trains, by Elephant: van Rossum's and that of Victor and Purpura.

    van Rossum (2001), with a time constant of a timestep: 1 for a missing spike, sqrt(2*(1 - exp(-shift/step))) for one
    that is shifted. Victor and Purpura (1996): 1 for a missing spike, and shift/step, at most 2, for a shifted one.

    Parameters
    ----------
    pairs
        Spike times, second.
    window
        Length of the recording, second.

    Returns
    -------
    tuple of float
        NaN without pairs.

    Raises
    ------
    ModuleNotFoundError
        If Elephant, of the extra ``ml``, is not installed.
    """
    with warnings.catch_warnings():
        # Elephant's import changes which warnings are shown, by everybody.
        distances = importlib.import_module("elephant.spike_train_dissimilarity")
    neo, units = importlib.import_module("neo"), importlib.import_module("quantities")
    if not pairs:
        return float("nan"), float("nan")
    step = float(STEP)
    found = []
    for pair in pairs:
        if np.array_equal(*pair):
            found.append((0.0, 0.0))
            continue
        both = [neo.SpikeTrain(times, units="s", t_stop=window + step) for times in pair]
        with warnings.catch_warnings():
            # Trains that are equal to rounding have a square of about -1e-16, which Elephant clips, and says so.
            warnings.filterwarnings("ignore", message="van_rossum_distance")
            rossum = distances.van_rossum_distance(both, time_constant=step * units.s)[0, 1]
        purpura = distances.victor_purpura_distance(both, cost_factor=1 / (step * units.s))[0, 1]
        found.append((float(rossum), float(purpura)))
    mean = np.mean(found, axis=0)
    return float(mean[0]), float(mean[1])
