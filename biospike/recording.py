"""The result format: what a run stores beside its counts, and how it is written and read."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import xarray as xr

from biospike import standalone
from biospike.parameters import to_plain

PACKAGES = ("biospike", "brian2", "numpy", "scipy", "xarray")


@functools.cache
def git_revision() -> str:
    """Commit of the source this runs from, with ``+changes`` if it was edited; ``not a checkout`` elsewhere."""
    root = Path(__file__).parent.parent
    git = ["git", "-C", str(root)]
    try:
        if not (root / ".git").exists():
            return "not a checkout"
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "not a checkout"
    return head + ("+changes" if changes.strip() else "")


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def provenance(circuit: standalone.Buildable, *, seed: int, target: str, reason: str, dt: float) -> dict[str, Any]:
    """Attributes of a result: who made it, from what, with what. Values fit netCDF."""
    path = standalone.compiler() if target in ("cpp_standalone", "cython") else None
    return {
        "circuit": circuit.name,
        "parameters": json.dumps(to_plain(circuit)),
        "parameters_units": "SI base units",
        "dt_ms": dt * 1e3,
        "seed": seed,
        "target": target,
        "target_reason": reason,
        "compiler": standalone.compiler_version(path) if path else "none",
        "compiler_flags": " ".join(standalone.FLAGS) if path else "none",
        "versions": json.dumps(versions()),
        "git_revision": git_revision(),
        "platform": platform.platform(),
    }


def save(data: xr.Dataset, path: str | Path) -> None:
    """Write a result as netCDF, atomically: the file is whole or it is not there."""
    path = Path(path)
    compressed = {name: {"zlib": True, "complevel": 4} for name in data.data_vars}
    write_atomically(path, lambda file: data.to_netcdf(file, engine="h5netcdf", encoding=compressed))


def load(path: str | Path) -> xr.Dataset:
    """Read a result into memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a biospike result.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no result at {path}")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            loaded = data.load()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a netCDF result: {error}") from error
    if "git_revision" not in loaded.attrs:
        raise ValueError(f"{path} is not a biospike result: it has no provenance")
    return loaded


def write_atomically(path: Path, write: Any) -> None:
    """Call ``write(temporary path)`` beside `path`, then rename it into place; nothing half-written remains."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
