"""Order of work of ``effective_dimension``: options, checks, run, and what is written."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import attrs
import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from biospike.errors import InputError
from biospike.execution import OF_BRIAN2
from validation.dimension.claims import CLAIMS
from validation.dimension.data import PATCHES, SETS, data_sets, kind, read_samples
from validation.dimension.figures import convergence_figure, scree_figure
from validation.dimension.report import report
from validation.dimension.tables import STATED, Tables, by_photograph, claims, has_neighbours, measure, steps, wide
from validation.study.options import member
from validation.study.record import StudyRecord
from validation.study.results import Results

__all__ = ["Config", "Study", "data_sets", "main", "prepare", "run"]


@attrs.frozen
class Config:
    """Options of ``effective_dimension``."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Samples, one a row: .npy (samples, ...), .npz (array 'samples', 'data' or 'X') or .csv. Default: the built-in
    sets."""
    no_frame: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Read all of a text file as samples, also what looks like header and index of a data frame."""
    claim: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Published figure that the file is held against: CIFAR-10, CIFAR-100 or ImageNet."""
    sets: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Built-in sets to measure; all by default, and beside a file none."""
    patches: int = PATCHES
    """Natural image patches of each size."""
    variance: float = 0.95
    """Fraction of the variance that the principal components hold."""
    trials: int = 40
    """Random halves of the samples, from whose scatter the intervals are made."""
    seed: int = 1
    """Of patches and subsamples."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """As in every study; without effect, since no neuron is simulated."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/effective_dimension")
    """Directory for tables, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration and its samples (samples, features), by name; `file` is the name of the user's."""

    config: Config
    sets: dict[str, NDArray[np.float64]]
    file: str | None


class Result(NamedTuple):
    """Tables, and the dimensions of the patches of each photograph alone, by set."""

    tables: Tables
    photographs: dict[str, tuple[int, int]]


def prepare(config: Config) -> Study:
    """Check the whole configuration and read its input.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--target", config.target, OF_BRIAN2)
    if not 0 < config.variance <= 1:
        raise InputError(f"--variance {config.variance} must be above 0 and at most 1")
    if config.trials < 2:
        raise InputError(f"--trials {config.trials} must be at least 2, the fewest halves that scatter")
    if config.patches < 20:
        raise InputError(f"--patches {config.patches} must be at least 20")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed} must be at least 0")
    if config.claim is not None:
        member("--claim", config.claim, STATED, cutoff=0.3)
    if config.claim is not None and config.data is None:
        raise InputError(f"--claim {config.claim} needs --data FILE with samples of {config.claim}")
    names = config.sets or (() if config.data is not None else tuple(SETS))
    try:
        sets = data_sets(names, config.seed, config.patches)
    except ValueError as error:
        raise InputError(f"--sets: {error}") from None
    if config.data is None:
        return Study(config, sets, None)
    samples, name = read_samples(config.data, frame=not config.no_frame), config.data.stem
    return Study(config, {name: samples} | {k: v for k, v in sets.items() if k != name}, name)


def run(config: Config) -> Result:
    """Check a configuration and measure all of its sets."""
    return _run(prepare(config))


def _one_thread() -> contextlib.AbstractContextManager[Any]:
    """Keep linear algebra on one core: on a busy machine its threads wait for each other, up to 60 times longer."""
    try:
        limits: contextlib.AbstractContextManager[Any] = importlib.import_module("threadpoolctl").threadpool_limits(1)
    except ModuleNotFoundError:  # it comes with scikit-learn
        return contextlib.nullcontext()
    return limits


def _run(study: Study) -> Result:
    config = study.config
    if not config.quiet and not has_neighbours():
        print("no nearest-neighbour estimates: they need pip install 'biospike[dimension]'", file=sys.stderr)
    total = sum(steps(len(samples), config.trials) for samples in study.sets.values())
    parts = []
    with _one_thread(), tqdm(total=total, disable=config.quiet, desc="subsamples", file=sys.stderr) as bar:
        for name, samples in study.sets.items():
            bar.set_postfix_str(name)
            parts.append(
                measure(
                    name, samples, variance=config.variance, trials=config.trials, seed=config.seed, tick=bar.update
                )
            )
    summary, convergence, scree = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    found = claims(summary, scree, study.file, config.claim)
    patches = {name: x for name, x in study.sets.items() if kind(name) == "patches" and name != study.file}
    return Result(Tables(summary, convergence, scree, found), by_photograph(patches, config.variance))


def main(config: Config) -> None:
    """Check, measure, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        tables, photographs = _run(study)
        out.tables(**tables._asdict())
        out.show(wide(tables.summary), tables.claims)
        claimed = {study.file: STATED[config.claim]} if study.file and config.claim else {}
        out.figures(
            scree=scree_figure(tables.scree, tables.summary, config.variance),
            convergence=convergence_figure(tables.convergence, tables.summary, claimed),
        )
        out.report(report(tables, photographs, config, study.file, CLAIMS.findings(out)))


STUDY = StudyRecord(
    "effective_dimension", Config, main, CLAIMS, quick=(), paper=("--patches", "5000"), minutes=(0.3, 8.0)
)
