"""Draw the figures of ``validation/compare_simulators.py`` again from its spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import tyro

from validation.simulators.study import STUDY
from validation.study import command_line, redraw


@attrs.frozen
class Config:
    """Options of ``simulators``."""

    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_simulators")
    """Where compare_simulators wrote its spikes."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("figures/gallery")
    """Where the figures go."""


def main(config: Config) -> None:
    """Read what the study wrote, and draw it again."""
    redraw.redraw(STUDY, config.results, config.out)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
