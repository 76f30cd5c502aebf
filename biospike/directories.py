"""Directories of this machine: where binaries are kept, and where runs keep their files."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from biospike.errors import BuildError

# The files of a run go through memory where there is room, which halves the time of a short one.
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 2**28


def cache_directory() -> Path:
    """Where binaries are kept, absolute.

    ``$BIOSPIKE_CACHE``, which may be relative or begin with ``~``. Else ``biospike`` in ``$XDG_CACHE_HOME`` or in
    ``~/.cache``, and where that cannot be used, as without a home, a directory of this user's among the temporary ones.

    Raises
    ------
    BuildError
        If ``$BIOSPIKE_CACHE`` begins with the home of a user that is not known.
    """
    if own := os.environ.get("BIOSPIKE_CACHE", "").strip():
        expanded = os.path.expanduser(own)
        if expanded.startswith("~"):
            raise BuildError(f"$BIOSPIKE_CACHE = {own!r}: no home is known for its '~'; give the whole path")
        return Path(os.path.abspath(expanded))
    caches = _user_caches()
    if caches is not None and obstacle(caches / "biospike") is None:
        return caches / "biospike"
    return _among_temporary()


def _user_caches() -> Path | None:
    named = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME", "")))
    if named.is_absolute():  # others are to be ignored, says the specification
        return named
    home = Path(os.path.expanduser("~") if os.environ.get("HOME", "~") else "")
    return home / ".cache" if home.is_absolute() else None


def _among_temporary() -> Path:
    """Return a directory that others can neither prepare nor change: what lies there is executed."""
    try:
        directory = Path(os.path.abspath(tempfile.gettempdir()), f"biospike-{os.getuid()}")
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise BuildError(f"no directory for binaries can be made ({error}); name one in $BIOSPIKE_CACHE") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise BuildError(f"{directory} may be changed by other users; name a directory for binaries in $BIOSPIKE_CACHE")
    return directory


def obstacle(directory: Path) -> str | None:
    """Why binaries can not be kept in a directory and started there, or None; makes it if it is missing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{directory} cannot be made ({error.strerror})"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"{directory} cannot be written to"
    return None if starts_programs(directory) else f"{directory} is on a file system mounted noexec"


def starts_programs(directory: Path) -> bool:
    """Whether the file system of a directory lets programs start: `os.access` says nothing of it."""
    return not os.statvfs(directory).f_flag & getattr(os, "ST_NOEXEC", 0)


def scratch_directory(needed: int = 0) -> Path:
    """Where runs keep their files: ``$TMPDIR`` if it is set, else memory if there is room, else ``/tmp``.

    Parameters
    ----------
    needed
        Bytes that all runs at a time write.
    """
    chosen = Path(os.path.abspath(tempfile.gettempdir()))
    if chosen != Path("/tmp") or os.environ.get("TMPDIR") or not os.access(MEMORY, os.W_OK):
        return chosen
    return MEMORY if shutil.disk_usage(MEMORY).free > max(ENOUGH_MEMORY, 2 * needed) else chosen
