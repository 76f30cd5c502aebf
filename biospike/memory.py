"""How much memory a recording needs, said before it is made."""

from __future__ import annotations

import os
from pathlib import Path

from biospike.errors import InputError

COPIES = 3
"""Of a recording at the same time: the file in memory, what is read from it, and what is returned."""
MEBIBYTE = 2**20


def free_memory() -> int:
    """Bytes that this machine can still give."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def check_memory(size: int, most: float | None) -> str:
    """Say what a recording of so many bytes needs.

    Parameters
    ----------
    size
        Bytes of what is returned, without the spikes, of which nobody knows how many there will be.
    most
        Bytes that it may need; None for half of what is free.

    Raises
    ------
    InputError
        If it needs more.
    """
    limit = free_memory() / 2 if most is None else most
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0:
        raise InputError(f"max_memory must be a number of bytes above 0, got {most!r}")
    said = (
        f"{size / MEBIBYTE:.4g} MiB, and while it is made {COPIES * size / MEBIBYTE:.4g} MiB, beside 16 bytes a spike"
    )
    if COPIES * size > limit:
        half = " (half of what is free)" if most is None else ""
        raise InputError(
            f"the recording has {said}; max_memory is {limit / MEBIBYTE:.4g} MiB{half}: record fewer neurons, "
            "a part of the window, or fewer times by every="
        )
    return said
