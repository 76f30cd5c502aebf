"""Draw the figures of ``validation/compare_softmax.py`` again from its stored results."""

from __future__ import annotations

from pathlib import Path

import attrs

from validation.softmax.study import STUDY
from validation.study import command_line, redraw


@attrs.frozen
class Config:
    """Options of ``figures/softmax.py``."""

    results: Path = Path("results/compare_softmax")
    """Directory that ``compare_softmax`` wrote."""
    out: Path = Path("figures/gallery")
    """Directory for the figures."""


def main(config: Config) -> None:
    """Read what the study wrote, and draw it again."""
    redraw.redraw(STUDY, config.results, config.out)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
