"""The keys of the audit: `circuits.softmax.escape` and `integrate` with the liberties they take made into knobs.

::

    dv_i/dt = R0*exp(z_i - max z)*exp(-I) - v_i/tau_i,   v_i >= theta_i: v_i -> kept*(v_i - theta_i), held for t_ref
    theta_i ~ scale_i*Gamma(k, 1/k),      I rises by w a spike through a filter of tau_inh, and falls at w*R0

With tau_i infinite, kept = 1, t_ref = 0, scale_i = 1, tau_inh = 0 and no rounding the counts are those of `Escape`
and `Integrate`, spike by spike. Input that arrives while a key is held is discarded.

Stationary rates, `rates`: the mean interval of a key under the constant gate g is

    T_i = t_ref + (1 - kept)*dt/2 + charging time,    charging time = scale_i/lambda_i without a leak, lambda_i = e_i*g,
    and tau_i*ln(1/(1 - scale_i/(tau_i*lambda_i))) with one, infinite below rheobase;

the gate is where the rates of the row add up to R0. The second term is the surplus beyond the threshold, uniform in
[0, lambda_i*dt), that a hard reset discards. It neglects that the gate fluctuates.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import KEY_STRIDE, Batch, Shape, check_multiple, relative_exponential
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits, softmax
from biospike.parameters import number, quantity
from biospike.random import gamma, normal
from biospike.roots import row_roots
from biospike.wiring import rows_of_keys
from circuits.softmax.escape import check_regularity, initial_charge
from circuits.softmax.gate import NEVER_REACHED, CommonGate

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

QUEUE, LONGEST = 16, 12
"""Spikes of a row in one step that a delay can tell apart, plus one, and the longest delay in steps."""

KEYS = """
v              : 1
gate           : 1 (linked)
theta          : 1
scale          : 1 (constant)                  # threshold, in units of the ideal one
keep           : 1 (constant)                  # what a step leaves of the membrane
fill           : 1 (constant)                  # what a step adds of its charge
ready_at       : 1                             # step from which the key charges again, perhaps past any window
held_steps     : 1 (shared, constant)
kept           : 1 (shared, constant)          # part of the surplus that a reset keeps
levels         : 1 (shared, constant)          # of the membrane, a threshold; 0 for double precision
regularity     : integer (shared, constant)    # k; 0 stands for infinity
"""
STEP = """
v += int(t_in_timesteps >= ready_at)*(v*keep + drive*gate*dt*fill - v)
v += int(levels > 0)*(floor(v*levels + 0.5)/(levels + int(levels == 0)) - v)
"""
RESET = """
v = kept*(v - theta)
theta = scale*gamma(seed, trial, index, t_in_timesteps, regularity)
ready_at = t_in_timesteps + 1 + held_steps
"""
HUB = """
dI/dt = -w*R0  : 1
gate           : 1                             # exp(-I), once a step for the whole row
queue          : 1                             # spikes on their way
entry          : 1 (shared, constant)          # of a spike in the queue: its base to the power of the delay in steps
pending        : 1                             # spikes that have yet to act
keep_pending   : 1 (shared, constant)          # what a step leaves of them, exp(-dt/tau_inh)
w              : 1 (shared, constant)
R0             : Hz (shared, constant)
"""
# A digit of the queue, to the base QUEUE, is the spikes that one step has yet to hear of; a delay is so much state, and
# not structure, that one binary serves all. Whole numbers up to 2**53 are exact.
HUB_STEP = f"""
heard = queue % {QUEUE}
queue = (queue - heard)/{QUEUE}
pending += heard
I += w*pending*(1 - keep_pending)
pending *= keep_pending
gate = exp(-I)
"""
ENDS = 20.0
"""Logarithm of the hazards between which that of a key of drive 1 is looked for, per second."""


@attrs.frozen(kw_only=True)
class HazardKeys(CommonGate):
    """Hazard-charged keys with the knobs of the audit.

    Parameters
    ----------
    rate, w, regularity
        As of `circuits.softmax.escape.Escape`.
    tau_m
        Membrane time constant; infinite for no leak.
    kept
        Part of the surplus that a reset keeps: 1 subtracts the threshold, 0 resets to zero.
    refractory
        Time for which a key is held after a spike, rounded to steps.
    tau_inh
        Time constant through which a spike of the row raises the inhibition.
    threshold_spread, tau_spread
        Standard deviation over keys of threshold and time constant, in units of their mean; the same in every trial.
    spread_seed
        Draws them: one device.
    levels
        To so many levels a threshold the membrane is rounded every step; 0 for double precision.
    gated
        False for a constant gate at which the row fires at `rate` without further ado: no inhibition.
    delay
        Between a spike and the inhibition: whole steps, at most `LONGEST`.
    """

    name: ClassVar[str] = "hazard_keys"
    inhibition: ClassVar[str] = "I"
    rate: Quantity = quantity(500 * b2.Hz, above=0 * b2.Hz)
    w: float = number(0.1, above=0)
    regularity: float = attrs.field(default=1.0, converter=float, validator=check_regularity)
    tau_m: float = number(np.inf, above=0)  # second, since an infinite quantity cannot be parsed
    kept: float = number(1.0, minimum=0, maximum=1)
    refractory: Quantity = quantity(0 * b2.ms, minimum=0 * b2.ms)
    tau_inh: Quantity = quantity(0 * b2.ms, minimum=0 * b2.ms)
    threshold_spread: float = number(0.0, minimum=0)
    tau_spread: float = number(0.0, minimum=0)
    spread_seed: int = 7
    levels: float = number(0.0, minimum=0)
    gated: bool = True
    delay: Quantity = quantity(0 * b2.ms, minimum=0 * b2.ms)

    def check(self, dt: Quantity) -> None:
        """Require a delay of whole steps that the queue can hold."""
        check_multiple(self.name, "delay", self.delay, dt)
        if self.delay > LONGEST * dt:
            raise InputError(f"{self.name}: delay must be at most {LONGEST} steps of {dt}, got {self.delay}")

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="queue_post += entry_post",
            threshold="v >= theta and t_in_timesteps >= ready_at",  # the surplus may exceed the next threshold
            reset=RESET,
            linked=("gate",),
            each_step=STEP,
            hub_method="euler",  # exact for a constant slope
            hub_each_step=HUB_STEP,
            shape=shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """As `Escape`; a constant gate starts where it stays."""
        shape = 0 if self.regularity == np.inf else int(self.regularity)
        scale, tau = self.spread(batch.index)
        theta = scale * gamma(*batch.address, -1, shape)
        x = float(dt) / tau
        total = np.maximum(batch.drive.sum(axis=1), 1.0)
        return {
            "keys.drive": float(self.rate) * batch.drive,
            "keys.v": initial_charge(batch, shape, theta),
            "keys.theta": theta,
            "keys.scale": scale,
            "keys.keep": np.exp(-x),
            "keys.fill": np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0),
            "keys.ready_at": 0,
            "keys.held_steps": round(float(self.refractory / dt)),
            "keys.kept": self.kept,
            "keys.levels": self.levels,
            "keys.regularity": shape,
            "hub.I": np.where(batch.padding, NEVER_REACHED, self._start(batch, scale, tau, total)),
            "hub.pending": 0.0,
            "hub.queue": 0.0,
            "hub.entry": float(QUEUE) ** round(float(self.delay / dt)),
            "hub.keep_pending": np.exp(-float(dt) / float(self.tau_inh)) if self.tau_inh > 0 * b2.ms else 0.0,
            "hub.w": self.w if self.gated else 0.0,
            "hub.R0": float(self.rate),
        }

    def _start(self, batch: Batch, scale: Array, tau: Array, total: Array) -> Array | float:
        """Inhibition at the start: as in `Escape`, but in balance where the shares depend on the gate."""
        if not self.gated:
            return np.asarray(np.log(total))
        if np.isinf(self.tau_m) and self.kept == 1 and self.refractory == 0 * b2.ms:
            return 0.0  # the shares are those of any gate
        gate, _ = self._balance(batch.logits, scale, tau)
        return np.asarray(-np.log(gate / float(self.rate)))

    def spread(self, index: NDArray[np.int64]) -> tuple[Array, Array]:
        """Scale of the threshold and time constant, second, of keys by their index; frozen over trials."""
        scale = 1 + self.threshold_spread * normal(self.spread_seed, 0, index, -1)
        tau = self.tau_m * (1 + self.tau_spread * normal(self.spread_seed, 0, index, -2))
        return np.maximum(scale, 0.1), np.maximum(tau, 0.1 * self.tau_m) if np.isfinite(self.tau_m) else tau

    def balance(self, logits: Array) -> tuple[Array, Array]:
        """Hazard of a key of drive 1 (rows,), Hz, at which the row fires at `rate`, and its rates (rows, keys), Hz.

        Rows are numbered by their place: the spread of the keys of a study's batch is not asked for here.
        """
        index = np.arange(len(logits))[:, None] * KEY_STRIDE + np.arange(logits.shape[1])
        return self._balance(logits, *self.spread(index))

    def _balance(self, logits: Array, scale: Array, tau: Array) -> tuple[Array, Array]:
        e = relative_exponential(logits)
        extra = round(float(self.refractory / self.dt)) * float(self.dt) + (1 - self.kept) * float(self.dt) / 2

        def rates(logarithm: Array, row: Any) -> Array:
            return self._rates_under(e[row] * np.exp(logarithm)[:, None], scale[row], tau[row], extra)

        found = row_roots(
            lambda logarithm, row: rates(logarithm, row).sum(axis=1) - float(self.rate),
            *np.full((2, len(e)), [[-ENDS], [ENDS]]),
        )
        return np.exp(found), rates(found, slice(None))

    def rates(self, logits: Array) -> Array:
        """Stationary rates, Hz, of rows (rows, keys) whose number in the study is their place here."""
        return self.balance(check_logits(logits))[1]

    @staticmethod
    def _rates_under(hazard: Array, scale: Array, tau: Array, extra: float) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            charging = scale / hazard
            leaky = -tau * np.log1p(-charging / tau)
            period = extra + np.where(np.isinf(tau), charging, np.where(charging < tau, leaky, np.inf))
            return np.asarray(1 / period)

    def limit(self, logits: Array) -> Array:
        """Shares of `rates`, softmax where every knob is ideal; with a rounded membrane those of its rounded charge.

        Rounding needs a constant gate: the charge of a step is then the same in every step, and so is its rounding.
        """
        if self.levels and not self.gated:
            rates = np.floor(softmax(logits) * float(self.rate * self.dt) * self.levels + 0.5)
        else:
            rates = self.rates(logits)
        return np.asarray(rates / rates.sum(axis=1, keepdims=True))
