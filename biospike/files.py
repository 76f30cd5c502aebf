"""Files that are whole or not there, and temporary ones that do not outlive the process that made them for long."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

written: list[Path] = []
"""What this process wrote by `write_atomically`, in order: its provenance is kept of them."""

_OWNER = re.compile(r"~(?P<node>[^~]+)~(?P<pid>\d+)~")


def owned_prefix(prefix: str) -> str:
    """Begin the name of a temporary file with `prefix`, and say which process of which machine it belongs to."""
    return f"{prefix}~{platform.node() or 'machine'}~{os.getpid()}~"


def remove_abandoned(directory: Path) -> None:
    """Remove temporary files and directories whose process, of this machine, has ended without removing them."""
    for path in directory.iterdir() if os.access(directory, os.R_OK) and directory.is_dir() else ():
        owner = _OWNER.search(path.name)
        if owner is None or owner["node"] != platform.node() or _is_alive(int(owner["pid"])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # another user's
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_atomically(path: Path, write: Any) -> None:
    """Call ``write(temporary path)`` beside `path`, sync, then rename it into place; nothing half-written remains."""
    temporary = path.parent / f"{owned_prefix(f'.{path.stem[:64]}')}{secrets.token_hex(4)}{path.suffix}"
    temporary.touch(exist_ok=False)  # with the permissions that this user gives to files
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # The name is safe on the disk once its directory is.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    written.append(path)
