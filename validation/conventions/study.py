"""Order of work of ``compare_conventions``: options, checks, questions, and what is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import attrs
import pandas as pd
import tyro
from tqdm import tqdm

from validation.conventions.claims import CLAIMS
from validation.conventions.figures import figure
from validation.conventions.packages import chosen
from validation.conventions.report import report
from validation.conventions.tables import (
    COLUMNS,
    FILE,
    ask,
    by_neuron,
    joined,
    lines_of_changes,
    noise_levels,
    read,
    shipped,
)
from validation.study import command_line
from validation.study.record import StudyRecord
from validation.study.results import Results

SHOWN = ["package", "model", "spike test", "reset", "steps from input to spike", "interval at saturation"]


@attrs.frozen
class Config:
    """Options of ``compare_conventions``."""

    packages: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME ...")] = None
    """Packages to ask: spikingjelly, snntorch, norse, sinabs, bindsnet, nengo, nengo-loihi, nest, brian2. Default:
    those that are installed; none with --join."""
    join: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...")] = ()
    """Directories that this study wrote in other environments, whose tables are joined to one."""
    seed: int = 1
    """Of the random inputs under which a package and its formula are compared."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_conventions")
    """Directory for table, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor the table."""


class Study(NamedTuple):
    """A checked configuration: packages to ask, and tables of other environments."""

    config: Config
    packages: tuple[str, ...]
    tables: list[pd.DataFrame]


def prepare(config: Config) -> Study:
    """Check the whole configuration, and read what is joined.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    command_line.at_least(seed=(config.seed, 0))
    packages = () if config.join and config.packages is None else chosen(config.packages)
    return Study(config, packages, [read(directory / FILE) for directory in config.join])


def run(study: Study) -> pd.DataFrame:
    """Ask every package, and join its answers with those of other environments."""
    tables = list(study.tables)
    progress = tqdm(study.packages, desc="packages", disable=study.config.quiet, file=sys.stderr, leave=False)
    for name in progress:
        progress.set_postfix_str(name)
        tables.append(pd.DataFrame(ask(name, study.config.seed), columns=list(COLUMNS)[:-1]))
    return joined(tables, shipped())


def main(config: Config) -> None:
    """Check, ask, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        table = run(study)
        levels = noise_levels()
        out.tables(conventions=table, noise_levels=levels)
        wide = by_neuron(table)
        out.show(wide[[name for name in SHOWN if name in wide]])
        out.figures(conventions=figure(table))
        out.report(report(table, levels, CLAIMS.findings(out), config.seed))
        for line in lines_of_changes(table):
            print(line, file=sys.stderr)


STUDY = StudyRecord("compare_conventions", Config, main, CLAIMS)
