"""Brian2 keeps its settings in the process: no test may leave one changed, and none compiles unless it says so."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import brian2 as b2

# The same examples on every machine, however slow; `--hypothesis-profile=explore` looks for others.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("explore"), derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Spare what imports made: Brian2 collects garbage before every run, and would look through it each time."""
    gc.collect()
    gc.freeze()


def _brian2_state() -> dict[str, Any]:
    return dict(b2.prefs) | {"device": b2.get_device(), "defaultclock.dt": float(b2.defaultclock.dt)}


@pytest.fixture(autouse=True)
def no_brian2_leaks() -> Iterator[None]:
    """Run the test on the numpy target; fail it if it leaves a Brian2 preference, the device or the clock changed."""
    target = b2.prefs.codegen.target
    b2.prefs.codegen.target = "numpy"
    before = _brian2_state()
    yield
    after = _brian2_state()
    if after["device"] is not before["device"]:
        b2.device.reinit()
        b2.set_device(before["device"])
    for name in b2.prefs:
        if after[name] != before[name]:
            b2.prefs[name] = before[name]
    b2.defaultclock.dt = before["defaultclock.dt"] * b2.second
    b2.prefs.codegen.target = target
    leaked = {name: after[name] for name in before if after[name] != before[name]}
    assert not leaked, f"the test left Brian2 changed: {leaked}"
