"""Order of work of ``calibrate_assumptions``: options, checks, run, and what is written."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import tyro

import biospike
import circuits
from biospike import execution, standalone
from biospike.errors import InputError
from biospike.recording import git_revision, versions, write_atomically
from validation import assumptions
from validation.assumptions import ASSUMPTIONS
from validation.assumptions.claims import CLAIMS
from validation.assumptions.crossings import crossing_table
from validation.assumptions.figure import figure
from validation.assumptions.lab import Lab
from validation.assumptions.report import report
from validation.assumptions.sweep import Sweep, from_plain, to_plain
from validation.assumptions.table import tabulate
from validation.study import command_line
from validation.study.options import member, members
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

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


PRESENTATION = ("figure.py", "report.py", "table.py", "crossings.py")


@functools.cache
def source_digest() -> str:
    """SHA-256 of every source file that a measurement runs through, hence without how it is presented."""
    digest = hashlib.sha256()
    for package in (biospike, circuits, assumptions):
        root = Path(str(package.__file__)).parent
        for path in sorted(path for path in root.rglob("*.py") if path.name not in PRESENTATION):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def identity(name: str, lab: Lab) -> dict[str, Any]:
    """What the numbers of one assumption depend on; the target is not part of it, since spikes do not depend on it."""
    return {
        "assumption": name,
        "trials": lab.trials,
        "stretch": lab.stretch,
        "seed": lab.seed,
        "versions": versions(),
        "source": source_digest(),
    }


def run(config: Config, lab: Lab, out: Path) -> list[Sweep]:
    """Measure every assumption, or read what an earlier run measured under the same `identity`.

    Every assumption is stored as soon as it is finished, in ``parts``, under its name and the hash of its identity.
    """
    parts = command_line.writable(out / "parts")
    sweeps: list[Sweep] = []
    for number, name in enumerate(config.assumptions, 1):
        wanted = identity(name, lab)
        key = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
        path = parts / f"{name}-{key[:16]}.json"
        found = _read(path, wanted)
        started = time.perf_counter()
        if found is None:
            found = ASSUMPTIONS[name](lab)
            stored = {"identity": wanted, "sweeps": [to_plain(sweep) for sweep in found]}
            write_atomically(
                path, lambda file, stored=stored: file.write_text(json.dumps(stored, indent=1), encoding="utf-8")
            )
            how = f"{time.perf_counter() - started:.1f} s"
        else:
            how = f"stored in {path.name}"
        if not config.quiet:
            verdicts = ", ".join(f"{sweep.label}: {sweep.verdict}" for sweep in found)
            print(f"[{number}/{len(config.assumptions)}] {name} ({how}): {verdicts}", file=sys.stderr)
        sweeps += found
    return sweeps


def _read(path: Path, wanted: dict[str, Any]) -> list[Sweep] | None:
    """Sweeps of a part, or None if it is not there or not whole."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return [from_plain(sweep) for sweep in stored["sweeps"]] if stored["identity"] == wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def main(config: Config) -> None:
    """Check, run, tabulate, plot and write."""
    lab = prepare(config)
    with Results.of(config) as out:
        sweeps = run(config, lab, out.directory)
        table = tabulate(sweeps)
        out.tables(assumptions=table)
        crossed = crossing_table({sweep.assumption for sweep in sweeps})
        if len(crossed):
            out.tables(crossings=crossed)
        else:
            command_line.remove(out.directory, ["crossings.csv"])
        out.show(table.loc[table.groupby(["assumption", "circuit"], sort=False)["bias"].idxmax(), SHOWN])
        out.figures(assumptions=figure(sweeps))
        out.report(report(sweeps, lab, revision=git_revision(), findings=CLAIMS.findings(out), crossed=crossed))


STUDY = StudyRecord(
    "calibrate_assumptions",
    Config,
    main,
    CLAIMS,
    quick=("--preset", "quick"),
    paper=("--preset", "paper"),
    minutes=(2.5, NOT_TIMED),
)
