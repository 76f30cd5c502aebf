"""The packages that are asked, one a module, and how each is installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from typing import NamedTuple

import attrs

from biospike.errors import InputError
from biospike.ideal.lif import DiscreteLIF
from validation.conventions.probes import Neuron
from validation.study.options import member


class Package(NamedTuple):
    """A package, as it is found, and in which environment it can be installed.

    Attributes
    ----------
    distribution : str
        Whose version is the package's.
    imports : tuple of str
        All modules that must be there.
    environment : str
        Letter of `ENVIRONMENTS`.
    """

    distribution: str
    imports: tuple[str, ...]
    environment: str


ENVIRONMENTS = {
    "a": "pip install 'biospike[ml,nir]' nirtorch; pip install --no-deps norse==1.1.0",
    "b": "pip install biospike torch==2.13.0 pbr; pip install --no-deps sinabs==3.1.3 nir==1.0.4 nirtorch==2.0.2",
    "c": "pip install biospike torch==2.14.1 torchvision==0.29.1; pip install bindsnet==0.3.4 (gigabytes)",
    "d": "pip install biospike nengo==4.1.0 nengo-loihi==1.1.0",
    "e": "pip install 'biospike[nest]'",
}
PACKAGES = {
    "spikingjelly": Package("spikingjelly", ("torch", "spikingjelly"), "a"),
    "snntorch": Package("snntorch", ("torch", "snntorch"), "a"),
    "norse": Package("norse", ("torch", "norse"), "a"),
    "sinabs": Package("sinabs", ("torch", "pbr", "sinabs"), "b"),
    "bindsnet": Package("bindsnet", ("torch", "bindsnet"), "c"),
    "nengo": Package("nengo", ("nengo",), "d"),
    "nengo-loihi": Package("nengo-loihi", ("nengo", "nengo_loihi"), "d"),
    "nest": Package("nest-simulator", ("nest",), "e"),
    "brian2": Package("brian2", ("brian2",), "e"),
}


@attrs.frozen
class Asked:
    """A neuron of a package, and the convention of biospike that it is, if there is one.

    Attributes
    ----------
    neuron : Neuron
    convention : str
        Name in `biospike.ideal`; empty if there is none.
    formula : DiscreteLIF, optional
        The convention with the neuron's parameters.
    """

    neuron: Neuron
    convention: str = ""
    formula: DiscreteLIF | None = None


def available(name: str) -> bool:
    """Whether a package, and what it needs, can be found; nothing is imported."""
    return all(importlib.util.find_spec(module) is not None for module in PACKAGES[name].imports)


def chosen(names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Packages to ask: those that are named, else all that are installed.

    Raises
    ------
    InputError
        If one that is named is unknown or not installed; the line says how it is.
    """
    if names is None:
        return tuple(name for name in PACKAGES if available(name))
    if not names:
        raise InputError(f"--packages needs at least one of {', '.join(PACKAGES)}")
    for name in names:
        member("--packages", name, PACKAGES)
        if not available(name):
            how = ENVIRONMENTS[PACKAGES[name].environment]
            raise InputError(f"--packages {name}: it is not installed; in an environment of its own: {how}")
    return names


def version(name: str) -> str:
    """Version of a package that is installed."""
    return importlib.metadata.version(PACKAGES[name].distribution)


def neurons(name: str) -> Iterator[Asked]:
    """Every neuron of a package that is asked."""
    yield from importlib.import_module(f"validation.conventions.packages.of_{name.replace('-', '_')}").neurons()
