"""Inhibition that arrives as a barrage of excitatory and inhibitory events, private to each neuron.

A level X of it raises the rate of the background's inhibitory events by the factor 1 + X, and that of its excitatory
ones as far as holds the reversal potential of what was added where it is told to lie::

    mean_i = (1 + X)*mean_i0,    mean_e = mean_e0 + X*ratio*mean_i0,    ratio = (v_barrage - v_i)/(v_e - v_barrage)

Events are Poisson, so that variances grow as means do. Without fluctuations, and with no excitation, it is plain
GABA_A. `Surface` tabulates the rate over current and level.

References
----------
F. S. Chance, L. F. Abbott, A. D. Reyes (2002), Neuron 35, 773, doi:10.1016/S0896-6273(02)00820-6.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
import scipy  # its parts are imported when they are asked for
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.theory.conductance_rate import (
    CELL,
    DEGREE,
    NODES,
    ORDER,
    Background,
    ConductanceCell,
    conductance_rate,
    free_membrane,
    smooth,
)

Array = NDArray[np.float64]

SPACING = 3e-4
"""Volt of the free membrane between two currents of a surface."""
LEAST_RATE = 1e-3
"""Hz, below which ln(rate) goes on as a straight line in the current."""
FINE = 2000
"""Points by which a surface is inverted."""
LEVELS = 8
"""Of a surface, at squares of even spacing."""


SCHEME = (NODES, CELL, ORDER, DEGREE, SPACING, LEAST_RATE, LEVELS)
"""What a surface depends on besides the barrage."""


@attrs.frozen(kw_only=True)
class Barrage:
    """A neuron in its background, and what inhibits it.

    Attributes
    ----------
    cell, background
        The neuron, and its background at level 0.
    v_barrage : float, optional
        Reversal potential of the barrage, volt; None for plain GABA_A, which does not fluctuate.
    """

    cell: ConductanceCell
    background: Background
    v_barrage: float | None

    def __attrs_post_init__(self) -> None:
        cell = self.cell
        if self.v_barrage is not None and not cell.v_i <= self.v_barrage < cell.v_threshold:
            raise InputError(
                f"the reversal potential of the barrage must lie from {cell.v_i * 1e3:g} mV, that of inhibition alone, "
                f"to below the threshold {cell.v_threshold * 1e3:g} mV, got {self.v_barrage * 1e3:g} mV"
            )

    @property
    def deviation(self) -> float:
        """Standard deviation of the free membrane in the background alone, volt."""
        return free_membrane(self.cell, self.background, 0.0)[1]

    @property
    def ratio(self) -> float:
        """Excitatory conductance that comes with an inhibitory one."""
        if self.v_barrage is None:
            return 0.0
        return (self.v_barrage - self.cell.v_i) / (self.cell.v_e - self.v_barrage)

    @property
    def growth(self) -> tuple[float, float, float, float]:
        """What a level of 1 adds to mean and variance of g_e, and of g_i."""
        own, excitation = self.background, self.background.mean_i * self.ratio
        noisy = 0.0 if self.v_barrage is None else 1.0
        return (
            excitation,
            noisy * excitation / own.mean_e * own.deviation_e**2,
            own.mean_i,
            noisy * own.deviation_i**2,
        )

    def at(self, level: float) -> Background:
        """Both conductances at a level."""
        own, (mean_e, variance_e, mean_i, variance_i) = self.background, self.growth
        return Background(
            mean_e=own.mean_e + level * mean_e,
            deviation_e=math.sqrt(own.deviation_e**2 + level * variance_e),
            mean_i=own.mean_i + level * mean_i,
            deviation_i=math.sqrt(own.deviation_i**2 + level * variance_i),
        )

    def rate(self, current: float, level: float) -> float:
        """Rate, Hz."""
        return conductance_rate(self.cell, self.at(level), current)

    @property
    def spacing(self) -> float:
        """Current between two points of a surface, ampere."""
        own = self.background
        return SPACING * (self.cell.g_leak + own.mean_e + own.mean_i)

    def rising(self, level: float, highest: float) -> tuple[Array, Array]:
        """Currents, on multiples of `spacing`, and rates from `LEAST_RATE` to above `highest`, Hz."""
        background = self.at(level)
        at_rest = free_membrane(self.cell, background, 0.0)[0]
        total = self.cell.g_leak + background.mean_e + background.mean_i
        number = round(total * (self.cell.v_threshold - at_rest) / self.spacing)
        found = {number: self.rate(number * self.spacing, level)}
        while found[max(found)] < highest:
            found[max(found) + 1] = self.rate((max(found) + 1) * self.spacing, level)
        while found[min(found)] > LEAST_RATE:
            found[min(found) - 1] = self.rate((min(found) - 1) * self.spacing, level)
        kept = sorted(one for one in found if found[one] > LEAST_RATE)
        return np.array(kept) * self.spacing, np.array([found[one] for one in kept])


class Surface:
    """ln(rate in Hz) over levels and currents, cubic in both; below the smallest current a straight line.

    Parameters
    ----------
    levels, currents : ndarray
        Rising; ampere.
    log_rates : ndarray (levels, currents)
    """

    def __init__(self, levels: Array, currents: Array, log_rates: Array) -> None:
        self.levels, self.currents, self.log_rates = levels, currents, log_rates
        self._spline = scipy.interpolate.RectBivariateSpline(levels, currents, log_rates)
        self._fine = np.linspace(currents[0], currents[-1], FINE)

    @property
    def arrays(self) -> dict[str, Array]:
        """What it is made of, by name."""
        return {"levels": self.levels, "currents": self.currents, "log_rates": self.log_rates}

    def log_rate(self, level: Array | float, current: Array) -> Array:
        """ln(rate) of the broadcast shape; constant beyond the ends of the levels and above those of the currents."""
        x, y = np.broadcast_arrays(np.clip(level, self.levels[0], self.levels[-1]), current)
        first = self.currents[0]
        found = np.asarray(self._spline.ev(x, np.clip(y, first, self.currents[-1])))
        low = y < first
        if low.any():
            found[low] += (y[low] - first) * self._spline.ev(x[low], np.full(int(low.sum()), first), dy=1)
        return found

    def current_at(self, level: float, log_rate: Array) -> Array:
        """Current, ampere, at which ln(rate) is reached at a level; the largest where it is not."""
        curve = self.log_rate(level, self._fine)
        slope = (curve[1] - curve[0]) / (self._fine[1] - self._fine[0])
        return np.asarray(np.interp(log_rate, curve, self._fine) + np.minimum(log_rate - curve[0], 0) / slope)

    def level_at(self, current: float, log_rate: float) -> float:
        """Level at which a current gives ln(rate); 0 where it gives less without inhibition, the highest where more."""
        curve = self.log_rate(np.linspace(0, self.levels[-1], FINE), np.full(FINE, current))
        return float(np.interp(-log_rate, -curve, np.linspace(0, self.levels[-1], FINE)))

    def slope(self, level: float, current: float) -> float:
        """Slope of ln(rate) in the level."""
        return float(self._spline.ev(level, current, dx=1))


def tabulate(barrage: Barrage, highest: float = 45.0, lowest: float = 1.0) -> Surface:
    """Surface from no inhibition, where the largest current gives the rate `highest`, to where it gives `lowest`, Hz.

    Each level is smoothed over the currents (`conductance_rate.smooth`).
    """
    currents, rates = barrage.rising(0.0, highest)
    top = float(currents[-1])
    most = 0.5
    while barrage.rate(top, most) > lowest:
        most *= 1.5
    most = float(
        scipy.optimize.brentq(
            lambda x: math.log(barrage.rate(top, x) / lowest), most / 1.5 if most > 0.5 else 0.0, most, xtol=1e-3
        )
    )
    levels = most * (np.arange(LEVELS) / (LEVELS - 1)) ** 2
    curves = []
    for level in levels:
        if level:
            currents, rates = _below(barrage, float(level), top)
        curves.append((currents, smooth(currents, rates)))
    low = float(curves[0][0][0])
    grid = np.arange(round(low / barrage.spacing), round(top / barrage.spacing) + 1, dtype=float) * barrage.spacing
    rows = []
    for found, fit in curves:
        inside = fit(np.maximum(grid, found[0]))
        rows.append(inside + np.minimum(grid - found[0], 0) * float(fit.deriv()(found[0])))
    return Surface(levels, grid, np.array(rows))


def _below(barrage: Barrage, level: float, top: float) -> tuple[Array, Array]:
    """Currents up to `top`, and rates above `LEAST_RATE`."""
    currents, rates = [top], [barrage.rate(top, level)]
    while rates[-1] > LEAST_RATE or len(rates) < 8:
        currents.append(currents[-1] - barrage.spacing)
        rates.append(barrage.rate(currents[-1], level))
    return np.array(currents[::-1]), np.array(rates[::-1])
