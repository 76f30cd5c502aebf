"""The leaky integrate-and-fire neuron: its equations beside its closed forms.

::

    tau_m dv/dt = v_inf - v,     v_inf = v_rest + R*I
    spike when v > v_threshold, then v = v_reset, held for the refractory period

Two clocks can time the spikes. On the ``"grid"`` a crossing is noticed at the end of the step it falls in, so that
every interval is rounded up to a multiple of dt; this is what Brian2 does. With ``"exact"`` timing the membrane
restarts from the crossing itself, wherever in the step that is, and the f-I curve is the closed one at any dt.

References
----------
A. J. F. Siegert (1951), Phys. Rev. 81, 617, doi:10.1103/PhysRev.81.617 (rate under white noise).
M. Broadie, P. Glasserman, S. Kou (1997), Math. Finance 7, 325, doi:10.1111/1467-9965.00035 (threshold on a grid).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfcx

from biospike.errors import InputError
from biospike.parameters import choice, parse_quantity, quantity

import brian2 as b2
from brian2.units.fundamentalunits import Quantity, have_same_dimensions

# Variables of the group, not of the namespace: a compiled binary can then be run again with other values.
CONSTANTS = """
tau_m       : second (shared, constant)
v_reset     : volt   (shared, constant)
v_threshold : volt   (shared, constant)
t_ref       : second (shared, constant)
"""

GRID_EQUATIONS = """
dv/dt = (v_inf - v)/tau_m : volt (unless refractory)
v_inf                     : volt
"""

# The noise, held for a step, has the amplitude that makes v at the grid points an Ornstein-Uhlenbeck process exactly,
# var(noise)*(1 - e)^2/(1 - e^2) = sigma^2/2 with e = exp(-dt/tau_m): no bias in mean, variance or correlation at any
# dt, which Euler-Maruyama cannot offer.
NOISY_EQUATIONS = """
dv/dt = (v_inf + noise - v)/tau_m                 : volt (unless refractory)
noise = sigma*randn()/sqrt(2*tanh(dt/(2*tau_m)))  : volt (constant over dt)
v_inf                                             : volt
sigma                                             : volt
"""

# `active` is the part of the step left after the refractory period, `drive` the input held for the step, so that
# synapses that change v_inf between threshold and reset cannot disturb the time of the crossing.
# `spike_time` solves v(spike_time) = v_threshold backwards from the end of the step; it means this only between
# threshold and reset, which is when a SpikeMonitor reads it.
EXACT_EQUATIONS = """
dv/dt      = active*(drive - v)/tau_m                              : volt
active     = clip((t + dt - last_spike - t_ref)/dt, 0, 1)          : 1      (constant over dt)
drive      = v_inf                                                 : volt   (constant over dt)
spike_time = t + dt - tau_m*log((drive - v_threshold)/(drive - v)) : second
last_spike                                                         : second
v_inf                                                              : volt
"""

THRESHOLD = "v > v_threshold"

# At rheobase, where v creeps up to the threshold, rounding must not make a crossing that has no time.
EXACT_THRESHOLD = "v > v_threshold and drive > v_threshold"

RESETS = {
    "zero": "v = v_reset",
    "subtract": "v -= v_threshold - v_reset",
}

# The second line is the membrane at the end of the step, if the refractory period ended before that.
EXACT_RESET = """
last_spike = spike_time
v          = drive + (v_reset - drive)*exp(-clip((t + dt - last_spike - t_ref)/dt, 0, 1)*dt/tau_m)
"""

LONG_AGO = -1e4 * b2.second  # `last_spike` before the first one; Brian2's own lastspike starts here too

# Mean overshoot of a Gaussian random walk over a far level, in standard deviations of a step: -zeta(1/2)/sqrt(2*pi).
OVERSHOOT = 0.5825971579390106


def _volts(value: Any, name: str) -> NDArray[np.float64]:
    """Voltages as plain floats in volt, or `InputError` naming the argument."""
    if not have_same_dimensions(value, b2.volt):
        raise InputError(f"{name} must be a voltage such as -40*mV, got {value}")
    volts = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(volts)):
        raise InputError(f"{name} must be finite, got {value}")
    return volts


@functools.cache
def _gauss_legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.polynomial.legendre.leggauss(200)


def _integrate(function: Any, start: NDArray[np.float64], stop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of a smooth function between arrays of bounds."""
    nodes, weights = _gauss_legendre()
    half = (stop - start)[..., None] / 2
    result: NDArray[np.float64] = np.sum(weights * half * function(start[..., None] + half * (1 + nodes)), axis=-1)
    return result


