"""Linear response of a noisy neuron against Siegert's slope and its law at high frequencies; onset in closed form."""

import numpy as np
import pytest
from scipy.optimize import brentq

from biospike import LIF
from biospike.theory import linear_response
from biospike.theory.linear_response import critical_gain, low_pass, rate_response

import brian2 as b2

KEY, KEY_NOISE = LIF(), np.sqrt(2) * 5 * b2.mV
CELL = LIF(tau_m=10 * b2.ms, v_rest=-65 * b2.mV, v_reset=-65 * b2.mV, refractory=1 * b2.ms)
CELL_NOISE = np.sqrt(2) * 4 * b2.mV


@pytest.mark.parametrize(("cell", "noise"), [(KEY, KEY_NOISE), (CELL, CELL_NOISE)])
def test_slow_response_is_the_slope_of_the_rate(cell, noise):
    mu, small = np.array([-0.048, -0.056, -0.062]), 1e-6
    up, down = (np.asarray(cell.siegert_rate((mu + sign * small) * b2.volt, noise)) for sign in (1, -1))
    slope = (up - down) / (2 * small)
    found = rate_response(cell, mu, noise, [0.0])[0]
    assert slope.min() > 100
    np.testing.assert_allclose(found.real, slope, rtol=3e-4)
    assert np.abs(found.imag / found.real).max() < 1e-3


@pytest.mark.long
def test_fast_response_falls_as_the_root_of_the_frequency(monkeypatch):
    """r/(tau*sqrt(i w D)), and what is left falls by the next order, another root of the frequency."""
    monkeypatch.setattr(linear_response, "POINTS", 4000)
    mu, tau = np.array([-0.056]), float(KEY.tau_m)
    rate, diffusion = np.asarray(KEY.siegert_rate(mu * b2.volt, KEY_NOISE)), float(KEY_NOISE) ** 2 / (2 * tau)
    omega = 2 * np.pi * np.array([1e3, 1e4])
    law = rate / (tau * np.sqrt(1j * omega * diffusion))
    left = np.abs(rate_response(KEY, mu, KEY_NOISE, omega)[:, 0] / law - 1)
    assert left[1] < 0.02
    assert left[0] / left[1] == pytest.approx(np.sqrt(10), rel=0.05)


def test_three_equal_filters_oscillate_from_gain_eight():
    gain, frequency = critical_gain(lambda w: low_pass(w, 0.01) ** 3, 0.0)
    assert gain == pytest.approx(8, rel=1e-9)
    assert frequency == pytest.approx(np.sqrt(3) / 0.01 / (2 * np.pi), rel=1e-9)


def test_a_filter_and_a_delay_oscillate_where_the_phase_says():
    tau, delay = 0.008, 0.003
    w = brentq(lambda w: np.arctan(w * tau) + w * delay - np.pi, 1, np.pi / delay)
    gain, frequency = critical_gain(lambda omega: low_pass(omega, tau), delay)
    assert gain == pytest.approx(np.hypot(1, w * tau), rel=1e-9)
    assert frequency == pytest.approx(w / (2 * np.pi), rel=1e-9)


def test_a_loop_that_never_turns_is_stable_at_every_gain():
    assert critical_gain(lambda w: low_pass(w, 0.008), 0.0)[0] == np.inf
