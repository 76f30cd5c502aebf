"""Spiking interneurons of a row: what circuits share whose inhibition is spikes of cells, and no variable of a hub.

N_I noisy leaky integrate-and-fire interneurons hear all neurons of the row through one excitatory trace and act on
them through one inhibitory trace, both kept by the row's hub, so that there are n + N_I synapses for n neurons::

    tau_i dv_j/dt = b_I + A - v_j + noise,         v_j > v_threshold: v_j = v_rest for t_ref,      j = 1 ... N_I
    tau_ampa dA/dt = -A,                           A += J_EI/tau_ampa, `delay` after every spike of the row

A loop that has a gain in the place of an integral does not pin the row; it is set by where it stands when a key is
alone in its row: every neuron of it fires at R, the interneurons at r_I, and a small increase of R is answered by G
times its decrease. J_EI and b_I follow from that::

    Phi_I(b_I + J_EI*M*R) = r_I,      J_EI = G/(M*Phi_I'*S),      S = -d R/d r_I at this point, of the keys

Phi is Siegert's rate, corrected for the grid. A row of many keys has a larger gain than G: weak keys have a steeper f-I
curve for their rate, and the row's rate is larger. Stability: a row's loop oscillates from some gain on, by the linear
response of its neurons, the synapses and both delays (`loop`); rows whose gain is above half of it are refused, unless
``unstable=True``, and have no limit.

Sources of the defaults: interneurons of tau_m = 10 ms and t_ref = 1 ms, and tau_ampa = 2 ms: Wang (2002). Delays of
about 1 ms: Brunel and Wang (2003). v_rest = -65 mV and the noise of 4 mV of the interneurons, with which they fire
without the row too, r_I, G and N_I = 40 are ours; the gain is swept.

References: Brunel (2000), doi:10.1023/A:1008925309027; Wang (2002), doi:10.1016/S0896-6273(02)01092-9; Brunel and Wang
(2003), doi:10.1152/jn.01095.2002.
"""

from __future__ import annotations

import abc
import functools
import math
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import MOST_MEMBERS, Batch, Circuit, check_multiple
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.neurons import LIF
from biospike.parameters import flag, number, quantity, whole
from biospike.random import uniform
from biospike.roots import row_roots
from biospike.theory.linear_response import FREQUENCIES, Complex, critical_gain, low_pass, rate_response
from biospike.theory.noisy_lif import draw_membrane, on_grid, response_table
from biospike.wiring import Population

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

INTERNEURONS = """
dv/dt = (drive + A + noise - v)/tau_i                       : volt (unless refractory)
noise = kick*normal(seed, trial, index, t_in_timesteps, 0)  : volt (constant over dt)
A                                                           : volt (linked)
live                                                        : boolean (constant)          # of a row that has keys
drive                                                       : volt (shared, constant)     # b_I
kick                                                        : volt (shared, constant)
tau_i                                                       : second (shared, constant)
v_reset                                                     : volt (shared, constant)
v_threshold                                                 : volt (shared, constant)
t_ref                                                       : second (shared, constant)
"""
EXCITATION = """
dA/dt = -A/tau_ampa                                         : volt
J_EI                                                        : volt*second (shared, constant)
tau_ampa                                                    : second (shared, constant)
"""
EXCITES = "A_post += J_EI_post/tau_ampa_post"

MARGIN = 0.5
"""Of the critical gain: the most that a stable circuit may have."""
HIGHEST = 5.0
"""Times r_I: up to where the interneurons' f-I curve is tabulated."""
LOWEST, RATES = 1e-4, 12
"""Of a highest rate: the lowest at which responses are tabulated, and how many there are, evenly in the logarithm."""


@attrs.frozen
class OperatingPoint:
    """Where the loop stands when a key is alone in its row, SI units."""

    bias: float
    """b_I, volt."""
    j_ei: float
    """J_EI, volt second."""


