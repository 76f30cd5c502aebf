"""Order of work of ``compare_frameworks``: options, checks, run, and what is written."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import attrs
import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from biospike import plots
from biospike.errors import InputError
from biospike.execution import OF_BRIAN2
from biospike.ideal.attention import SpikeSoftmax
from biospike.ideal.frameworks import versions
from biospike.recording import write_atomically
from validation.frameworks.blocks import INPUT_RATE, MODELS, Model, make_block, read_weights, save_weights
from validation.frameworks.claims import CLAIMS
from validation.frameworks.energy_curve import energy_curve
from validation.frameworks.figures import (
    energy_curve_figure,
    energy_figure,
    membrane_figure,
    mismatch_figure,
    raster_figure,
)
from validation.frameworks.inputs import INPUTS, read_input, stem
from validation.frameworks.measures import Stages, spiking, stages
from validation.frameworks.neurons import Stand, chosen_frameworks, stands
from validation.frameworks.report import report
from validation.frameworks.tables import Case, compare, energy_table, spike_softmax_rows
from validation.study import command_line
from validation.study.options import member, members
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

SIZES = {"published": 10**6, "small": 96}
"""Largest number of channels."""
SHOWN = ["model", "block", "framework", "convention", "dt_ms", "spikes", "mismatches", "attention_error"]


@attrs.frozen
class Config:
    """Options of ``compare_frameworks``."""

    blocks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (*MODELS, "spike_softmax")
    """Blocks to run."""
    inputs: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = INPUTS
    """What to run them on: digits, patches of photographs, tokens of a trained transformer. Every block takes those
    that suit it."""
    frameworks: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME ...")] = None
    """spikingjelly, snntorch. Default: those that are installed."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Your own weights for the one block named by --blocks: .npz with LAYER.weight (units, features), LAYER.bias and
    LAYER.bn.{weight,bias,running_mean,running_var} for its layers q, k, v, projection or y, and heads; q, k
    and v also as W_q (features, units) and under the names of PyTorch and Hugging Face. Or .nir: its
    Linear and Affine nodes of these names."""
    orientation: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """in-out or out-in: how weights of the file lie whose name does not say it, as W_q (in-out) and q_proj.weight
    (out-in) do."""
    size: Annotated[str, tyro.conf.arg(metavar="NAME")] = "published"
    """published, or small: at most 96 channels."""
    trials: int = 1
    """Images a block is shown, as one batch."""
    trains: int = 30
    """Neurons of a population whose spike trains are compared by their distance."""
    seed: int = 1
    """Of images and weights."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy, for the Brian2 networks. A network runs once, so auto does not compile."""
    save_blocks: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write input, weights and all spikes of every block to DIR/blocks, in the form that --weights reads."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_frameworks")
    """Directory for tables, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor tables."""


class Study(NamedTuple):
    """A checked configuration.

    Attributes
    ----------
    config : Config
    pairs : list
        (model, input) of every comparison.
    own : object, optional
        Block of the user's weights.
    frameworks, missing : tuple of str
    target : str
    """

    config: Config
    pairs: list[tuple[Model, str]]
    own: Any
    frameworks: tuple[str, ...]
    missing: tuple[str, ...]
    target: str


class Result(NamedTuple):
    """What a study found: the tables, and what the raster shows.

    Attributes
    ----------
    summary, stages, energy : DataFrame
    raster : list
        (name, spikes (T, neurons)) of one stage of one block in every form, or empty.
    """

    summary: pd.DataFrame
    stages: pd.DataFrame
    energy: pd.DataFrame
    raster: list[tuple[str, NDArray[np.uint8]]]


def prepare(config: Config) -> Study:
    """Check the whole configuration.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    members("--blocks", config.blocks, (*MODELS, "spike_softmax"))
    members("--inputs", config.inputs, INPUTS)
    member("--size", config.size, SIZES)
    member("--target", config.target, OF_BRIAN2)
    command_line.at_least(trials=(config.trials, 1), trains=(config.trains, 1), seed=(config.seed, 0))
    frameworks, missing = chosen_frameworks(config.frameworks)
    own = None
    if config.orientation is not None and config.weights is None:
        raise InputError("--orientation is for a file given by --weights")
    if config.weights is not None:
        if len(config.blocks) != 1 or config.blocks[0] not in MODELS:
            raise InputError(f"--weights needs --blocks with exactly one of {', '.join(MODELS)}")
        own = read_weights(config.weights, config.blocks[0], config.orientation)
    pairs = []
    for name in config.blocks:
        if name in MODELS:
            model = MODELS[name].smaller(SIZES[config.size]) if own is None else _fitting(MODELS[name], own)
            pairs += [(model, given) for given in config.inputs if given in model.inputs]
    if not pairs and "spike_softmax" not in config.blocks:
        suited = "; ".join(f"{name}: {', '.join(MODELS[name].inputs)}" for name in config.blocks)
        raise InputError(f"--inputs {' '.join(config.inputs)} suits none of the blocks, which take {suited}")
    if any(given != "tokens" for _, given in pairs):
        read_input("digits", 16, 1, config.seed)  # is scikit-learn there?
    target = "numpy" if config.target == "auto" else config.target
    return Study(config, pairs, own, frameworks, missing, target)


def _fitting(model: Model, own: Any) -> Model:
    """Describe the user's block, for which no firing rates are published."""
    return attrs.evolve(model, channels=own.channels, heads=getattr(own, "heads", 1), rates={})


