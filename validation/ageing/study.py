"""Order of work of ``compare_ageing``: options, checks, run, and what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import pandas as pd
import tyro

from validation.ageing.claims import CLAIMS
from validation.ageing.figures import ageing_figure
from validation.ageing.measure import PRESETS, Preset, block, rescaling, shares
from validation.ageing.report import report
from validation.study.options import preset_of
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results


@attrs.frozen
class Config:
    """Options of ``compare_ageing``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick (a minute or two) or paper (a quarter of an hour: 24 tokens, 128 trials, 18 blocks of 768 channels)."""
    seed: int = 1
    """Same seed, same tokens, weights and spikes."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_ageing")
    """Directory for tables, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


def prepare(config: Config) -> Preset:
    """Check the configuration.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    return preset_of(PRESETS, preset=config.preset, target=config.target, seed=config.seed)


def run(config: Config, preset: Preset) -> dict[str, pd.DataFrame]:
    """Every table, by the name of its file."""
    of = (preset, config.seed, config.target, not config.quiet)
    return {"summary": shares(*of), "block": block(*of), "rescaling": rescaling(preset, config.seed)}


def main(config: Config) -> None:
    """Check, run, plot and write."""
    preset = prepare(config)
    with Results.of(config) as out:
        tables = run(config, preset)
        out.tables(**tables)
        out.show(tables["summary"], tables["rescaling"], digits=3)
        out.figures(ageing=ageing_figure(tables))
        out.report(report(config.preset, config.seed, tables, CLAIMS.findings(out)))


STUDY = StudyRecord(
    "compare_ageing",
    Config,
    main,
    CLAIMS,
    quick=("--preset", "quick"),
    paper=("--preset", "paper"),
    minutes=(0.6, NOT_TIMED),
)
