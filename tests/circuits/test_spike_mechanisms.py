"""Keys with other spike mechanisms and synapses: f-I curves, limits and what is refused."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from biospike import InputError, runtime, simulate
from biospike.circuit import Batch, Circuit, Shape
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from circuits.softmax.adex import AdEx
from circuits.softmax.conductance import Conductance
from circuits.softmax.depressing import Depressing
from circuits.softmax.hodgkin_huxley import HodgkinHuxley, gate_rates, steady_gates
from circuits.softmax.stored_curves import read
from circuits.softmax.subtracted import Curve
from validation.data import attention_rows

import brian2 as b2

ROWS = np.array([[2.0, 1.0, 0.0, -1.0, np.nan], [0.0, 0.0, 0.0, 0.0, 0.0], [3.0, 0.0, np.nan, np.nan, np.nan]])


def limit_tv(circuit: Circuit) -> float:
    rows = attention_rows()
    return float(total_variation(circuit.limit(rows), softmax(rows)).mean())


def open_loop(circuit: Circuit, keys: int, seconds: float, **state: Any) -> np.ndarray:
    """Spikes of so many keys, each of one row, without inhibition."""
    circuit = attrs.evolve(circuit, **{"members": 1} if hasattr(type(circuit), "kappa") else {})
    batch = Batch(np.zeros((keys, 1)), np.zeros(keys, dtype=np.int64), np.arange(keys), 7)
    full = circuit.state(batch, circuit.dt) | {
        "keys.seed": 7,
        "keys.trial": 0,
        "keys.index": batch.index.ravel(),
        "hub.w": 0.0,
        **{name.replace("_", ".", 1): value for name, value in state.items()},
    }
    shape = Shape(keys, keys, 1, hub_index=np.arange(keys))
    name = "keys.spike_count"
    return runtime.run(circuit, shape, full, dt=float(circuit.dt), duration=seconds, wanted=[name], target="numpy")[
        name
    ]


def test_curve_and_its_inverse_go_on_as_exponentials() -> None:
    curve = Curve(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 3.0]))
    np.testing.assert_allclose(curve.rate_at(np.array([-2.0, 0.5, 2.0, 9.0])), np.exp([-4.0, 1.0, 3.0, 3.0]))
    np.testing.assert_allclose(curve.drive_at(np.array([-4.0, 1.0, 3.0])), [-2.0, 0.5, 2.0])


def test_adaptation_widens_the_bias_of_the_exponential_neuron() -> None:
    """Mean field on real rows at 20, 10, 5 Hz; prototypes had .119 .080 .055, and without adaptation .062 .043 .034."""
    for rate, adapting, plain in ((20, 0.109, 0.0585), (10, 0.076, 0.043), (5, 0.052, 0.0328)):
        found = limit_tv(AdEx(rate=rate * b2.Hz, w="0.1 mV"))
        assert found == pytest.approx(adapting, abs=0.004)
        assert limit_tv(AdEx(rate=rate * b2.Hz, a="0 nS", jump="0 pA")) == pytest.approx(plain, abs=0.002)


def test_table_of_other_parameters_is_not_taken() -> None:
    other = AdEx(tau_w="100 ms")
    assert not other.known()
    assert np.isnan(other.limit(ROWS)).all()
    assert other.limit(ROWS).shape == ROWS.shape
    assert np.isfinite(other.mean_field(ROWS)[1]).all()
    told = read("adex")
    assert told is not None
    assert told[0]["tau_w"] == pytest.approx(0.144)


@pytest.mark.long
@pytest.mark.parametrize("drive", [-57e-3, -52e-3])
def test_exponential_keys_fire_as_threshold_integration_says(drive: float) -> None:
    """Rate within 4 standard errors of renewal counts, and 2 % for the step of 0.1 ms."""
    circuit = AdEx(a="0 nS", jump="0 pA")
    spikes = open_loop(circuit, 512, 2.0, keys_mean=drive, hub_I=0.0)
    expected = float(circuit.cell.rate(np.array([drive]))[0]) * 2
    assert spikes.sum() > 1500
    error = spikes.std() / np.sqrt(len(spikes))
    assert abs(spikes.mean() - expected) < 4 * error + 0.02 * expected


def test_steady_gates_are_where_their_rates_balance() -> None:
    u = np.array([-10.0, 13.0, 15.0, 40.0])  # and where the quotients are 0/0
    for (alpha, beta), gate in zip(gate_rates(u).values(), steady_gates(u), strict=True):
        np.testing.assert_allclose(alpha * (1 - gate), beta * gate)


@pytest.mark.long
def test_spikes_of_traub_and_miles_against_another_integrator() -> None:
    """One key without noise under a constant drive: the times of LSODA at 1e-9, to a step in ten intervals."""
    circuit, drive = HodgkinHuxley(), -35e-3
    start = np.array([-65e-3])
    gates = steady_gates((start - float(circuit.v_onset)) * 1e3)

    def slope(_: float, y: np.ndarray) -> list[float]:
        v, m, n, h = y
        rates = {name: (float(a), float(b)) for name, (a, b) in gate_rates(np.asarray((v + 63e-3) * 1e3)).items()}
        current = 10e-9 * (drive - v) - 20e-6 * m**3 * h * (v - 50e-3) - 6e-6 * n**4 * (v + 90e-3)
        return [
            current / 200e-12,
            *(1e3 * (rates[k][0] * (1 - x) - rates[k][1] * x) for k, x in (("m", m), ("n", n), ("h", h))),
        ]

    def crossing(_: float, y: np.ndarray) -> float:
        return float(y[0] + 20e-3)

    crossing.direction = 1.0  # type: ignore[attr-defined]
    exact = solve_ivp(
        slope, (0, 0.3), [start[0], *(float(one[0]) for one in gates)], method="LSODA", rtol=1e-9, atol=1e-12,
        events=crossing,
    ).t_events[0]  # fmt: skip
    assert len(exact) > 10
    spikes = open_loop(
        circuit, 1, 0.3, keys_mean=drive, hub_I=0.0, keys_kick=0.0, keys_v=start, keys_m=gates[0], keys_n=gates[1],
        keys_h=gates[2],
    )  # fmt: skip
    # Exponential Euler at 0.05 ms shifts every interval by less than a step.
    assert abs(int(spikes[0]) - len(exact)) <= 1


def test_bias_of_traub_and_miles_keys() -> None:
    """Mean field on real rows; prototypes had .098 .062 .038 at 20, 10, 5 Hz; few counts give .012."""
    for rate, found in ((20, 0.098), (10, 0.062), (5, 0.038)):
        assert limit_tv(HodgkinHuxley(rate=rate * b2.Hz)) == pytest.approx(found, abs=0.012)


def test_other_hodgkin_huxley_neurons_are_refused() -> None:
    with pytest.raises(InputError, match="the stored f-I curve belongs to other parameters: g_k = 6e-06"):
        HodgkinHuxley(g_k=7 * b2.usiemens).check(0.05 * b2.ms)


@pytest.mark.parametrize(
    ("circuit", "said"),
    [
        (AdEx(dt="0.2 ms"), "adex: dt = 200. us must be at most 100. us"),
        (AdEx(w="50 mV"), "adex: w must be at most"),
        (AdEx(rate="60 Hz"), "adex: rate must be from .* Hz, which the f-I curve covers, got 60. Hz"),
        (HodgkinHuxley(rate="1 Hz"), "hodgkin_huxley: rate must be from 1.* to .* Hz"),
        (HodgkinHuxley(dt="0.1 ms"), "hodgkin_huxley: dt = 100. us must be at most 0.05 ms"),
        (Conductance(dt="0.5 ms"), "conductance: dt = 0.5 ms is too coarse for a conductance: at most 136.4 us"),
        (Conductance(w=5.0), "conductance: w must be at most"),
        (Conductance(rate="80 Hz"), "conductance: rate must be at most .* Hz, where the table ends"),
        (Depressing(dt="5 ms"), "depressing: dt = 5. ms is too coarse for rate = 40. Hz"),
    ],
)
def test_what_does_not_fit_is_refused(circuit: Circuit, said: str) -> None:
    with pytest.raises(InputError, match=said):
        simulate(circuit, ROWS, duration="20 ms", target="numpy")


def test_barrage_above_the_threshold_and_rows_beyond_the_table_are_refused() -> None:
    with pytest.raises(InputError, match="distance must be"):
        Conductance(distance=0.0)
    with pytest.raises(InputError, match="row 0 has so many strong keys"):
        simulate(Conductance(), np.zeros((1, 200)), duration="20 ms", target="numpy")


def test_barrage_at_four_deviations_is_near_a_gate() -> None:
    """Rms L2 of a row on real rows: .007 at 40 Hz (prototypes .008), without calibration ten times as much."""
    rows = attention_rows()

    def l2(circuit: Circuit) -> float:
        return float(np.sqrt(((circuit.limit(rows) - softmax(rows)) ** 2).sum(axis=1).mean()))

    assert l2(Conductance()) == pytest.approx(0.0074, abs=0.001)
    assert l2(Conductance(code="linear")) > 0.05


def test_a_calibrated_lone_key_needs_no_inhibition() -> None:
    current, level, rates = Conductance().mean_field(np.array([[0.0, -20.0]]))
    assert rates[0, 0] == pytest.approx(40, rel=1e-3)
    assert abs(level[0]) < 0.01 or current[0, 0] > 0


@pytest.mark.long
def test_conductance_keys_obey_their_mean_field() -> None:
    """Pooled shares within 5 standard errors, and 0.01 for the nodes and the fluctuation of the level."""
    circuit = Conductance(members=64)
    counts = simulate(circuit, ROWS, duration="0.5 s", trials=4, seed=3, target="numpy", checkpoints=1).spike_count
    fired = counts.values[..., -1].sum(axis=0)
    assert fired.sum(axis=1).min() > 3000
    shares, expected = fired / fired.sum(axis=1, keepdims=True), circuit.limit(ROWS)
    error = np.sqrt(expected * (1 - expected) / fired.sum(axis=1, keepdims=True))
    assert np.all(np.abs(shares - expected) < 5 * error + 0.01)
    # The level holds the rate of a row: 64 neurons of 40 Hz.
    np.testing.assert_allclose(fired.sum(axis=1) / (4 * 0.5), 64 * 40, rtol=0.05)


def test_depressing_synapses_equalise_keys() -> None:
    """Counts of 400 trials against the closed form, 5 standard errors from their scatter."""
    circuit, logits = Depressing(rate="80 Hz", dt="1 ms"), np.array([[0.0, -1.0, -2.5, np.nan]])
    data = simulate(circuit, logits, duration="1 s", trials=400, seed=2, target="numpy", checkpoints=1)
    counts = data.spike_count.values[:, 0, :, -1]
    expected = circuit.key_rates(logits)[0]
    assert counts[:, 3].sum() == 0
    assert counts.sum() > 5000
    error = counts[:, :3].std(axis=0) / 20
    assert np.all(np.abs(counts[:, :3].mean(axis=0) - expected[:3]) < 5 * error)
    # At strong drives the rate no longer follows: 1/((1 - f)*tau_d).
    assert expected[0] < 1 / (0.25 * 0.3)
    assert circuit.limit(logits)[0, 0] < softmax(logits)[0, 0] - 0.1
