"""The user's own Brian2: nothing of it changes a number of ours, and nothing of ours is left in it."""

import logging
import os
import pickle
import random
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import pytest

from biospike import LIF, simulate
from biospike.circuit import Shape
from biospike.encoding import Bernoulli, encode
from biospike.standalone import RunError
from biospike.traces import record
from circuits import SpikingAttention, present
from circuits.exponential import VetoExponential, exponentiate
from circuits.softmax import Race
from circuits.spike_record import record_spikes

import brian2 as b2

LOGITS = [1.0, 0.0, -1.0]
TOKENS = np.array([[0.5, 1.0]])
COMPILED = [pytest.mark.compiles, pytest.mark.long]


def counts(target="numpy", logits=LOGITS):
    # A step that is not Brian2's, and input of a key to its own hub within the step: a changed schedule shows.
    data = simulate(Race(dt=0.25 * b2.ms), logits, duration="100 ms", seed=5, target=target, checkpoints=2)
    assert data.spike_count[..., -1].sum() > 10, "hardly anything fired"
    return data.spike_count.values


@pytest.fixture(scope="module")
def untouched():
    return counts()


def block(mode):
    weights = np.array([[0.5], [0.3]])
    return SpikingAttention(weights, weights, weights, mode=mode)


def session():
    """What Brian2 and Python keep in the process, as far as a run could change it."""
    loggers = {name: logging.getLogger(name) for name in ("", "brian2", "py.warnings", "brian2.core.network")}
    handlers = [handler for one in loggers.values() for handler in one.handlers]
    return {
        "device": b2.get_device(),
        "devices": list(sys.modules["brian2.devices.device"].previous_devices),
        "device options": (b2.get_device().build_on_run, dict(b2.get_device().build_options)),
        "clock": {name: b2.defaultclock.variables[name].get_value().item() for name in ("t", "timestep", "dt")},
        "preferences": dict(b2.prefs),
        "magic objects": {one.name for one in b2.collect()},
        "magic time": float(b2.magic_network.t),
        "run flags": (b2.Network._globally_running, b2.Network._globally_stopped),
        "scope": b2.BrianObject._scope_current_key,
        "loggers": {name: (one.level, list(one.handlers), list(one.filters)) for name, one in loggers.items()},
        "handlers": [(one.level, list(one.filters)) for one in handlers],
        "excepthook": sys.excepthook,
        "warnings": (list(warnings.filters), warnings.showwarning),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "random": random.getstate(),
        "interrupt": signal.getsignal(signal.SIGINT),
        "directory": os.getcwd(),
        "environment": dict(os.environ),
    }


RUNS = {
    "simulate": counts,
    "present": lambda: present(block("staged"), TOKENS, duration="20 ms", windows=1, target="numpy"),
    "record": lambda: record(Race(), LOGITS, duration="20 ms"),
    "record_spikes": lambda: record_spikes(block("streaming"), TOKENS, duration="20 ms"),
    "encode": lambda: encode(Bernoulli(), [0.5], [10]),
    "exponentiate": lambda: exponentiate(VetoExponential(), [-0.5], [100]),
}


SLOW = ("record_spikes",)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in SLOW)) for name in RUNS])
def test_nothing_is_left_in_the_session(name):
    before = session()
    RUNS[name]()
    after = session()
    assert {key for key in before if before[key] != after[key]} == set()


def test_a_run_that_fails_leaves_nothing_either():
    class Broken(Race):
        def build(self, shape):
            super().build(shape)
            raise RuntimeError("half built")

    before = session()
    with pytest.raises(RuntimeError, match="half built"):
        simulate(Broken(), LOGITS, duration="20 ms", target="numpy")
    after = session()
    assert {key for key in before if before[key] != after[key]} == set()


def test_a_network_of_the_users_goes_on_where_it_was():
    """It counts steps: of its own clock, whose step is not ours, and which stood at no multiple of ours."""
    group = b2.NeuronGroup(3, "steps : integer")
    group.run_regularly("steps += 1")
    noise = b2.NeuronGroup(1, "x : 1")
    noise.run_regularly("x = rand()")
    b2.seed(3)
    b2.run(10.1 * b2.ms)
    np.testing.assert_array_equal(group.steps, 101)
    state = np.random.get_state()  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    counts()
    assert {one.name for one in b2.collect()} >= {group.name, noise.name}
    b2.run(0.1 * b2.ms)
    assert noise.x[0] == expected
    b2.run(9.9 * b2.ms)
    np.testing.assert_array_equal(group.steps, 201)
    assert float(b2.defaultclock.t[:]) == pytest.approx(20.1e-3)


