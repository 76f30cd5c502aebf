"""Rate-distortion functions with a known closed form, and the two spike counts."""

import math

import numpy as np
import pytest

from biospike.theory.information import binary_entropy, bits_per_spike
from biospike.theory.rate_distortion import (
    RateDistortion,
    blahut_arimoto,
    information_bound_spikes,
    paper_spikes,
    rate_readings,
    shannon_lower_bound_uniform,
)

HAMMING = 1 - np.eye(2)


@pytest.mark.parametrize(("p", "D"), [(0.5, 0.1), (0.3, 0.05), (0.3, 0.2), (0.1, 0.01)])
def test_binary_source(p, D):
    # R(D) = h(p) - h(D), Cover and Thomas theorem 10.3.1.
    found = blahut_arimoto([p, 1 - p], HAMMING, target=D, tolerance=1e-8)
    assert found.distortion == pytest.approx(D, abs=1e-8)
    assert found.rate == pytest.approx(binary_entropy(p) - binary_entropy(D), abs=1e-6)
    assert found.gap <= 1.1e-8


@pytest.mark.parametrize("D", [0.1, 0.25, 0.5])
def test_gaussian_source(D):
    # R(D) = 1/2 log2(1/D), theorem 10.3.2. Cells of 0.1 standard deviations add less than their variance to D.
    x = np.linspace(-5, 5, 101)
    p = np.exp(-(x**2) / 2)
    found = blahut_arimoto(p / p.sum(), (x[:, None] - x) ** 2, target=D, tolerance=1e-3)
    assert found.rate == pytest.approx(-0.5 * np.log2(D), abs=2e-3)


def test_uniform_letters_with_errors():
    # m equal letters and Hamming distortion: R = log2 m - h(D) - D log2(m - 1), exercise 10.5.
    m, D = 5, 0.3
    found = blahut_arimoto(np.full(m, 1 / m), 1 - np.eye(m), target=D)
    assert found.rate == pytest.approx(np.log2(m) - binary_entropy(D) - D * np.log2(m - 1), abs=1e-4)


def test_slope_is_the_slope_of_the_curve():
    # dR/dD of h(p) - h(D) is log2(D/(1 - D)): a slope of ln 9 nats stands for D = 0.1.
    found = blahut_arimoto([0.5, 0.5], HAMMING, slope=math.log(9), tolerance=1e-9)
    assert found.distortion == pytest.approx(0.1, abs=1e-6)


def test_nothing_to_send_at_the_distortion_of_a_constant_guess():
    assert blahut_arimoto([0.3, 0.7], HAMMING, target=0.3) == RateDistortion(0.0, pytest.approx(0.3), 0.0)
    assert blahut_arimoto([0.3, 0.7], HAMMING, target=0.9).rate == 0.0
    assert blahut_arimoto([0.3, 0.7], HAMMING, slope=0.0).rate == pytest.approx(0.0, abs=1e-12)


def test_impossible_letters_change_nothing():
    padded = blahut_arimoto([0.3, 0.0, 0.7], np.array([[0, 1], [5, 5], [1, 0]]), target=0.1)
    assert padded.rate == pytest.approx(binary_entropy(0.3) - binary_entropy(0.1), abs=1e-4)


def test_shannon_bound_of_the_uniform_source():
    assert shannon_lower_bound_uniform(1 / (2 * np.pi * math.e)) == pytest.approx(0.0, abs=1e-12)
    assert shannon_lower_bound_uniform(1 / 12) == 0
    # A quarter of the width, a quarter of a bit a halving: the bound falls by one bit for 4 times the error.
    np.testing.assert_allclose(shannon_lower_bound_uniform([0.001, 0.004]), [2.9358, 1.9358], atol=5e-5)
    assert shannon_lower_bound_uniform(0.009, width=3) == pytest.approx(shannon_lower_bound_uniform(0.001))


