"""Figures drawn again from stored results, for the gallery."""

from __future__ import annotations

from pathlib import Path

from biospike.errors import InputError
from validation.study.command_line import writable
from validation.study.record import StudyRecord
from validation.study.results import Missing, Results


def redraw(study: StudyRecord, results: Path, out: Path) -> None:
    """Draw the figures of `study` from what it wrote into `results`, into the directory `out`.

    Raises
    ------
    InputError
        If the results are not there.
    """
    if study.redraw is None:
        raise InputError(f"{study.name} has no figure in the gallery")
    try:
        study.redraw(Results(results), writable(out))
    except Missing as missing:
        raise InputError(f"--results {results}: {missing}") from None
