"""Run Brian2 beside the user's own work: nothing of his changes a number here, and nothing here is left in his session.

Brian2 keeps its device, clock, preferences and whether something runs in the process. For the time of a run it is given
others: a runtime device of our own, which brings a default clock that no object of the user's has, and the preferences
that Brian2 was made with. The user's are put aside untouched, a standalone device with a half-written project too.
"""

from __future__ import annotations

import copy
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from biospike.standalone import RunError
from biospike.translation_unit import FLAGS

import brian2 as b2
from brian2.devices.device import RuntimeDevice

# Not ``import ... as``: the package has a proxy of the same name in the place of the module.
_devices: Any = importlib.import_module("brian2.devices.device")

_one_at_a_time = threading.RLock()

KEPT = ("codegen.runtime.cython.cache_dir",)
"""Preferences that stay the user's: where files go, which no number depends on."""


@contextmanager
def own_session(target: str, dt: float) -> Iterator[None]:
    """Everything that Brian2 keeps in the process, of our own for one run; the user's afterwards.

    Parameters
    ----------
    target
        ``numpy`` or ``cython``.
    dt
        Step of the default clock, second.

    Raises
    ------
    RunError
        If somebody stopped a network that ran here: it counted a part of its window.
    """
    random = np.random.get_state(legacy=False)  # noqa: NPY002  (the one that Brian2 draws from)
    with _one_at_a_time, _own_preferences(target), _own_run_flags():
        before = _devices.active_device
        try:
            _devices.active_device = RuntimeDevice()
            # Not set_device(), which would write into the options of the user's device and carry its step over.
            _devices.active_device.activate()
            b2.defaultclock.dt = dt * b2.second
            yield
        finally:
            _devices.active_device = before
            np.random.set_state(random)  # noqa: NPY002


@contextmanager
def _own_preferences(target: str) -> Iterator[None]:
    """Brian2's defaults, whatever a preference file says, and what the numbers of this project are defined by."""
    preferences = b2.prefs
    before = preferences.prefs, preferences.prefs_unvalidated
    ours = {
        f"{group}.{name}": copy.copy(preference.default)
        for group, (members, _) in preferences.pref_register.items()
        for name, preference in members.items()
    }
    ours |= {name: preferences[name] for name in KEPT}
    ours |= {
        "codegen.target": target,
        "codegen.cpp.extra_compile_args_gcc": list(FLAGS),
        # An interrupt is then an exception, and not a shorter window.
        "core.stop_on_keyboard_interrupt": False,
    }
    try:
        preferences.prefs, preferences.prefs_unvalidated = ours, {}
        yield
    finally:
        preferences.prefs, preferences.prefs_unvalidated = before


@contextmanager
def _own_run_flags() -> Iterator[None]:
    """The marks by which Brian2 knows that a network runs, or should stop: those of a network that is running too."""
    before: dict[str, Any] = {name: getattr(b2.Network, name) for name in ("_globally_running", "_globally_stopped")}
    try:
        b2.Network._globally_stopped = False
        yield
        if b2.Network._globally_stopped:
            raise RunError("brian2.stop() was called while a network of ours ran: its window is not complete")
    finally:
        for name, value in before.items():
            setattr(b2.Network, name, value)


SCHEDULE = ("start", "groups", "thresholds", "synapses", "resets", "end")
"""Order of a step, by which every circuit is written."""


def assemble(*objects: Any) -> b2.Network:
    """Network of these objects in the order of `SCHEDULE`, whatever schedule the user prefers."""
    network = b2.Network(*objects)
    network.schedule = list(SCHEDULE)
    return network
