"""What every validation script's command line shares: common options, errors as one line, exit status 2."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import tyro

from biospike import parts, provenance, standalone
from biospike.errors import InputError, InputWarning
from biospike.standalone import BuildError, RunError

Config = TypeVar("Config")

OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EPIPE, errno.EMFILE, errno.ENOMEM}
"""Errors of a disk, a pipe or a limit, which often name no file."""

PATHS = (str, bytes, os.PathLike)


def run(config: type[Config], work: Callable[[Config], None], description: str) -> None:
    """Read the command line into `config`, do the work, and turn any expected failure into one line and status 2."""
    # Whatever the encoding of the terminal, and whatever bytes a path has.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Brian2 collects garbage before every run of a network: what the imports made need not be looked through.
    gc.collect()
    gc.freeze()
    started = time.time()
    options = None
    try:
        options = _parse(config, description)
        with warnings.catch_warnings():
            warnings.simplefilter("default", InputWarning)
            warnings.showwarning = _in_one_line(warnings.showwarning)
            with _kept_parts(options):
                work(options)
        _keep_provenance(options, started)
    except (InputError, OSError, BuildError, RunError) as error:
        if isinstance(error, OSError) and not _is_of_the_user(error, options):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _kept_parts(options: Any) -> contextlib.AbstractContextManager[None]:
    """Where batches are kept that an interrupted study has done."""
    out = getattr(options, "out", None)
    return contextlib.nullcontext() if out is None else parts.kept_in(Path(out) / ".parts")


def _in_one_line(show: Callable[..., None]) -> Callable[..., None]:
    """As `warnings.showwarning`, without the line of code for what is said of the user's input."""

    def say(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, InputWarning):
            print(f"note: {' '.join(str(message).split())}", file=sys.stderr)
        else:
            show(message, category, *place, **options)

    return say


def _is_of_the_user(error: OSError, options: Any) -> bool:
    """Whether the machine, or a path that the user chose, made an error: a file of ours that is missing is our fault.

    Paths of the user are those of the options, their parents, and the directories of the build cache and of runs.
    """
    if error.errno in OF_THE_MACHINE:
        return True
    given = [value for value in attrs.asdict(options).values() if isinstance(value, Path)] if options else []
    roots = [path.absolute() for path in (*given, standalone.cache_directory(), standalone.scratch_directory())]
    named = [
        Path(os.fsdecode(name)).absolute() for name in (error.filename, error.filename2) if isinstance(name, PATHS)
    ]
    return any(path.is_relative_to(root) or root.is_relative_to(path) for path in named for root in roots)


def _keep_provenance(options: Any, started: float) -> None:
    """Write down what made the files of this run, in their directory."""
    main = sys.modules["__main__"]
    # `python -m NAME` has a specification; a script that was given by its path has none.
    name = main.__spec__.name if main.__spec__ else f"{Path(str(main.__file__)).parent.name}.{Path(sys.argv[0]).stem}"
    paths = [value for field, value in attrs.asdict(options).items() if isinstance(value, Path) and field != "out"]
    provenance.keep(options.out, name, sys.argv[1:], inputs=paths, started=started)


def _parse(config: type[Config], description: str) -> Config:
    """Read the command line; what tyro would print in a box becomes the text of an `InputError`."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return _at_home(tyro.cli(config, description=description))
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(re.sub(r"[─│╭╮╰╯]+", " ", complaint.getvalue())) from None


def _at_home(options: Config) -> Config:
    """Replace the ``~`` that begins a path, which no shell replaces in ``--out=~/results``."""
    named: dict[str, Any] = {
        field.name: Path(os.path.expanduser(getattr(options, field.name)))
        for field in attrs.fields(type(options))  # type: ignore[arg-type]
        if isinstance(getattr(options, field.name), Path)
    }
    return attrs.evolve(options, **named)  # type: ignore[misc]


def at_least(**options: tuple[int, int]) -> None:
    """Raise `InputError`, naming the option, unless every (value, least) is in order."""
    for name, (value, least) in options.items():
        if value < least:
            raise InputError(f"--{name} must be at least {least}, got {value}")


def remove(directory: Path, names: Iterable[str]) -> None:
    """Remove what an older run left of these files: nothing of it must pass for a result of this one."""
    for name in names:
        (directory / name).unlink(missing_ok=True)


def writable(directory: Path) -> Path:
    """Make `directory` and prove that files can be made in it, before hours are spent.

    Raises
    ------
    InputError
        If the directory cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise InputError(f"--out {directory} cannot be written to ({error.strerror}); name another directory") from None
    return directory
