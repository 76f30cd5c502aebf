"""The exponential integrate-and-fire neuron in white noise: its rate by threshold integration.

::

    tau_m dv/dt = mu - v + delta*exp((v - v_soft)/delta) + sigma*sqrt(2*tau_m)*xi,   v > v_cut: v = v_reset for t_ref

`sigma` is the standard deviation of a membrane without the exponential, mu = v_rest + R*I. The density P and the flux J
of the membrane obey J = F*P/tau_m - sigma^2/tau_m*dP/dv, J the rate between reset and cut and 0 below. Integrated
downwards from P(v_cut) = 0 with a flux of one, all terms are positive, and the rate is the inverse of what P
integrates to. As delta goes to 0 this is the leaky neuron of Siegert's formula.

References
----------
M. J. E. Richardson (2007), Phys. Rev. E 76, 021919, doi:10.1103/PhysRevE.76.021919 (threshold integration).
N. Fourcaud-Trocme, D. Hansel, C. van Vreeswijk, N. Brunel (2003), J. Neurosci. 23, 11628 (the neuron).
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.errors import InputError

Array = NDArray[np.float64]

STEPS_A_SIGMA = 200
"""Steps of the voltage in a sigma: the rate is right to 1e-4."""
DEPTH = 8.0
"""Sigmas below the lower of drive and reset at which the density is left off."""


@attrs.frozen(kw_only=True)
class ExponentialIF:
    """An exponential integrate-and-fire neuron; voltages in volt, times in second.

    Attributes
    ----------
    tau_m, v_soft, delta : float
        Membrane time constant, and potential and width of the onset of the spike; a width of 0 is the leaky neuron,
        which spikes at v_cut.
    v_cut, v_reset, refractory : float
        Where a spike ends, where the membrane starts again, and how long it is held there.
    sigma : float
        Standard deviation of a membrane without spikes.
    """

    tau_m: float
    v_soft: float
    delta: float
    v_cut: float
    v_reset: float
    refractory: float
    sigma: float

    def __attrs_post_init__(self) -> None:
        if not (self.sigma > 0 and self.tau_m > 0 and self.delta >= 0 and self.v_cut > self.v_reset):
            raise InputError(
                f"ExponentialIF: sigma and tau_m must be above 0, delta at least 0 and v_cut above v_reset, got {self}"
            )

    def rate(self, mu: Array) -> Array:
        """Rate, Hz, of the shape of the drives `mu`, volt."""
        return self.rate_and_mean(mu)[0]

    def rate_and_mean(self, mu: Array) -> tuple[Array, Array]:
        """Rate, Hz, and mean of the membrane, volt, of the shape of the drives `mu`, volt."""
        drives = np.asarray(mu, dtype=float)
        flat = drives.ravel()
        low = min(float(flat.min()), self.v_reset) - DEPTH * self.sigma
        above = round(max((self.v_cut - self.v_reset) / self.sigma * STEPS_A_SIGMA, 1))
        step = (self.v_cut - self.v_reset) / above  # so that the reset lies on the grid
        below = int(np.ceil((self.v_reset - low) / step))
        density, mass, moment = np.zeros_like(flat), np.zeros_like(flat), np.zeros_like(flat)
        for number in range(above + below):
            v = self.v_cut - (number + 0.5) * step
            slope = (flat - v + (self.delta * np.exp((v - self.v_soft) / self.delta) if self.delta else 0.0)) * (
                step / self.sigma**2
            )
            flux = step * self.tau_m / self.sigma**2 if number < above else 0.0
            # Over a step in which the slope is constant; the second factor is (1 - exp(-slope))/slope.
            shrunk = np.exp(-slope)
            grown = np.where(np.abs(slope) > 1e-8, -np.expm1(-slope) / np.where(slope == 0, 1, slope), 1.0)
            after = density * shrunk + flux * grown
            mass += step * (density + after) / 2
            moment += step * (density + after) / 2 * v
            density = after
        # The flux is 1 a second: what the density adds up to is the time of an interval outside of the hold.
        rate = 1 / (self.refractory + mass)
        mean = (moment + self.refractory * self.v_reset) * rate
        return rate.reshape(drives.shape), mean.reshape(drives.shape)
