"""Noisy leaky integrate-and-fire keys in millivolts, under one global inhibitory population a row.

The logits are added linearly to the mean input, the noise turns the threshold into a smooth f-I curve, and what the
row's population has integrated is subtracted from every key::

    tau_m dv_i/dt = v_rest + b + kappa*(z_i - max z) - I - v_i + noise,   v_i > v_threshold: v_i = v_rest for t_ref
    dI/dt         = w*(a - R0),     tau_inh da/dt = -a,    a += 1/tau_inh, `delay` after every spike of the row

The noise is white and such that a membrane without threshold has the *standard deviation* sigma (Siegert's sigma is
sqrt(2) times this). The integral of I pins the rate of the row to R0, whatever the logits and whatever is added to all
of them. I is counted from the level at which a key alone in its row fires at R0, which is what the bias b is for; it
is positive on average. Subtracting it multiplies all rates by one factor, hence softmax, only where the f-I curve is
exponential. That is at low rates; kappa = 1/(d ln(rate)/d mu) fits its slope there. So there is a bias that grows with
R0 while the sampling error falls, and for every window there is a best rate: 40 Hz for 2 s and real attention rows.

Mean field, `limit`: sum_i rate(v_rest + b + kappa*(z_i - max z) - I) = R0, with Siegert's rate corrected for the grid.
It neglects the fluctuation of I, whose variance is at most about w*kappa/2, (0.6 mV)^2 by default.

Error law, `expected_tv`: N_i has the variance CV_i^2*N_i of a renewal process. The integral takes back what the row
fired too much from the keys in the proportion a_i of d rate_i/d mu, so that the share of key i has the variance
((1 - a_i)^2*CV_i^2*p_i + a_i^2*sum_{j != i} CV_j^2*p_j)/N. Its mean deviation is that of a binomial count times the
ratio of the standard deviations, since a key of few spikes is not normal. Nothing in it is fitted.

Valid range: R0*refractory <= 1/2; w below the stability limit (`check`); dt <= tau_m/20, where the correction for the
grid is good to 1 % of a rate at the default step. Ties: keys that cross in one step all spike and all inhibit.
Input and noise that arrive in the refractory period are discarded; the inhibition itself is not, it lives in the row.

References: Siegert (1951), doi:10.1103/PhysRev.81.617; Brunel (2000), doi:10.1023/A:1008925309027 (the network of noisy
LIF neurons under global inhibition, and CV); Lemma 3 of arXiv:2604.15769 for the normalisation claimed.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Circuit, Shape, check_multiple
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.neurons import LIF
from biospike.parameters import optional_voltage, quantity
from biospike.random import uniform
from biospike.roots import row_roots
from biospike.theory.noisy_lif import draw_membrane, on_grid, response_table
from biospike.theory.regularity import renewal_shares_tv
from biospike.wiring import rows_of_keys

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

# The noise is held for a step, at the amplitude that makes v on the grid an Ornstein-Uhlenbeck process exactly.
KEYS = """
dv/dt = (mean - I + noise - v)/tau_m                       : volt (unless refractory)
noise = kick*normal(seed, trial, index, t_in_timesteps, 0) : volt (constant over dt)
mean                                                       : volt (constant)   # v_rest + b + kappa*(z_i - max z)
unmasked                                                   : boolean (constant)
I                                                          : volt (linked)
kick                                                       : volt (shared, constant)
tau_m                                                      : second (shared, constant)
v_reset                                                    : volt (shared, constant)
v_threshold                                                : volt (shared, constant)
t_ref                                                      : second (shared, constant)
"""
HUB = """
dI/dt        = w*(activity - R0)                           : volt
dactivity/dt = -activity/tau_inh                           : Hz                # the row's rate, filtered
w                                                          : volt (shared, constant)
R0                                                         : Hz (shared, constant)
tau_inh                                                    : second (shared, constant)
"""

KAPPA_SHARE = math.exp(-2)
"""Share of the row's rate at which kappa matches the f-I curve: the middle, in nats, of shares from e^-4 to 1."""

LEAST_SIGMA, LEAST_RATE = 1e-4, 1e-9 * b2.Hz
"""Noise, of the way from reset to threshold, and rate, which the table resolves: it has points in proportion to the
first one's inverse, and ends where nothing fires."""


