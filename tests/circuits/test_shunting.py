"""The `shunting` circuit: its f-I curve on the grid, its mean field, and that it is not softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biospike import runtime, simulate
from biospike.circuit import Batch, Shape
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.metrics import shares, total_variation
from biospike.neurons import LIF
from circuits.softmax.shunting import Shunting
from validation.data import attention_rows

import brian2 as b2

ROWS = np.array(
    [
        [2.0, 1.0, 0.0, -1.0, -2.0, 0.5, 1.5, -0.5],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [3.0, 0.0, 0.0, 0.0, np.nan, np.nan, np.nan, np.nan],
        [1.0, 0.9, 0.8, -1.0, -1.0, -3.0, -3.0, np.nan],
    ]
)


@pytest.mark.parametrize("conductance_ns", [0.0, 10.0])
def test_fi_curve_on_the_grid(conductance_ns: float) -> None:
    # A constant conductance makes a leaky neuron with another time constant and drive: counts are those of its exact
    # grid interval, to the one spike of the initial phase.
    circuit, g, duration = Shunting(), conductance_ns * 1e-9, 0.5
    logits = np.linspace(0, -5, 12)[None]
    rows = Batch(logits, np.zeros(1, int), np.zeros(1, int), 7)
    held = {"hub.g": g, "hub.tau_inh": 1e9, "hub.w": 0.0, "keys.v": -0.07}
    state = circuit.state(rows, circuit.dt) | held
    name = "keys.spike_count"
    counts = runtime.run(circuit, Shape(1, 12, 8), state, dt=1e-4, duration=duration, wanted=[name], target="numpy")[
        name
    ]

    current = circuit.input_current(logits)[0]
    cell = LIF(tau_m=200 * b2.pF / (10 * b2.nS + g * b2.siemens))
    v_inf = -0.07 + current / (10e-9 + g)
    interval = np.asarray(cell.grid_interval(v_inf * b2.volt, circuit.dt))
    assert counts.max() > 20
    assert np.all(np.abs(counts - duration / interval) <= 1)
    assert np.all((counts == 0) == (v_inf <= -0.05))
    # The closed form averages over the rounding up to the grid, half a step an interval.
    rate = circuit.key_rate(current, np.asarray(g))
    with np.errstate(divide="ignore"):
        assert np.all(np.abs(1 / rate[rate > 0] - interval[rate > 0]) <= 0.5001e-4)


def test_inhibition_subtracts() -> None:
    # Holt and Koch: far above the rheobase, a conductance shifts the f-I curve and does not change its slope.
    circuit = Shunting(refractory="0 ms")
    current = np.array([5e-9, 6e-9])
    free, shunted = (circuit.key_rate(current, np.asarray(g)) for g in (0.0, 10e-9))
    assert np.diff(shunted) == pytest.approx(np.diff(free), rel=0.01)
    # Half the rise of the rheobase: dv/dt is linear in the mean of v, halfway between reset and threshold.
    gain = np.diff(free)[0] / 1e-9
    assert (free - shunted)[0] == pytest.approx(gain * 10e-9 * 20e-3 / 2, rel=0.05)


def test_mean_field_is_self_consistent() -> None:
    circuit = Shunting()
    g, rates = circuit.mean_field(ROWS)
    np.testing.assert_allclose(g, 0.1e-9 * 0.05 * rates.sum(axis=1), rtol=1e-9)
    expected = circuit.key_rate(circuit.input_current(ROWS), g[:, None])
    np.testing.assert_allclose(rates, np.where(np.isnan(ROWS), 0, expected), rtol=1e-9)
    limit = circuit.limit(ROWS)
    np.testing.assert_allclose(limit.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(limit[1], 1 / 8, rtol=1e-12)
    np.testing.assert_allclose(circuit.limit(ROWS - 50), limit, atol=1e-12)


@pytest.mark.compiles
def test_shares_agree_with_the_mean_field() -> None:
    # Regular keys: 5 standard errors from the phases of 16 trials, and TV 0.02 for the fluctuation of the conductance,
    # which the mean field neglects and a fourfold tau_inh at the same strength makes three times smaller.
    strays = []
    for circuit, model_error in ((Shunting(), 0.02), (Shunting(tau_inh="200 ms", w="0.025 nS"), 0.006)):
        counts = simulate(circuit, ROWS, duration="2 s", trials=16, seed=4, target="cpp_standalone").spike_count
        late = (counts[..., -1] - counts.sel(checkpoint=counts.timesteps >= 4000)[..., 0]).values
        trials = shares(late)
        error = total_variation(trials, trials.mean(axis=0)).mean(axis=0) / np.sqrt(len(trials))
        stray = total_variation(trials.mean(axis=0), circuit.limit(ROWS))
        assert late.sum(axis=2).min() > 150
        assert np.all(stray <= 5 * error + model_error)
        assert np.all(late[:, np.isnan(ROWS)] == 0)
        strays.append(stray.mean())
    assert strays[1] < strays[0]


def test_no_strength_of_inhibition_gives_softmax() -> None:
    logits = attention_rows()
    bias = [
        total_variation(Shunting(w=w * b2.nS).limit(logits), softmax(logits)).mean()
        for w in (0, 0.02, 0.05, 0.1, 0.2, 0.5)
    ]
    assert min(bias) == bias[3] == pytest.approx(0.1346, abs=1e-3)


def test_masked_keys_are_silent_and_a_lone_key_takes_the_row() -> None:
    lone = [[np.nan, -3.0, np.nan, np.nan]]
    counts = simulate(Shunting(), lone, duration="200 ms", seed=2, target="numpy").spike_count.values[0, 0, :, -1]
    assert counts[1] >= 10
    assert counts.sum() == counts[1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"current": "0 pA"}, "current must be above"),
        ({"w": "-1 nS"}, "w must be at least"),
        (
            {"current": "50 pA", "offset": "100 pA"},
            "current . offset must be above the rheobase .* 200. pA .* got 150. pA",
        ),
        ({"v_inh": "-40 mV"}, "v_threshold must be above v_inh = -40. mV"),
        ({"v_threshold": "-75 mV"}, "v_threshold must be above v_rest .* got -75. mV"),
    ],
)
def test_bad_parameters_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shunting(**changed)


@pytest.mark.parametrize("changed", [{"w": 1e200 * b2.nS}, {"tau_inh": 1e200 * b2.second}])
def test_rows_that_inhibition_silences_are_refused_before_anything_runs(
    changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "run", None)
    with pytest.raises(InputError, match=r"shunting: w\*tau_inh = .* no key of a row fires"):
        simulate(Shunting(**changed), ROWS, duration="20 ms", target="numpy")


def test_bad_grids_are_named() -> None:
    with pytest.raises(ValueError, match=r"refractory = 2. ms must be a multiple of dt"):
        Shunting().check(0.3 * b2.ms)
    with pytest.raises(ValueError, match=r"dt = 2. ms is too coarse for rate"):
        Shunting().check(2 * b2.ms)
