"""What is run of a model: conditions, and on which of its samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from circuits.softmax import COMMON_GATES
from validation.model.models import Model
from validation.model.options import Config
from validation.model.spiking import REGULAR, Condition

FEW, FEW_TRAINS = 100, 50
"""Samples of what costs more, unless ``--full``: simulated rows and rows about a limit; trains of values and scores."""
BIASED_AT = 100
"""N of circuits whose limit is not softmax, besides their limit."""
TRAINED_AT = (30, 100)
"""N of blocks beyond attention."""
LAYERS_AT = 100
RATE = 0.1
"""Row spikes a step of blocks with trains: T = N/RATE."""


def cells(config: Config, model: Model) -> tuple[tuple[int, int], ...]:
    """Layers and heads whose attention is spikes."""
    layers = config.layers or range(len(model.transformer.layers))
    heads = config.heads or range(model.transformer.heads)
    return tuple((layer, head) for layer in sorted(set(layers)) for head in sorted(set(heads)))


def first_independent(config: Config) -> str | None:
    """The first circuit whose spikes are independent and whose limit is softmax: trains and layers are its."""
    return next((name for name in config.circuits if name in COMMON_GATES and name not in REGULAR), None)


def conditions(config: Config, model: Model) -> Iterator[Condition]:
    """All that is run of a model, N rising."""
    chosen = cells(config, model)

    def one(circuit: str, block: str, by: str, spikes: float, of: tuple[tuple[int, int], ...] = chosen) -> Condition:
        steps = 0 if block == "attention" else round(spikes / RATE)
        duration, target = (config.duration, config.target) if by == "simulate" else ("", "")
        return Condition(circuit, block, config.scale if steps else "", by, spikes, steps, duration, of, target)

    rising = sorted(set(config.spikes))
    for circuit in config.circuits if "attention" in config.block else ():
        if "shares" in config.by:
            limit = one(circuit, "attention", "limit", np.inf)
            if limit.biased:
                yield from (limit, one(circuit, "attention", "shares", BIASED_AT))
            else:
                yield from (one(circuit, "attention", "shares", spikes) for spikes in rising)
        if "simulate" in config.by:
            yield one(circuit, "attention", "simulate", 0)
    if "shares" not in config.by:
        return
    independent = first_independent(config)
    if independent is None:
        return
    for block in config.block:
        if block != "attention":
            yield from (one(independent, block, "shares", spikes) for spikes in TRAINED_AT)
    if "attention" in config.block:
        for layer in sorted({layer for layer, _ in chosen}):
            mine = tuple(cell for cell in chosen if cell[0] == layer)
            yield one(independent, "attention", "shares", LAYERS_AT, mine)
        if LAYERS_AT not in rising:
            yield one(independent, "attention", "shares", LAYERS_AT)


def hard(condition: Condition) -> bool:
    """Whether it costs so much that it is done on few samples, and drawn less often."""
    return (
        condition.by == "simulate" or condition.block != "attention" or (condition.biased and condition.by == "shares")
    )


def draws(config: Config, condition: Condition) -> int:
    """How often a condition is drawn."""
    if condition.by == "limit":
        return 1
    return max(2, config.trials // 4) if hard(condition) else config.trials


def chunks(config: Config, model: Model, condition: Condition | None) -> tuple[int, ...]:
    """Chunks that a condition is measured on, by their number: all for the law; of some, evenly among all lengths."""
    number = len(model.chunks)
    if config.full or condition is None or not hard(condition):
        return tuple(range(number))
    few = FEW if condition.block == "attention" else FEW_TRAINS
    wanted = min(number, max(1, round(number * few / model.samples)))
    return tuple(sorted({int(place) for place in (np.arange(wanted) + 0.5) * number / wanted}))
