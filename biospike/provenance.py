"""What made a file, and the command that makes it again: ``python -m biospike.provenance FILE``.

Every study leaves ``STUDY.provenance.json`` beside its tables and figures: its command, inputs, code and versions, and
the SHA-256 of each file it wrote. A file is known by its content there, so one that was edited, or written over by
another run, is never ascribed to the wrong command.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from biospike import files, recording, standalone
from biospike.errors import InputError

SUFFIX = ".provenance.json"
PACKAGES = ("biospike", "circuits", "validation")
CACHED = "__pycache__"
LEVELS = 3
"""How many directories above a file its record is looked for."""
PEERS = (
    "matplotlib",
    "pandas",
    "torch",
    "spikingjelly",
    "snntorch",
    "nest-simulator",
    "scikit-learn",
    "scikit-dimension",
)


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest() -> str:
    """SHA-256 of all packages of the project: every source, C++ and shipped data included."""
    found = hashlib.sha256()
    for package in PACKAGES:
        for root in spec.submodule_search_locations or () if (spec := find_spec(package)) else ():
            for path in sorted(path for path in Path(root).rglob("*") if path.is_file() and path.parent.name != CACHED):
                found.update(f"{package}/{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def keep(
    directory: Path, study: str, arguments: Sequence[str], *, inputs: Sequence[Path] = (), started: float | None = None
) -> Path:
    """Write the record of what this process wrote into `directory` by `biospike.files.write_atomically`.

    Parameters
    ----------
    directory
        Of the results.
    study
        Module that was run, as ``validation.compare_softmax``.
    arguments
        Of its command line.
    inputs
        Files it read, or directories whose files it may have read.
    started
        Seconds since the epoch.

    Returns
    -------
    Path
        ``directory/STUDY.provenance.json``.
    """
    root = directory.resolve()
    ours = {path.resolve() for path in files.written}
    written = sorted(path for path in ours if path.is_file() and path.is_relative_to(root))
    facts = {
        "study": study,
        "arguments": list(arguments),
        "directory": str(Path.cwd()),
        "inputs": {str(path): digest(path) for given in inputs for path in _files(given)},
        "files": {str(path.relative_to(root)): digest(path) for path in written if not path.name.endswith(SUFFIX)},
        "code": code_digest(),
        "git_revision": recording.git_revision(),
        "versions": recording.versions() | {name: version for name in PEERS if (version := _version(name))},
        "compiler": standalone.toolchain()[0],
        "processor": standalone.processor().splitlines()[0].rpartition(": ")[2],
        "platform": platform.platform(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
    }
    path = directory / f"{study.rpartition('.')[2]}{SUFFIX}"
    files.write_atomically(
        path, lambda temporary: temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    )
    return path


def _files(given: Path) -> list[Path]:
    found = sorted(given.iterdir()) if given.is_dir() else [given]
    return [path for path in found if path.is_file() and not path.name.endswith(SUFFIX)]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def find(path: Path) -> dict[str, Any]:
    """Return the record of a file.

    Raises
    ------
    InputError
        If there is none, or the file is not as it was written.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    content, changed = digest(path), None
    for directory in list(path.resolve().parents)[:LEVELS]:
        for record in sorted(directory.glob(f"*{SUFFIX}")):
            facts = _read(record)
            if content in facts["files"].values():
                return facts
            if str(path.resolve().relative_to(directory)) in facts["files"]:
                changed = record
    if changed is not None:
        raise InputError(f"{path} is not as {changed.name} says it was written: it was edited, or another run wrote it")
    if path.suffix == ".nc":
        attributes = recording.load(path).attrs
        return {name: _plain(value) for name, value in attributes.items()}
    raise InputError(f"{path}: no record of it here or in the {LEVELS - 1} directories above (*{SUFFIX})")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _read(record: Path) -> dict[str, Any]:
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or not isinstance(facts["files"], dict):
            raise InputError("it is not a record")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{record} cannot be read ({error})") from None
    return facts


def command(facts: dict[str, Any]) -> str:
    """Return the command that makes the files of a record again."""
    package, _, name = facts["study"].rpartition(".")
    program = f"{package}/{name}.py" if package == "figures" else f"-m {facts['study']}"
    return shlex.join(["python", *program.split(), *facts["arguments"]])


def describe(path: Path) -> str:
    """Say in lines what made a file, and how to make it again."""
    facts = find(path)
    if "study" not in facts:
        facts |= {"made by": "biospike.simulate; its arguments are below"}
    else:
        again = command(facts)
        facts = {"file": str(path), "sha256": digest(path), "command": again} | facts
        changed = [name for name, known in facts["inputs"].items() if _differs(Path(facts["directory"], name), known)]
        if changed:
            facts["inputs that changed since"] = changed
        if facts["code"] != code_digest():
            facts["code has changed since"] = f"now {code_digest()}; check out {facts['git_revision']}"
        facts = {name: value for name, value in facts.items() if name not in ("files", "arguments")}
    width = max(map(len, facts)) + 2
    return "\n".join(f"{name + ':':<{width}}{_text(value)}" for name, value in facts.items())


def _differs(path: Path, known: str) -> bool:
    return not path.is_file() or digest(path) != known


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items()) or "none"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(prog="python -m biospike.provenance", description=__doc__)
    parser.add_argument("file", type=Path, help="a table, figure, report or netCDF file that a study wrote")
    try:
        print(describe(parser.parse_args().file))
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
