"""The canonical energy of published blocks over the rates that nobody published, and over devices.

The ratio of a conventional layer to a spiking one, ``4.6 pJ * MACs/(cost of an event * T * sum rate * MACs)``, follows
from the firing rates alone. Those of queries, keys and values are published; those of the block's input and of the
attention, which weigh most, are not, so that they are axes here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from biospike.theory.energy import DEVICES, MAC, Device
from validation.frameworks.blocks import MODELS, UNPUBLISHED, Model
from validation.frameworks.measures import layer_macs

INPUT_RATES = (0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002)
ATTENTION_RATES = (0.01, 0.03, 0.1)
CURVES = ("spikformer", "qkformer_token", "qkformer_channel", "qkformer_ssa")
"""Models whose layers read the block's input, queries and keys, and the attention: both axes matter."""
BLOCKS: dict[str, dict[str, tuple[float, ...]]] = {
    "spikformer": {"q": (0.144, 0.096, 0.079, 0.088), "v": (0.081, 0.077, 0.068, 0.069)},
}
"""Published rates of all blocks of a model, where there is more than one, in the order of the blocks."""
ATTENTION = ("attention", "masked")
"""Layers whose input is what the attention lets pass."""

COLUMNS = {
    "model": "published model and block",
    "device": "what an event of the spiking layer costs; the conventional layer is charged 4.6 pJ a MAC throughout, so "
    "that devices with memory and routing in an event are held against arithmetic without either",
    "input_rate": "spikes a step of the block's input",
    "attention_rate": "spikes a step of what the attention hands on",
    "ratio": "conventional over canonical energy, at the mean of the published rates of queries, keys and values",
    "low, high": "least and largest ratio over the published blocks; the ratio itself where one block is published",
}
"""Columns of ``energy_curve.csv``."""


def published_rates(name: str) -> list[dict[str, float]]:
    """Rates of the inner layers, of the mean block first and then of every published one."""
    model = MODELS[name]
    known = BLOCKS.get(name, {})
    blocks = max((len(rates) for rates in known.values()), default=1)
    single = [{layer: known[layer][block] if layer in known else rate for layer, rate in model.rates.items()}
              for block in range(blocks)]  # fmt: skip
    mean = {layer: float(np.mean([one[layer] for one in single])) for layer in model.rates}
    return [mean, *single]


def canonical_ratio(
    model: Model, rates: Mapping[str, float], input_rate: float, attention_rate: float, device: Device
) -> float:
    """How many times less a block costs than the same layers with real numbers, counting additions only."""
    macs = layer_macs(model.reference, model.tokens, model.channels)
    own = {"x": input_rate} | dict.fromkeys(ATTENTION, attention_rate)
    activity = sum(count * own.get(layer, rates.get(layer, UNPUBLISHED)) for layer, count in macs.items())
    return MAC * sum(macs.values()) / (device.synaptic_event * model.steps * activity)


def input_rate_for(name: str, ratio: float, attention_rate: float, device: Device) -> float:
    """Input rate at which the mean block of a model has this ratio; negative if not even a silent input would do."""
    model, rates = MODELS[name], published_rates(name)[0]
    at = [1 / canonical_ratio(model, rates, x, attention_rate, device) for x in (0.0, 1.0)]  # linear in the rate
    return (1 / ratio - at[0]) / (at[1] - at[0])


def energy_curve() -> pd.DataFrame:
    """Rows of ``energy_curve.csv``, at the published sizes whatever was simulated."""
    rows = []
    for name in CURVES:
        model, rates = MODELS[name], published_rates(name)
        for device in DEVICES.values():
            for attention in ATTENTION_RATES:
                for x in INPUT_RATES:
                    mean, *single = (canonical_ratio(model, one, x, attention, device) for one in rates)
                    rows.append([f"{model.model}, {model.block}", device.name, x, attention, mean, min(single),
                                 max(single)])  # fmt: skip
    return pd.DataFrame(rows, columns=["model", "device", "input_rate", "attention_rate", "ratio", "low", "high"])
