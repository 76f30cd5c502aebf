"""Draw the figures of ``validation/compare_frameworks.py`` again from its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import tyro

from validation.frameworks.study import STUDY
from validation.study import command_line, redraw


@attrs.frozen
class Config:
    """Options of ``frameworks``."""

    results: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_frameworks")
    """Where compare_frameworks wrote its tables."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("figures/gallery")
    """Where the figures go."""


def main(config: Config) -> None:
    """Read what the study wrote, and draw it again."""
    redraw.redraw(STUDY, config.results, config.out)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
