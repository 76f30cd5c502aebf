"""Draw the figures of ``validation/compare_frameworks.py`` again from its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import pandas as pd
import tyro

from biospike import plots
from validation.frameworks.figures import energy_figure, membrane_figure, mismatch_figure
from validation.study import command_line


@attrs.frozen
class Config:
    """Options of ``frameworks``."""

    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_frameworks")
    """Where compare_frameworks wrote its tables."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("figures/gallery")
    """Where the figures go."""


def main(config: Config) -> None:
    """Read the tables, and write the figures."""
    tables = {name: pd.read_csv(config.results / f"{name}.csv") for name in ("summary", "stages", "energy")}
    out = command_line.writable(config.out)
    made = {
        "mismatches": mismatch_figure(tables["summary"]),
        "membranes": membrane_figure(tables["summary"], tables["stages"]),
        "energy": energy_figure(tables["energy"]),
    }
    for name, figure in made.items():
        plots.save_figure(figure, out, f"frameworks_{name}")


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
