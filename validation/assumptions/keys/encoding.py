"""How values become spikes: regular, Bernoulli or Poisson trains, alone and multiplied by coincidences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.encoding import ENCODERS, Encoder, Poisson, encode
from biospike.metrics import t_interval
from circuits.coincidence import Coincidence
from circuits.presentation import present
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Point, Sweep, number_point

Array = NDArray[np.float64]

CODES = ("regular", "bernoulli", "poisson")
VALUES = np.linspace(0.05, 0.95, 19)
FULL_COUNT = 512
TOKENS, FEATURES, WIDTH = 4, 6, 8
WINDOW = 2000
LAW = "0: every code is unbiased; their error laws are those of Lemma 1 made exact"


def input_code(lab: Lab) -> list[Sweep]:
    """Which code the values have: bias of their mean, and what a product of two trains keeps wrong for ever."""
    lab.prebuild_blocks([block(encoder=ENCODERS[name]()) for name in CODES], WINDOW * round(lab.stretch))
    return [
        Sweep(
            "input code", "code", "", "encoder alone, decoded values", "mean absolute bias of decoded values", "value",
            tuple(decoded(name, lab) for name in CODES), law=LAW,
        ),
        Sweep(
            "input code", "code", "", "coincidences of queries and keys, separate encoders",
            "persistent error of q.k in one presentation, relative", "product",
            tuple(multiplied(name, lab) for name in CODES), law="0 for independent trains",
        ),
    ]  # fmt: skip


def decoded(name: str, lab: Lab) -> Point:
    """Bias of the values of one code, all read when x = 1 would have given the same count."""
    encoder: Encoder = ENCODERS[name]()
    full = FULL_COUNT * round(lab.stretch)
    steps = round(full / encoder.rate_per_step) if isinstance(encoder, Poisson) else full
    counts = encode(encoder, VALUES, [steps], trials=lab.trials, seed=lab.seed)[..., 0]
    errors = counts / encoder.full_count(steps) - VALUES
    return number_point(name, errors, predicted=0.0, spikes=float(counts.mean()))


def block(encoders: str = "separate", **options: Any) -> tuple[Coincidence, Array]:
    """Small block of weights >= 0 that sum to one threshold a step at most, and its tokens."""
    rng = np.random.default_rng(11)
    x = rng.uniform(0.1, 0.9, (TOKENS, FEATURES))
    weights = rng.uniform(0.2, 1.0, (2, FEATURES, WIDTH))
    weights /= weights.sum(axis=1, keepdims=True)
    return Coincidence(weights[0], weights[1], scales=np.ones((2, 1)), encoders=encoders, **options), x


def multiplied(name: str, lab: Lab) -> Point:
    """Error of q.k that the second half of a presentation shares with the first, relative to the mean product."""
    circuit, x = block(encoder=ENCODERS[name]())
    window = WINDOW * round(lab.stretch)
    windows = np.array([window // 2, window]) * circuit.dt
    data = present(
        circuit,
        x,
        duration=windows[-1],
        windows=windows,
        trials=lab.trials,
        seed=lab.seed,
        target=lab.target,
    )
    exact = circuit.products(x)[..., None]
    counts = data["coincidences"].values  # (trial, sample, head, query, key, window)
    halves = np.diff(counts, axis=-1, prepend=0) / (window // 2)
    error = ((halves - exact) / exact.mean()).reshape(len(counts), -1, 2)
    by_trial = (np.sign(error[..., 0]) * error[..., 1]).mean(axis=1)
    whole = np.abs(error.mean(axis=-1)).mean(axis=1)
    spikes = float(data["spikes_qkv"].values[..., -1].mean())
    bias, high = float(by_trial.mean()), float(t_interval(by_trial)[1])
    # Regular trains of fixed phases are not independent, and no closed form is known.
    law = math.nan if name == "regular" else 0.0
    return Point(name, bias, float(t_interval(by_trial)[0]), high, law, float(whole.mean()), spikes)
