"""The rate under fluctuating conductances against closed forms and a simulation of its own, and what is made of it."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest

from biospike.errors import InputError
from biospike.neurons import LIF
from biospike.theory.barrage import Barrage, Surface
from biospike.theory.conductance_rate import Background, ConductanceCell, conductance_rate, free_membrane, smooth

import brian2 as b2

CELL = ConductanceCell(
    capacitance=200e-12, g_leak=10e-9, v_leak=-70e-3, v_e=0.0, v_i=-75e-3, tau_e=5e-3, tau_i=10e-3,
    v_threshold=-50e-3, v_reset=-60e-3, refractory=2e-3,
)  # fmt: skip
BACKGROUND = Background(mean_e=7e-9, deviation_e=0.83666e-9, mean_i=18e-9, deviation_i=2.32379e-9)


def test_without_fluctuations_it_is_the_membrane_of_a_fixed_conductance() -> None:
    quiet = attrs.evolve(BACKGROUND, deviation_e=1e-12, deviation_i=1e-12)
    for current in (0.4e-9, 0.6e-9):
        v_inf, _ = free_membrane(CELL, quiet, current)
        tau = 200e-12 / 35e-9
        expected = 1 / (2e-3 + tau * math.log((v_inf + 60e-3) / (v_inf + 50e-3)))
        assert conductance_rate(CELL, quiet, current, nodes=4) == pytest.approx(expected, rel=1e-3)


@pytest.mark.long
def test_fast_fluctuations_are_white_noise() -> None:
    """Siegert's formula with the thresholds of correlated noise: v + 1.03*sigma*sqrt(tau_e/tau_m), in Siegert's sigma.

    1.03 is -zeta(1/2)/sqrt(2) (Brunel and Sergi 1998), to first order in the square root, here 0.07, and few nodes
    resolve the layer at the threshold to some per cent of it.
    """
    # So far a reversal potential that the force does not depend on v.
    far = attrs.evolve(CELL, v_e=1e3, v_reset=-70e-3, tau_e=0.1e-3)
    tau, g = 20e-3, far.g_leak
    sigma = math.sqrt(2) * 5e-3
    deviation = sigma / math.sqrt(2) * g / 1e3 * math.sqrt(1 + tau / far.tau_e)
    mean = 10 * deviation
    noise = Background(mean_e=mean, deviation_e=deviation, mean_i=1e-15, deviation_i=1e-18)
    shift = 1.0326 * sigma * math.sqrt(far.tau_e / tau)
    cell = LIF(v_threshold=(-50e-3 + shift) * b2.volt, v_reset=(-70e-3 + shift) * b2.volt)
    for mu in (-55e-3, -50e-3):
        expected = float(cell.siegert_rate(mu * b2.volt, sigma * b2.volt))
        current = (mu + 70e-3) * g - mean * 1e3
        assert conductance_rate(far, noise, current, nodes=8) == pytest.approx(expected, rel=0.03)


def test_free_membrane_is_that_of_two_filtered_noises() -> None:
    mean, deviation = free_membrane(CELL, BACKGROUND, 0.0)
    assert mean == pytest.approx(-(0.7 + 1.8 * 75) / 3.5 * 1e-3, abs=0.02)
    assert mean == pytest.approx((10 * -70 + 18 * -75) / 35 * 1e-3)
    tau = 20e-3 / 3.5
    parts = [
        (0.83666 * -mean / 35) ** 2 * 5e-3 / (5e-3 + tau),
        (2.32379 * (75e-3 + mean) / 35) ** 2 * 0.01 / (0.01 + tau),
    ]
    assert deviation == pytest.approx(math.sqrt(sum(parts)))


@pytest.mark.long
def test_rate_against_a_simulation_of_its_own() -> None:
    """Ornstein-Uhlenbeck conductances and an exact membrane step: 3 standard errors, and 3 % for the nodes."""
    rng, dt, neurons, steps, onset = np.random.default_rng(5), 5e-5, 3000, 12_000, 2000
    for current, least in ((0.30e-9, 20_000), (0.22e-9, 2000)):
        g = np.array([[7e-9], [18e-9]]) + np.array([[0.83666e-9], [2.32379e-9]]) * rng.normal(size=(2, neurons))
        mean, deviation = np.array([[7e-9], [18e-9]]), np.array([[0.83666e-9], [2.32379e-9]])
        keep = np.exp(-dt / np.array([[5e-3], [10e-3]]))
        v, held, spikes = np.full(neurons, -60e-3), np.zeros(neurons, dtype=int), 0
        for step in range(steps):
            g = mean + (g - mean) * keep + deviation * np.sqrt(1 - keep**2) * rng.normal(size=g.shape)
            total = 10e-9 + g.sum(axis=0)
            moved = (10e-9 * -70e-3 + g[1] * -75e-3 + current) / total
            v = np.where(held > 0, v, moved + (v - moved) * np.exp(-dt * total / 200e-12))
            held -= 1
            fired = v > -50e-3
            v[fired], held[fired] = -60e-3, round(2e-3 / dt)
            spikes += int(fired.sum()) * (step >= onset)
        assert spikes > least
        rate = spikes / (neurons * (steps - onset) * dt)
        assert conductance_rate(CELL, BACKGROUND, current) == pytest.approx(rate, rel=3 / math.sqrt(spikes) + 0.03)


def test_smooth_takes_out_what_the_nodes_add() -> None:
    """An error of either sign of 2 % on an analytic curve is lowered by the root of points over parameters."""
    drive = np.linspace(0, 1, 40)
    truth = np.exp(3 * drive - drive**2)
    ripple = np.exp(0.02 * np.sin(60 * drive))
    fitted = np.exp(smooth(drive, truth * ripple)(drive))
    assert np.abs(np.log(fitted / truth)).mean() < 0.5 * np.abs(np.log(ripple)).mean()


def test_conductances_that_may_be_negative_are_refused() -> None:
    with pytest.raises(InputError, match="conductances must stay above 0"):
        conductance_rate(CELL, attrs.evolve(BACKGROUND, deviation_i=30e-9), 0.0)


def test_barrage_alone_holds_a_membrane_at_its_reversal_potential() -> None:
    barrage = Barrage(cell=CELL, background=BACKGROUND, v_barrage=-55e-3)
    high = barrage.at(1e9)
    assert (high.mean_e * 0 + high.mean_i * -75e-3) / (high.mean_e + high.mean_i) == pytest.approx(-55e-3, rel=1e-6)
    # Of Poisson events variances grow as means do.
    one, three = barrage.at(1.0), barrage.at(3.0)
    assert three.deviation_i**2 / one.deviation_i**2 == pytest.approx(three.mean_i / one.mean_i)
    assert three.deviation_e**2 / one.deviation_e**2 == pytest.approx(three.mean_e / one.mean_e)


def test_plain_inhibition_neither_excites_nor_fluctuates() -> None:
    gaba = Barrage(cell=CELL, background=BACKGROUND, v_barrage=None).at(2.0)
    assert gaba == attrs.evolve(BACKGROUND, mean_i=3 * 18e-9)


def test_barrage_above_the_threshold_is_refused() -> None:
    with pytest.raises(InputError, match=r"from -75 mV.*to below the threshold -50 mV, got -45 mV"):
        Barrage(cell=CELL, background=BACKGROUND, v_barrage=-45e-3)


def test_surface_and_its_inverses_of_a_known_function() -> None:
    """ln f = a*I - b*X + c*I*X, which splines of third order hold exactly, and lines below the smallest current."""
    levels, currents = np.linspace(0, 2, 6), np.linspace(-1, 3, 12)

    def known(x: float, y: np.ndarray) -> np.ndarray:
        return 1.5 * y - 0.8 * x + 0.1 * x * y

    surface = Surface(levels, currents, known(levels[:, None], currents))
    inside = np.array([-4.0, -0.3, 2.2])
    np.testing.assert_allclose(surface.log_rate(0.7, inside), known(0.7, inside), atol=1e-9)
    np.testing.assert_allclose(surface.current_at(0.7, known(0.7, inside)), inside, atol=1e-6)
    assert surface.level_at(1.1, float(known(1.3, np.array(1.1)))) == pytest.approx(1.3, abs=1e-6)
    assert surface.slope(0.5, 1.0) == pytest.approx(-0.7)
