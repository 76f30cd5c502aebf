"""What stands in the way of the packages that belong together: files and packages named `circuits` or `validation`.

Those are common names. A file ``circuits.py`` of the working directory, or another distribution's package, is found
before ours; and a script of one checkout may meet the packages of another.
"""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIBLINGS = ("circuits", "validation")
SCRIPTS = ("validation", "figures")


def refuse_shadows() -> None:
    """End a script of ours that would run with modules of others, with one line and status 2; elsewhere warn."""
    lines, script = shadows(), _script()
    if script is not None and script.parents[1] != ROOT:
        lines.append(
            f"{script} would run with the packages of {ROOT}: install its own (pip install -e {script.parents[1]}), "
            "or run the script that belongs to those"
        )
    if lines and script is not None:
        print(f"error: {lines[0]}", file=sys.stderr)
        raise SystemExit(2)
    if lines:
        # One who has circuits of his own under this name may do without ours.
        warnings.warn("; ".join(lines), stacklevel=3)


def shadows() -> list[str]:
    """Lines that say of each package what hides it and what to do; none where all is well."""
    lines = []
    for name in SIBLINGS:
        own = ROOT / name / "__init__.py"
        found = _found(name) if own.is_file() else None
        if found is None:
            continue
        if found.resolve() != own:
            what = f"{found} hides biospike's package '{name}', {own.parent}"
        elif "biospike" not in own.read_text(encoding="utf-8", errors="replace"):
            what = f"another distribution has written its package '{name}' over biospike's, {own.parent}"
        else:
            continue
        lines.append(f"{what}: rename or remove it, start Python elsewhere, or give biospike an environment of its own")
    return lines


def _found(name: str) -> Path | None:
    """Return the file or directory that ``import name`` finds, or has found; None if there is none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module that was made by hand
        return None
    if spec is None:
        return None
    return Path(spec.origin or next(iter(spec.submodule_search_locations or ()), name))


def _script() -> Path | None:
    """Return the script that runs, if it belongs to a copy of this project."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    path = Path(file).resolve() if file else Path()
    beside = path.parent.parent / "biospike" / "__init__.py"
    return path if path.parent.name in SCRIPTS and beside.is_file() else None