@attrs.frozen(kw_only=True)
class InterneuronPool(Circuit):
    """Base of circuits whose inhibition comes from spiking interneurons.

    Parameters
    ----------
    members
        M, neurons of a key.
    interneurons
        N_I, of a row.
    rate
        R, the rate that a neuron would have alone in its row.
    interneuron_rate
        r_I, the rate of the interneurons then.
    gain
        G of the loop then.
    unstable
        Whether a loop that is near its oscillations, or beyond their onset, is run all the same: it has no limit.
    tau_ampa, delay
        Of the excitation of interneurons; the delay is also that of their inhibition.
    tau_i, v_rest_i, sigma_i, refractory_i
        Constants of the interneurons: v_rest_i is the reset too, sigma_i the standard deviation of a membrane without
        threshold.
    v_threshold
        Of all neurons.
    refractory
        Of the neurons of a key.
    """

    group: ClassVar[str] = "microcircuit"
    references: ClassVar[tuple[str, ...]] = ("siegert1951", "brunel2000", "wang2002", "brunel2003", "richardson2007")
    structural: ClassVar[tuple[str, ...]] = ("interneurons", "delay")
    threshold: ClassVar[float] = -50.0
    members: int = whole(64, minimum=1, maximum=MOST_MEMBERS)
    interneurons: int = whole(40, minimum=1, maximum=MOST_MEMBERS)
    rate: Quantity = quantity(5 * b2.Hz, above=0 * b2.Hz)
    interneuron_rate: Quantity = quantity(20 * b2.Hz, above=0 * b2.Hz)
    gain: float = number(0.5, above=0)
    unstable: bool = flag(False)
    tau_ampa: Quantity = quantity(2 * b2.ms, above=0 * b2.ms)
    delay: Quantity = quantity(1 * b2.ms, minimum=0 * b2.ms)
    tau_i: Quantity = quantity(10 * b2.ms, above=0 * b2.ms)
    v_rest_i: Quantity = quantity(-65 * b2.mV)
    sigma_i: Quantity = quantity(4 * b2.mV, above=0 * b2.mV)
    refractory_i: Quantity = quantity(1 * b2.ms, minimum=0 * b2.ms)
    v_threshold: Quantity = quantity(-50 * b2.mV)
    refractory: Quantity = quantity(2 * b2.ms, minimum=0 * b2.ms)

    def __attrs_post_init__(self) -> None:
        if not self.v_threshold > self.v_rest_i:
            raise InputError(
                f"{self.name}: v_threshold must be above v_rest_i = {self.v_rest_i}, got {self.v_threshold}"
            )
        if self.interneuron_rate * self.refractory_i > 0.1:
            raise InputError(
                f"{self.name}: interneuron_rate must be at most {(0.1 / self.refractory_i).in_best_unit()}, a tenth of "
                f"what they can fire with refractory_i = {self.refractory_i}, got {self.interneuron_rate}"
            )
        if self.rate * self.refractory > 0.5:
            raise InputError(
                f"{self.name}: rate must be at most {(0.5 / self.refractory).in_best_unit()}, half of what a neuron "
                f"can fire with refractory = {self.refractory}, got {self.rate}"
            )

    @property
    def interneuron(self) -> LIF:
        """An interneuron, as a neuron with closed forms."""
        return LIF(
            tau_m=self.tau_i,
            v_rest=self.v_rest_i,
            v_reset=self.v_rest_i,
            v_threshold=self.v_threshold,
            refractory=self.refractory_i,
        )

    @abc.abstractmethod
    def sensitivities(self, logits: Array, interneuron_rate: Array, dt: float) -> Array:
        """By how many Hz neurons (rows, keys) slow down for 1 Hz more of all interneurons of their row; 0 if masked."""

    @abc.abstractmethod
    def key_response(self, rates: Array, dt: float) -> Complex:
        """Response at `FREQUENCIES` (frequencies, rates) of neurons that fire at these rates to the interneurons.

        It is divided by its value at 0, and has no delay.
        """

    def pool_response(self, rates: Array, dt: float) -> Complex:
        """The same of interneurons that fire at these rates to the spikes of the keys."""
        own = noisy_response(rates, self.interneuron, float(self.sigma_i), HIGHEST * float(self.interneuron_rate), dt)
        return own * low_pass(FREQUENCIES, float(self.tau_ampa))[:, None]

    @abc.abstractmethod
    def rates(self, logits: Array, interneuron_rate: Array, dt: float) -> Array:
        """Rates of neurons (rows, keys), Hz, under interneurons that fire at these rates (rows,); 0 where masked."""

    def point(self, dt: Quantity | None = None) -> OperatingPoint:
        """Where the loop stands on the grid `dt`, default the circuit's."""
        return _point(self, float(self.dt if dt is None else dt))

    def loop(self, logits: Array, dt: Quantity | None = None) -> tuple[Array, Array, Array]:
        """Loop of rows (rows, keys) in their mean field on the grid `dt`, default the circuit's.

        Returns
        -------
        gain, onset, frequency : ndarray (rows,)
            Gain of the loop, that from which it would oscillate, and at how many Hz; NaN of rows without keys.
        """
        step = float(self.dt if dt is None else dt)
        rates, pool = self.mean_field(logits, dt)
        point, (mu, log_rate, slope, _) = self.point(dt), self.table(step)
        drive = point.bias + point.j_ei * self.members * rates.sum(axis=1)
        slowed = self.sensitivities(logits, pool, step)
        total = slowed.sum(axis=1)
        gain = point.j_ei * self.members * total * np.exp(np.interp(drive, mu, log_rate)) * np.interp(drive, mu, slope)
        found = np.full((2, len(logits)), np.nan)
        through = self.pool_response(pool, step)
        for row in np.flatnonzero(total > 0):
            weak = slowed[row] > 0
            own = self.key_response(rates[row, weak], step) @ (slowed[row, weak] / total[row])
            turned = functools.partial(_between, values=own * through[:, row])
            found[:, row] = critical_gain(turned, 2 * float(self.delay))
        return np.where(total > 0, gain, np.nan), found[0], found[1]

    def onset(self, dt: Quantity | None = None) -> tuple[float, float]:
        """Gain from which the loop of a key alone in its row oscillates, by linear response, and at how many Hz."""
        return _onset(self, float(self.dt if dt is None else dt))

    @property
    def stable(self) -> bool:
        """Whether the gain of a key alone is at most half of the one from which the loop oscillates."""
        return self.gain <= MARGIN * self.onset()[0] * (1 + 1e-9)

    def stable_rows(self, logits: Array, dt: Quantity | None = None) -> NDArray[np.bool_]:
        """Whether that is so of rows (rows, keys); of one without keys, yes."""
        gain, onset, _ = self.loop(logits, dt)
        return ~(gain > MARGIN * onset * (1 + 1e-9))

    def check(self, dt: Quantity) -> None:
        """Require refractory period and delay on the grid, dt <= tau/20 of membranes and synapses, a stable loop."""
        for name in ("delay", "refractory_i"):
            check_multiple(self.name, name, getattr(self, name), dt)
        for name, steps in (("tau_i", 20), ("tau_ampa", 4)):
            most = getattr(self, name) / steps
            if dt > most * (1 + 1e-9):
                raise InputError(
                    f"{self.name}: dt = {dt} is too coarse: it must be at most {name}/{steps} = {most.in_best_unit()}"
                )
        if self.unstable:
            return
        critical, frequency = self.onset(dt)
        if self.gain > MARGIN * critical * (1 + 1e-9):
            raise InputError(
                f"{self.name}: gain = {self.gain:g} must be at most half of {critical:.3g}, from which the loop "
                f"oscillates, at {frequency:.0f} Hz; unstable=True runs it all the same, without a limit"
            )

    def check_rows(self, logits: Array, dt: Quantity) -> None:
        """Require a stable loop of every row."""
        if self.unstable:
            return
        gain, onset, frequency = self.loop(logits, dt)
        beyond = np.flatnonzero(gain > MARGIN * onset * (1 + 1e-9))
        if beyond.size:
            row = beyond[0]
            raise InputError(
                f"{self.name}: the loop of row {row} has the gain {gain[row]:.3g}, which must be at most half of "
                f"{onset[row]:.3g}, from which it oscillates, at {frequency[row]:.0f} Hz: take a gain below "
                f"{self.gain:g}, or unstable=True, which runs it all the same, without a limit"
            )

    def population(self) -> Population:
        """The interneurons; what they do to the hub is the circuit's."""
        return Population(
            equations=INTERNEURONS,
            on_spike=self.acts,
            threshold="v > v_threshold and live",
            reset="v = v_reset",
            linked=("A",),
            method="exact",
            refractory="t_ref",
            delay=self.delay,
        )

    acts: ClassVar[str]
    """What a spike of an interneuron does to its hub."""

    def pool_state(self, batch: Batch, dt: Quantity, rates: Array, interneuron_rate: Array) -> dict[str, Any]:
        """State of the interneurons, and of their excitation, in the mean field: there is no onset."""
        point, step = self.point(dt), float(dt)
        cell, noise = on_grid(self.interneuron, self._noise, dt), self._noise
        excitation = point.j_ei * self.members * rates.sum(axis=1)
        u = uniform(*batch.interneuron_address(self.interneurons), -1)
        v = draw_membrane(cell, np.broadcast_to((point.bias + excitation)[:, None], u.shape), noise, u)
        return {
            "interneurons.v": np.minimum(v, float(self.v_threshold)),
            "interneurons.live": ~batch.padding,
            "interneurons.drive": point.bias,
            "interneurons.kick": float(self.sigma_i) / math.sqrt(math.tanh(step / float(self.tau_i) / 2)),
            "interneurons.tau_i": float(self.tau_i),
            "interneurons.v_reset": float(self.v_rest_i),
            "interneurons.v_threshold": float(self.v_threshold),
            "interneurons.t_ref": float(self.refractory_i),
            "hub.A": excitation,
            "hub.J_EI": point.j_ei * whole_mean(self.tau_ampa, dt),
            "hub.tau_ampa": float(self.tau_ampa),
        }

    @property
    def _noise(self) -> Quantity:
        """The interneurons' noise in Siegert's convention."""
        return math.sqrt(2) * self.sigma_i

    def table(self, dt: float) -> tuple[Array, Array, Array, Array]:
        """f-I curve of the interneurons, as `biospike.theory.noisy_lif.response_table`."""
        return response_table(self.interneuron, float(self.sigma_i), HIGHEST * float(self.interneuron_rate), dt)

    def mean_field(self, logits: Array, dt: Quantity | None = None) -> tuple[Array, Array]:
        """Self-consistent rates of neurons (rows, keys) and of interneurons (rows,), Hz, on the grid `dt`."""
        step = float(self.dt if dt is None else dt)
        point, (mu, log_rate, _, _) = self.point(dt), self.table(step)

        def surplus(interneuron_rate: Array, row: Any) -> Array:
            rates = self.rates(logits[row], interneuron_rate, step)
            drive = point.bias + point.j_ei * self.members * rates.sum(axis=1)
            return np.asarray(np.exp(np.interp(drive, mu, log_rate)) - interneuron_rate)

        # The keys slow down as the interneurons fire, and so do then these: the surplus falls, and has one root.
        found = row_roots(surplus, np.zeros(len(logits)), np.full(len(logits), math.exp(log_rate[-1])))
        return self.rates(logits, found, step), found

    def limit(self, logits: Array) -> Array:
        """Shares of the mean field on the circuit's own grid; NaN of rows whose loop is not stable."""
        values = check_logits(logits)
        rates, _ = self.mean_field(values)
        shares = rates / rates.sum(axis=1, keepdims=True)
        return np.where(self.stable_rows(values)[:, None], shares, np.nan)


