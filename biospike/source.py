"""Which source files a number depends on: those that a module imports, directly or through others.

Imports are read from the source, those inside of functions too, so nothing need be run, and what is imported only when
it is needed counts as well. Figures, reports and command lines are not imported by what makes numbers, hence not among
these files: a word of a report changes no key and rebuilds no binary.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from biospike.errors import BuildError

NUMBERS = ("biospike", "biospike.generate", "biospike.sweep")
"""What every number passes through besides the module that defines the circuit."""
INSTALLED = {"site-packages", "dist-packages"}


def code_digest(kind: type) -> str:
    """Digest of the source that a circuit's numbers depend on: what it imports, and what every number passes through.

    Raises
    ------
    BuildError
        If the source of the class cannot be found.
    """
    # A class keeps the source that it was made of: one that is reloaded is another class.
    if kind not in _digests:
        foreign = sys.stdlib_module_names
        own = [base for base in kind.__mro__ if base.__module__ not in foreign or not _is_importable(base)]
        for base in own:
            _file_of(base)
        modules = dict.fromkeys(base.__module__ for base in own)
        _digests[kind] = hashlib.sha256("\0".join(map(digest, modules)).encode()).hexdigest()
    return _digests[kind]


_digests: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _is_importable(kind: type) -> bool:
    """Whether the class is what stands under its name in its module: what another process would import."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _file_of(kind: type) -> Path:
    """File that defines a class.

    Raises
    ------
    BuildError
        If there is none, as in a notebook and for ``exec``: what is not known cannot be told apart from another version
        of itself, so it must not be found in a cache.
    """
    try:
        file = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        file = Path()
    if not file.is_file() or not (_is_importable(kind) or "<locals>" in kind.__qualname__):
        raise BuildError(
            f"the source of {kind.__name__} cannot be found, as it is with what a notebook or exec defines; "
            "put it into a module to compile it, or use target 'numpy'"
        )
    return file


def check_importable(kind: type) -> None:
    """Raise `BuildError` unless another process can import the circuit, as the one that generates code does."""
    _file_of(kind)
    if kind.__module__ == "__main__" or not _is_importable(kind):
        raise BuildError(
            f"{kind.__name__} is defined in the script that runs or in a function; put it into a module to compile it, "
            "or use target 'numpy'"
        )


def digest(module: str) -> str:
    """SHA-256 of the source that the numbers of a circuit defined in `module` depend on."""
    found = hashlib.sha256()
    for path in sorted(files_behind(module)):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def files_behind(module: str) -> frozenset[Path]:
    """Files on which `module` depends: of this project, of its own package, and of whatever is not installed."""
    ours = {name.partition(".")[0] for name in (*NUMBERS, module, "circuits", "validation")}
    where = tuple(sys.path)
    known: dict[str, Path] = {}
    waiting = [*NUMBERS, module]
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if name in known or (top not in ours and _is_installed(top, where)) or (path := _file(name)) is None:
            continue
        known[name] = path
        # A package is executed before what lies in it.
        waiting += [name.rpartition(".")[0], *_imports(path, name, path.stat().st_mtime_ns)]
    return frozenset(known.values())


@functools.cache
def _is_installed(top: str, where: tuple[str, ...]) -> bool:
    """Whether a package, looked for on this path, is Python's own or installed, where its version tells it."""
    if not top or top in sys.stdlib_module_names:
        return True
    path = _file(top)
    if path is not None:
        return not INSTALLED.isdisjoint(path.parts)
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return True
    # A folder without __init__.py is a package too; what has neither is compiled, or no module.
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return not folders or any(not INSTALLED.isdisjoint(Path(folder).parts) for folder in folders)


@functools.cache
def _resolved(path: str) -> Path:
    return Path(path).resolve()


def _file(module: str) -> Path | None:
    """Source of a module; None if there is none, as for a name that is no module."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded and loaded.endswith(".py"):
        return _resolved(loaded)
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
    return _resolved(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


_NAME = r"\w[\w.]*(?:[ \t]+as[ \t]+\w+)?"
_NAMES = rf"{_NAME}(?:[ \t]*,[ \t]*{_NAME})*"
_WHOLE = re.compile(rf"\bimport[ \t]+({_NAMES})")
_FROM = re.compile(rf"\bfrom[ \t]+(\.*)[ \t]*([\w.]*)[ \t]+import[ \t]*(\*|\([^)]*\)|{_NAMES})")


@functools.cache
def _imports(path: Path, module: str, changed: int) -> frozenset[str]:
    """Names that a source, last changed then, may import; of ``from a import b`` a and a.b, since b may be a module.

    By its text, since parsing takes ten times as long: words of a string or comment that read like an import
    count as well, so that none is missed.
    """
    above = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    # Imports are ASCII but for rare names; what else stands in a file may be of any encoding.
    text = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    found = {name for whole in _WHOLE.findall(text) for name in _words(whole)}
    for dots, target, some in _FROM.findall(text):
        base = above[: len(above) - len(dots) + 1] if dots else []
        name = ".".join([*base, *filter(None, [target])])
        found |= {name, *(f"{name}.{word}" for word in _words(some))}
    return frozenset(found)


def _words(names: str) -> set[str]:
    """Names of a list of them, and the words of its comments, without what they are imported as."""
    return set(re.findall(r"\w[\w.]*", re.sub(r"\s+as\s+\w+", "", names)))
