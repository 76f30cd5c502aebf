"""Order of work of ``sort_circuits``: options, checks, run, and what is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import attrs
import pandas as pd
import tyro
from tqdm import tqdm

from validation.sort.claims import CLAIMS
from validation.sort.figures import sort_figure
from validation.sort.report import report
from validation.sort.tables import Sizes, orders, theorems
from validation.study.options import preset_of
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

PRESETS = {
    "quick": Sizes(20, 10, 10_000, 20, 10, 300, 10, 20_000, 4, 60),
    "paper": Sizes(200, 50, 10_000, 200, 100, 300, 100, 20_000, 16, 100),
}


@attrs.frozen
class Config:
    """Options of ``sort_circuits``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick (half a minute) or paper (some minutes: ten times the repetitions)."""
    seed: int = 1
    """Same seed, same graphs, samples and spikes."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy, of the attention block; chains of neurons run on numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/sort_circuits")
    """Directory for tables, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


def prepare(config: Config) -> Sizes:
    """Check the configuration.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    return preset_of(PRESETS, preset=config.preset, target=config.target, seed=config.seed)


def run(config: Config, sizes: Sizes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of the theorems and of the orders."""
    with tqdm(disable=config.quiet, file=sys.stderr) as progress:

        def tick(name: str) -> None:
            progress.set_description(name)
            progress.update()

        return theorems(config.seed), orders(sizes, config.seed, config.target, tick)


def main(config: Config) -> None:
    """Check, run, plot and write."""
    sizes = prepare(config)
    with Results.of(config) as out:
        exact, found = run(config, sizes)
        out.tables(theorems=exact, orders=found)
        out.show(exact, found, digits=3)
        out.figures(sort=sort_figure(found))
        out.report(report(config.seed, exact, found, CLAIMS.findings(out)))


STUDY = StudyRecord(
    "sort_circuits",
    Config,
    main,
    CLAIMS,
    quick=("--preset", "quick"),
    paper=("--preset", "paper"),
    minutes=(0.6, NOT_TIMED),
)
