"""Order of work of ``calibrate_verdicts``: options, checks, run, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import attrs
import tyro

from biospike.plots import save_figure
from validation.study import command_line
from validation.study.options import member
from validation.study.record import StudyRecord
from validation.study.results import Results
from validation.verdicts.cells import REPETITIONS, SIZES, cells
from validation.verdicts.claims import CLAIMS
from validation.verdicts.codes import Cell
from validation.verdicts.figures import calibration_figure
from validation.verdicts.measure import measure_all
from validation.verdicts.report import report
from validation.verdicts.tables import tabulate

SHOWN = ["truth", "bias", "fall", "rows", "keys", "trials", "spikes", "sharing", "shape", "right", "undecided", "false"]
WORST = 10
"""Cells that are printed: those with most false verdicts."""


@attrs.frozen
class Config:
    """Options of ``calibrate_verdicts``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick (minutes: 120 codes, 200 studies each) or paper (an hour or two: 605 codes, 1000 studies each)."""
    seed: int = 1
    """Same seed, same spikes."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes; default all cores."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto or numpy: no neuron is simulated."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/calibrate_verdicts")
    """Directory for tables, figure and report; what is done of an interrupted run is kept there too."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


def prepare(config: Config) -> list[Cell]:
    """Check the configuration and make the list of codes.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--preset", config.preset, SIZES)
    member("--target", config.target, ("auto", "numpy"))
    command_line.at_least(seed=(config.seed, 0))
    if config.jobs is not None:
        command_line.at_least(jobs=(config.jobs, 1))
    return cells(config.preset)


def run(config: Config, chosen: list[Cell]) -> Iterator[tuple[Cell, list[dict[str, Any]]]]:
    """Draw and decide on studies of every code; what an interrupted run has done is read again."""
    repetitions, progress = REPETITIONS[config.preset], not config.quiet
    return measure_all(chosen, repetitions, config.seed, config.out, jobs=config.jobs, progress=progress)


def main(config: Config) -> None:
    """Check, run, tabulate, plot and write."""
    chosen = prepare(config)
    with Results.of(config) as out:
        found = run(config, chosen)
        calibration, by_cell = tabulate(found)
        out.tables(calibration=calibration, cells=by_cell)
        out.show(by_cell.sort_values("false", ascending=False, kind="stable")[SHOWN].head(WORST), digits=3)
        out.figures(calibration=calibration_figure(calibration, by_cell))
        out.report(report(config.preset, config.seed, calibration, by_cell, CLAIMS.findings(out)))


def redraw(results: Results, out: Path) -> None:
    """Draw ``verdicts_calibration`` again."""
    save_figure(calibration_figure(results.table("calibration"), results.table("cells")), out, "verdicts_calibration")


STUDY = StudyRecord(
    "calibrate_verdicts",
    Config,
    main,
    CLAIMS,
    redraw,
    quick=("--preset", "quick"),
    paper=("--preset", "paper"),
    minutes=(4.0, 110.0),  # paper: estimated from 40 of its codes
)
