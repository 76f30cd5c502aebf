"""What Siegert's rate leaves open of a leaky integrate-and-fire neuron in white noise: its regularity and its membrane.

`mu` is the mean drive v_rest + R*I and `sigma` Siegert's, so that sigma^2/2 is the variance of v without threshold,
as in `biospike.neurons.LIF.siegert_rate`. Both functions are in continuous time; `on_grid` gives the cell that, in
continuous time, has the statistics of `cell` on a grid.

References
----------
N. Brunel, V. Hakim (1999), Neural Comput. 11, 1621, doi:10.1162/089976699300016179 (density of v).
N. Brunel (2000), J. Comput. Neurosci. 8, 183, doi:10.1023/A:1008925309027, appendix A.1 (variability of the intervals).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import attrs
import numpy as np
import scipy  # scipy.integrate is imported when a table is asked for
from numpy.typing import NDArray
from scipy.special import dawsn, erfc, erfcx

from biospike.neurons import LIF, OVERSHOOT

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

# Beyond 5 sigma from the threshold spikes are rare escapes, Poisson to 1e-9; below -20 the integral is its asymptote.
FARTHEST = 5.0
ASYMPTOTIC = -20.0
SPACING = 1e-3
POINTS = 129
RESOLUTION = 50
"""Points a sigma of a tabulated f-I curve: linear interpolation of its logarithm is right to 1e-4 of a rate."""
TOGETHER = 2**13
"""Neurons whose distributions are in memory at a time, some ten arrays of 8 MB."""


def on_grid(cell: LIF, sigma: Quantity, dt: Quantity) -> LIF:
    """Cell with the threshold and the refractory period that `LIF.siegert_rate` uses for the step `dt`."""
    return attrs.evolve(
        cell,
        v_threshold=cell.v_threshold + OVERSHOOT * sigma * math.sqrt(float(dt / cell.tau_m)),
        refractory=max(cell.refractory - dt, 0 * b2.ms),
    )


def interval_cv(cell: LIF, mu: NDArray[np.float64], sigma: Quantity) -> NDArray[np.float64]:
    """Coefficient of variation of the inter-spike intervals.

    CV^2 = 2*pi*(rate*tau_m)^2 * integral of exp(x^2) * J(x) dx from (v_reset - mu)/sigma to (v_threshold - mu)/sigma,
    J(x) = integral of exp(y^2)*(1 + erf y)^2 dy from minus infinity to x. Successive intervals are independent, so
    CV^2 is also the variance of a long count over its mean.

    Parameters
    ----------
    cell
        The neuron.
    mu
        Mean drive, volt.
    sigma
        Noise.

    Returns
    -------
    ndarray
        CV of the shape of `mu`; 1 where the threshold is more than five sigma above the drive.
    """
    scale = float(sigma)
    lower, upper = ((float(v) - mu) / scale for v in (cell.v_reset, cell.v_threshold))
    rate = np.asarray(cell.siegert_rate(mu * b2.volt, sigma))
    squared = (
        2 * np.pi * (_variability_integral(upper) - _variability_integral(lower)) * (rate * float(cell.tau_m)) ** 2
    )
    return np.where(upper < FARTHEST, np.sqrt(np.maximum(squared, 0)), 1.0)


def _variability_integral(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of exp(x^2)*J(x) from minus infinity to x, for x below `FARTHEST`."""
    nodes, values = _variability_table()
    far = np.minimum(x, ASYMPTOTIC)
    return np.where(x < ASYMPTOTIC, _variability_asymptote(far), np.interp(x, nodes, values))


def _variability_asymptote(x: NDArray[np.float64] | float) -> Any:
    return (1 - 5 / (4 * x**2)) / (4 * np.pi * x**2)


@functools.cache
def _variability_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # The inner integral starts so far down that what it leaves out is below rounding; exp(-26^2) is still a number.
    x: NDArray[np.float64] = np.arange(ASYMPTOTIC - 6, FARTHEST + SPACING, SPACING, dtype=np.float64)
    inner = scipy.integrate.cumulative_trapezoid(
        np.where(x < 0, erfcx(np.abs(x)) * erfc(-x), np.exp(x**2) * erfc(-x) ** 2), x, initial=0
    )
    start = round(6 / SPACING)
    outer = scipy.integrate.cumulative_trapezoid(np.exp(x[start:] ** 2) * inner[start:], x[start:], initial=0)
    return x[start:], outer + _variability_asymptote(ASYMPTOTIC)