def test_our_clock_is_not_the_users_and_the_schedule_is_the_circuits():
    step = float(b2.defaultclock.dt)
    seen = []

    class Watched(Race):
        def build(self, shape):
            network = super().build(shape)
            seen.append((network["keys"].clock, float(b2.defaultclock.dt), network.schedule))
            return network

    simulate(Watched(), LOGITS, duration="20 ms", dt="0.25 ms", target="numpy")
    [(clock, ours, schedule)] = seen
    assert clock is not b2.get_device().defaultclock
    assert ours == float(clock.dt) == 0.25e-3
    assert step == float(b2.defaultclock.dt) == 0.1e-3
    assert schedule == ["start", "groups", "thresholds", "synapses", "resets", "end"]


def test_a_network_built_by_hand_keeps_the_schedule_of_its_circuit(monkeypatch):
    monkeypatch.setitem(b2.prefs.prefs, "core.network.default_schedule", SCHEDULE)
    network = Race().build(Shape(1, 3, 1, hub_index=np.zeros(3, dtype=int)))
    assert network.schedule == ["start", "groups", "thresholds", "synapses", "resets", "end"]
    network.run(0 * b2.second)


SCHEDULE = ["start", "synapses", "groups", "resets", "thresholds", "end"]
"""Another order than Brian2's."""
OTHERS = {
    "codegen.cpp.compiler": "unix",
    "codegen.cpp.define_macros": [("_SOMETHING", "1")],
    "codegen.cpp.extra_compile_args": ["-O0", "-ffast-math"],
    "codegen.generators.cpp.restrict_keyword": "",
    "codegen.runtime.cython.cache_dir": os.sep + "tmp",
    "codegen.string_expression_target": "cython",
    "codegen.target": "cython",
    "core.default_float_dtype": np.float32,
    "core.default_integer_dtype": np.int64,
    "core.network.default_schedule": SCHEDULE,
    "devices.cpp_standalone.openmp_spatialneuron_strategy": "branches",
    "logging.console_log_level": "ERROR",
    "logging.file_log_level": "ERROR",
}
REJECTED: dict[str, str] = {}
"""Preference -> message, of those whose other value Brian2 itself rejects in a run of ours: none reaches it."""


def another(name, directory):
    """Legal value of a preference that is not the one it has."""
    value = b2.prefs[name]
    if name in OTHERS:
        return OTHERS[name]
    if name == "GSL.directory":  # must hold headers
        (directory / "gsl").mkdir(exist_ok=True)
        for header in ("gsl_odeiv2.h", "gsl_errno.h", "gsl_matrix.h"):
            (directory / "gsl" / header).touch()
        return str(directory)
    by_type = {bool: lambda: not value, int: lambda: value + 1, str: lambda: value + "x"}
    by_type |= {list: lambda: [*value, "-DSOMETHING"], dict: lambda: value | {"SOMETHING": "1"}}
    assert type(value) in by_type, f"{name} = {value!r}: another legal value must be listed here"
    return by_type[type(value)]()


@contextmanager
def preferring(values):
    before = dict(b2.prefs)
    try:
        for name, value in values.items():
            assert value != before[name], f"{name} is {value!r} already"
            b2.prefs[name] = value
        yield
        assert all(b2.prefs[name] == value for name, value in values.items()), "a preference was changed"
    finally:
        for name in values:
            b2.prefs[name] = before[name]


def registered():
    return [f"{group}.{name}" for group, (members, _) in b2.prefs.pref_register.items() for name in members]


def test_every_preference_changed_at_once_changes_nothing(tmp_path, untouched):
    others = {name: another(name, tmp_path) for name in registered()}
    assert len(others) > 40
    with preferring(others):
        np.testing.assert_array_equal(counts(), untouched)


@pytest.mark.long
@pytest.mark.parametrize("target", ["numpy", pytest.param("cpp_standalone", marks=COMPILED)])
def test_every_preference_in_turn_changes_nothing(target, tmp_path, untouched):
    rejected = {}
    for name in registered():
        with preferring({name: another(name, tmp_path)}):
            try:
                found = counts(target)
            except b2.PreferenceError as error:
                rejected[name] = str(error)
            else:
                np.testing.assert_array_equal(found, untouched, err_msg=name)
    assert rejected == REJECTED


