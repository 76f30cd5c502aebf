"""Order of work of ``compare_microcircuits``: options, checks, run, and what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import numpy as np
import pandas as pd
import tyro
import xarray as xr
from numpy.typing import NDArray

from biospike import record
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.simulation import simulate_each
from circuits.softmax import GROUPS, Conductance, Interneurons
from validation.inputs.circuits import named_circuits
from validation.microcircuits import gate
from validation.microcircuits.claims import CLAIMS
from validation.microcircuits.figures import ladder_figure, raster_figure
from validation.microcircuits.in_nest import ROW, load_nest, nest_table
from validation.microcircuits.ladder import ladder_plans, ladder_rows, ladder_table
from validation.microcircuits.loops import extrapolated, onset_table
from validation.microcircuits.operating import at_rates, operating_plans, operating_table
from validation.microcircuits.report import report
from validation.microcircuits.rungs import PRESETS, Preset, rows_by_kind, rungs
from validation.study.options import preset_of
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

import brian2 as b2

Array = NDArray[np.float64]
GROUP = "microcircuit"
RASTER_SECONDS = 0.4
GATE_ROWS = 24
"""Of every kind, in the mean field of the gate."""
SHOWN = ["circuit", "rows_kind", "neurons_per_key", "tv", "limit_tv", "bias", "from_limit", "spread", "verdict"]


@attrs.frozen
class Config:
    """Options of ``compare_microcircuits``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick (4 minutes on two cores: 18 rows, 8 trials of 2 s) or paper (hours: 72 rows, 16 trials of 4 s)."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (GROUP,)
    """Rungs, by name or as the group of all of them."""
    trials: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Independent repetitions of every row; default the preset's."""
    nest: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run `interneurons` in NEST too: 10 keys, 3 s, 8 seeds of each simulator (needs the extra nest)."""
    seed: int = 1
    """Same seed, same spikes."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_microcircuits")
    """Directory for tables, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


def prepare(config: Config) -> tuple[Preset, list[Circuit]]:
    """Check the configuration, and return preset and rungs.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    preset = preset_of(PRESETS, preset=config.preset, target=config.target, seed=config.seed)
    names = named_circuits("--circuits", config.circuits)
    for name in names:
        if name not in GROUPS[GROUP]:
            raise InputError(f"--circuits {name}: no rung; accepted: {', '.join((GROUP, *GROUPS[GROUP]))}")
    if config.trials is not None:
        if config.trials < 1:
            raise InputError(f"--trials must be at least 1, got {config.trials}")
        preset = attrs.evolve(preset, trials=config.trials)
    if config.nest:
        if Interneurons.name not in names:
            raise InputError(f"--nest compares {Interneurons.name}, which is not among --circuits")
        load_nest()
    return preset, rungs(names)


def run(config: Config, preset: Preset, circuits: list[Circuit]) -> tuple[dict[str, pd.DataFrame], list[xr.Dataset]]:
    """Every table by the name of its file, and the counts of every rung."""
    kinds = rows_by_kind(preset.rows)
    rated = at_rates(circuits, kinds["natural"])
    plans = ladder_plans(circuits, kinds, preset, config.seed)
    beside = operating_plans(rated, kinds["natural"], preset, config.seed)
    barrages = preset.gates if any(isinstance(circuit, Conductance) for circuit in circuits) else ()
    closed = {kind: rows[: preset.gate_rows] for kind, rows in kinds.items()}
    swept = gate.gate_plans(barrages, closed, trials=preset.trials, seconds=preset.seconds, seed=config.seed)
    results = list(simulate_each([*plans, *beside, *swept], target=config.target, progress=not config.quiet))
    rows, counted = [], results[: len(plans)]
    for place, circuit in enumerate(circuits):
        data, probed = counted[2 * place : 2 * place + 2]
        rows += ladder_rows(circuit, kinds, data, probed, preset.seconds)
    ladder = ladder_table(rows)
    measured = results[len(plans) : len(plans) + len(beside)]
    tables = {"operating": operating_table(rated, kinds["natural"], measured, preset)}
    if barrages:
        mean_field = gate.mean_field_table(rows_by_kind(GATE_ROWS))
        loops = gate.simulated_table(barrages, closed, results[len(plans) + len(beside) :])
        tables |= {"gate": pd.concat([mean_field, loops], ignore_index=True), "gate_widths": gate.widths(mean_field)}
    looped = [circuit for circuit in circuits if isinstance(circuit, Interneurons)]
    if looped and preset.onset:
        tables["onset"] = onset_table(looped[-1], preset, seed=config.seed, target=config.target)
        own = (ladder["circuit"] == looped[-1].name) & (ladder["neurons_per_key"] == looped[-1].members)
        ladder.loc[own, "onset_gain"] = extrapolated(tables["onset"])
    if config.nest:
        tables["nest"] = nest_table(looped[-1], ROW, seed=config.seed, target=config.target)
    return {"ladder": ladder} | tables, counted[::2]


def raster(config: Config, circuits: list[Circuit], row: Array) -> list[xr.Dataset]:
    """A natural row in every rung, each once: spikes of all keys and interneurons, and inhibition."""
    shown = {circuit.name: circuit for circuit in circuits}
    return [
        record(circuit, row[None], duration=RASTER_SECONDS * b2.second, neurons=[0], seed=config.seed,
               target=config.target).assign_attrs(members=circuit.members, inhibition=circuit.inhibition)
        for circuit in shown.values()
    ]  # fmt: skip


def main(config: Config) -> None:
    """Check, run, plot and write."""
    preset, circuits = prepare(config)
    with Results.of(config) as out:
        tables, counted = run(config, preset, circuits)
        out.tables(**tables)
        out.show(tables["ladder"][SHOWN], digits=3)
        names = [f"{circuit.name}_{circuit.members}" for circuit in circuits]
        out.save("counts", dict(zip(names, counted, strict=True)))
        row = rows_by_kind(preset.rows)["natural"][0]
        out.figures(ladder=ladder_figure(tables), raster=raster_figure(raster(config, circuits, row)))
        out.report(report(config.preset, config.seed, tables, CLAIMS.findings(out)))


STUDY = StudyRecord(
    "compare_microcircuits", Config, main, CLAIMS, quick=("--preset", "quick"), paper=("--preset", "paper"),
    minutes=(7, NOT_TIMED),
)  # fmt: skip
