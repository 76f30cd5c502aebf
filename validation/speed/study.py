"""How fast is biospike: the same circuit, rows, trials, steps and outputs on simulators, frameworks and written loops.

Every peer runs in a process of its own, in turn with the others, and its counts are checked before its time is kept.
The ceiling is a fused C++ loop of the same arithmetic, written by hand. Curves show the cost per neuron and step
against keys, neurons and checkpoints, memory against neurons and duration, and the attention block against its tokens;
the default study of compare_softmax is timed inside and outside of its compiled binaries.
"""

from __future__ import annotations

import difflib
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import attrs
import pandas as pd
import tyro

from biospike.errors import InputError
from biospike.plots import save_figure
from biospike.random import SEEDS
from biospike.recording import write_atomically
from validation.speed import machine as benchmark_machine
from validation.speed import measure
from validation.speed.case import CIRCUITS
from validation.speed.figures import benchmark_figure
from validation.speed.measure import Place
from validation.speed.peers import PEERS, REFERENCE
from validation.speed.peers import loop as benchmark_loop
from validation.speed.plan import PARTS, PRESETS, Point, Preset, points
from validation.speed.report import report
from validation.speed.tables import POINT, costs, ratios, targets
from validation.study import command_line

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
    """What is measured: compare, keys, neurons, checkpoints, memory, attention, start, study."""
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


def prepare(config: Config) -> Study:
    """Check the whole configuration.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    _check_names("--preset", (config.preset,), PRESETS)
    _check_names("--circuits", config.circuits, CIRCUITS)
    _check_names("--peers", config.peers, PEERS)
    _check_names("--parts", config.parts, PARTS)
    if not 0 <= config.seed < SEEDS:
        raise InputError(f"--seed must be in [0, {SEEDS}), got {config.seed}")
    preset = PRESETS[config.preset]
    if config.repeats is not None:
        command_line.at_least(repeats=(config.repeats, 1))
        preset = attrs.evolve(preset, repeats=config.repeats, curve_repeats=min(config.repeats, preset.curve_repeats))
    chosen = {REFERENCE, *config.peers}
    peers = tuple(name for name in PEERS if name in chosen)
    return Study(config, preset, peers, points(preset, config.circuits, peers, config.parts, config.seed))


def _check_names(option: str, given: Iterable[str], accepted: Iterable[str]) -> None:
    accepted = list(accepted)
    if not list(given):
        raise InputError(f"{option} needs at least one of {', '.join(accepted)}")
    for name in given:
        if name not in accepted:
            near = difflib.get_close_matches(name, accepted, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise InputError(f"{option} {name}: unknown{hint}; accepted: {', '.join(accepted)}")


def run(study: Study, lines: list[str]) -> Iterator[dict[str, pd.DataFrame]]:
    """Measure every part that was asked for; `lines` takes which peers gave no figures, and why.

    Yields
    ------
    dict
        After each problem what is known by then: ``timings``, one row a run; ``memory``, ``attention``, ``start`` and
        ``study``; empty if not asked for or not there yet.
    """
    config, preset = study.config, study.preset
    lines += dict.fromkeys(line for point in study.points for line in point.skipped.values())
    began = time.perf_counter()

    def say(text: str) -> None:
        if not config.quiet:
            print(f"[{time.perf_counter() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    for line in lines:
        say(line)
    tables = {name: pd.DataFrame() for name in ("timings", "memory", "attention", "start", "study")}
    with tempfile.TemporaryDirectory(prefix="biospike-benchmark-") as private:
        place = Place(Path(private), say, not config.quiet)
        if set(config.parts) - {"attention"}:
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
    "start": "start",
    "study": "study",
}


def _write(tables: dict[str, pd.DataFrame], lines: list[str], machine: dict[str, Any], out: Path) -> None:
    for name, file_name in FILES.items():
        if len(table := tables[name]):
            write_atomically(out / f"{file_name}.csv", lambda file, table=table: table.to_csv(file, index=False))
    write_atomically(
        out / "machine.json", lambda file: file.write_text(json.dumps(machine, indent=2) + "\n", encoding="utf-8")
    )
    text = report(tables, lines, machine)
    write_atomically(out / "report.md", lambda file: file.write_text(text, encoding="utf-8"))


def main(config: Config) -> None:
    """Check, measure, tabulate, plot and write."""
    study = prepare(config)
    out = command_line.writable(config.out)
    machine: dict[str, Any] = benchmark_machine.describe()
    lines: list[str] = []
    for measured in run(study, lines):
        # After every problem: what an interrupted run has measured is not lost.
        machine["load_average_end"] = benchmark_machine.describe()["load_average"]
        tables = tabulate(measured)
        _write(tables, list(dict.fromkeys(lines)), machine, out)
    if len(tables["costs"]) or len(tables["attention"]) or len(tables["memory"]):
        figure = benchmark_figure(tables["costs"], tables["memory"], tables["attention"])
        save_figure(figure, out, "benchmark")
    if not config.quiet:
        print(tables["targets"][SHOWN].to_string(index=False, float_format=lambda value: f"{value:.4g}"))
        print(f"written to {out}: {', '.join(sorted(path.name for path in out.iterdir() if path.is_file()))}")
