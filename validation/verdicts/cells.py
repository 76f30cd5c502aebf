"""Which codes are tried: lists that cover every level, and every pair of levels of two factors, in a fixed order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from validation.verdicts.codes import Cell

LEVELS: dict[str, tuple[float | int | str, ...]] = {
    "order": (0.5, 0.65, 0.75, 0.85, 1.0),
    "bias": (0.0, 0.001, 0.003, 0.01, 0.02),
    "fall": ("none", "constant", "transient"),
    "rows": (1, 4, 72),
    "keys": (2, 14, 300),
    "trials": (2, 3, 4, 8, 16, 64),
    "spikes": (30, 300, 1000, 10_000),
    "sharing": ("independent", "shared"),
    "shape": ("flat", "peaked", "natural", "never"),
}
FEWEST = 10
"""Cells that have any one level."""
LARGEST = 80_000
"""Rows times keys times trials of a cell, so that a list is done in minutes."""
SIZES = {"quick": 120, "paper": 600}
REPETITIONS = {"quick": 200, "paper": 1000}
TRIED = 300
"""Random cells of which the one that covers most is taken."""


def legal(cell: Cell) -> bool:
    """Whether there is such a code, small enough for a list."""
    return (
        (cell.fall == "none") == (cell.bias == 0)
        and (cell.rows > 1 or cell.sharing == "independent")
        and not (cell.shape == "natural" and cell.keys > 14)  # shipped rows have 32 keys at most
        and not (cell.shape == "never" and cell.keys < 3)
        and cell.rows * cell.keys * cell.trials <= LARGEST
    )


def levels_of(cell: Cell) -> list[tuple[str, float | int | str]]:
    """Factors of a cell with their levels."""
    return [(name, getattr(cell, name)) for name in LEVELS]


def pairs_of(cell: Cell) -> Iterator[tuple[tuple[str, float | int | str], ...]]:
    """Pairs of levels of two factors in a cell."""
    return itertools.combinations(levels_of(cell), 2)


def cells(preset: str) -> list[Cell]:
    """The list of a preset, the same on every machine; the longer one begins with the shorter one.

    Each cell is that of `TRIED` random ones with most pairs that no earlier one has, levels that are rare breaking
    ties. The paper list ends with one cell a code of 72 rows, 300 keys and 64 trials.
    """
    rng = np.random.default_rng(2)
    found: list[Cell] = []
    seen: set[object] = set()
    uses = dict.fromkeys(((name, level) for name, levels in LEVELS.items() for level in levels), 0)
    while len(found) < SIZES[preset]:
        tried = list(itertools.islice(_random(rng), TRIED))
        best = max(
            (cell for cell in tried if cell not in seen),
            key=lambda cell: (len(set(pairs_of(cell)) - seen), -sum(uses[level] for level in levels_of(cell))),
        )
        found.append(best)
        seen |= {best, *pairs_of(best)}
        for level in levels_of(best):
            uses[level] += 1
    if preset == "paper":
        found += [
            Cell(float(order), 0.0, "none", 72, 300, 64, 1000, "independent", "flat") for order in LEVELS["order"]
        ]
    return found


def _random(rng: np.random.Generator) -> Iterator[Cell]:
    while True:
        chosen = {name: levels[rng.integers(len(levels))] for name, levels in LEVELS.items()}
        if chosen["bias"] == 0:
            chosen["fall"] = "none"
        cell = Cell(**chosen)  # type: ignore[arg-type]
        if legal(cell):
            yield cell
