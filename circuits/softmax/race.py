"""Exponential race: independent Poisson inputs, and the first spike closes the row.

Every key receives Poisson input spikes of rate R0*exp(z_i - max z), each of which would lift it over threshold. A
spike of any key closes the whole row for t_inh: no key can spike, and all membranes are held at reset. When the row
opens again the race starts afresh, and since exponential waiting times have no memory the winner is key i with
probability exp(z_i)/sum_j exp(z_j), independently of the past. Rates are p_i/(t_inh + 1/Lambda), Lambda the total
input rate, and those of `biospike.theory.race` on the grid.

Assumptions: input spikes are Bernoulli on the grid with probability R0*exp(z_i - max z)*dt, linear in the rate, so the
grid does not bias the shares; at most one spike a key and step, hence R0*dt <= 0.1 is required. Ties: keys that spike
in the same step all count, which is the rule that leaves the shares unbiased. They are spikes drawn without
replacement, which makes the error smaller than the multinomial law says: its law is that of `biospike.theory.race`. A
row of many large keys would be all ties, and no race any more, hence Lambda*dt <= 1 is required of every row.

References: Lemma 3 of arXiv:2604.15769 for the claim; Luce, *Individual Choice Behavior* (1959) for the race.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, check_multiple, check_rate, relative_exponential
from biospike.errors import InputError
from biospike.ideal.softmax import check_logits
from biospike.parameters import quantity
from biospike.roots import row_roots
from biospike.theory.race import race_rate, race_tv
from biospike.wiring import rows_of_keys
from circuits.softmax.gate import CommonGate

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

# One input spike is worth one threshold: the membrane is the input of the step, shunted while the row is closed.
KEYS = """
v                              : 1
open                           : 1 (linked)
"""
STEP = """
v = bernoulli(drive*open*dt, seed, trial, index, t_in_timesteps)
"""
HUB = """
open                           : 1
closed = 1 - open              : 1
opens_at                       : 1               # step at which the row opens again, which may be past any window
closed_steps                   : 1 (shared, constant)
"""

LARGEST_TOTAL = 1.0
"""Input spikes a step that an open row may have on average."""

EXCURSION = 4
"""Standard deviations, each sqrt(w/2) nats, by which the reference potential of an attention row may stray: spikes of
w nats under a linear decay make it an Ornstein-Uhlenbeck process of the variance w/2."""


@attrs.frozen(kw_only=True)
class Race(CommonGate):
    """Reset-all winner-take-all on Poisson input.

    Parameters
    ----------
    rate
        R0, input rate of the key with the largest logit.
    t_inh
        How long a spike closes the row; a multiple of `dt`.
    dt
        Grid.
    """

    threshold: ClassVar[float] = 1.0
    name: ClassVar[str] = "race"
    references: ClassVar[tuple[str, ...]] = ("guo2026", "luce1959")
    fused: ClassVar[str | None] = "race"
    inhibition: ClassVar[str] = "closed"
    rate: Quantity = quantity(200 * b2.Hz, above=0 * b2.Hz)
    t_inh: Quantity = quantity(1 * b2.ms, minimum=0 * b2.ms)

    def check(self, dt: Quantity) -> None:
        """Require R0*dt <= 0.1 and t_inh on the grid."""
        check_rate(self.name, self.rate, dt)
        check_multiple(self.name, "t_inh", self.t_inh, dt)

    def check_rows(self, logits: NDArray[np.float64], dt: Quantity) -> None:
        """Require Lambda*dt <= 1: no more than one input spike a step of an open row, on average."""
        size = relative_exponential(logits).sum(axis=-1)
        row = int(np.argmax(size))
        total = float(self.rate * dt) * size[row]
        if total > LARGEST_TOTAL * (1 + 1e-9):
            largest = LARGEST_TOTAL / (float(dt) * size[row]) * b2.Hz
            raise InputError(
                f"{self.name}: row {row} has rate*dt*sum_i exp(z_i - max z) = {total:.4g}, which must be at most "
                f"{LARGEST_TOTAL:g}, or its keys spike together and no longer race: it takes Race(rate=...) of at most "
                f"{rounded_down(largest)} at dt = {dt.in_best_unit()}"
            )

    def check_pinned(self, w: float, dt: Quantity) -> None:
        """Require that an open row can make up for its closed time, without an input that exceeds a spike a step."""
        highest = LARGEST_TOTAL * np.exp(-EXCURSION * np.sqrt(w / 2))
        largest = highest / float(dt + highest * self.t_inh) * b2.Hz
        if self.rate > largest * (1 + 1e-9):
            raise InputError(
                f"{self.name}: a row that is closed for t_inh = {self.t_inh} after a spike and held at rate = "
                f"{self.rate} by steps of {w:g} nats would need more than an input spike a step: it takes "
                f"Race(rate=...) of at most {rounded_down(largest)} at dt = {dt.in_best_unit()}"
            )

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            KEYS,
            hub=HUB,
            on_spike="opens_at_post = t_in_timesteps + 1 + closed_steps_post",
            threshold="v >= 1",
            reset="",
            linked=("open",),
            each_step=STEP,
            hub_each_step="open = int(t_in_timesteps >= opens_at)",
            shape=shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """The row starts open: waiting times have no memory."""
        return {
            "keys.drive": float(self.rate) * batch.drive,
            "hub.opens_at": 0,
            "hub.closed_steps": self.closed_steps(dt),
        }

    def row_rate(self, logits: NDArray[np.float64]) -> Quantity:
        """Output rate of each row on the grid, shape (rows,); 1/(t_inh + 1/Lambda) as dt goes to 0.

        Raises
        ------
        InputError
            If a logit is not valid, or a row has more than one input spike a step.
        """
        values = check_logits(logits)
        self.check_rows(values, self.dt)
        chance = float(self.rate * self.dt) * relative_exponential(values)
        return race_rate(chance, self.closed_steps(self.dt)) / self.dt

    def closed_steps(self, dt: Quantity) -> int:
        """Steps for which a spike closes the row."""
        return round(float(self.t_inh / dt))

    def expected_tv(
        self, p: NDArray[np.float64], spikes: NDArray[np.float64], target: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Law of `biospike.theory.race`, with the ties of the grid; the multinomial law as dt goes to 0."""
        return race_tv(float(self.rate * self.dt) * p / p.max(axis=-1, keepdims=True), spikes)

    def pinned_tv(self, p: NDArray[np.float64], spikes: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Circuit`: the input is as large as the rate R0 of a row that is closed for part of the time needs."""
        closed, rate = self.closed_steps(self.dt), float(self.rate * self.dt)
        rows = p.reshape(-1, p.shape[-1])
        # The rate rises with the input L, and L/(1 + L*c) <= rate <= L.
        found = row_roots(
            lambda total, row: race_rate(total[:, None] * rows[row], closed) - rate,
            np.full(len(rows), rate),
            rate / (1 - rate * closed),
        )
        return race_tv(found.reshape(*p.shape[:-1], 1) * p, spikes)


def rounded_down(rate: Quantity) -> str:
    """Four digits of a rate, in hertz, that do not exceed it."""
    digit = 10.0 ** (np.floor(np.log10(float(rate))) - 3)
    return f"{np.floor(float(rate) / digit) * digit:.4g} Hz"
