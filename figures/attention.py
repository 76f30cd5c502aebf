"""Draw the figures of ``validation/compare_attention.py`` again from its stored results.

Of a run whose inhibition is subtracted, such as ``results/compare_attention_toy``, the decay in time.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from validation.attention.study import STUDY, TOY
from validation.study import command_line, redraw


@attrs.frozen
class Config:
    """Options of ``figures/attention.py``."""

    results: Path = Path("results/compare_attention")
    """Directory that ``compare_attention`` wrote."""
    out: Path = Path("figures/gallery")
    """Directory for the figures."""


def main(config: Config) -> None:
    """Read what the study wrote, and draw it again."""
    redraw.redraw(TOY if (config.results / "decay.csv").is_file() else STUDY, config.results, config.out)


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
