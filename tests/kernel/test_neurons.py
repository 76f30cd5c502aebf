"""LIF: closed forms against published figures, quadrature, and Brian2."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.special import erfcx

from biospike.neurons import LIF, OVERSHOOT, siegert_integral

import brian2 as b2
from brian2 import Hz, ms, mV, second

# The neuron of the published figures.
TEXTBOOK = LIF(tau_m=10 * ms, v_rest=0 * mV, v_reset=0 * mV, v_threshold=15 * mV, refractory=2 * ms)
NO_HOLD = attrs.evolve(TEXTBOOK, refractory=0 * ms)


def run(cell: LIF, v_inf: Any, dt: Any, duration: Any, variables: str | None = None) -> b2.SpikeMonitor:
    """Spikes of one neuron for each drive; most of them must have fired."""
    group = cell.build(len(v_inf), dt)
    group.v_inf = v_inf
    monitor = b2.SpikeMonitor(group, variables=variables)
    b2.Network(group, monitor).run(duration, namespace={})
    assert np.mean(np.asarray(monitor.count) > 0) >= 0.5
    return monitor


# ---------------------------------------------------------------- closed forms


def test_published_figures() -> None:
    assert float(TEXTBOOK.charging_time(40 * mV) / ms) == pytest.approx(4.700036292457, abs=1e-12)
    assert float(TEXTBOOK.grid_interval(40 * mV, 0.1 * ms) / ms) == pytest.approx(6.7, rel=1e-15)
    assert float(TEXTBOOK.firing_rate(22.5 * mV) / Hz) == pytest.approx(77.005278, abs=5e-7)
    rate = TEXTBOOK.siegert_rate(15 * mV, math.sqrt(1.5) * mV)
    assert float(rate / Hz) == pytest.approx(27.1095934379, abs=5e-11)


def test_firing_rate_is_zero_up_to_rheobase_and_rises_to_the_inverse_refractory_period() -> None:
    rates = TEXTBOOK.firing_rate([[-40, 14.9, 15], [15.0001, 40, 1e9]] * mV) / Hz
    assert rates.shape == (2, 3)
    assert_array_equal(rates[0], 0)
    assert np.all(np.diff(rates[1]) > 0)
    assert rates[1, 2] == pytest.approx(500, rel=1e-6)
    assert np.isinf(TEXTBOOK.grid_interval(15 * mV, 0.1 * ms))


def test_rates_do_not_depend_on_where_the_zero_of_voltage_is() -> None:
    shifted = LIF(tau_m=10 * ms, v_rest=-65 * mV, v_reset=-65 * mV, v_threshold=-50 * mV, refractory=2 * ms)
    assert float(shifted.firing_rate(-25 * mV)) == pytest.approx(float(TEXTBOOK.firing_rate(40 * mV)), rel=1e-13)
    sigma = 3 * mV
    assert_allclose(shifted.siegert_rate(-53 * mV, sigma), TEXTBOOK.siegert_rate(12 * mV, sigma), rtol=1e-12)


def test_siegert_integral_agrees_with_adaptive_quadrature() -> None:
    rng = np.random.default_rng(4)
    lower = rng.uniform(-40, 20, 200)
    upper = np.minimum(lower + 10 ** rng.uniform(-1, 1.7, 200), 26)
    expected = []
    for a, b in zip(lower, upper, strict=True):
        breaks = [a, *(x for x in np.r_[-20:0:4, 0:b:0.5, b - 0.1] if a < x < b), b]
        pairs = itertools.pairwise(breaks)
        expected.append(sum(quad(lambda x: erfcx(-x), *pair, epsabs=0, epsrel=1e-13)[0] for pair in pairs))
    assert_allclose(siegert_integral(lower, upper), expected, rtol=1e-11)


def test_siegert_rate_at_extreme_noise_and_drive() -> None:
    # Without noise it is the f-I curve; far below threshold it underflows to zero; never NaN.
    for sigma in (1e-4, 1e-9, 1e-14) * mV:
        assert_allclose(TEXTBOOK.siegert_rate(22.5 * mV, sigma), TEXTBOOK.firing_rate(22.5 * mV), rtol=1e-9)
        assert float(TEXTBOOK.siegert_rate(14 * mV, sigma)) == 0
    rates = TEXTBOOK.siegert_rate(np.linspace(-2000, 2000, 401)[:, None] * mV, [0.1, 1, 30, 1000] * mV) / Hz
    assert rates.shape == (401, 4)
    assert np.all(np.isfinite(rates))
    assert np.all(np.diff(rates, axis=0) >= 0)
    assert np.max(rates) < 500


def test_overshoot_constant_is_minus_zeta_of_one_half_over_root_two_pi() -> None:
    # zeta(1/2) by Euler-Maclaurin summation: sum k^-1/2 - 2 sqrt(n) - 1/2 n^-1/2 + ... at n = 1000.
    n = 1000
    zeta = np.sum(np.arange(1, n + 1) ** -0.5) - 2 * n**0.5 - 0.5 * n**-0.5 + n**-1.5 / 24
    assert pytest.approx(-zeta / math.sqrt(2 * math.pi), rel=1e-12) == OVERSHOOT


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match=r"v_threshold must be above v_reset = -70\. mV, got -70\. mV"):
        LIF(v_threshold=-70 * mV)
    with pytest.raises(ValueError, match=r"tau_m must be above 0\. s, got -1\. ms"):
        LIF(tau_m="-1 ms")
    with pytest.raises(ValueError, match="reset must be one of 'zero', 'subtract', got 'soft'"):
        LIF(reset="soft")
    with pytest.raises(ValueError, match=r"refractory = 2\. ms is not a multiple of dt = 300\. us"):
        LIF().check_grid(0.3 * ms)
    with pytest.raises(ValueError, match=r"dt must be above zero, got 0\. s"):
        LIF().check_grid(0 * ms)
    with pytest.raises(ValueError, match=r"v_inf must be a voltage such as -40\*mV, got 3"):
        LIF().firing_rate(3)
    with pytest.raises(ValueError, match="mu must be finite"):
        LIF().siegert_rate(math.nan * mV, 1 * mV)
    with pytest.raises(ValueError, match="sigma must be above zero"):
        LIF().siegert_rate(-60 * mV, 0 * mV)
    with pytest.raises(ValueError, match="got 'subtract'"):
        LIF(reset="subtract").grid_interval(-40 * mV, 0.1 * ms)
    exact = LIF(spike_timing="exact")
    exact.check_grid(0.3 * ms)  # no grid, no complaint
    for call in (lambda: exact.grid_interval(-40 * mV, 0.1 * ms), lambda: exact.build(1, 0.1 * ms, noise=True)):
        with pytest.raises(ValueError, match="exact"):
            call()


# ---------------------------------------------------------------- spikes on the grid


def test_grid_intervals_are_the_predicted_integers() -> None:
    rng = np.random.default_rng(5)
    dt = 0.1 * ms
    net, pending = b2.Network(), []
    for hold in (0, 0.1, 0.2, 1, 2, 2.7, 5, 0):
        cell = LIF(
            tau_m=rng.uniform(2, 30) * ms,
            v_rest=-65 * mV,
            v_reset=rng.uniform(-80, -60) * mV,
            v_threshold=rng.uniform(-55, -45) * mV,
            refractory=hold * ms,
        )
        group = cell.build(200, dt)
        # From just above rheobase, where the interval is several time constants, to a few steps.
        group.v_inf = cell.v_threshold + 10 ** rng.uniform(-1, 2.5, 200) * mV
        pending.append((cell, group, b2.SpikeMonitor(group)))
        net.add(group, pending[-1][-1])
    net.run(0.35 * second, namespace={})
    for cell, group, monitor in pending:
        expected = np.round(np.asarray(cell.grid_interval(group.v_inf[:], dt) / dt)).astype(int)
        trains = monitor.spike_trains()
        for neuron, steps in enumerate(expected):
            intervals = np.diff(np.round(np.asarray(trains[neuron] / dt)).astype(int))
            assert len(intervals) > 0
            assert_array_equal(intervals, steps)


def test_hard_reset_strays_from_the_rate_in_proportion_to_time() -> None:
    # T_th = 4.70004 ms is rounded up to 4.8 ms: 4.433 spikes a second are lost. At most one more is being waited for.
    dt = 0.1 * ms
    spikes = run(NO_HOLD, [40] * mV, dt, 1 * second)
    steps = np.round(np.asarray(spikes.t / dt)).astype(int) + 1
    elapsed = np.arange(1, 100_001)
    counts = elapsed // 48
    assert_array_equal(np.searchsorted(steps, elapsed[:10_000], side="right"), counts[:10_000])
    strays = np.abs(counts - elapsed * float(NO_HOLD.firing_rate(40 * mV) * dt))
    worst = [np.max(strays[: int(seconds * 10_000)]) for seconds in (0.1, 1, 10)]
    assert_allclose(worst, [1.40, 5.40, 45.28], atol=0.01)


def test_subtractive_reset_loses_the_part_of_the_surplus_that_leaks() -> None:
    # The surplus of a crossing that is noticed s late is s*(v_inf - v_threshold)/tau_m, worth a fraction
    # (v_inf - v_threshold)/(v_inf - v_reset) of s at the reset. s is uniform over a step when averaged over drives.
    soft = attrs.evolve(NO_HOLD, reset="subtract")
    v_inf, dt = np.linspace(20, 60, 1000) * mV, 0.1 * ms
    trains = run(soft, v_inf, dt, 300 * ms).spike_trains()
    interval = np.array([float(times[-1] - times[0]) / (len(times) - 1) for times in trains.values()])
    late = interval - np.asarray(soft.charging_time(v_inf))
    assert np.all(late > 0)
    assert np.all(interval <= np.asarray(NO_HOLD.grid_interval(v_inf, dt)) + 1e-12)
    assert np.mean(late) == pytest.approx(np.mean(np.asarray(dt / 2 * (15 * mV) / v_inf)), rel=0.03)


@pytest.mark.parametrize(
    ("refractory", "reset", "kept"), [(2, "zero", 0), (2, "subtract", 0), (0, "zero", 0), (0, "subtract", 1)]
)
def test_synaptic_input_in_the_step_of_a_spike(refractory: float, reset: str, kept: float) -> None:
    cell = attrs.evolve(TEXTBOOK, reset=reset, refractory=refractory * ms)
    dt = 0.1 * ms
    first = math.ceil(float(cell.charging_time(40 * mV) / dt)) - 1
    group = cell.build(3, dt)
    group.v_inf = 40 * mV
    # Neuron 0 is inhibited in the step of its first spike, neuron 1 ten steps later, neuron 2 never.
    source = b2.SpikeGeneratorGroup(2, [0, 1], [first, first + 10] * dt, dt=dt)
    synapses = b2.Synapses(source, group, on_pre="v_post -= 5*mV", namespace={"mV": mV})
    synapses.connect(j="i")
    spikes, membrane = b2.SpikeMonitor(group), b2.StateMonitor(group, "v", record=True)
    b2.Network(group, source, synapses, spikes, membrane).run(20 * ms, namespace={})
    trains = [np.round(np.asarray(times / dt)) for times in spikes.spike_trains().values()]
    assert all(train[0] == first for train in trains)
    after = np.asarray(membrane.v[:, first + 1] / mV)
    assert after[0] == pytest.approx(after[2] - 5 * kept, abs=1e-9)
    assert (trains[0][1] > trains[2][1]) == bool(kept)
    # Ten steps after a spike a refractory neuron is still held, and deaf.
    assert np.array_equal(trains[1], trains[2]) == (refractory > 1)


# ---------------------------------------------------------------- exact spike times


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("hold", [0, 0.03, pytest.param(2, marks=pytest.mark.long), 2.0371])
def test_exact_spike_times_reproduce_the_closed_form(reset: str, hold: float) -> None:
    # Steps of 0.1 ms; a refractory period shorter than a step, and one that ends inside a step.
    cell = LIF(refractory=hold * ms, reset=reset, spike_timing="exact")
    v_inf = np.array([-49, -45, -30, 0, 100, 300]) * mV
    spikes = run(cell, v_inf, 0.1 * ms, 1 * second, variables="spike_time")
    trains = spikes.values("spike_time")
    assert np.sum(np.asarray(spikes.count) > 200) >= 2
    for neuron, drive in enumerate(v_inf):
        times = np.asarray(trains[neuron])
        assert len(times) > 10
        assert_allclose(times[0], float(cell.charging_time(drive)), rtol=1e-12)
        assert_allclose(np.diff(times), float(1 / cell.firing_rate(drive)), rtol=1e-12)
    # A crossing lies in the step that reports it.
    delay = np.asarray(spikes.spike_time - spikes.t)
    assert np.all((delay > -1e-15) & (delay < 1e-4 + 1e-15))


def test_exact_spike_count_never_strays_by_more_than_a_spike() -> None:
    cell = attrs.evolve(NO_HOLD, spike_timing="exact")
    v_inf = np.linspace(16, 300, 40) * mV
    spikes = run(cell, v_inf, 0.1 * ms, 1 * second)
    counts = np.zeros((10_000, 40))
    np.add.at(counts, (np.round(np.asarray(spikes.t / (0.1 * ms))).astype(int), np.asarray(spikes.i)), 1)
    expected = np.arange(1, 10_001)[:, None] * np.asarray(cell.firing_rate(v_inf) * 0.1 * ms)
    assert np.max(np.abs(np.cumsum(counts, axis=0) - expected)) <= 1 + 1e-9


COMPILED = """
import sys
import brian2 as b2
import numpy as np
from brian2 import ms, mV, second
from biospike.neurons import LIF

