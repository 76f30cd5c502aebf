"""What is known of a study besides its own code: its options at the presets, its claims, its figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from validation.study.claims import Claims
from validation.study.results import Results

NOT_TIMED = math.nan


class StudyRecord(NamedTuple):
    """A study, as `all`, the gallery and the tests of command lines know it.

    Attributes
    ----------
    name : str
        Of its directory below the results, and of its script.
    config : type
        Its options, which are its command line.
    main : callable
        Runs it.
    claims : Claims
        What it measures claims of.
    redraw : callable, optional
        Draws its figures again from its `Results` into a directory, under the names of the gallery.
    quick, paper : tuple of str
        Its options at the two presets of `all`; None where `all` does not run it.
    minutes : tuple of float
        Of one core, that it took at the two presets when it was last measured, from an empty cache: about its wall
        time where `all` runs two side by side on two cores. `NOT_TIMED` where it was not measured.
    script : str
        Of a second run of one script; empty where `name` is its name.
    """

    name: str
    config: type[Any]
    main: Callable[[Any], None]
    claims: Claims
    redraw: Callable[[Results, Path], None] | None = None
    quick: tuple[str, ...] | None = None
    paper: tuple[str, ...] | None = None
    minutes: tuple[float, float] | None = None
    script: str = ""
