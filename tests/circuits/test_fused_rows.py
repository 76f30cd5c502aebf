"""Target `fused`: every count and moment is that of the Brian2 network, whatever rows, parameters and compiler."""

from __future__ import annotations

import platform
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biospike import execution, fused, runtime, simulate, simulation, standalone, sweep
from biospike.circuit import Circuit
from biospike.errors import InputError, RunError
from biospike.fused import compiled, replay
from biospike.packing import Plan, fitted
from circuits import SOFTMAX_CIRCUITS
from circuits.softmax import Divisive, Escape, Integrate, Race

import brian2 as b2

PLAIN = ("-O1", "-std=c++14", "-ffp-contract=off", "-w")
"""Neither optimised nor for this processor: no vector instruction that not every x86-64 has."""
KINDS = (Race, Escape, Integrate, Divisive)
SOME = [*KINDS[:2], *(pytest.param(kind, marks=pytest.mark.long) for kind in KINDS[2:])]
"""The others are long: each costs a network."""
MADE = ("spike_count", "gap_sum", "gap_square_sum")


def test_every_kernel_has_its_circuits() -> None:
    named = {name: fused.kernel_of(kind()) for name, kind in SOFTMAX_CIRCUITS.items()}
    assert {name: kernel for name, kernel in named.items() if kernel} == {
        "race": "race", "escape": "pinned", "integrate": "pinned", "divisive": "divided",
    }  # fmt: skip
    assert {*filter(None, named.values()), *fused.CONTINUOUS.values()} == set(fused.KERNELS)


def rows_of(sizes: list[int], scale: float = 1.2) -> np.ndarray:
    """Normal logits; the unmasked keys of a row are scattered among the masked ones."""
    rng = np.random.default_rng([len(sizes), *sizes])
    logits = rng.normal(0, scale, (len(sizes), max(sizes) + 2))
    for row, size in enumerate(sizes):
        logits[row, rng.permutation(logits.shape[1])[size:]] = np.nan
    return logits


def by_numpy(plan: Plan, number: int = 0) -> dict[str, Any]:
    state, shape = plan.state(number), plan.shape(number)
    return runtime.run(
        plan.circuit, shape, state, dt=plan.dt, duration=plan.duration(number), wanted=plan.wanted, target="numpy"
    )


def by_kernel(plan: Plan, number: int = 0, **options: Any) -> dict[str, Any]:
    state, shape = plan.state(number), plan.shape(number)
    name = fused.kernel_of(plan.circuit)
    return fused.run(str(name), shape, state, dt=plan.dt, steps=plan.steps, **options)


