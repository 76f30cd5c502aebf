"""Draw the figure of ``validation/benchmark.py`` again from its stored results."""

from __future__ import annotations

from pathlib import Path

import attrs
import pandas as pd

from biospike import plots
from biospike.errors import InputError
from validation.speed.figures import benchmark_figure
from validation.study import command_line


@attrs.frozen
class Config:
    """Options of ``figures/benchmark.py``."""

    results: Path = Path("results/benchmark")
    """Directory that ``benchmark`` wrote."""
    out: Path = Path("figures/gallery")
    """Directory for the figure."""


def main(config: Config) -> None:
    """Read the tables, of which a run may have left out some, and write ``benchmark``."""
    costs, memory, attention = (_read(config.results / f"{name}.csv") for name in ("costs", "memory", "attention"))
    if costs.empty and memory.empty and attention.empty:
        raise InputError(f"--results {config.results} has neither costs.csv nor memory.csv nor attention.csv")
    plots.save_figure(benchmark_figure(costs, memory, attention), command_line.writable(config.out), "benchmark")


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["part"] if path.stem == "costs" else None)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
