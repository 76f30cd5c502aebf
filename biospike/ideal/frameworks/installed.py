"""Which frameworks are installed, and how they are run: on one thread, without gradients, leaving torch as it was."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Iterator
from typing import Any

from biospike.errors import InputError

FRAMEWORKS = ("spikingjelly", "snntorch")
PRECISIONS = ("float32", "float64")


class FrameworkMissing(InputError):  # noqa: N818 - it names a state of the machine, and its text is the message to users
    """A package of the extra ``ml`` is not installed, or not in a version that can be used."""


def check_framework(framework: str) -> None:
    """Raise `InputError` unless the framework is one of `FRAMEWORKS`."""
    if framework not in FRAMEWORKS:
        raise InputError(f"framework must be one of {FRAMEWORKS}, got {framework!r}")


def check_precision(dtype: str) -> None:
    """Raise `InputError` unless the precision is one of `PRECISIONS`."""
    if dtype not in PRECISIONS:
        raise InputError(f"dtype must be one of {PRECISIONS}, got {dtype!r}")


def available(framework: str) -> bool:
    """Whether the framework, and torch under it, can be found; nothing is imported.

    Raises
    ------
    InputError
        If the framework is unknown.
    """
    check_framework(framework)
    return all(importlib.util.find_spec(package) is not None for package in ("torch", framework))


def versions() -> dict[str, str]:
    """Versions of torch, spikingjelly and snntorch: those that are installed."""
    found = {}
    for package in ("torch", *FRAMEWORKS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def load(module: str) -> Any:
    """Import a module of torch or of a framework.

    Raises
    ------
    FrameworkMissing
        If it cannot be imported; the text names the package that is missing, and the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise FrameworkMissing(f"{missing} is not installed: pip install 'biospike[ml]'") from error
    except ImportError as error:
        raise FrameworkMissing(f"{module} cannot be imported ({error}): pip install 'biospike[ml]'") from error


def require(framework: str) -> None:
    """Import the framework, and torch under it.

    Raises
    ------
    FrameworkMissing
        If one of them is not installed.
    InputError
        If the framework is unknown.
    """
    if not available(framework):
        missing = next(package for package in (framework, "torch") if importlib.util.find_spec(package) is None)
        raise FrameworkMissing(f"{missing} is not installed: pip install 'biospike[ml]'")
    load("torch")
    load(framework)


@contextlib.contextmanager
def one_thread(framework: str) -> Iterator[Any]:
    """Yield torch, for a framework, on one thread, so that sums are added in one order, and without gradients.

    The number of threads and the state of the random numbers, which making a layer uses up, are restored. Torch's
    notice that there is no Triton, which SpikingJelly sets off at its first step, is not shown: this is the CPU.

    Raises
    ------
    FrameworkMissing
        If torch or the framework is not installed.
    """
    require(framework)
    torch = load("torch")
    notices = logging.getLogger("torch._library.triton")
    level, threads = notices.level, torch.get_num_threads()
    notices.setLevel(logging.ERROR)
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield torch
    finally:
        torch.set_num_threads(threads)
        notices.setLevel(level)
