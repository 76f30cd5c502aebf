"""Order of work of ``benchmark``: options, checks, run, and what is written."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import attrs
import pandas as pd
import tyro

from biospike.errors import InputError
from biospike.plots import save_figure
from biospike.random import SEEDS
from validation.speed import against, machine, measure
from validation.speed.case import CIRCUITS
from validation.speed.figures import benchmark_figure
from validation.speed.measure import Place
from validation.speed.peers import PEERS, REFERENCE
from validation.speed.peers import loop as benchmark_loop
from validation.speed.plan import PARTS, PRESETS, Point, Preset, points
from validation.speed.report import report
from validation.speed.tables import POINT, costs, ratios, targets
from validation.study import command_line
from validation.study.claims import Claims
from validation.study.options import member, members
from validation.study.record import StudyRecord
from validation.study.results import Missing, Results

SHOWN = ["target", "circuit", "measured", "low", "high", "bound", "limit", "met"]


@attrs.frozen
class Config:
    """Options of ``benchmark``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "paper"
    """Sizes: paper, quick (minutes), or smoke (tiny, of which no figure means anything)."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(CIRCUITS)
    """Circuits to run: race, escape, integrate."""
    peers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(PEERS)
    """Who runs them, besides biospike, which always does."""
    parts: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = PARTS
    """What is measured: compare, keys, neurons, checkpoints, memory, attention, block, published, start, study."""
    against: Annotated[str | None, tyro.conf.arg(metavar="COMMIT")] = None
    """Run studies of an older commit too, in an environment and with a cache of its own, beside those of this checkout:
    compare_softmax, compare_attention and calibrate_assumptions, cold and warm (an hour)."""
    repeats: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Interleaved repetitions of the comparison. Default: what the preset says."""
    seed: int = 1
    """Of logits and random numbers."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/benchmark")
    """Directory for tables, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor tables."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration: what `run` needs."""

    config: Config
    preset: Preset
    peers: tuple[str, ...]
    points: list[Point]
    older: str | None = None


def prepare(config: Config) -> Study:
    """Check the whole configuration.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--preset", config.preset, PRESETS)
    members("--circuits", config.circuits, CIRCUITS)
    members("--peers", config.peers, PEERS)
    members("--parts", config.parts, PARTS)
    if not 0 <= config.seed < SEEDS:
        raise InputError(f"--seed must be in [0, {SEEDS}), got {config.seed}")
    preset = PRESETS[config.preset]
    if config.repeats is not None:
        command_line.at_least(repeats=(config.repeats, 1))
        preset = attrs.evolve(preset, repeats=config.repeats, curve_repeats=min(config.repeats, preset.curve_repeats))
    chosen = {REFERENCE, *config.peers}
    peers = tuple(name for name in PEERS if name in chosen)
    older = None if config.against is None else against.resolve(config.against)
    return Study(config, preset, peers, points(preset, config.circuits, peers, config.parts, config.seed), older)


def run(study: Study, lines: list[str]) -> Iterator[dict[str, pd.DataFrame]]:
    """Measure every part that was asked for; `lines` takes which peers gave no figures, and why.

    Yields
    ------
    dict
        After each problem what is known by then: ``timings``, one row a run; ``memory``, ``attention``, ``block``,
        ``published``, ``start``, ``study`` and ``against``; empty if not asked for or not there yet.
    """
    config, preset = study.config, study.preset
    lines += dict.fromkeys(line for point in study.points for line in point.skipped.values())
    began = time.perf_counter()

    def say(text: str) -> None:
        if not config.quiet:
            print(f"[{time.perf_counter() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    for line in lines:
        say(line)
    measured = ("timings", "memory", "attention", "block", "published", "start", "study", "against")
    tables = {name: pd.DataFrame() for name in measured}
    with tempfile.TemporaryDirectory(prefix="biospike-benchmark-") as private:
        place = Place(Path(private), say, not config.quiet)
        if set(config.parts) - {"attention", "block", "published"}:
            benchmark_loop.build(place.directory)
        if "study" in config.parts:
            tables["study"] = measure.study(place, preset.curve_repeats)
            yield tables
        if "start" in config.parts:
            tables["start"] = measure.start(place, config.circuits[:1], study.peers, config.seed, lines)
            yield tables
        for timings in measure.compare(place, study.points, lines):
            tables["timings"] = pd.concat([tables["timings"], timings], ignore_index=True)
            yield tables
        if "memory" in config.parts:
            tables["memory"] = measure.memory(place, preset, config.circuits[-1], config.seed)
            yield tables
        if "attention" in config.parts:
            tables["attention"] = measure.attention(place, preset, config.seed)
            yield tables
        if "block" in config.parts:
            tables["block"] = measure.block(place, preset, config.seed, lines)
            yield tables
        if "published" in config.parts:
            tables["published"] = measure.published(place, preset, config.seed, lines)
            yield tables
        if study.older is not None:
            rows = against.run_both(study.older, preset.against, preset.curve_repeats, place.directory, say)
            for row in rows:
                tables["against"] = pd.concat([tables["against"], pd.DataFrame([row])], ignore_index=True)
                yield tables


def tabulate(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Add what is computed from the measured tables: ``costs``, ``ratios`` and ``targets``."""
    timings = tables["timings"]
    computed = {
        "costs": costs(timings) if len(timings) else pd.DataFrame(columns=POINT),
        "ratios": ratios(timings) if len(timings) else pd.DataFrame(),
        "targets": targets(timings, tables["memory"], tables["study"]),
    }
    return tables | computed


# File of every table; the targets are what `ratios.csv` is for.
FILES = {
    "timings": "benchmark",
    "targets": "ratios",
    "ratios": "peers",
    "costs": "costs",
    "memory": "memory",
    "attention": "attention",
    "block": "block",
    "published": "published",
    "against": "against",
    "start": "start",
    "study": "study",
}


def _write(tables: dict[str, pd.DataFrame], lines: list[str], facts: dict[str, Any], out: Results) -> None:
    out.tables(**{file: tables[name] for name, file in FILES.items() if len(tables[name])})
    out.text("machine.json", json.dumps(facts, indent=2) + "\n")
    out.report(report(tables, lines, facts))


def main(config: Config) -> None:
    """Check, measure, tabulate, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        facts: dict[str, Any] = machine.describe()
        lines: list[str] = []
        for measured in run(study, lines):
            # After every problem: what an interrupted run has measured is not lost.
            facts["load_average_end"] = machine.describe()["load_average"]
            tables = tabulate(measured)
            _write(tables, list(dict.fromkeys(lines)), facts, out)
        if len(tables["costs"]) or len(tables["attention"]) or len(tables["memory"]):
            out.figures(benchmark=benchmark_figure(tables["costs"], tables["memory"], tables["attention"]))
        out.show(tables["targets"][SHOWN])


def redraw(results: Results, out: Path) -> None:
    """Draw ``benchmark`` again; a run may have left out some of its tables."""
    found = {}
    for name in ("costs", "memory", "attention"):
        with contextlib.suppress(Missing):
            found[name] = results.table(name)
    if not found:
        raise InputError(f"--results {results.directory} has neither costs.csv nor memory.csv nor attention.csv")
    tables = [
        found.get(name, pd.DataFrame(columns=["part"] if name == "costs" else None))
        for name in ("costs", "memory", "attention")
    ]
    save_figure(benchmark_figure(*tables), out, "benchmark")


STUDY = StudyRecord("benchmark", Config, main, Claims(), redraw)
