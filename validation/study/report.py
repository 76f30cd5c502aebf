"""What the reports of all studies share: tables as Markdown, and what made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from biospike.recording import git_revision, versions


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, numbers to four digits, empty where there is none."""
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def described(columns: Mapping[str, str]) -> str:
    """Columns of a table with what they are, in a paragraph."""
    return "; ".join(f"`{name}`: {meaning}" for name, meaning in columns.items()) + "."


def plain(table: pd.DataFrame, digits: int = 4) -> str:
    """Return a table as text for a terminal, numbers to so many digits, empty where there is none."""
    return table.map(lambda value: _cell(value, digits)).to_string(index=False)


def _cell(value: object, digits: int = 4) -> str:
    if value is None or pd.isna(value):
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def spikes_by_target(targets: Mapping[str, str]) -> str:
    """Which target ran what, by its name, and what target fused is."""
    by_target: dict[str, list[str]] = {}
    for name, target in targets.items():
        by_target.setdefault(target, []).append(name)
    named = "; ".join(f"`{target}`: {', '.join(names)}" for target, names in by_target.items())
    fused = " Target `fused` is kernels that find the spikes of the Brian2 network, every one."
    return f"Spikes by target: {named}." + (fused if "fused" in by_target else "")


def made(
    *lines: str,
    packages: Mapping[str, str] | None = None,
    revision: str | None = None,
    compiler: str | None = None,
) -> str:
    """Section "What made this" of a report.

    Parameters
    ----------
    lines
        What only this study knows, one item each.
    packages
        Versions by name; default those of this process.
    revision, compiler
        Of the code, default the one that runs; of the compiler, left out if None.
    """
    found = ", ".join(f"{name} {version}" for name, version in (versions() if packages is None else packages).items())
    revision = f"revision {git_revision() if revision is None else revision}"
    last = revision if compiler is None else f"{revision}; compiler {compiler}"
    return "\n".join(["## What made this", "", *(f"- {line}" for line in (*lines, found, last))])


def origin(data: xr.Dataset) -> dict[str, Any]:
    """Versions, revision and compiler that a result was made with, as `made` takes them."""
    return {
        "packages": json.loads(data.attrs.get("versions", "{}")),
        "revision": data.attrs.get("git_revision", "unknown"),
        "compiler": data.attrs.get("compiler"),
    }
