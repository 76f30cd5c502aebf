"""One cell through the function that decides, again and again, and what came out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from biospike import parts
from biospike.execution import check_jobs
from biospike.order import Laws, laws_of_rows, order_of_law, usable_windows
from biospike.provenance import code_digest
from biospike.share_verdicts import decide_rows
from biospike.verdicts import Decision
from validation.verdicts.codes import Cell, bias_of, draw, shares_of

Array = NDArray[np.float64]

PARTS = "parts"
"""Folder of the cells that are done."""


def measure(cell: Cell, repetitions: int, seed: int) -> list[dict[str, Any]]:
    """Decide on `repetitions` studies of one code.

    Returns
    -------
    list of dict
        One a study: verdict, reason, order by reference with its interval, mean errors by window, the upper limit of
        the bias that is printed (how small a bias would have been seen where no interval is), and trials that are said
        to decide.
    """
    p, n = shares_of(cell), cell.windows.astype(float)
    laws = laws_of_rows(p, np.repeat(n[:, None], cell.rows, axis=1))
    spikes = np.broadcast_to(n[:, None, None], (len(n), cell.trials, cell.rows))
    rng = np.random.default_rng([seed, *cell_numbers(cell)])
    rows = []
    for _ in range(repetitions):
        shares = draw(cell, p, rng)
        found = decide_rows(shares, p, independent=cell.sharing == "independent", spikes=spikes, laws=laws)
        rows.append(_row(found) | {"errors": (np.abs(shares - p).sum(axis=-1) / 2).mean(axis=(1, 2)).tolist()})
    return rows


def _row(found: Decision) -> dict[str, Any]:
    bias = found.bias
    limit = np.nan if bias is None else bias.high if np.isfinite(bias.high) else bias.resolvable
    return {
        "verdict": found.verdict, "reason": found.reason, "alpha": found.order.alpha, "low": found.order.low,
        "high": found.order.high, "limit": limit, "needed": found.trials_needed,
    }  # fmt: skip


def cell_numbers(cell: Cell) -> list[int]:
    """Numbers that seed a cell, whatever its place in a list."""
    digest = hashlib.sha256(repr(cell).encode()).digest()
    return [int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")]


def order_in_windows(cell: Cell, errors: Array) -> float:
    """Order by reference of the mean error of all repetitions: what an interval should cover; NaN without windows.

    Parameters
    ----------
    errors : ndarray (repetitions, windows)
    """
    p, n = shares_of(cell), cell.windows.astype(float)
    laws = laws_of_rows(p, np.repeat(n[:, None], cell.rows, axis=1))
    used, mean = usable_windows(n, laws), errors.mean(axis=0)
    used &= mean > 0
    if used.sum() < 2:
        return np.nan
    return order_of_law(n[used], mean[None, used], Laws(laws.half[used], laws.one[used])).alpha


def bias_length(cell: Cell) -> float:
    """Root of the mean over rows of the squared L2 length of the bias, in the longest window."""
    return float(np.sqrt((bias_of(cell, shares_of(cell)) ** 2).sum(axis=1).mean()))


def measure_all(
    chosen: Sequence[Cell], repetitions: int, seed: int, directory: Path, *, jobs: int | None, progress: bool
) -> Iterator[tuple[Cell, list[dict[str, Any]]]]:
    """Every cell with its studies, in the order of the list; those that an earlier run has done are read."""
    folder, common = directory / PARTS, {"repetitions": repetitions, "seed": seed, "code": code_digest()}
    names = {cell: parts.name_of(**common, **attrs.asdict(cell)) for cell in chosen}
    work = {cell: (cell, repetitions, seed, folder, names[cell]) for cell in chosen}
    # The largest first, so that none is waited for at the end.
    pool = joblib.Parallel(n_jobs=check_jobs(jobs), return_as="generator_unordered")
    done = pool(joblib.delayed(_keep)(*work[cell]) for cell in sorted(chosen, key=_size, reverse=True))
    for _ in tqdm(done, total=len(chosen), unit="cell", disable=not progress):
        pass
    for cell in chosen:
        yield cell, _kept(*work[cell])


def _size(cell: Cell) -> int:
    return cell.rows * cell.keys * cell.trials


def _kept(cell: Cell, repetitions: int, seed: int, folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parts.kept(
        folder, name, lambda: measure(cell, repetitions, seed), parts.PLAIN, worth=0
    )
    return rows


def _keep(*work: Any) -> None:
    """Make a cell or find it; what it is stays on the disk, where there is room for all cells."""
    _kept(*work)
