"""Draw the two figures of ``validation/compare_softmax.py`` again from its stored results."""

from __future__ import annotations

from pathlib import Path

import attrs
import pandas as pd

from biospike import plots
from biospike.recording import load_groups
from validation.study import command_line


@attrs.frozen
class Config:
    """Options of ``figures/softmax.py``."""

    results: Path = Path("results/compare_softmax")
    """Directory that ``compare_softmax`` wrote."""
    out: Path = Path("figures/gallery")
    """Directory for the figures."""


def main(config: Config) -> None:
    """Read tables and traces, write ``softmax_convergence`` and ``softmax_raster``."""
    summary, convergence = (pd.read_csv(config.results / f"{name}.csv") for name in ("summary", "convergence"))
    traces = load_groups(config.results / "traces.nc")
    out = command_line.writable(config.out)
    plots.save_figure(plots.convergence_figure(summary, convergence), out, "softmax_convergence")
    plots.save_figure(plots.raster_figure(traces), out, "softmax_raster")


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