class NoisyLIF:
    """What circuits share whose keys are noisy LIF neurons that are reset to rest."""

    __slots__ = ()
    tau_m: Quantity
    v_rest: Quantity
    v_threshold: Quantity
    refractory: Quantity
    sigma: Quantity

    @property
    def cell(self) -> LIF:
        """A neuron of a key, as one with closed forms."""
        return LIF(
            tau_m=self.tau_m,
            v_rest=self.v_rest,
            v_reset=self.v_rest,
            v_threshold=self.v_threshold,
            refractory=self.refractory,
        )

    @property
    def siegert_sigma(self) -> Quantity:
        """The noise in Siegert's convention, whose square is twice the variance."""
        return math.sqrt(2) * self.sigma


@attrs.frozen(kw_only=True)
class Diffusive(NoisyLIF, Circuit):
    """Noisy LIF keys under subtractive, integrated inhibition.

    Parameters
    ----------
    rate
        R0, the rate at which inhibition holds the row.
    kappa
        Input per nat of logit. None: the inverse slope of ln(rate) at the key rate e^-2*R0, 3.8 mV by default.
    sigma
        Standard deviation of a membrane without threshold.
    w
        Inhibition that one spike of the row adds, in the end.
    tau_inh, delay
        Time constant of the inhibitory population, and the delay with which it hears of a spike.
    tau_m, v_rest, v_threshold, refractory
        Constants of the keys; v_rest is the reset too.
    dt
        Grid.
    """

    name: ClassVar[str] = "diffusive"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "siegert1951", "brunel2000")
    inhibition: ClassVar[str] = "I"
    threshold: ClassVar[float] = -50.0
    structural: ClassVar[tuple[str, ...]] = ("delay",)
    rate: Quantity = quantity(40 * b2.Hz, above=0 * b2.Hz)
    kappa: Quantity | None = optional_voltage("the slope of the f-I curve")
    sigma: Quantity = quantity(5 * b2.mV, above=0 * b2.mV)
    w: Quantity = quantity(0.2 * b2.mV, above=0 * b2.mV)
    tau_inh: Quantity = quantity(10 * b2.ms, above=0 * b2.ms)
    delay: Quantity = quantity(1 * b2.ms, minimum=0 * b2.ms)
    tau_m: Quantity = quantity(20 * b2.ms, above=0 * b2.ms)
    v_rest: Quantity = quantity(-70 * b2.mV)
    v_threshold: Quantity = quantity(-50 * b2.mV)
    refractory: Quantity = quantity(2 * b2.ms, minimum=0 * b2.ms)

    def __attrs_post_init__(self) -> None:
        if not self.v_threshold > self.v_rest:
            raise InputError(f"Diffusive: v_threshold must be above v_rest = {self.v_rest}, got {self.v_threshold}")
        least = LEAST_SIGMA * (self.v_threshold - self.v_rest)
        if self.sigma < least * (1 - 1e-9):
            raise InputError(f"Diffusive: sigma must be at least {least.in_best_unit()}, got {self.sigma}")
        if self.rate < LEAST_RATE:
            raise InputError(f"Diffusive: rate must be at least {LEAST_RATE}, got {float(self.rate):g} Hz")
        if self.rate * self.refractory > 0.5:
            raise InputError(
                f"Diffusive: rate must be at most {(0.5 / self.refractory).in_best_unit()}, half of what one key can "
                f"fire with refractory = {self.refractory}, got {self.rate}"
            )

    def check(self, dt: Quantity) -> None:
        """Require delay and refractory on the grid, dt <= tau_m/20 and a stable loop."""
        check_multiple(self.name, "refractory", self.refractory, dt)
        check_multiple(self.name, "delay", self.delay, dt)
        if dt > self.tau_m / 20:
            raise InputError(f"{self.name}: dt = {dt} must be at most tau_m/20 = {(self.tau_m / 20).in_best_unit()}")
        # The loop is an integrator of rate w*R0/kappa with the lags below: beyond about 4 it would oscillate.
        limit = self.used_kappa(dt) / (self.rate * (self.tau_inh + self.tau_m + self.delay))
        if self.w > limit:
            raise InputError(
                f"{self.name}: w must be at most kappa/(rate*(tau_inh + tau_m + delay)) = {limit.in_best_unit()} "
                f"for inhibition not to overshoot, got {self.w}"
            )

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="activity_post += 1/tau_inh_post",
            threshold="v > v_threshold and unmasked",
            reset="v = v_reset",
            linked=("I",),
            method="exact",
            hub_method="rk4",  # `exact` cannot integrate an integrator; at dt/tau_inh = 0.01 this errs by 1e-12
            refractory="t_ref",
            delay=self.delay,
            shape=shape,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Inhibition starts in balance and membranes in their stationary state, so that there is no onset."""
        mean, inhibition, _ = self.mean_field(batch.logits, dt)
        # A shift of all logits is a shift of all means, and in balance one of the inhibition.
        shift = float(self.used_kappa(dt)) * np.broadcast_to(batch.shift, inhibition.shape)
        mean, inhibition = mean + shift[:, None], inhibition + shift
        cell, sigma = on_grid(self.cell, self.siegert_sigma, dt), self.siegert_sigma
        v = draw_membrane(cell, mean - inhibition[:, None], sigma, uniform(*batch.address, -1))
        return {
            "keys.mean": mean,
            "keys.unmasked": ~np.isnan(batch.logits),
            "keys.v": np.minimum(v, float(self.v_threshold)),
            "keys.kick": float(self.sigma) / math.sqrt(math.tanh(float(dt / self.tau_m) / 2)),
            "keys.tau_m": float(self.tau_m),
            "keys.v_reset": float(self.v_rest),
            "keys.v_threshold": float(self.v_threshold),
            "keys.t_ref": float(self.refractory),
            "hub.I": inhibition,
            "hub.activity": float(self.rate),
            "hub.w": float(self.w),
            "hub.R0": float(self.rate),
            "hub.tau_inh": float(self.tau_inh),
        }

    def used_kappa(self, dt: Quantity | None = None) -> Quantity:
        """Input per nat of logit: `kappa`, or the slope of the f-I curve on the grid `dt` (default the circuit's)."""
        if self.kappa is not None:
            return self.kappa
        _, log_rate, slope, _ = _response(self, float(self.dt if dt is None else dt))
        return b2.volt / np.interp(math.log(float(self.rate) * KAPPA_SHARE), log_rate, slope)

    def mean_field(self, logits: Array, dt: Quantity | None = None) -> tuple[Array, Array, Array]:
        """Self-consistent state of rows (rows, keys) on the grid `dt`, default the circuit's.

        Returns
        -------
        mean, inhibition, rates
            Drive of the keys without inhibition (rows, keys) and inhibition (rows,), volt; rates (rows, keys), Hz.
        """
        mu, log_rate, _, _ = _response(self, float(self.dt if dt is None else dt))
        total, keys = float(self.rate), logits.shape[1]
        live = ~np.isnan(logits)
        top = np.where(live, logits, -np.inf).max(axis=1, keepdims=True)
        below = np.where(live, logits - np.where(np.isfinite(top), top, 0), 0)
        bias, lowest = np.interp([math.log(total), math.log(total / keys)], log_rate, mu)
        mean = bias + float(self.used_kappa(dt)) * below

        # With no inhibition the largest key alone reaches the rate; at the upper end not even `keys` of them do.
        def rates(inhibition: Array, row: Any) -> Array:
            return np.where(live[row], np.exp(np.interp(mean[row] - inhibition[:, None], mu, log_rate)), 0)

        inhibition = row_roots(lambda i, row: rates(i, row).sum(axis=1) - total, np.zeros(len(mean)), bias - lowest)
        return mean, inhibition, rates(inhibition, np.arange(len(mean)))

    def limit(self, logits: Array) -> Array:
        """Shares of the mean field on the circuit's own grid."""
        _, _, rates = self.mean_field(check_logits(logits))
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))

    def expected_tv(self, p: Array, spikes: Array, target: Array | None = None) -> Array:
        """Law of the module's docstring: the deviations of a binomial count, in the proportion of the two variances."""
        mu, log_rate, slope, cv = _response(self, float(self.dt))
        p = np.asarray(p, dtype=float)
        with np.errstate(divide="ignore"):
            drive = np.interp(np.log(p * float(self.rate)), log_rate, mu)
        weight = p * np.interp(drive, mu, slope)
        weight = weight / weight.sum(axis=-1, keepdims=True)
        return renewal_shares_tv(p, spikes, np.interp(drive, mu, cv) ** 2, weight, target)


def _response(circuit: Diffusive, dt: float) -> tuple[Array, Array, Array, Array]:
    """f-I curve on the grid: drive in volt, ln(rate in Hz), its slope per volt, CV of the intervals."""
    return response_table(circuit.cell, float(circuit.sigma), float(circuit.rate), dt)
