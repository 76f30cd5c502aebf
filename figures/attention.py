"""Draw the three figures of ``validation/compare_attention.py`` again from its stored results."""

from __future__ import annotations

from pathlib import Path

import attrs
import pandas as pd

from biospike import load
from biospike.plots import save_figure
from biospike.recording import load_groups
from validation.attention.figures import plot
from validation.study import command_line


@attrs.frozen
class Config:
    """Options of ``figures/attention.py``."""

    results: Path = Path("results/compare_attention")
    """Directory that ``compare_attention`` wrote."""
    out: Path = Path("figures/gallery")
    """Directory for the figures."""


def main(config: Config) -> None:
    """Read counts, tables and spikes, write ``attention_convergence``, ``attention_maps`` and ``attention_raster``."""
    data = load(config.results / "counts.nc")
    names = ("summary", "convergence", "decomposition")
    tables = {name: pd.read_csv(config.results / f"{name}.csv") for name in names}
    traces = load_groups(config.results / "spikes.nc")
    out = command_line.writable(config.out)
    for name, figure in plot(data, tables, traces).items():
        save_figure(figure, out, f"attention_{'maps' if name == 'attention' else name}")


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
