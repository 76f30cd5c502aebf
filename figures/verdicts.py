"""Draw the figure of ``validation/calibrate_verdicts.py`` again from its stored results."""

from __future__ import annotations

from pathlib import Path

import attrs

from validation.study import command_line, redraw
from validation.verdicts.study import STUDY


@attrs.frozen
class Config:
    """Options of ``figures/verdicts.py``."""

    results: Path = Path("results/calibrate_verdicts")
    """Directory that ``calibrate_verdicts`` wrote."""
    out: Path = Path("figures/gallery")
    """Directory for the figure."""


def main(config: Config) -> None:
    """Read what the study wrote, and draw it again."""
    redraw.redraw(STUDY, config.results, config.out)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