def whole_mean(tau: Quantity, dt: Quantity) -> float:
    """By how much a jump must be larger for its trace, first read after a step of decay, to have its mean."""
    x = float(dt / tau)
    return math.expm1(x) / x


@functools.lru_cache(maxsize=32)
def _point(circuit: InterneuronPool, dt: float) -> OperatingPoint:
    mu, log_rate, slope, _ = circuit.table(dt)
    drive = float(np.interp(math.log(float(circuit.interneuron_rate)), log_rate, mu))
    steepness = float(circuit.interneuron_rate) * float(np.interp(drive, mu, slope))
    slowed = circuit.sensitivities(np.zeros((1, 1)), np.array([float(circuit.interneuron_rate)]), dt)
    j_ei = circuit.gain / (circuit.members * steepness * float(slowed[0, 0]))
    return OperatingPoint(drive - j_ei * circuit.members * float(circuit.rate), j_ei)


@functools.lru_cache(maxsize=32)
def _onset(circuit: InterneuronPool, dt: float) -> tuple[float, float]:
    _, onset, frequency = circuit.loop(np.zeros((1, 1)), dt * b2.second)
    return float(onset[0]), float(frequency[0])


@functools.lru_cache(maxsize=32)
def _responses(cell: LIF, sigma: float, highest: float, dt: float) -> tuple[Array, Complex]:
    """Logarithms of rates, Hz, and the response of neurons that fire at them, divided by its value at 0."""
    mu, log_rate, _, _ = response_table(cell, sigma, highest, dt)
    grid = np.log(highest) + np.linspace(math.log(LOWEST), 0, RATES)
    noise = math.sqrt(2) * sigma * b2.volt
    omega = np.append(0.0, FREQUENCIES)
    found = rate_response(on_grid(cell, noise, dt * b2.second), np.interp(grid, log_rate, mu), noise, omega)
    return grid, found[1:] / found[0]


def _at(rates: Array, grid: Array, table: Complex) -> Complex:
    """Columns of a table of responses at these rates; at its ends where they are beyond."""
    with np.errstate(divide="ignore"):
        wanted = np.log(rates)
    return np.stack([np.interp(wanted, grid, row) for row in table])


def _between(omega: Array, values: Complex) -> Complex:
    """Response between `FREQUENCIES`."""
    return np.asarray(np.interp(np.log(omega), np.log(FREQUENCIES), values))


def noisy_response(rates: Array, cell: LIF, sigma: float, highest: float, dt: float) -> Complex:
    """Response at `FREQUENCIES` of noisy neurons that fire at these rates, up to `highest`, as of `key_response`."""
    return _at(rates, *_responses(cell, sigma, highest, dt))
