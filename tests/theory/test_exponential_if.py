"""Threshold integration of the exponential neuron against Siegert's formula and the membrane without spikes."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from biospike.errors import InputError
from biospike.neurons import LIF
from biospike.theory.exponential_if import ExponentialIF

import brian2 as b2

LEAKY = ExponentialIF(tau_m=20e-3, v_soft=-50e-3, delta=0.0, v_cut=-50e-3, v_reset=-70e-3, refractory=2e-3, sigma=5e-3)
DRIVES = np.array([[-80e-3, -65e-3, -55e-3], [-50e-3, -45e-3, -30e-3]])


def test_without_width_it_is_siegerts_formula() -> None:
    expected = np.asarray(LIF().siegert_rate(DRIVES * b2.volt, np.sqrt(2) * 5 * b2.mV))
    found = LEAKY.rate(DRIVES)
    assert found.shape == DRIVES.shape
    assert found.max() > 40
    # The scheme is of second order with 200 steps a sigma.
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.long
def test_a_narrow_onset_is_a_threshold() -> None:
    """A width of 0.1 mV moves the threshold by a few widths: the rate of a leaky neuron whose threshold lies there."""
    narrow = attrs.evolve(LEAKY, delta=1e-4, v_soft=-50e-3, v_cut=-48e-3).rate(DRIVES)
    between = [attrs.evolve(LEAKY, v_cut=cut).rate(DRIVES) for cut in (-49e-3, -50e-3)]
    assert np.all(between[0] < narrow)
    assert np.all(narrow < between[1] * 1.02)


def test_mean_of_a_membrane_that_hardly_spikes_is_its_drive() -> None:
    rate, mean = LEAKY.rate_and_mean(np.array([-85e-3]))
    assert 0 < rate[0] < 1e-6
    assert mean[0] == pytest.approx(-85e-3, abs=1e-6)


def test_values_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="sigma and tau_m must be above 0"):
        attrs.evolve(LEAKY, sigma=0.0)
