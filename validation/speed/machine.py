"""The machine that a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from biospike import recording, standalone
from biospike.execution import check_jobs

PACKAGES = ("Cython", "torch", "snntorch", "spikingjelly", "nest-simulator")


def describe() -> dict[str, Any]:
    """Processor, cores, memory, compiler, flags, versions and load, as plain values."""
    compiler, flags = standalone.toolchain()
    return {
        "processor": _from_proc("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": check_jobs(None),
        "memory": _from_proc("/proc/meminfo", "MemTotal"),
        "caches": _caches(),
        "platform": platform.platform(),
        "compiler": compiler,
        "flags": flags,
        "versions": recording.versions() | {name: _version(name) for name in PACKAGES},
        "revision": recording.git_revision(),
        "load_average": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else [],
    }


def _from_proc(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def _caches() -> str:
    """Sizes of the caches of the first core, from the smallest."""
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text(encoding="utf-8").strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
