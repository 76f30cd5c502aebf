"""Importing packages that warn of what they call as they are imported."""

from __future__ import annotations

import importlib
import warnings
from typing import Any


def imported(module: str) -> Any:
    """The module; what it warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(module)