def test_the_preferences_that_are_tried_do_change_a_network_of_the_users():
    """Else the tests above would say nothing: another schedule moves a synapse's effect by a step."""
    found = []
    for schedule in (b2.prefs["core.network.default_schedule"], SCHEDULE):
        source = b2.NeuronGroup(1, "x : 1", threshold="x >= 0", reset="", name="source")
        target = b2.NeuronGroup(1, "received : integer", name="target")
        synapses = b2.Synapses(source, target, on_pre="received_post += 1", name="synapses")
        synapses.connect(i=0, j=0)
        network = b2.Network(source, target, synapses)
        network.schedule = schedule
        network.run(1 * b2.ms, namespace={})
        found.append(int(target.received[0]))
    assert found == [10, 9]


class Meddled(Race):
    """Race during whose run something happens."""

    meddle: Callable[[], object] = staticmethod(lambda: None)

    def build(self, shape):
        network = super().build(shape)
        operation = b2.NetworkOperation(lambda t: type(self).meddle() if abs(float(t[:]) - 5e-3) < 1e-6 else None)
        network.add(operation)
        return network


@pytest.mark.parametrize(
    ("meddle", "error"),
    [(lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt), (b2.stop, RunError)],
)
def test_an_interrupted_run_is_an_error_and_not_a_shorter_window(meddle, error, monkeypatch):
    """Brian2 ends the run of a network quietly on both."""
    monkeypatch.setattr(Meddled, "meddle", staticmethod(meddle))
    before = session()
    with pytest.raises(error):
        simulate(Meddled(), LOGITS, duration="20 ms", target="numpy")
    after = session()
    assert {key for key in before if before[key] != after[key]} == set()


@pytest.mark.long
def test_a_run_inside_a_run_of_the_users(untouched):
    """A network operation of his calls `simulate`; his network then runs to its end."""
    group, found = b2.NeuronGroup(1, "steps : integer"), []
    group.run_regularly("steps += 1")
    once = b2.NetworkOperation(lambda: found.append(counts()), dt=20 * b2.ms)
    b2.Network(group, once).run(3 * b2.ms, namespace={})
    np.testing.assert_array_equal(found[0], untouched)
    assert group.steps[0] == 30


@contextmanager
def standalone_session(**options):
    b2.set_device("cpp_standalone", **options)
    try:
        yield b2.get_device()
    finally:
        b2.get_device().reinit()
        b2.set_device("runtime")
        sys.modules["brian2.devices.device"].previous_devices[:] = []


@pytest.mark.parametrize("options", [{"build_on_run": False}, pytest.param({}, marks=pytest.mark.long)])
def test_a_standalone_device_of_the_users_is_put_aside(options, tmp_path, untouched):
    with standalone_session(directory=str(tmp_path / "project"), **options) as device:
        group = b2.NeuronGroup(2, "x : 1")
        group.x = 3
        before = (list(device.main_queue), dict(device.arrays), dict(device.code_objects), device.build_options)
        for target in ("numpy", "auto"):
            np.testing.assert_array_equal(counts(target), untouched)
        assert before == (list(device.main_queue), dict(device.arrays), dict(device.code_objects), device.build_options)
        assert b2.get_device() is device
        assert not (tmp_path / "project").exists()


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize("build_on_run", [True, False])
def test_a_standalone_build_of_the_users_gives_his_numbers(build_on_run, tmp_path):
    """Simulated between the construction, the run and the build of a network that counts its steps and spikes."""
    with standalone_session(directory=str(tmp_path / "project"), build_on_run=build_on_run) as device:
        b2.defaultclock.dt = 0.2 * b2.ms
        keys = b2.NeuronGroup(3, "steps : integer\nx : 1", threshold="x > 1.5", reset="", name="keys")
        keys.run_regularly("steps += 1")
        counts()
        keys.x = "i"
        monitor = b2.SpikeMonitor(keys, record=False)
        network = b2.Network(keys, monitor)
        counts()
        network.run(10 * b2.ms)
        if not build_on_run:
            counts()
            device.build(directory=str(tmp_path / "project"))
        np.testing.assert_array_equal(keys.steps[:], 50)
        np.testing.assert_array_equal(monitor.count[:], [0, 0, 50])
        counts()
        np.testing.assert_array_equal(monitor.count[:], [0, 0, 50])
    b2.defaultclock.dt = 0.1 * b2.ms


@pytest.mark.long
def test_names_of_the_users_objects_do_not_matter(untouched):
    """Groups of his have the names that ours have."""
    mine = [b2.NeuronGroup(1, "v : 1", name=name) for name in ("keys", "hub", "inhibition", "defaultclock")]
    np.testing.assert_array_equal(counts(), untouched)
    assert len(mine) == 4
    cell = LIF().build(1, 0.1 * b2.ms)
    b2.Network(cell, *mine).run(1 * b2.ms, namespace={})
    assert float(cell.v[0] / b2.mV) == pytest.approx(-70)
