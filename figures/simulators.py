"""Draw the figures of ``validation/compare_simulators.py`` again from its spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import pandas as pd
import tyro

from biospike import plots
from validation.simulators.data import load_results
from validation.simulators.figures import draw
from validation.study import command_line


@attrs.frozen
class Config:
    """Options of ``simulators``."""

    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_simulators")
    """Where compare_simulators wrote its spikes."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("figures/gallery")
    """Where the figures go."""


def main(config: Config) -> None:
    """Read the spikes, and write the figures."""
    results = load_results(config.results / "spikes.npz")
    tables = {"neurons": pd.read_csv(config.results / "neurons.csv")}
    out = command_line.writable(config.out)
    for name, figure in draw(results, tables).items():
        plots.save_figure(figure, out, f"simulators_{name}")


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