def assert_equal(plan: Plan, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for variable in plan.wanted:
        np.testing.assert_array_equal(found[variable], expected[variable], err_msg=variable)


def circuits() -> Any:
    """Circuits of every kind, slow and fast, weak and strong."""
    escape = st.builds(
        lambda kind, rate, w, k: kind(rate=rate * b2.Hz, w=w, regularity=np.inf if kind is Integrate else k),
        st.sampled_from([Escape, Integrate]),
        st.floats(50, 1000),
        st.sampled_from([1e-9, 0.01, 0.1, 1.0, 5.0, 6.5]),
        st.sampled_from([1, 2, 7, np.inf]),
    )
    race = st.builds(
        lambda rate, closed: Race(rate=rate * b2.Hz, t_inh=closed * 0.1 * b2.ms),
        st.floats(50, 150),
        st.sampled_from([0, 1, 10, 10_000]),
    )
    divisive = st.builds(
        lambda rate, tau, half: Divisive(rate=rate * b2.Hz, tau_g=tau * b2.ms, g_half=half),
        st.floats(50, 1000),
        st.floats(0.01, 1e4),
        st.floats(1e-3, 1e6),
    )
    return st.one_of(race, escape, divisive)


SHAPES: dict[str, Any] = {
    "sizes": st.lists(st.integers(1, 40), min_size=1, max_size=9),
    "trials": st.integers(1, 3),
    "seed": st.integers(0, 2**32 - 1),
    "checkpoints": st.integers(1, 30),
    "halve": st.booleans(),
}


def compare(circuit: Circuit, steps: int, sizes: list[int], halve: bool, **options: Any) -> int:
    """Compare batch by batch, by clock, step by step, and without optimisation; returns the spikes."""
    dt = circuit.dt / (2 if halve else 1)
    work = simulation.plan(circuit, rows_of(sizes), duration=steps * dt, dt=dt, **options)
    work = fitted(work)
    spikes = 0
    for number in range(work.batches):
        expected = by_numpy(work, number)
        for how in ({}, {"clocked": False}, {"flags": PLAIN}):
            assert_equal(work, by_kernel(work, number, **how), expected)
        spikes += expected["hub.row_spikes"].sum()
    return int(spikes)


@settings(max_examples=4)
@given(circuit=circuits(), steps=st.integers(1, 120), **SHAPES)
def test_random_rows_and_parameters(circuit: Circuit, **options: Any) -> None:
    compare(circuit, **options)


@pytest.mark.long
@settings(max_examples=150)
@given(circuit=circuits(), steps=st.integers(200, 1500), **SHAPES)
def test_random_rows_and_parameters_for_longer(circuit: Circuit, **options: Any) -> None:
    compare(circuit, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_fire_often(kind: type[Circuit]) -> None:
    options = {"sizes": [3, 16, 33, 1, 8], "trials": 2, "seed": 7, "checkpoints": 24, "halve": False}
    assert compare(kind(), steps=400, **options) > 100


def tied(drives: list[float], phases: list[float], circuit: Circuit) -> tuple[Plan, dict[str, Any]]:
    """State of one row of integrators in which all sums are exact, and thresholds are met."""
    logits = np.zeros((1, len(drives)))
    plan = fitted(simulation.plan(circuit, logits, duration=64 * circuit.dt, checkpoints=3))
    state = plan.state(0)
    return plan, state | {"keys.drive": np.array(drives) / plan.dt, "keys.v": np.array(phases)}


STEP = 2.0**-13 * b2.second


@pytest.mark.parametrize(
    "circuit",
    [Integrate(w=1e-300, dt=STEP, rate=100 * b2.Hz), Divisive(g_half=2.0**80, dt=STEP, rate=100 * b2.Hz)],
)
def test_a_threshold_that_is_met_exactly_puts_the_row_in_doubt(circuit: Circuit) -> None:
    """Inhibition rounds to none, and drives are powers of two: a key of drive 1/n and phase 0 fires every n steps."""
    every = [2, 4, 8, 16, 32]
    plan, state = tied([1 / n for n in every], [0.0] * len(every), circuit)
    found = fused.run(str(fused.kernel_of(circuit)), plan.shape(), state, dt=plan.dt, steps=64)
    assert found["repeated"].tolist() == [1, 0]
    assert found["keys.spike_count"].tolist() == [64 // n for n in every]
    # A millionth before it, the clock is sure.
    plan, state = tied([1 / n for n in every], [-(2.0**-20) + 1 / n for n in every], circuit)
    found = fused.run(str(fused.kernel_of(circuit)), plan.shape(), state, dt=plan.dt, steps=64)
    assert found["repeated"].tolist() == [0, 0]
    assert found["keys.spike_count"].tolist() == [64 // n for n in every]


def test_the_clock_decides_what_it_can_and_the_walk_the_rest() -> None:
    """Inhibition beyond what the bound covers is walked; else nearly no row is."""
    logits = rows_of([16] * 24)
    repeated = []
    for circuit in (Escape(), Integrate(), Divisive(), Escape(w=13.0)):
        plan = fitted(simulation.plan(circuit, logits, duration="2 s", trials=2, checkpoints=5))
        by_clock, walked = by_kernel(plan), by_kernel(plan, clocked=False)
        assert_equal(plan, by_clock, walked)
        assert walked["hub.row_spikes"].sum() > 40
        repeated.append(int(by_clock["repeated"].sum()))
    assert max(repeated[:3]) <= 1
    assert repeated[3] == 48


class Other(Race):
    """A circuit that is derived from one with a kernel."""


class Mistaken(Race):
    """It claims a kernel, and has other equations: its rows open a step later."""

    fused: ClassVar[str | None] = "race"

    def state(self, batch: Any, dt: Any) -> dict[str, Any]:
        return super().state(batch, dt) | {"hub.opens_at": -1}

    def closed_steps(self, dt: Any) -> int:
        return super().closed_steps(dt)

    def build(self, shape: Any) -> b2.Network:
        network = super().build(shape)
        network["hub"].run_regularly("opens_at += int(opens_at == t_in_timesteps)", when="start", name="later")
        network.add(network["hub"].contained_objects[-1])
        return network


def test_a_kernel_is_of_the_very_class() -> None:
    logits = [[0.0, 1.0]]
    for circuit in (Other(), SOFTMAX_CIRCUITS["subtractive"]()):
        with pytest.raises(InputError, match=f"no kernel for {circuit.name}"):
            simulate(circuit, logits, duration="10 ms", target="fused")
    work = simulation.plan(Other(), rows_of([16] * 100), duration="20 s", trials=10)
    assert execution.choose_target(work, "auto")[0] != "fused"
    assert execution.choose_target(attrs.evolve(work, circuit=Race()), "auto")[0] == "fused"


def test_auto_takes_the_kernel_says_so_and_replays_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "WORTH_A_BUILD", 0.0)
    monkeypatch.setattr(execution, "WORTH_A_REPLAY", 0.0)
    monkeypatch.setattr(replay, "_replayed", set())
    replayed = []
    monkeypatch.setattr(replay, "replay", lambda plan: replayed.append(plan.circuit.name))
    logits = rows_of([3, 5])
    options: dict[str, Any] = {"duration": "60 ms", "trials": 2, "seed": 3, "checkpoints": 4}
    expected = simulate(Race(), logits, target="numpy", **options)
    assert expected.spike_count.sum() > 10
    for check in (False, True, True):
        data = simulate(Race(), logits, check=check, **options)
        assert data.attrs["target"] == "fused"
        assert data.attrs["target_reason"].startswith("the same spikes as Brian2's")
        assert data.attrs["compiler"] != "none"
        for name in MADE:
            np.testing.assert_array_equal(data[name], expected[name])
    assert replayed == ["race"]
    assert list(simulate(Race(), logits, target="fused", limit=False, **options).data_vars) == [*MADE, "logits"]


@pytest.mark.parametrize("kind", SOME)
def test_the_batch_that_is_replayed_says_something(kind: type[Circuit]) -> None:
    plan = simulation.plan(kind(), rows_of([8, 3, 9]), duration="10 ms", trials=1)
    small = replay.cut_plan(plan)
    masked = np.isnan(small.logits)
    assert masked.shape[0] == 2
    assert masked.any()
    assert not masked.all(axis=0).any()
    assert (small.trials, small.steps, small.batches) == (2, 1000, 1)
    assert replay.replay(small) > 50


def test_rows_without_masks_are_given_one() -> None:
    plan = simulation.plan(Race(), [[0.0, 1.0, 2.0]], duration="10 ms")
    np.testing.assert_array_equal(replay.cut_plan(plan).logits, [[0.0, 1.0, 2.0], [np.nan, 1.0, 2.0]])
    assert replay.cut_plan(simulation.plan(Race(), [[0.0]], duration="10 ms")).logits.tolist() == [[0.0], [0.0]]


def test_a_kernel_of_other_equations_is_found_out() -> None:
    with pytest.raises(RunError, match="target 'fused' and Brian2 differ in keys"):
        simulate(Mistaken(), rows_of([5, 8]), duration="10 ms", target="fused")
    simulate(Mistaken(), rows_of([5, 8]), duration="10 ms", target="fused", check=False)


def test_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "WORTH_A_BUILD", 0.0)
    work = simulation.plan(Race(), [[0.0, 1.0]], duration="10 ms")
    with monkeypatch.context() as patch:
        patch.setattr(platform, "machine", lambda: "aarch64")
        with pytest.raises(standalone.BuildError, match=r"^target 'fused' is of x86-64 only: .* on aarch64$"):
            execution.choose_target(work, "fused")
        assert execution.choose_target(work, "auto")[0] == "cpp_standalone"
    monkeypatch.setenv("CXX", "/bin/false")
    with pytest.raises(standalone.BuildError, match=r"^[^\n]*compiler[^\n]*$"):
        execution.choose_target(work, "fused")
    assert execution.choose_target(work, "auto")[0] == "numpy"


def test_a_sweep_tells_targets_apart() -> None:
    circuits = [Race(), Other()]
    points = sweep.grid(circuits, [[0.0, 1.0]], durations=["10 ms"])
    assert [point.target for point in points] == ["fused", "cpp_standalone"]
    keys = {attrs.evolve(points[0], target=target).key() for target in ("fused", "cpp_standalone", "numpy")}
    assert len(keys) == 3


@pytest.mark.long
def test_a_damaged_library_is_compiled_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path / "cache"))
    assert not fused.is_built()
    fused.library(PLAIN)
    [path] = (tmp_path / "cache" / "kernels").iterdir()
    whole = path.read_bytes()
    for damaged in (whole[:-1000], b"", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]):
        path.unlink()
        path.write_bytes(damaged)
        assert not compiled._is_whole(path)
    monkeypatch.setenv("CXX", "/bin/true")
    with pytest.raises(standalone.BuildError, match="failed on the kernels"):
        fused.library(PLAIN)


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize("kind", KINDS)
def test_full_batches_equal_the_compiled_network(kind: type[Circuit]) -> None:
    """Two batches of real size for 2 s, masked keys included: all of 24 checkpoints and the moments."""
    logits = rows_of(np.random.default_rng(5).integers(1, 60, 100).tolist())
    options: dict[str, Any] = {"duration": "2 s", "trials": 3, "seed": 11}
    kernel, network = (simulate(kind(), logits, target=target, **options) for target in ("fused", "cpp_standalone"))
    assert kernel.spike_count[..., -1].sum() > 1e5
    for name in MADE:
        np.testing.assert_array_equal(kernel[name], network[name])


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_batch_equals_the_numpy_target(kind: type[Circuit]) -> None:
    logits = rows_of([16] * 200)
    options: dict[str, Any] = {"duration": "0.5 s", "trials": 1, "seed": 12}
    kernel, network = (simulate(kind(), logits, target=target, **options) for target in ("fused", "numpy"))
    assert kernel.spike_count[..., -1].sum() > 1e4
    for name in MADE:
        np.testing.assert_array_equal(kernel[name], network[name])
