"""How the rate of a noisy leaky integrate-and-fire neuron follows its input, and at what gain loops of such oscillate.

A drive mu + e*exp(i*w*t) makes the rate r + e*A(w)*exp(i*w*t). A(w) solves the Fokker-Planck equation of the membrane,
linear in e, which is integrated from the threshold down to where nobody is (Richardson's threshold integration)::

    J = (mu - v)/tau_m P - D dP/dv,   D = sigma^2/(2 tau_m),   i w P1 = -dJ1/dv + r1 exp(-i w t_ref) delta(v - v_reset)

with P1 = 0 and J1 = r1 at the threshold and the modulated flux e P0/tau_m. A(0) is the slope of Siegert's curve; at
high frequencies A(w) falls to r/(tau_m*sqrt(i w D)).

A loop of gain G, whose elements have the responses H(w), each divided by its value at 0, and the delay d, oscillates
from the gain at which 1 + G*H(w)*exp(-i w d) = 0 has a real root: `critical_gain`.

References
----------
M. J. E. Richardson (2007), Phys. Rev. E 76, 021919, doi:10.1103/PhysRevE.76.021919 (threshold integration).
N. Brunel, F. S. Chance, N. Fourcaud, L. F. Abbott (2001), Phys. Rev. Lett. 86, 2186, doi:10.1103/PhysRevLett.86.2186
(high frequencies).
N. Brunel, X.-J. Wang (2003), J. Neurophysiol. 90, 415, doi:10.1152/jn.01095.2002 (onset of oscillations in a loop).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy  # scipy.optimize is imported when it is asked for
from numpy.typing import ArrayLike, NDArray

from biospike.neurons import LIF

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Complex = NDArray[np.complex128]

POINTS = 500
"""Of the membrane's potential: the response is right to 5e-4 of its value at 0 up to 300 Hz."""
SLOW = 1e-3
"""Per second: the response there is that at 0, where the flux is the same everywhere and fixes no rate."""
BELOW = 5.0
"""Siegert sigmas below drive and reset at which the density is taken to end: exp(-25) of it."""
FREQUENCIES = 2 * np.pi * np.geomspace(0.5, 400, 60)
"""Per second; a loop's onset is sought between the first and the last."""


def rate_response(cell: LIF, mu: ArrayLike, sigma: Quantity, omega: ArrayLike) -> Complex:
    """Response of the rate to a small modulation of the drive, in continuous time.

    Parameters
    ----------
    cell
        The neuron; see `biospike.theory.noisy_lif.on_grid` for one on a grid.
    mu : array_like (neurons,)
        Mean drive, volt.
    sigma
        Noise in Siegert's convention: sigma^2/2 is the variance of v without threshold.
    omega : array_like (frequencies,)
        Angular frequencies, 1/second; those below `SLOW` are taken as it.

    Returns
    -------
    ndarray (frequencies, neurons)
        Hz per volt, complex.
    """
    drive = np.atleast_1d(np.asarray(mu, dtype=float))
    w = np.maximum(np.atleast_1d(np.asarray(omega, dtype=float)), SLOW)[:, None]
    tau, noise, hold = float(cell.tau_m), float(sigma), float(cell.refractory)
    reset, threshold = float(cell.v_reset), float(cell.v_threshold)
    diffusion = noise**2 / (2 * tau)
    low = min(float(drive.min()), reset) - BELOW * noise
    # The reset lies on the grid, at the upper end of a cell.
    above = max(2, round(POINTS * (threshold - reset) / (threshold - low)))
    step = (threshold - reset) / above
    cells = above + int(np.ceil((reset - low) / step))
    rate = np.asarray(cell.siegert_rate(drive * b2.volt, sigma))
    density: Complex = np.zeros((1, len(drive)), dtype=complex)
    flux0 = np.ones((1, len(drive)))
    of_rate, of_drive = np.zeros((2, len(w), len(drive)), dtype=complex)  # densities
    flux_rate, flux_drive = np.ones_like(of_rate), np.zeros_like(of_rate)
    for number in range(cells):
        middle = threshold - (number + 0.5) * step
        # Over a cell the drift is constant, and dP/dv = drift/D*P - J/D is solved exactly.
        drift = (drive - middle) / tau / diffusion
        kept, made = np.exp(-drift * step), -np.expm1(-drift * step) / np.where(drift == 0, 1, drift)
        made = np.where(drift == 0, step, made) / diffusion
        if number == above:
            flux0 = flux0 - 1
            flux_rate = flux_rate - np.exp(-1j * w * hold)
        before0, before_rate, before_drive = density, of_rate, of_drive
        density = density * kept + flux0 * made
        mean0 = (before0 + density) / 2
        # The flux within the cell, to second order in its width.
        mid_rate, mid_drive = (
            flux + 1j * w * step / 2 * before for flux, before in ((flux_rate, before_rate), (flux_drive, before_drive))
        )
        of_rate = of_rate * kept + mid_rate * made
        of_drive = of_drive * kept + (mid_drive - rate * mean0 / tau) * made
        flux_rate = flux_rate + 1j * w * step * (before_rate + of_rate) / 2
        flux_drive = flux_drive + 1j * w * step * (before_drive + of_drive) / 2
    return np.asarray(-flux_drive / flux_rate)


def low_pass(omega: ArrayLike, tau: float) -> Complex:
    """Response of an exponential synapse of time constant `tau`, second."""
    return np.asarray(1 / (1 + 1j * np.asarray(omega) * tau))


def critical_gain(response: Callable[[NDArray[np.float64]], Complex], delay: float) -> tuple[float, float]:
    """Gain at which a loop of negative feedback starts to oscillate, and at what frequency.

    Parameters
    ----------
    response
        Of the whole loop without its delays, at angular frequencies, divided by its value at 0.
    delay
        Of the whole loop, second.

    Returns
    -------
    gain, frequency
        Hz. Infinite and NaN if the loop does not turn by half a period up to 400 Hz.
    """

    def turned(w: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.unwrap(np.angle(response(w))) - w * delay

    phase = turned(FREQUENCIES)
    crossed = np.flatnonzero(phase < -np.pi)
    if not len(crossed):
        return np.inf, np.nan
    first = max(int(crossed[0]), 1)
    low, high = FREQUENCIES[first - 1], FREQUENCIES[first]

    def beyond(w: float) -> float:
        # The sign of the imaginary part changes where the phase passes half a turn.
        return float(np.imag(response(np.array([w]))[0] * np.exp(-1j * w * delay)))

    w = scipy.optimize.brentq(beyond, low, high)
    return float(1 / np.abs(response(np.array([w]))[0])), float(w / (2 * np.pi))