def siegert_integral(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of exp(x^2)*(1 + erf(x)) from `lower` to `upper`, for bounds of any size and sign.

    Both parts sum positive terms only, so nothing cancels. Below zero the integrand is erfcx(-x), which falls as 1/x:
    x = -sinh(s) makes it flat. Above zero it grows as exp(x^2): the factor exp(upper^2) is taken out, and what is left
    decays within about 1/upper of the upper bound. The result is infinite where it exceeds the largest float.
    """
    near, far = np.arcsinh(np.maximum(-upper, 0)), np.arcsinh(np.maximum(-lower, 0))
    below = _integrate(lambda s: erfcx(np.sinh(s)) * np.cosh(s), near, far)

    top = np.maximum(upper, 0)
    # Beyond 40/top the integrand is under exp(-40) of its maximum, below the rounding error.
    depth = np.minimum(top - np.maximum(lower, 0), 40 / np.maximum(top, 1))
    above = _integrate(
        lambda q: np.exp(-q * (2 * top[..., None] - q)) * (1 + erf(top[..., None] - q)), np.zeros_like(depth), depth
    )
    with np.errstate(over="ignore"):
        result: NDArray[np.float64] = below + np.exp(top**2) * above
    return result


@attrs.frozen(kw_only=True)
class LIF:
    """A leaky integrate-and-fire neuron.

    **Input during the refractory period is discarded**, in every variant: the membrane is held at its value after the
    reset and starts from there, whatever v_inf was meanwhile. On the grid, Brian2's ``(unless refractory)`` silently
    discards what synapses add to v itself as well, from the step of the spike on. Without a refractory period what they
    add to v in the step of the spike is erased by the reset ``"zero"`` and kept by ``"subtract"``. With exact timing
    synapses must act on v_inf, never on v, and a change of v_inf takes effect at the next step.

    Parameters
    ----------
    tau_m
        Membrane time constant.
    v_rest
        Resting potential: where v starts, and v_inf until it is set.
    v_reset, v_threshold
        Membrane after a spike, and the value it must exceed to spike.
    refractory
        Time for which the membrane is held after a spike. On the grid a multiple of dt, counted by Brian2 from the
        start of the step of the spike while the reset happens at its end, so that the hold lasts one dt less.
    reset
        ``"zero"`` sets v to v_reset; ``"subtract"`` lowers v by v_threshold - v_reset and keeps the surplus. With exact
        timing there is no surplus, and both are the same neuron.
    spike_timing
        ``"grid"`` or ``"exact"``. Exact timing takes v_inf as constant within a step and emits at most one spike a
        step, so 1/firing_rate must not be below dt; a monitor made with ``variables="spike_time"`` records the
        crossings, ``last_spike`` keeps the latest one of each neuron, and ``t`` is the start of the step as ever.

    Raises
    ------
    InputError
        If a value is out of range, or v_threshold is not above v_reset.
    """

    tau_m: Quantity = quantity(20 * b2.ms, above=0 * b2.ms)
    v_rest: Quantity = quantity(-70 * b2.mV)
    v_reset: Quantity = quantity(-70 * b2.mV)
    v_threshold: Quantity = quantity(-50 * b2.mV)
    refractory: Quantity = quantity(2 * b2.ms, minimum=0 * b2.ms)
    reset: str = choice("zero", "zero", "subtract")
    spike_timing: str = choice("grid", "grid", "exact")

    def __attrs_post_init__(self) -> None:
        if not self.v_threshold > self.v_reset:
            raise InputError(f"LIF: v_threshold must be above v_reset = {self.v_reset}, got {self.v_threshold}")

    def check_grid(self, dt: Quantity) -> None:
        """Raise `InputError` if spikes are timed on the grid and the refractory period is not a multiple of `dt`."""
        dt = parse_quantity(dt, like=b2.ms)
        if dt <= 0 * b2.ms:
            raise InputError(f"dt must be above zero, got {dt}")
        steps = float(self.refractory / dt)
        if self.spike_timing == "grid" and abs(steps - round(steps)) > 1e-6 * max(1, steps):
            what = f"refractory = {self.refractory} is not a multiple of dt = {dt}"
            raise InputError(f"{what}; change either, or use spike_timing='exact'")

    def build(self, n: int, dt: Quantity, *, noise: bool = False, name: str = "lif*") -> b2.NeuronGroup:
        """Brian2 neurons, at rest; nothing is run.

        Parameters
        ----------
        n
            Number of neurons.
        dt
            Time step. The subthreshold integration is exact at any step.
        noise
            Add white noise: each neuron then has a `sigma` in volt, the one of `siegert_rate`, zero at first.
        name
            Name of the group.

        Returns
        -------
        NeuronGroup
            With the state `v` and the drive `v_inf` = v_rest + R*I of each neuron, both in volt.

        Raises
        ------
        InputError
            If the grid does not fit (`check_grid`), or for noise with exact timing: it crosses between steps unseen.
        """
        self.check_grid(dt)
        exact = self.spike_timing == "exact"
        if noise and exact:
            raise InputError("spike_timing='exact' needs input that is constant within a step; with noise use 'grid'")
        equations = EXACT_EQUATIONS if exact else NOISY_EQUATIONS if noise else GRID_EQUATIONS
        held = not exact and self.refractory > 0 * b2.ms
        if not held:
            # Not the same as holding for 0 ms: Brian2 would still discard synaptic input in the step of the spike.
            equations = equations.replace("(unless refractory)", "")
        group = b2.NeuronGroup(
            n,
            CONSTANTS + equations,
            threshold=EXACT_THRESHOLD if exact else THRESHOLD,
            reset=EXACT_RESET if exact else RESETS[self.reset],
            refractory="t_ref" if held else False,
            method="exact",
            namespace={},
            dt=parse_quantity(dt, like=b2.ms),
            name=name,
        )
        group.tau_m, group.t_ref = self.tau_m, self.refractory
        group.v_reset, group.v_threshold = self.v_reset, self.v_threshold
        group.v = group.v_inf = self.v_rest
        if exact:
            group.last_spike = LONG_AGO
        return group

    def charging_time(self, v_inf: Quantity) -> Quantity:
        """Time T_th from reset to threshold, of the shape of `v_inf`; infinite at and below rheobase.

        T_th = -tau_m*ln(1 - (v_threshold - v_reset)/(v_inf - v_reset)), in a form that keeps its digits at any drive.
        """
        surplus = _volts(v_inf, "v_inf") - float(self.v_threshold)
        with np.errstate(divide="ignore"):
            ratio = float(self.v_threshold - self.v_reset) / np.maximum(surplus, 0)
        return float(self.tau_m) * np.log1p(ratio) * b2.second

    def firing_rate(self, v_inf: Quantity) -> Quantity:
        """Closed-form f-I curve in continuous time: 1/(refractory + T_th); zero at and below rheobase.

        In continuous time v is v_threshold at the crossing, so subtracting v_threshold - v_reset leaves v_reset: both
        resets have this one curve. On the grid ``"zero"`` fires at 1/`grid_interval`. ``"subtract"`` without refractory
        period keeps the surplus less what leaks: its mean interval is dt/2*(v_threshold - v_reset)/(v_inf - v_reset)
        longer on average, against dt/2 for ``"zero"``.

        Parameters
        ----------
        v_inf
            Drive v_rest + R*I, a voltage or array of voltages.

        Returns
        -------
        Quantity
            Rate in Hz, of the shape of `v_inf`.
        """
        interval = np.asarray(self.refractory + self.charging_time(v_inf))
        with np.errstate(divide="ignore"):
            return 1 / interval * b2.Hz

    def grid_interval(self, v_inf: Quantity, dt: Quantity) -> Quantity:
        """Brian2's inter-spike interval on the grid: (refractory/dt - 1 + ceil(T_th/dt))*dt, a multiple of dt.

        Without refractoriness it is ceil(T_th/dt)*dt. Exact in real numbers. In floating point the last step is
        undecided where T_th is a multiple of dt to about 13 digits, and v_inf = v_threshold to about 15 digits may
        fire after some 35 tau_m.

        Parameters
        ----------
        v_inf
            Drive v_rest + R*I, a voltage or array of voltages.
        dt
            Time step.

        Returns
        -------
        Quantity
            Interval of the shape of `v_inf`; infinite at and below rheobase.

        Raises
        ------
        InputError
            If the refractory period is not a multiple of `dt`; with ``reset="subtract"``, whose intervals differ from
            spike to spike; with ``spike_timing="exact"``, whose interval is 1/`firing_rate`.
        """
        if self.spike_timing == "exact":
            raise InputError("grid_interval needs spike_timing='grid', got 'exact': the interval is 1/firing_rate")
        if self.reset == "subtract":
            raise InputError("grid_interval needs reset='zero', got 'subtract': intervals differ from spike to spike")
        self.check_grid(dt)
        dt = parse_quantity(dt, like=b2.ms)
        held = max(round(float(self.refractory / dt)) - 1, 0)
        return (held + np.ceil(np.asarray(self.charging_time(v_inf) / dt))) * dt

    def siegert_rate(self, mu: Quantity, sigma: Quantity, dt: Quantity | None = None) -> Quantity:
        """Rate under white noise: Siegert's formula, corrected for the grid if `dt` is given.

        1/rate = refractory + tau_m*sqrt(pi) * integral of exp(x^2)*(1 + erf(x)) dx from (v_reset - mu)/sigma to
        (v_threshold - mu)/sigma.

        On a grid, crossings between the steps are missed, and the membrane is found above the threshold by
        0.5826*sigma*sqrt(dt/tau_m) on average. So the threshold is raised by that; so is the reset if it keeps the
        surplus (``"subtract"``); and the refractory period is one dt shorter, as in `grid_interval`. This is the first
        order in sqrt(dt), for steps in which noise outweighs drift: sigma^2 > (mu - v_threshold)^2*dt/tau_m.

        Parameters
        ----------
        mu
            Mean drive v_rest + R*I, a voltage or array of voltages.
        sigma
            Noise, a voltage or array that broadcasts with `mu`; sigma^2/2 is the variance of v without threshold.
        dt
            Time step of the simulation to predict; None for continuous time.

        Returns
        -------
        Quantity
            Rate in Hz, of the broadcast shape.

        Raises
        ------
        InputError
            If sigma is not above zero (without noise there is `firing_rate`), or `dt` is given with exact timing.
        """
        mean, noise = np.broadcast_arrays(_volts(mu, "mu"), _volts(sigma, "sigma"))
        if not np.all(noise > 0):
            raise InputError(f"sigma must be above zero, got {sigma}; without noise use firing_rate")
        reset, threshold, hold = float(self.v_reset), float(self.v_threshold), float(self.refractory)
        shift: NDArray[np.float64] | float = 0.0
        if dt is not None:
            if self.spike_timing == "exact":
                raise InputError(f"dt = {dt} asks for the error of the grid, which spike_timing='exact' does not have")
            self.check_grid(dt)
            step = float(parse_quantity(dt, like=b2.ms))
            shift = OVERSHOOT * noise * math.sqrt(step / float(self.tau_m))
            hold = max(hold - step, 0.0)
        kept = shift if self.reset == "subtract" else 0.0
        integral = siegert_integral((reset + kept - mean) / noise, (threshold + shift - mean) / noise)
        return 1 / (hold + float(self.tau_m) * math.sqrt(math.pi) * integral) * b2.Hz
