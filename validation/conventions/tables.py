"""The table of conventions: asked here, read from other environments, and held against the one that ships."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd

from biospike.errors import InputError
from biospike.ideal.hardware_lif import shares_of_levels
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from validation.conventions.packages import Asked, neurons, version
from validation.conventions.probes import FACTS, PROBES, SAME, answers, differences
from validation.data import attention_rows

COLUMNS = {
    "package": "name as in --packages",
    "version": "of the package",
    "model": "the neuron, as a user of the package makes it",
    "probe": "what was asked",
    "seen": "what the package answered",
    "convention": "the convention of biospike that the neuron is; empty if it has none",
    "numpy": "what that convention's formula answers in NumPy, with the neuron's parameters",
    "date": "when the package was asked",
    "changed": "what the shipped table has in place of `seen`; empty where they agree or it has no such row",
}
LEVELS = {
    "levels": "values that a step of uniform noise can have; 255 of eight bits",
    "spikes_per_step": "mean number of spikes of a row in a step",
    "tv": "mean total variation from softmax of the shares that a race on such noise decides, on the shipped rows",
}
EIGHT_BITS, RARE = 255, 0.1
"""Levels of a chip's noise, and the spikes of a row and step at which two in one step are rare."""
KEY = ["package", "model", "probe"]
FILE = "conventions.csv"


def ask(name: str, seed: int) -> list[dict[str, Any]]:
    """Rows of one package that is installed, without `changed`."""
    rows = []
    for asked in neurons(name):
        formula = _formula(asked)
        found = answers(asked.neuron)
        if asked.formula is not None:
            found[SAME] = differences(asked.neuron, _drive(asked), seed)
        rows += [
            {
                "package": name, "version": version(name), "model": asked.neuron.name, "probe": probe, "seen": seen,
                "convention": asked.convention, "numpy": formula.get(probe, ""), "date": date.today().isoformat(),
            }
            for probe, seen in found.items()
        ]  # fmt: skip
    return rows


def _drive(asked: Asked) -> Any:
    """The formula of a neuron, in the neuron's precision."""
    formula: Any = asked.formula
    return lambda inputs: formula.run(inputs, asked.neuron.dtype)


def _formula(asked: Asked) -> dict[str, str]:
    """Answers of the convention's formula to the probes that spikes answer."""
    if asked.formula is None:
        return {}
    return answers(attrs.evolve(asked.neuron, drive=_drive(asked), facts={}))


def read(path: Path) -> pd.DataFrame:
    """Read a table that this study wrote, every cell as text.

    Raises
    ------
    InputError
        If there is none, or it has not the columns of one.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"--join {path.parent}: {path.name} cannot be read ({error})") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise InputError(f"--join {path.parent}: {path.name} has no column {', '.join(missing)}")
    return table[list(COLUMNS)]


def shipped() -> pd.DataFrame:
    """The table that ships."""
    return read(Path(str(files("validation.conventions") / FILE)))


def joined(tables: Iterable[pd.DataFrame], known: pd.DataFrame) -> pd.DataFrame:
    """One table of several, the last of two answers to a question, with `changed` against the shipped one."""
    every = [table.assign(changed="") for table in tables]
    table = pd.concat(every, ignore_index=True).drop_duplicates(KEY, keep="last", ignore_index=True)
    before = known.set_index(KEY)["seen"]
    for row, place in enumerate(table[KEY].itertuples(index=False, name=None)):
        was = before.get(place)
        if was is not None and was != table.loc[row, "seen"]:
            table.loc[row, "changed"] = was
    return table[list(COLUMNS)]


def lines_of_changes(table: pd.DataFrame) -> list[str]:
    """What is otherwise than in the shipped table, a line each."""
    return [
        f"changed: {row.package} {row.version}, {row.model}, {row.probe}: {row.seen}; shipped: {row.changed}"
        for row in table[table["changed"] != ""].itertuples(index=False)
    ]


def noise_levels() -> pd.DataFrame:
    """What noise of few levels leaves of softmax: a row a number of levels, and eight bits at rare spikes."""
    logits = attention_rows()
    exact = softmax(logits)
    rows = []
    for levels in (255, 128, 64, 32, 16, 8):
        tv = total_variation(shares_of_levels(logits, levels), exact)
        spikes = np.nansum(exact, axis=1) / np.nanmax(exact, axis=1)  # sum of m over levels, but for rounding
        rows.append({"levels": levels, "spikes_per_step": float(spikes.mean()), "tv": float(tv.mean())})
    strongest = RARE * EIGHT_BITS * np.nanmax(exact, axis=1, keepdims=True)
    tv = total_variation(shares_of_levels(logits, strongest), exact)
    return pd.DataFrame([*rows, {"levels": EIGHT_BITS, "spikes_per_step": RARE, "tv": float(tv.mean())}])


def by_neuron(table: pd.DataFrame) -> pd.DataFrame:
    """One row a neuron, one column a probe, in the order of the probes."""
    wide = table.pivot(index=["package", "version", "model"], columns="probe", values="seen").fillna("")
    order = [name for name in (*PROBES, SAME, *FACTS) if name in wide]
    first = table.drop_duplicates(["package", "version", "model"])[["package", "version", "model"]]
    return wide[order].loc[pd.MultiIndex.from_frame(first)].reset_index()
