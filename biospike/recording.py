"""The result format: what a run stores beside its counts, and how it is written and read."""

from __future__ import annotations

import functools
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import xarray as xr

from biospike import standalone
from biospike.errors import InputError
from biospike.files import write_atomically
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
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, encoding="utf-8", errors="replace", check=True
        ).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, encoding="utf-8", errors="replace", check=True
        ).stdout
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
    compiler, flags = standalone.toolchain() if target != "numpy" else ("none", "none")
    return {
        "circuit": circuit.name,
        "parameters": json.dumps(to_plain(circuit)),
        "parameters_units": "SI base units",
        "dt_ms": dt * 1e3,
        "seed": seed,
        "target": target,
        "target_reason": reason,
        "compiler": compiler,
        "compiler_flags": flags,
        "versions": json.dumps(versions()),
        "git_revision": git_revision(),
        "platform": platform.platform(),
    }


def content(data: xr.Dataset) -> bytes:
    """Return a result as the content of a netCDF file, with a checksum of every array."""
    # In memory, since HDF5 may crash where a disk is full.
    stored = {"zlib": True, "complevel": 4, "fletcher32": True}
    # Filters take arrays of numbers only.
    encoding = {name: stored for name in data.data_vars if data[name].ndim and data[name].dtype.kind in "biufc"}
    return bytes(data.to_netcdf(engine="h5netcdf", encoding=encoding))


def save(data: xr.Dataset, path: str | Path) -> None:
    """Write a result as netCDF, atomically: the file is whole or it is not there."""
    write_atomically(Path(path), lambda file: file.write_bytes(content(data)))


def save_groups(groups: Mapping[str, xr.Dataset], path: Path) -> None:
    """Write several datasets to one netCDF file, a group each, atomically."""
    whole = bytes(xr.DataTree.from_dict(dict(groups)).to_netcdf(engine="h5netcdf"))
    write_atomically(path, lambda file: file.write_bytes(whole))


def load_groups(path: Path) -> dict[str, xr.Dataset]:
    """Read what `save_groups` wrote, in its order."""
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return {str(name): group.to_dataset().load() for name, group in tree.children.items()}


def load(path: str | Path) -> xr.Dataset:
    """Read a result into memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is not a biospike result.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no result at {path}")
    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            loaded = data.load()
    except Exception as error:  # a damaged file makes its readers raise anything
        raise InputError(f"{path} is not a netCDF result, or damaged: {' '.join(str(error).split())}") from error
    if "git_revision" not in loaded.attrs:
        raise InputError(f"{path} is not a biospike result: it has no provenance")
    return loaded
