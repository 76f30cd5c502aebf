"""Membranes in the place of discrete neurons: their limit, their closed form, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biospike.ideal.attention import IF, LIF, LIF_HALF, fire
from biospike.ideal.lif import DiscreteLIF, Paper, SpikingJellyHard, SpikingJellySoft
from circuits.transformers.membranes import UNIT, Membranes, mapped

import brian2 as b2

STEPS = 12


def currents(seed: int) -> np.ndarray:
    """Real currents, and integers times 1/8 as attention has them, of which many meet the threshold exactly."""
    rng = np.random.default_rng(seed)
    return np.hstack([rng.normal(0.6, 1.0, (STEPS, 400)), rng.integers(0, 17, (STEPS, 400)) / 8])


@pytest.mark.parametrize("refractory", [0, 1])
@pytest.mark.parametrize(
    "kind",
    [LIF, LIF_HALF, IF, SpikingJellyHard(tau=3.0, v_th=0.7), SpikingJellyHard(tau=4.0, decay_input=False)],
    ids=str,
)
def test_a_step_of_one_timestep_gives_the_discrete_neuron(kind: DiscreteLIF, refractory: int) -> None:
    drive = currents(1)
    expected, membrane = kind.trace(drive)
    found = Membranes(dt=1 * b2.ms, refractory=refractory * b2.ms)(kind, drive)
    assert expected.sum() > 1000
    if kind in (LIF, LIF_HALF, IF):
        assert (membrane == kind.v_th).sum() > 10  # ties, which >= decides
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("dt", "refractory"), [(0.1, 0.0), (0.1, 1.0), (0.01, 0.0), (0.01, 1.0)])
def test_intervals_under_a_held_current_are_the_closed_ones(dt: float, refractory: float) -> None:
    # tau_m = 1/ln 2 ms; T_th = tau_m*ln(X/(X - 1)): 1 ms for X = 2. On the grid it is rounded up, and a refractory
    # period holds for one step less (LIF.grid_interval).
    drive = np.repeat([[1.1, 1.7, 2.9, 6.3]], 40, axis=0)
    membranes = Membranes(dt=dt * b2.ms, refractory=refractory * b2.ms)
    membranes(LIF, drive)
    volley = membranes.volleys[0]
    cell = mapped(LIF, refractory * b2.ms)
    for neuron, current in enumerate(drive[0]):
        times = volley.time[volley.neuron == neuron]
        expected = float(cell.grid_interval(current * UNIT, dt * b2.ms))
        assert len(times) >= 5
        np.testing.assert_allclose(np.diff(times), expected, rtol=0, atol=1e-9)
        charge = math.log(current / (current - 1)) / math.log(2) * 1e-3
        assert times[0] == pytest.approx(math.ceil(charge / (dt * 1e-3) - 1e-6) * dt * 1e-3, abs=1e-9)


def test_a_membrane_without_leak_counts_its_charge() -> None:
    # The threshold is subtracted, so after T steps the spikes are the whole part of the charge, at any step.
    drive = np.repeat([[0.3, 0.9, 1.0, 2.45]], 40, axis=0)
    for dt in (1.0, 0.1):
        counts = Membranes(dt=dt * b2.ms, refractory=0 * b2.ms)(IF, drive)
        expected = np.floor(drive.sum(axis=0) + 1e-6)
        if dt == 1.0:
            expected = np.minimum(expected, 40)  # one spike a step at most
        np.testing.assert_array_equal(counts.sum(axis=0), expected)


def test_a_refractory_timestep_allows_one_spike_in_it_and_none_is_needed_for_several() -> None:
    drive = np.full((10, 3), 9.0)
    assert fire(LIF, drive).max() == 1
    assert Membranes(dt=0.1 * b2.ms)(LIF, drive).max() == 1
    assert Membranes(dt=0.1 * b2.ms, refractory=0 * b2.ms)(LIF, drive).max() > 1


def test_shape_is_kept_and_populations_are_listed_in_order() -> None:
    membranes = Membranes(dt=1 * b2.ms)
    drive = currents(2).reshape(STEPS, 2, 4, 100)
    assert membranes(LIF, drive).shape == drive.shape
    membranes(LIF_HALF, drive[:, :1])
    assert [volley.neuron.max() // 100 for volley in membranes.volleys] == [7, 3]


@pytest.mark.parametrize("dt", [0.3, 2.0])
def test_a_step_that_does_not_divide_the_timestep_is_refused(dt: float) -> None:
    with pytest.raises(ValueError, match="dt must divide the timestep"):
        Membranes(dt=dt * b2.ms)


@pytest.mark.parametrize("kind", [Paper(), SpikingJellySoft(), SpikingJellyHard(v_reset=-0.5)], ids=str)
def test_a_neuron_with_another_reset_has_no_membrane_here(kind: DiscreteLIF) -> None:
    with pytest.raises(ValueError, match="leaky neuron with a hard reset to 0"):
        Membranes()(kind, currents(3))
