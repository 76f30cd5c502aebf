"""Noisy keys of any spike mechanism under one integrated inhibition a row, which is subtracted from their drive.

As `diffusive`, whose hub they have, but for the neuron: its f-I curve takes the place of Siegert's formula.
"""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import MOST_MEMBERS, Circuit, check_multiple
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.parameters import optional_voltage, quantity, whole
from biospike.roots import row_roots

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KAPPA_SHARE = math.exp(-2)
"""Share of the row's rate at which kappa matches the f-I curve, as in `diffusive`."""


@attrs.frozen(eq=False)
class Curve:
    """An f-I curve: drive in volt, rising, and ln(rate in Hz), rising with it."""

    drive: Array
    log_rate: Array

    @property
    def slope(self) -> Array:
        """Slope of ln(rate), per volt."""
        return np.asarray(np.gradient(self.log_rate, self.drive))

    def rate_at(self, drive: Array) -> Array:
        """Rate, Hz; below the curve it goes on as an exponential, above it stays."""
        steepness = (self.log_rate[1] - self.log_rate[0]) / (self.drive[1] - self.drive[0])
        below = np.minimum(drive - self.drive[0], 0) * steepness
        return np.asarray(np.exp(np.interp(drive, self.drive, self.log_rate) + below))

    def drive_at(self, log_rate: Any) -> Array:
        """Drive, volt, at which ln(rate) is reached; the inverse of `rate_at`."""
        steepness = (self.log_rate[1] - self.log_rate[0]) / (self.drive[1] - self.drive[0])
        below = np.minimum(log_rate - self.log_rate[0], 0) / steepness
        return np.asarray(np.interp(log_rate, self.log_rate, self.drive) + below)


@attrs.frozen(kw_only=True)
class Subtracted(Circuit):
    """Base of the circuits whose keys are driven by ``bias + kappa*(z_i - max z) - I``.

    Parameters
    ----------
    members
        M, neurons of a key.
    rate
        R, the rate that a neuron would have alone in its row; inhibition holds the row at M*R.
    kappa
        Input per nat of logit. None: the inverse slope of ln(rate) at the rate e^-2*R.
    w
        Inhibition that one spike of every neuron of a key adds, in the end.
    tau_inh, delay
        Time constant of the inhibitory population, and the delay with which it hears of a spike.
    dt
        Grid.
    """

    group: ClassVar[str] = "microcircuit"
    inhibition: ClassVar[str] = "I"
    structural: ClassVar[tuple[str, ...]] = ("delay",)
    members: int = whole(16, minimum=1, maximum=MOST_MEMBERS)
    rate: Quantity = quantity(20 * b2.Hz, above=0 * b2.Hz)
    kappa: Quantity | None = optional_voltage("the slope of the f-I curve")
    w: Quantity = quantity(0.2 * b2.mV, above=0 * b2.mV)
    tau_inh: Quantity = quantity(10 * b2.ms, above=0 * b2.ms)
    delay: Quantity = quantity(1 * b2.ms, minimum=0 * b2.ms)

    @abc.abstractmethod
    def curve(self) -> Curve:
        """The f-I curve of a key, or one near it from which the row can start."""

    @abc.abstractmethod
    def known(self) -> bool:
        """Whether `curve` is that of these very parameters."""

    @property
    @abc.abstractmethod
    def lag(self) -> Quantity:
        """Time in which the rate of a key follows its drive."""

    def check(self, dt: Quantity) -> None:
        """Require the delay on the grid, a rate that the curve reaches, and a stable loop."""
        check_multiple(self.name, "delay", self.delay, dt)
        curve = self.curve()
        least, most = math.exp(curve.log_rate[0]) / KAPPA_SHARE, math.exp(curve.log_rate[-1])
        if not least <= float(self.rate) <= most:
            raise InputError(
                f"{self.name}: rate must be from {least:.3g} to {most:.3g} Hz, which the f-I curve covers, "
                f"got {self.rate}"
            )
        limit = self.used_kappa() / (self.rate * (self.tau_inh + self.lag + self.delay))
        if self.w > limit:
            raise InputError(
                f"{self.name}: w must be at most kappa/(rate*(tau_inh + {self.lag.in_best_unit()} + delay)) = "
                f"{limit.in_best_unit()} for inhibition not to overshoot, got {self.w}"
            )

    def used_kappa(self) -> Quantity:
        """Input per nat of logit: `kappa`, or from the slope of the f-I curve."""
        if self.kappa is not None:
            return self.kappa
        curve = self.curve()
        return b2.volt / np.interp(math.log(float(self.rate) * KAPPA_SHARE), curve.log_rate, curve.slope)

    def mean_field(self, logits: Array) -> tuple[Array, Array, Array]:
        """Self-consistent state of rows (rows, keys).

        Returns
        -------
        mean, inhibition, rates
            Drive of the keys without inhibition (rows, keys) and inhibition (rows,), volt; rates (rows, keys), Hz.
        """
        curve, total, keys = self.curve(), float(self.rate), logits.shape[1]
        live = ~np.isnan(logits)
        top = np.where(live, logits, -np.inf).max(axis=1, keepdims=True)
        below = np.where(live, logits - np.where(np.isfinite(top), top, 0), 0)
        bias, lowest = curve.drive_at(np.log([total, total / keys]))
        mean = bias + float(self.used_kappa()) * below

        def rates(inhibition: Array, row: Any) -> Array:
            return np.where(live[row], curve.rate_at(mean[row] - inhibition[:, None]), 0)

        inhibition = row_roots(lambda i, row: rates(i, row).sum(axis=1) - total, np.zeros(len(mean)), bias - lowest)
        return mean, inhibition, rates(inhibition, np.arange(len(mean)))

    def limit(self, logits: Array) -> Array:
        """Shares of the mean field; NaN where no f-I curve of these parameters is stored."""
        checked = check_logits(logits)
        if not self.known():
            return np.full(checked.shape, np.nan)
        _, _, rates = self.mean_field(checked)
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))

    def hub_state(self, inhibition: Array) -> dict[str, Any]:
        """State of the hubs that start from this inhibition, volt."""
        return {
            "hub.I": inhibition,
            "hub.activity": self.members * float(self.rate),
            "hub.w": float(self.w) / self.members,
            "hub.R0": self.members * float(self.rate),
            "hub.tau_inh": float(self.tau_inh),
        }