@functools.lru_cache(maxsize=32)
def response_table(cell: LIF, sigma: float, rate: float, dt: float) -> tuple[Array, Array, Array, Array]:
    """Tabulate the f-I curve on a grid, from where nothing fires to well above a rate.

    Parameters
    ----------
    cell
        The neuron.
    sigma
        Standard deviation of a membrane without threshold, volt.
    rate
        In Hz. The drive that gives it without noise leaves an ample margin with noise.
    dt
        Step, second.

    Returns
    -------
    mu, log_rate, slope, cv : ndarray (points,)
        Drive in volt, ln(rate in Hz), its slope per volt, CV of the intervals.
    """
    noise, step = math.sqrt(2) * sigma * b2.volt, dt * b2.second
    # Below 25 Siegert sigma nothing fires.
    interval = (1 / rate - float(cell.refractory)) / float(cell.tau_m)
    threshold, span = float(cell.v_threshold), float(cell.v_threshold - cell.v_rest)
    low, high = (
        threshold - 25 * math.sqrt(2) * sigma,
        threshold + span * math.exp(-interval) / -math.expm1(-interval) + 5 * sigma,
    )
    mu: Array = np.linspace(low, high, math.ceil((high - low) / sigma * RESOLUTION))
    log_rate = np.log(np.asarray(cell.siegert_rate(mu * b2.volt, noise, dt=step)))
    cv = interval_cv(on_grid(cell, noise, step), mu, noise)
    return mu, log_rate, np.gradient(log_rate, mu), cv


def draw_membrane(cell: LIF, mu: NDArray[np.float64], sigma: Quantity, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Membranes of neurons that have been firing for ever, by inversion of the stationary distribution.

    Between reset and threshold the density is exp(-y^2) * integral of exp(x^2) dx from max(y, y_reset) to y_threshold,
    in units of sigma from mu. The fraction rate*refractory of the neurons sits at v_reset.

    Parameters
    ----------
    cell
        The neuron.
    mu
        Mean drive, volt.
    sigma
        Noise.
    u
        Uniform numbers in [0, 1), of the shape of `mu`.

    Returns
    -------
    ndarray
        Membranes, volt.
    """
    means, uniforms = np.broadcast_arrays(mu, u)
    pieces = [
        _draw_membrane(cell, means.ravel()[first : first + TOGETHER], sigma, uniforms.ravel()[first : first + TOGETHER])
        for first in range(0, means.size, TOGETHER)
    ]
    return np.concatenate(pieces).reshape(means.shape)


def _draw_membrane(cell: LIF, mu: NDArray[np.float64], sigma: Quantity, u: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = float(sigma)
    reset, threshold = ((float(v) - mu)[..., None] / scale for v in (cell.v_reset, cell.v_threshold))
    low = np.minimum(-5.0, reset - 1.0)
    y = low + (threshold - low) * np.linspace(0, 1, POINTS)
    # The integral of exp(x^2) is exp(x^2)*dawsn(x); the largest exponent is taken out, for it overflows.
    top, above = np.maximum(threshold, 0) ** 2, np.maximum(y, reset)
    density = sum(sign * np.exp(x**2 - y**2 - top) * dawsn(x) for sign, x in ((1, threshold), (-1, above)))
    below = scipy.integrate.cumulative_trapezoid(density, axis=-1, initial=0)
    held = np.asarray(cell.siegert_rate(mu * b2.volt, sigma)) * float(cell.refractory)
    wanted = ((u - held) / (1 - held))[..., None] * below[..., -1:]
    right = np.clip(np.sum(below < wanted, axis=-1, keepdims=True), 1, POINTS - 1)
    left_y, left, step = (np.take_along_axis(a, right - 1, -1) for a in (y, below, np.diff(below, axis=-1)))
    found = left_y + (wanted - left) / np.maximum(step, 1e-300) * (threshold - low) / (POINTS - 1)
    return np.where(u < held, float(cell.v_reset), mu + scale * found[..., 0])
