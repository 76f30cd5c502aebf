"""Which frameworks are installed, and how they are run: on one thread, without gradients, leaving torch as it was."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from biospike.errors import InputError

FRAMEWORKS = ("spikingjelly", "snntorch")
"""Those in which whole attention blocks are run; the extra ``ml`` installs them."""
NEURON_FRAMEWORKS = (*FRAMEWORKS, "norse", "sinabs", "bindsnet")
"""Those whose neurons are driven."""
ML = "pip install 'biospike[ml]'"
INSTALL = dict.fromkeys(("torch", *FRAMEWORKS), ML) | {
    "transformers": "pip install 'biospike[hf]'",
    "norse": "pip install torch==2.13.0 nir nirtorch, then pip install --no-deps norse",
    "sinabs": "in an environment of its own, pip install --no-deps sinabs nir==1.0.4 nirtorch==2.0.2",
    "bindsnet": "in an environment of its own, pip install bindsnet",
}
"""How each is installed: the last three cannot share an environment, whatever is left out."""
PRECISIONS = ("float32", "float64")


class FrameworkMissing(InputError):  # noqa: N818 - it names a state of the machine, and its text is the message to users
    """A framework, or torch, is not installed, or not in a version that can be used."""


def check_framework(framework: str, known: tuple[str, ...] = FRAMEWORKS) -> None:
    """Raise `InputError` unless the framework is one of those that are known."""
    if framework not in known:
        raise InputError(f"framework must be one of {known}, got {framework!r}")


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
    check_framework(framework, NEURON_FRAMEWORKS)
    return all(importlib.util.find_spec(package) is not None for package in ("torch", framework))


def versions() -> dict[str, str]:
    """Versions of torch and of `NEURON_FRAMEWORKS`: those that are installed."""
    found = {}
    for package in ("torch", *NEURON_FRAMEWORKS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def load(module: str) -> Any:
    """Import a module of torch or of a framework.

    Raises
    ------
    FrameworkMissing
        If it cannot be imported; the text names the package that is missing, and how it is installed.
    """
    try:
        with warnings.catch_warnings():
            # Norse is compiled as it is imported, by what torch 2.13 calls deprecated.
            warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).partition(".")[0]
        raise FrameworkMissing(f"{missing} is not installed: {INSTALL.get(missing, ML)}") from error
    except ImportError as error:
        how = INSTALL.get(module.partition(".")[0], ML)
        raise FrameworkMissing(f"{module} cannot be imported ({error}): {how}") from error


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
        raise FrameworkMissing(f"{missing} is not installed: {INSTALL[missing]}")
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