def cases(study: Study) -> Iterator[Case]:
    """Make every block, with the spikes it is shown and those of its reference."""
    config = study.config
    for model, given in study.pairs:
        tokens = read_input(given, model.tokens, config.trials, config.seed)
        x = stem(tokens, model.channels, model.steps, INPUT_RATE, config.seed)
        block = study.own or make_block(model, x, tokens, config.seed)
        yield Case(model, given, tokens, block, x, stages(block.run(x)))


def run(study: Study) -> Result:
    """Run everything and make the tables."""
    config = study.config
    if study.missing and not config.quiet:
        print(f"skipped, not installed: {', '.join(study.missing)} (pip install 'biospike[ml]')", file=sys.stderr)
    summary, by_stage, energy, raster = [], [], [], []
    progress = tqdm(total=len(study.pairs), desc="blocks", disable=config.quiet, file=sys.stderr, leave=False)
    with progress:
        for case in cases(study):
            progress.set_postfix_str(case.name)
            for stand in stands(case.block, case.model.circuit, study.target, study.frameworks):
                found, membranes = stand.run(case.block, case.x)
                row, rows = compare(case, stand, found, membranes, config.trains)
                summary.append(row)
                by_stage += rows
                if case.name == _shown(study):
                    raster += _raster(case, stand, found)
            energy += energy_table(case)
            if config.save_blocks:
                _save(case, config.out / "blocks")
            progress.update()
    if "spike_softmax" in config.blocks:
        summary += spike_softmax_rows((SpikeSoftmax(), SpikeSoftmax(base=1.4, steps=16)), study.target)
    return Result(pd.DataFrame(summary), pd.DataFrame(by_stage), pd.DataFrame(energy), raster)


def _shown(study: Study) -> str:
    """Name of the case that the raster shows, the first."""
    return Case.name_of(*study.pairs[0]) if study.pairs else ""


def _raster(case: Case, stand: Stand, found: Stages) -> list[tuple[str, NDArray[np.uint8]]]:
    """The stage after the attention neurons of some ways to run the block, the reference first."""
    stage = case.model.attention if case.model.attention in spiking(case.reference) else "output"
    rows = [] if stand.framework != "brian2" else [("reference", case.reference[stage])]
    named = f"{stand.framework}, {stand.convention}, {stand.dt_ms:g} ms"
    return [(name, spikes.reshape(len(spikes), -1)) for name, spikes in [*rows, (named, found[stage])]]


def _save(case: Case, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    recorded = {f"spikes.{stage}": spikes for stage, spikes in spiking(case.reference).items()}
    arrays: dict[str, Any] = save_weights(case.block) | {"x": case.x} | recorded
    name = case.name.replace(" ", "_").replace(",", "")

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(directory / f"{name}.npz", write)


def main(config: Config) -> None:
    """Check, run, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        result = run(study)
        curve = energy_curve()
        out.tables(summary=result.summary, stages=result.stages, energy=result.energy, energy_curve=curve)
        out.show(result.summary[SHOWN])
        figures = {"mismatches": mismatch_figure(result.summary), "energy_curve": energy_curve_figure(curve)}
        if len(result.stages):
            figures |= {
                "membranes": membrane_figure(result.summary, result.stages),
                "energy": energy_figure(result.energy),
                "raster": raster_figure(result.raster, _shown(study)),
            }
        out.figures(**figures)
        facts = {
            "seed": config.seed,
            "target": study.target,
            "weights": "a fixed seed" if config.weights is None else config.weights.name,
            "versions": versions(),
            "missing": study.missing,
            "distances": importlib.util.find_spec("elephant") is not None,
            "options": json.dumps(attrs.asdict(config, filter=lambda field, _: field.name != "out"), default=str),
        }
        out.report(report(result.summary, result.stages, result.energy, facts, CLAIMS.findings(out), curve))


def redraw(results: Results, out: Path) -> None:
    """Draw ``frameworks_mismatches``, ``frameworks_membranes`` and ``frameworks_energy`` again."""
    summary, stages, energy = (results.table(name) for name in ("summary", "stages", "energy"))
    plots.save_figure(mismatch_figure(summary), out, "frameworks_mismatches")
    plots.save_figure(membrane_figure(summary, stages), out, "frameworks_membranes")
    plots.save_figure(energy_figure(energy), out, "frameworks_energy")


STUDY = StudyRecord(
    "compare_frameworks",
    Config,
    main,
    CLAIMS,
    redraw,
    quick=("--size", "small", "--trains", "8"),
    paper=(),
    minutes=(0.8, NOT_TIMED),
)
