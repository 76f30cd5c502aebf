"""Rows of every size: spikes and counts equal those of an independent loop, key by key, however the rows are cut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import rows_loop as loop
from oracles.recorded_rows import (
    SEED,
    SIZES,
    Rows,
    assert_both_sides,
    assert_tallied,
    present,
    rows_of,
    slots,
)
from shipped import MICROCIRCUITS, SHIPPED

from biospike import simulate, simulation
from biospike.circuit import Batch, Circuit
from circuits.softmax import (
    Diffusive,
    Divisive,
    Escape,
    Integrate,
    NoInhibition,
    Race,
    SelfInhibition,
    Shunting,
    Subtractive,
)

import brian2 as b2

DYADIC = 2.0**-10


def index(row: int, key: int) -> int:
    return row * loop.STRIDE + key


def hazard(logits: np.ndarray, row: int, keys: list[int]) -> list[float]:
    own = [float(logits[row, key]) for key in keys]
    return [math.exp(z - max(own)) for z in own]


def expect(circuit: Circuit, logits: np.ndarray, slot: tuple[int, int, list[int]], steps: int) -> tuple[Any, float]:
    """Spikes of a slot by the independent loop, and the variable of its hub that a raster shows."""
    trial, row, keys = slot
    dt = float(circuit.dt)
    e = hazard(logits, row, keys)
    at = [(SEED, trial, index(row, key)) for key in keys]

    if isinstance(circuit, Race):
        p = [float(circuit.rate) * one * dt for one in e]
        closed = round(float(circuit.t_inh) / dt)
        spikes = loop.race(p, lambda key, step: loop.uniform(*at[key], step), closed, steps)
        # Whether the row was closed in the last step.
        return spikes, float(any(steps - 1 - closed <= step < steps - 1 for _, step in spikes))
    if isinstance(circuit, Escape):
        k = 0 if circuit.regularity == math.inf else int(circuit.regularity)
        theta = [loop.gamma(*one, -1, k) for one in at]
        v = [0.0 if k == 1 else loop.uniform(*one, -2) * own for one, own in zip(at, theta, strict=True)]
        rate = float(circuit.rate)
        return loop.escape(
            [rate * one for one in e], v, theta, lambda key, step: loop.gamma(*at[key], step, k),
            w=circuit.w, rate=rate, dt=dt, steps=steps,
        )  # fmt: skip
    start = [loop.uniform(*one, -1) for one in at]
    if isinstance(circuit, Divisive):
        drive, tau_g = [float(circuit.rate) * one for one in e], float(circuit.tau_g)
        return loop.divisive(drive, start, tau_g=tau_g, g_half=circuit.g_half, dt=dt, steps=steps)
    if isinstance(circuit, NoInhibition | Subtractive):
        return expect_of_discrete(circuit, [circuit.gain * one for one in e], start, steps)
    # Where membranes start is the circuit's to say: it follows from a mean field.
    batch = Batch(logits[[row]], np.array([trial]), np.array([row]), SEED)
    state = circuit.state(batch, circuit.dt)
    v = np.asarray(state["keys.v"])[0, keys].tolist()
    assert isinstance(circuit, Diffusive | Shunting)
    refractory = round(float(circuit.refractory) / dt)
    if isinstance(circuit, Shunting):
        own = {name: float(getattr(circuit, name)) for name in ("g_leak", "tau_m", "v_rest", "v_inh", "v_threshold")}
        leak = own | {"w": float(circuit.w), "tau_inh": float(circuit.tau_inh), "dt": dt}
        current = [float(circuit.offset) + float(circuit.current) * one for one in e]
        return loop.shunting(current, v, float(state["hub.g"][0]), leak=leak, refractory=refractory, steps=steps)
    assert isinstance(circuit, Diffusive)
    own = {name: float(getattr(circuit, name)) for name in ("tau_m", "v_rest", "v_threshold", "w", "rate", "tau_inh")}
    kick = float(circuit.sigma) / math.sqrt(math.tanh(dt / own["tau_m"] / 2))
    return loop.diffusive(
        np.asarray(state["keys.mean"])[0, keys].tolist(), v, float(state["hub.I"][0]),
        lambda key, step: kick * loop.normal(*at[key], step),
        cell=own | {"dt": dt}, refractory=refractory, delay=round(float(circuit.delay) / dt), steps=steps,
    )  # fmt: skip


def expect_of_discrete(
    circuit: NoInhibition | Subtractive, drive: list[float], phase: list[float], steps: int
) -> tuple[Any, float]:
    """The same of a circuit of one discrete map."""
    if isinstance(circuit, Subtractive):
        return loop.subtractive(drive, phase, beta=circuit.beta, w=circuit.w, steps=steps)
    if isinstance(circuit, SelfInhibition):
        phase = [1 - (1 + circuit.alpha) * one for one in phase]
        return loop.self_inhibition(drive, phase, alpha=circuit.alpha, steps=steps)
    return loop.self_inhibition(drive, phase, alpha=0.0, steps=steps)


def assert_equals_the_loop(
    circuit: Circuit, logits: np.ndarray, steps: int, **options: int
) -> tuple[Rows, list[list[tuple[int, int]]]]:
    _, rows, spikes, hubs = present(circuit, logits, steps, **options)
    for slot, fired, hub in zip(rows, spikes, hubs(circuit.inhibition), strict=True):
        expected, end = expect(circuit, logits, slot, steps)
        assert fired == expected, f"{circuit.name}: trial {slot[0]}, row {slot[1]} of {len(slot[2])} keys"
        # Sums of at most `steps` rounded terms on both sides.
        assert hub == pytest.approx(end, rel=1e-9, abs=1e-12)
    return rows, spikes


# Circuit, and steps in which keys on both sides of 128 fire.
REAL: dict[str, tuple[Circuit, int]] = {
    "race": (Race(rate=600 * b2.Hz), 60),
    "escape": (Escape(rate=900 * b2.Hz), 100),
    "integrate": (Integrate(rate=900 * b2.Hz), 40),
    "divisive": (Divisive(), 40),
    "none": (NoInhibition(), 12),
    "self_inhibition": (SelfInhibition(alpha=0.7), 20),
    "subtractive": (Subtractive(w=0.3), 12),
    "shunting": (Shunting(dt=0.2 * b2.ms), 40),
    "diffusive": (Diffusive(rate=2000 * b2.Hz, refractory=0.2 * b2.ms, w=0.02 * b2.mV), 200),
}


def test_every_circuit_is_held() -> None:
    # Microcircuits have loops of their own, in the file of each.
    assert set(REAL) == set(SHIPPED) - set(MICROCIRCUITS)


def quick(names: Any, some: tuple[str, ...]) -> list[Any]:
    """The others are long: each costs a network."""
    return [pytest.param(name, marks=() if name in some else pytest.mark.long) for name in names]


@pytest.mark.parametrize("name", quick(REAL, ("race",)))
def test_every_spike_of_rows_at_word_boundaries(name: str) -> None:
    circuit, steps = REAL[name]
    assert_both_sides(*assert_equals_the_loop(circuit, rows_of(SIZES), steps))


def table(kind: int, row: int, key: int, below: int) -> int:
    """A number below `below`, the same in every process."""
    return loop.philox((kind, row, key, 0), (7, 0))[0] % below


class OnTheThreshold:
    """Drives, in thresholds a step, and phases that are multiples of 2^-10: sums are exact, and thresholds are met."""

    most: int

    def amounts(self, row: int, key: int) -> tuple[float, float]:
        return 32 * (1 + table(0, row, key, self.most // 32)) * DYADIC, 32 * table(1, row, key, 32) * DYADIC

    def dyadic(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        rows, keys = batch.logits.shape
        both = [[self.amounts(int(batch.row[r]), key) for key in range(keys)] for r in range(rows)]
        drive, phase = np.moveaxis(np.array(both), -1, 0)
        masked = np.isnan(batch.logits)
        return np.where(masked, 0.0, drive), np.where(masked, 0.0, phase)


class ExactIntegrate(OnTheThreshold, Integrate):
    most = 1024

    def state(self, batch: Batch, dt: Any) -> dict[str, Any]:
        drive, phase = self.dyadic(batch)
        return Integrate.state(self, batch, dt) | {"keys.drive": drive / float(dt), "keys.v": phase}


class ExactDivisive(OnTheThreshold, Divisive):
    most = 1024

    def state(self, batch: Batch, dt: Any) -> dict[str, Any]:
        drive, phase = self.dyadic(batch)
        return Divisive.state(self, batch, dt) | {"keys.drive": drive / float(dt), "keys.v": phase}


class ExactSubtractive(OnTheThreshold, Subtractive):
    most = 1024

    def state(self, batch: Batch, dt: Any) -> dict[str, Any]:
        drive, phase = self.dyadic(batch)
        return Subtractive.state(self, batch, dt) | {"keys.drive": drive, "keys.u": phase}


STEP = 2.0**-13 * b2.second
# Inhibition so weak that it rounds to none, and the keys are integrators: their sums are exact.
EXACT: dict[str, Any] = {
    "integrate": ExactIntegrate(w=1e-300, dt=STEP, rate=100 * b2.Hz),
    "divisive": ExactDivisive(g_half=2.0**80, dt=STEP, rate=100 * b2.Hz),
    "subtractive": ExactSubtractive(w=0.5, dt=STEP),
}


def exact_spikes(circuit: Any, slot: tuple[int, int, list[int]], steps: int) -> list[tuple[int, int]]:
    """In units of 2^-20 thresholds: nothing is rounded."""
    _, row, keys = slot
    one, shift = 2**20, 2**10
    amounts = [circuit.amounts(row, key) for key in keys]
    drive, v = ([int(value / DYADIC) * shift for value in part] for part in zip(*amounts, strict=True))
    spikes, before = [], [0] * len(keys)
    for step in range(steps):
        inhibition = 0
        if isinstance(circuit, Subtractive):
            inhibition, rest = divmod(sum(before) * one, 2 * len(keys))
            assert rest == 0
        v = [u + d - one * s - inhibition for u, d, s in zip(v, drive, before, strict=True)]
        before = [int(u >= one) for u in v]
        spikes += [(key, step) for key, s in enumerate(before) if s]
    return spikes


@pytest.mark.parametrize("name", quick(EXACT, ("integrate",)))
def test_every_spike_where_thresholds_are_met_exactly(name: str) -> None:
    circuit = EXACT[name]
    # Where the mean over the keys is a sum of powers of two as well, all is exact.
    logits = rows_of((32, 64, 128) if name == "subtractive" else SIZES)
    steps = 10
    _, rows, spikes, _ = present(circuit, logits, steps)
    for slot, fired in zip(rows, spikes, strict=True):
        assert fired == exact_spikes(circuit, slot, steps)
    if name != "subtractive":
        assert_both_sides(rows, spikes)
    # A key of phase 0 and a drive of 2^-n comes to the threshold exactly: > would miss those spikes.
    amounts = [circuit.amounts(row, key) for _, row, keys in rows for key in keys]
    assert sum((1 - phase) % drive == 0 for drive, phase in amounts) > 20


@pytest.mark.parametrize(
    ("sizes", "trials"),
    [
        # Two rows fill 8191 of 8192 neurons, the third is alone.
        pytest.param((4095, 4096, 4097), 1, id="neurons of a batch", marks=pytest.mark.long),
        # 511 rows fit into a batch: a trial is cut.
        pytest.param((2,) * 300, 2, id="rows of a batch"),
        pytest.param((2,) * 513, 3, id="rows of several batches", marks=pytest.mark.long),
    ],
)
def test_batches_do_not_show(sizes: tuple[int, ...], trials: int) -> None:
    circuit = Integrate(rate=900 * b2.Hz)
    _, spikes = assert_equals_the_loop(circuit, rows_of(sizes), 8 if trials == 1 else 20, trials=trials, checkpoints=1)
    # Every batch has fired.
    assert all(sum(map(len, spikes[cut : cut + 2])) for cut in (0, len(spikes) // 2, len(spikes) - 2))


@pytest.mark.long
@pytest.mark.parametrize("checkpoints", [1, 24, 25, 48])
@pytest.mark.parametrize("name", REAL)
def test_trials_and_checkpoints_do_not_show(name: str, checkpoints: int, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, steps = REAL[name]
    # Two batches a trial.
    monkeypatch.setattr(simulation, "NEURONS_PER_BATCH", 512)
    assert_equals_the_loop(circuit, rows_of(SIZES), 2 * steps, trials=3, checkpoints=checkpoints)


@pytest.mark.long
@settings(max_examples=20)
@given(
    st.sampled_from(["race", "integrate", "divisive", "subtractive", "shunting"]),
    st.lists(st.integers(1, 140), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 30),
    st.integers(1, 40),
)
def test_rows_of_any_shape(name: str, sizes: list[int], trials: int, checkpoints: int, steps: int) -> None:
    circuit, _ = REAL[name]
    logits = rows_of(tuple(sizes))
    _, rows, spikes, _ = present(circuit, logits, steps, trials, checkpoints)
    for slot, fired in zip(rows, spikes, strict=True):
        assert fired == expect(circuit, logits, slot, steps)[0]


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize(
    ("name", "checkpoints"),
    # Up to 24 checkpoints are one build of each circuit, up to 48 another, which numpy shows of every circuit.
    [(name, marks) for name in ("race", "escape", "integrate", "divisive", "subtractive") for marks in (1, 24)]
    + [("race", 25), ("race", 48)],
)
def test_compiled_rows_spike_like_the_loop(name: str, checkpoints: int) -> None:
    circuit, steps = REAL[name]
    logits = rows_of((33, 65, 129))
    data = simulate(
        circuit, logits, duration=steps * circuit.dt, trials=2, seed=SEED, target="cpp_standalone",
        checkpoints=checkpoints,
    )  # fmt: skip
    rows = slots(logits, 2)
    spikes = [expect(circuit, logits, slot, steps)[0] for slot in rows]
    assert_tallied(data, rows, spikes)
    assert_both_sides(rows, spikes)


@pytest.mark.long
@pytest.mark.compiles
def test_compiled_batches_do_not_show() -> None:
    circuit = Integrate(rate=900 * b2.Hz)
    for sizes, trials, steps in (((4095, 4096, 4097), 1, 8), ((2,) * 513, 2, 40)):
        logits = rows_of(sizes)
        data = simulate(
            circuit, logits, duration=steps * circuit.dt, trials=trials, seed=SEED, target="cpp_standalone"
        )  # fmt: skip
        rows = slots(logits, trials)
        assert_tallied(data, rows, [expect(circuit, logits, slot, steps)[0] for slot in rows])