@pytest.mark.parametrize("D", [0.003, 0.02])
def test_uniform_source_lies_between_shannon_and_the_quantiser(D):
    n = 60
    x = (np.arange(n) + 0.5) / n
    found = blahut_arimoto(np.full(n, 1 / n), (x[:, None] - x) ** 2, target=D, tolerance=1e-3)
    # A uniform quantiser of M cells has the error 1/(12 M^2) at log2 M bits.
    quantiser = 0.5 * np.log2(1 / (12 * D))
    assert shannon_lower_bound_uniform(D) < found.rate < quantiser
    assert found.rate > 0.3


def test_spikes_of_the_paper_and_of_the_information_bound():
    assert paper_spikes(2.0, 4, 8, 0.1) == pytest.approx(4 * 32 * 100)
    assert information_bound_spikes(2.0, 4, 8, 0.125) == pytest.approx(32 * 4)
    assert information_bound_spikes(2.0, 4, 8, 0.125, bits_per_spike=2.0) == pytest.approx(64)
    assert information_bound_spikes(1.0, 4, 8, 3.0) == 0
    eps = np.geomspace(1e-4, 0.5, 20)
    assert (information_bound_spikes(1.0, 4, 8, eps) < paper_spikes(1.0, 4, 8, eps)).all()


def test_readings_of_the_rate_against_the_source_itself():
    """By the value too high by 1.79 to 2.05 bits, as a Frobenius norm too low by 1/2 log2(n d) - 2.05; D is per value.

    R(D) of a uniform value from Blahut's iteration; a lattice of 60 points is exact to 0.01 bits at D = 0.01."""
    values, n = 3072, 60
    at_variance = rate_readings(1.0, 64, 48, np.sqrt(1 / 12))
    assert at_variance.per_value / values == pytest.approx(0.5 * np.log2(12))  # where R is 0
    x = (np.arange(n) + 0.5) / n
    R = blahut_arimoto(np.full(n, 1 / n), (x[:, None] - x) ** 2, target=0.01, tolerance=1e-3).rate
    found = rate_readings(2.0, 64, 48, 0.2)
    assert 1.79 < found.per_value / values - R < 2.05
    small = rate_readings(1.0, 64, 48, 1e-4)
    assert small.per_value / values - small.shannon / values == pytest.approx(0.5 * np.log2(2 * np.pi * math.e))
    below = 0.5 * np.log2(values) - 0.5 * np.log2(2 * np.pi * math.e)
    assert small.shannon / values - small.frobenius / values == pytest.approx(below)
    assert rate_readings(1.0, 64, 48, 0.1).frobenius == 0  # while R(0.01) is not
    assert R > 1


def test_a_rare_spike_carries_more_than_a_bit():
    assert bits_per_spike(0.772) > 1 > bits_per_spike(0.774)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shannon_lower_bound_uniform(0.0), "distortion must be above 0, got 0.0"),
        (lambda: blahut_arimoto([0.5, 0.4], HAMMING, slope=1), r"sum to 1, got \[0.5, 0.4\]"),
        (lambda: blahut_arimoto([0.5, 0.5], np.eye(3), slope=1), r"shape \(2, reproductions\), got \(3, 3\)"),
        (lambda: blahut_arimoto([0.5, 0.5], -HAMMING, slope=1), "at least 0, got -1.0"),
        (lambda: blahut_arimoto([0.5, 0.5], HAMMING), "either a slope or a target"),
        (lambda: blahut_arimoto([0.5, 0.5], HAMMING, slope=1, target=0.1), "either a slope or a target"),
        (lambda: blahut_arimoto([0.5, 0.5], HAMMING, slope=-1), "got -1"),
        (lambda: blahut_arimoto([0.5, 0.5], HAMMING, target=0.0), "above the smallest distortion 0, got 0.0"),
        (
            lambda: blahut_arimoto([0.3, 0.7], HAMMING, slope=2, tolerance=1e-12, iterations=2),
            "no convergence to 1e-12 bits in 2 iterations at the slope 2",
        ),
        (lambda: paper_spikes(0, 4, 8, 0.1), "lipschitz must be above 0"),
        (lambda: information_bound_spikes(1, 4, 8, -0.1), "eps must be above 0, got -0.1"),
    ],
)
def test_errors_name_the_value(call, words):
    with pytest.raises(ValueError, match=words):
        call()
