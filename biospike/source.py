"""Which source files a number depends on: those that a module imports, directly or through others.

Imports are read from the source, those inside of functions too, so nothing need be run, and what is imported only when
it is needed counts as well. Figures, reports and command lines are not imported by what makes numbers, hence not among
these files: a word of a report changes no key and rebuilds no binary.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

NUMBERS = ("biospike", "biospike.generate", "biospike.sweep")
"""What every number passes through besides the module that defines the circuit."""


@functools.cache
def digest(module: str) -> str:
    """SHA-256 of the source that the numbers of a circuit defined in `module` depend on."""
    found = hashlib.sha256()
    for path in sorted(files_behind(module)):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


@functools.cache
def files_behind(module: str) -> frozenset[Path]:
    """Files of this project, and of what lies beside the file of `module`, on which `module` depends."""
    own = _file(module)
    ours = {name.partition(".")[0] for name in (*NUMBERS, module, "circuits", "validation")}
    beside = (
        {path.stem for path in own.parent.iterdir()} if own and not (own.parent / "__init__.py").exists() else set()
    )
    known: dict[str, Path] = {}
    waiting = [*NUMBERS, module]
    while waiting:
        name = waiting.pop()
        if name in known or name.partition(".")[0] not in ours | beside or (path := _file(name)) is None:
            continue
        known[name] = path
        # A package is executed before what lies in it.
        waiting += [name.rpartition(".")[0], *_imports(path, name)]
    return frozenset(known.values())


def _file(module: str) -> Path | None:
    """Source of a module; None if there is none, as for a name that is no module."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded and loaded.endswith(".py"):
        return Path(loaded).resolve()
    package, _, name = module.rpartition(".")
    if package:
        folder = _file(package)
        if folder is None or folder.name != "__init__.py":
            return None
        candidates = (folder.parent / f"{name}.py", folder.parent / name / "__init__.py")
        return next((path for path in candidates if path.is_file()), None)
    try:
        spec = find_spec(module) if module else None
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _imports(path: Path, module: str) -> tuple[str, ...]:
    """Names that a source imports; of ``from a import b`` both a and a.b, since b may be a module."""
    return tuple(_imported(ast.parse(path.read_bytes()), module, is_package=path.name == "__init__.py"))


def _imported(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".") if is_package else module.split(".")[:-1]
            base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            name = ".".join(part for part in (base, node.module) if part)
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)
