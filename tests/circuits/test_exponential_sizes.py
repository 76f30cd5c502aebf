"""Exponential circuits of every size: each output spike and count equals the independent loop's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import exponential_loop as loop

from circuits.exponential import Exponential, TaylorExponential, VetoExponential, exponentiate

import brian2 as b2


def recorded(circuit: Exponential, z: list[float], marks: list[int], trials: int) -> tuple[np.ndarray, list[Any]]:
    """Estimates, and the spikes (step, neuron) of inputs and outputs."""
    networks = []
    build = type(circuit).build

    def monitored(self: Exponential, values: int) -> b2.Network:
        network = build(self, values)
        network.add(*(b2.SpikeMonitor(network[name], name=f"{name}_spikes") for name in ("inputs", "outputs")))
        networks.append(network)
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(circuit), "build", monitored)
        estimates = exponentiate(circuit, z, marks, trials=trials, seed=2**32 - 1)
    monitors = [networks[0][f"{name}_spikes"] for name in ("inputs", "outputs")]
    return estimates, [
        list(zip(np.rint(m.t_ * 1e3).astype(int).tolist(), m.i[:].tolist(), strict=True)) for m in monitors
    ]


def assert_equals_the_loop(circuit: Exponential, z: list[float], marks: list[int], trials: int) -> set[tuple[int, int]]:
    estimates, (inputs, outputs) = recorded(circuit, z, marks, trials)
    values = trials * len(z)
    if isinstance(circuit, TaylorExponential):
        expected = loop.coincidences(inputs, circuit.order)
        neurons = values * circuit.order
        M, j = circuit.bound, range(1, circuit.order + 1)
        weights = [math.exp(-M) * (2 * M) ** k / math.factorial(k) for k in j]
    else:
        assert isinstance(circuit, VetoExponential)
        expected = loop.survivors(inputs, circuit.window, values, marks[-1])
        neurons, weights = values, []
    last = marks[-1]
    assert {event for event in outputs if event[0] <= last} == {event for event in expected if event[0] <= last}
    counts = loop.counts(expected, neurons, marks)
    for place in range(values):
        for m, mark in enumerate(marks):
            if isinstance(circuit, TaylorExponential):
                own = counts[place * circuit.order : (place + 1) * circuit.order]
                value = math.exp(-M) + math.fsum(w * c[m] / mark for w, c in zip(weights, own, strict=True))
            else:
                value = counts[place][m] / (mark // circuit.window)
            # A sum of positive terms, each rounded a few times.
            assert estimates[place // len(z), place % len(z), m] == pytest.approx(value, rel=1e-12)
    return expected


@pytest.mark.parametrize(
    "order",
    [pytest.param(n, marks=() if n == 33 else pytest.mark.long) for n in (31, 32, 33, 63, 64, 65, 127, 128, 129)],
)
def test_detectors_of_every_order(order: int) -> None:
    circuit = TaylorExponential(bound=1, order=order)
    # Copies that all spike, nearly all, and half of the time.
    steps = 30
    fired = assert_equals_the_loop(circuit, [1.0, 0.97, 0.0], [5, 16, steps], 2)
    assert {neuron % order for _, neuron in fired} == set(range(order))
    assert 0 < sum(neuron // order == 1 and neuron % order == order - 1 for _, neuron in fired) < steps


@pytest.mark.parametrize(
    "window",
    [pytest.param(n, marks=() if n == 33 else pytest.mark.long) for n in (31, 32, 33, 63, 64, 65, 127, 128, 129)],
)
def test_windows_of_every_length(window: int) -> None:
    z = np.linspace(-2, 0, 129).tolist()
    fired = assert_equals_the_loop(VetoExponential(window=window), z, [window, 2 * window, 2 * window + 2], 2)
    # At z = 0 nothing is vetoed; the others survive sometimes.
    below = sum(neuron % 129 != 128 for _, neuron in fired)
    assert 0 < below < 2 * 2 * 128


@pytest.mark.long
@settings(max_examples=10)
@given(st.integers(1, 70), st.integers(1, 4), st.integers(1, 2), st.booleans(), st.data())
def test_any_shape(size: int, values: int, trials: int, taylor: bool, data: st.DataObject) -> None:
    circuit: Exponential = TaylorExponential(bound=1, order=size) if taylor else VetoExponential(bound=1, window=size)
    z = data.draw(st.lists(st.floats(-1, circuit.highest), min_size=values, max_size=values))
    marks = sorted(data.draw(st.sets(st.integers(circuit.period, 80), min_size=1, max_size=4)))
    assert_equals_the_loop(circuit, z, marks, trials)