b2.set_device("cpp_standalone", build_on_run=False)
v_inf = np.linspace(-45, 200, 50) * mV
exact = LIF(refractory="2.0371 ms", spike_timing="exact")
exact_group, grid_group = exact.build(50, 0.1 * ms), LIF().build(50, 0.1 * ms)
exact_group.v_inf = grid_group.v_inf = v_inf
exact_spikes, grid_spikes = b2.SpikeMonitor(exact_group, variables="spike_time"), b2.SpikeMonitor(grid_group)
b2.Network(exact_group, grid_group, exact_spikes, grid_spikes).run(1 * second, namespace={})
b2.device.build(directory=sys.argv[1])
for i in range(50):
    times = np.asarray(exact_spikes.values("spike_time")[i])
    assert len(times) > 10
    np.testing.assert_allclose(np.diff(times), float(1 / exact.firing_rate(v_inf[i])), rtol=1e-12)
    steps = np.diff(np.round(grid_spikes.values("t")[i] / (0.1 * ms)))
    assert len(steps) > 10
    np.testing.assert_array_equal(steps, np.round(float(LIF().grid_interval(v_inf[i], 0.1 * ms) / (0.1 * ms))))
"""


@pytest.mark.long
@pytest.mark.compiles
def test_compiled_neurons_keep_exact_times_and_grid_intervals(tmp_path: Path) -> None:
    # Brian2 compiles with fast-math by default; the closed forms have to survive it.
    subprocess.run(
        [sys.executable, "-c", COMPILED, str(tmp_path / "build")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )


def test_exact_spikes_at_and_below_rheobase_do_not_exist() -> None:
    cell = LIF(tau_m=1 * ms, refractory=0 * ms, spike_timing="exact")
    group = cell.build(4, 0.1 * ms)
    group.v_inf = [-60, -50.000001, -50, -49.999999] * mV
    monitor = b2.SpikeMonitor(group)
    b2.Network(group, monitor).run(60 * ms, namespace={})
    assert_array_equal(monitor.count[:3], 0)
    assert monitor.count[3] == 3  # T_th = tau_m*ln(2e7) = 16.8 ms


def event_driven(cell: LIF, segments: list[tuple[float, float]]) -> list[float]:
    """Spike times for a drive that is constant in each segment (end, v_inf), crossing by crossing, in SI units."""
    tau, theta, reset = float(cell.tau_m), float(cell.v_threshold), float(cell.v_reset)
    now, free, v, spikes = 0.0, 0.0, float(cell.v_rest), []
    for end, v_inf in segments:
        while now < end:
            now = max(now, min(free, end))
            crossing = now + tau * math.log((v_inf - v) / (v_inf - theta)) if v_inf > theta else math.inf
            if now == end or crossing > end:
                v = v_inf + (v - v_inf) * math.exp(-(end - now) / tau)
                now = end
            else:
                spikes.append(crossing)
                now, free, v = crossing, crossing + float(cell.refractory), reset
    return spikes


def test_exact_spike_times_under_a_drive_that_changes_every_step() -> None:
    cell = LIF(refractory="1.234 ms", v_reset=-65 * mV, spike_timing="exact")
    dt, steps = 0.1 * ms, 5000
    drive = np.random.default_rng(6).uniform(-70, 30, steps)
    group = cell.build(1, dt)
    group.namespace["stim"] = b2.TimedArray(drive * mV, dt=dt)
    group.run_regularly("v_inf = stim(t)", when="before_start", order=-1)
    monitor = b2.SpikeMonitor(group, variables="spike_time")
    b2.Network(group, monitor).run(steps * dt, namespace={})
    expected = event_driven(cell, [((k + 1) * 1e-4, v * 1e-3) for k, v in enumerate(drive)])
    assert len(expected) > 50
    assert_allclose(np.asarray(monitor.spike_time), expected, rtol=1e-12)
    assert float(group.last_spike[0]) == float(monitor.spike_time[-1])


# ---------------------------------------------------------------- white noise


def test_noise_is_an_ornstein_uhlenbeck_process_at_any_step() -> None:
    n, sigma, lag = 20_000, 3.0, 4
    cell = LIF(tau_m=10 * ms, v_rest=0 * mV, v_reset=0 * mV, v_threshold=1 * b2.volt)
    b2.seed(7)
    group = cell.build(n, 2 * ms, noise=True)
    group.v_inf, group.sigma = 2 * mV, sigma * mV
    net = b2.Network(group)
    net.run(200 * ms, namespace={})
    before = np.asarray(group.v / mV)
    net.run(lag * 2 * ms, namespace={})
    after = np.asarray(group.v / mV)
    # Standard errors of mean, variance and correlation of n independent pairs; four of them.
    variance, correlation = sigma**2 / 2, math.exp(-lag * 2 / 10)
    assert np.mean(after) == pytest.approx(2, abs=4 * math.sqrt(variance / n))
    assert np.var(after) == pytest.approx(variance, rel=4 * math.sqrt(2 / n))
    measured = np.corrcoef(before, after)[0, 1]
    assert measured == pytest.approx(correlation, abs=4 * (1 - correlation**2) / math.sqrt(n))


@pytest.mark.long
@pytest.mark.parametrize(
    ("dt", "reset", "n", "duration"),
    [(0.1, "zero", 1500, 0.5), (0.1, "subtract", 1500, 0.5), (0.02, "zero", 1500, 0.2)],
)
def test_white_noise_rate_is_siegert_corrected_for_the_grid(dt: float, reset: str, n: int, duration: float) -> None:
    cell = attrs.evolve(TEXTBOOK, reset=reset)
    mu, sigma = [15, 12, 20] * mV, [math.sqrt(1.5), 5, 4] * mV
    b2.seed(8)
    group = cell.build(3 * n, dt * ms, noise=True)
    group.v_inf, group.sigma = np.repeat(mu, n), np.repeat(sigma, n)
    monitor = b2.SpikeMonitor(group, record=False)
    net = b2.Network(group, monitor)
    net.run(50 * ms, namespace={})
    start = np.asarray(monitor.count).copy()
    net.run(duration * second, namespace={})
    counts = (np.asarray(monitor.count) - start).reshape(3, n)
    assert np.all(np.mean(counts > 0, axis=1) >= 0.5)
    rate = counts.mean(axis=1) / duration
    error = counts.std(axis=1) / math.sqrt(n) / duration
    # The neurons are independent, so the spread of their counts gives the standard error: 3.5 of it, and 1 % for
    # what the correction leaves out (the next order in sqrt(dt)).
    expected = np.asarray(cell.siegert_rate(mu, sigma, dt * ms))
    assert np.all(error < 0.01 * rate)
    assert np.all(np.abs(rate - expected) < 3.5 * error + 0.01 * expected)
    # Negative control: at 0.1 ms the formula for continuous time is 2 % off or more at every point but the last.
    if dt == 0.1 and reset == "zero":
        assert np.all(np.asarray(cell.siegert_rate(mu, sigma)) - rate > 3.5 * error + 0.005 * rate)
