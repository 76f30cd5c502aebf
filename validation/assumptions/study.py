"""Order of work of ``calibrate_assumptions``: options, checks, run, and what is written."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import pandas as pd
import tyro

from biospike import execution, parts, standalone
from biospike.errors import InputError
from biospike.provenance import code_digest
from biospike.recording import git_revision
from validation.assumptions import ASSUMPTIONS, NOT_OF_ROWS
from validation.assumptions.claims import CLAIMS
from validation.assumptions.crossings import crossing_table
from validation.assumptions.figure import figure
from validation.assumptions.lab import Lab
from validation.assumptions.report import report
from validation.assumptions.sweep import Sweep, from_plain, to_plain
from validation.assumptions.table import tabulate, tabulate_row_sets
from validation.study import command_line
from validation.study.options import member, members
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results
from validation.study.row_kinds import FACTORS

PRESETS = {"quick": {"trials": 64, "stretch": 1.0}, "paper": {"trials": 256, "stretch": 4.0}}
SHOWN = ["assumption", "circuit", "knob", "bias", "bias_low", "bias_high", "predicted", "exceeds_0_01_at", "verdict"]


@attrs.frozen
class Config:
    """Options of ``calibrate_assumptions``."""

    assumptions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(ASSUMPTIONS)
    """Assumptions to audit."""
    preset: Literal["quick", "paper"] = "quick"
    """quick: minutes; paper: more trials and longer windows, for tight intervals."""
    trials: int | None = None
    """Independent repetitions of every row, at least 8; default that of the preset."""
    seed: int = 1
    """Same seed, same spikes, on every target."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/calibrate_assumptions")
    """Directory for table, figure and report. Assumptions that are finished there are not run again."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor tables."""


def prepare(config: Config) -> Lab:
    """Check the whole configuration.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    members("--assumptions", config.assumptions, ASSUMPTIONS, otherwise="unknown assumption")
    preset = PRESETS[config.preset]
    trials = preset["trials"] if config.trials is None else config.trials
    execution.check_counts(trials, config.seed)
    if trials < 8:
        raise InputError(f"--trials must be at least 8, half of which give the signs of the bias, got {trials}")
    member("--target", config.target, execution.OF_BRIAN2)
    if config.target in ("cpp_standalone", "cython") and standalone.compiler() is None:
        raise standalone.BuildError(f"target '{config.target}' needs a C++ compiler: {standalone.missing_compiler()}")
    return Lab(int(trials), preset["stretch"], config.seed, config.target, config.quiet)


def run(names: Sequence[str], lab: Lab, out: Path) -> list[Sweep]:
    """Measure every assumption of `names`, or read what an earlier run measured with the same options and code.

    Every assumption is kept as soon as it is finished, in ``parts``, whatever the target, since spikes do not depend
    on it.
    """
    folder = command_line.writable(out / "parts")
    options = {
        "trials": lab.trials,
        "stretch": lab.stretch,
        "factor": lab.factor,
        "seed": lab.seed,
        "code": code_digest(),
    }
    sweeps: list[Sweep] = []
    for number, name in enumerate(names, 1):
        started = time.perf_counter()
        known = f"{name}-{parts.name_of(assumption=name, **options)}"
        plain = parts.kept(folder, known, functools.partial(_measure, name, lab), parts.PLAIN, worth=0)
        found = [from_plain(sweep) for sweep in plain]
        if not lab.quiet:
            verdicts = ", ".join(f"{sweep.label}: {sweep.verdict}" for sweep in found)
            took = f"{time.perf_counter() - started:.1f} s"
            print(f"{lab.kind} rows [{number}/{len(names)}] {name} ({took}): {verdicts}", file=sys.stderr)
        sweeps += found
    return sweeps


def _measure(name: str, lab: Lab) -> list[dict[str, Any]]:
    return [to_plain(sweep) for sweep in ASSUMPTIONS[name](lab)]


def row_sets(config: Config, lab: Lab, out: Path) -> pd.DataFrame:
    """Rows of ``row_sets.csv`` of the assumptions that receive rows; none may."""
    names = [name for name in config.assumptions if name not in NOT_OF_ROWS]
    kinds = FACTORS if names else {}
    return tabulate_row_sets({kind: run(names, attrs.evolve(lab, kind=kind), out) for kind in kinds})


def main(config: Config) -> None:
    """Check, run, tabulate, plot and write."""
    lab = prepare(config)
    with Results.of(config) as out:
        sweeps = run(config.assumptions, lab, out.directory)
        table = tabulate(sweeps)
        out.tables(assumptions=table)
        on_rows = row_sets(config, lab, out.directory)
        if len(on_rows):
            out.tables(row_sets=on_rows)
        else:
            command_line.remove(out.directory, ["row_sets.csv"])
        crossed = crossing_table({sweep.assumption for sweep in sweeps})
        if len(crossed):
            out.tables(crossings=crossed)
        else:
            command_line.remove(out.directory, ["crossings.csv"])
        out.show(table.loc[table.groupby(["assumption", "circuit"], sort=False)["bias"].idxmax(), SHOWN])
        out.figures(assumptions=figure(sweeps))
        found = CLAIMS.findings(out)
        out.report(report(sweeps, lab, revision=git_revision(), findings=found, crossed=crossed, on_rows=on_rows))


STUDY = StudyRecord(
    "calibrate_assumptions",
    Config,
    main,
    CLAIMS,
    quick=("--preset", "quick"),
    paper=("--preset", "paper"),
    minutes=(2.5, NOT_TIMED),
)
