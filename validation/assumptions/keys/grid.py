"""Discrete time: the step, ties within a step, and the one spike that a step can hold."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, relative_exponential
from biospike.roots import row_roots
from biospike.wiring import rows_of_keys
from circuits.softmax.escape import HUB, Escape
from circuits.softmax.race import Race
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.keys.membrane import TV
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Sweep

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

STEPS = (0.2, 0.5, 1.0, 2.5, 5.0)
TOP_RATE = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)

COIN_KEYS = """
v              : 1
gate           : 1 (linked)
"""
COIN_STEP = "v = bernoulli(1 - exp(-drive*gate*dt), seed, trial, index, t_in_timesteps)"
ENDS = 20.0
"""Logarithm of the charges between which that of a key of drive 1 is looked for."""


@attrs.frozen(kw_only=True)
class CoinKeys(Escape):
    """`Escape` as it is usually simulated: a coin a step, p = 1 - exp(-hazard*dt), and no surplus.

    The coin saturates, so that a key loses what it should have fired beyond one spike a step.
    """

    name = "coin_keys"

    def check(self, dt: Quantity) -> None:
        """Accept any step: its effect is what is measured."""

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            COIN_KEYS,
            hub=HUB,
            on_spike="I_post += w_post",
            threshold="v > 0",
            reset="",
            linked=("gate",),
            each_step=COIN_STEP,
            hub_method="euler",
            hub_each_step="gate = exp(-I)",
            shape=shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """The hub of `Escape`, and the drive."""
        own = Escape.state(self, batch, dt)
        return {name: own[name] for name in ("keys.drive", "hub.I", "hub.w", "hub.R0")}

    def limit(self, logits: Array) -> Array:
        """Shares 1 - exp(-e_i*g*dt) at the gate g at which they add up to R0*dt."""
        e = relative_exponential(logits)

        def fire(logarithm: Array, row: Any) -> Array:
            return -np.expm1(-e[row] * np.exp(logarithm)[:, None])

        target = float(self.rate * self.dt)
        charge = row_roots(
            lambda logarithm, row: fire(logarithm, row).sum(axis=1) - target, *np.full((2, len(e)), [[-ENDS], [ENDS]])
        )
        fired = fire(charge, slice(None))
        return np.asarray(fired / fired.sum(axis=1, keepdims=True))


@attrs.frozen(kw_only=True)
class LooseRace(Race):
    """`Race` on any step: a key whose input exceeds one spike a step spikes in every step."""

    name = "loose_race"

    def check(self, dt: Quantity) -> None:
        """Accept any step: its effect is what is measured."""

    def check_rows(self, logits: Array, dt: Quantity) -> None:
        """Accept any row, for the same reason."""

    def limit(self, logits: Array) -> Array:
        """Shares min(1, e_i*R0*dt), normalised."""
        fired = np.minimum(relative_exponential(logits) * float(self.rate * self.dt), 1.0)
        return np.asarray(fired / fired.sum(axis=1, keepdims=True))


TIE_KEYS = """
v              : 1
pending        : integer            # whether the key spiked in the last step
tied           : integer (linked)   # whether that step held more than one spike of the row
"""
# A tie is known only when the step is over: it is taken back in the next one.
TIE_STEP = """
spike_count -= pending*tied
count_0 -= pending*tied*int(t_in_timesteps - 1 < checkpoint_0)
pending = 0
v = bernoulli(drive*dt, seed, trial, index, t_in_timesteps)
"""
TIE_HUB = """
in_step        : integer
tied           : integer
"""
TIE_HUB_STEP = """
tied = int(in_step > 1)
row_spikes -= tied*in_step
in_step = 0
"""


@attrs.frozen(kw_only=True)
class TieRace(LooseRace):
    """A race that is never closed, where spikes of two keys in one step are discarded."""

    name = "tie_race"
    inhibition = "tied"

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        return rows_of_keys(
            TIE_KEYS,
            hub=TIE_HUB,
            on_spike="in_step_post += 1",
            threshold="v >= 1",
            reset="pending = 1",
            linked=("tied",),
            each_step=TIE_STEP,
            hub_each_step=TIE_HUB_STEP,
            shape=shape,
            driven=True,
        )

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """The drive; everything else starts at 0."""
        return {"keys.drive": float(self.rate) * batch.drive}

    def limit(self, logits: Array) -> Array:
        """Alone in its step with probability a_i*prod_{j != i}(1 - a_j), a = e*R0*dt: shares a_i/(1 - a_i)."""
        a = relative_exponential(logits) * float(self.rate * self.dt)
        alone = a / (1 - a)
        return np.asarray(alone / alone.sum(axis=1, keepdims=True))


def window(dt: float) -> float:
    """Seconds for a step in ms: at the finest step as many as 10000 steps."""
    return min(2.5, 10 * dt)


def grid_step(lab: Lab) -> list[Sweep]:
    """Length of a step, for the usual coin and for keys that keep their surplus."""

    def coin(dt: float) -> CoinKeys:
        return CoinKeys(rate=200 * b2.Hz, dt=dt * b2.ms)

    def kept(dt: float) -> HazardKeys:
        return HazardKeys(rate=200 * b2.Hz, dt=dt * b2.ms)

    lab.prebuild([coin(1.0), kept(1.0)], lab.rows, 2.5)
    return [
        Sweep(
            "grid step", "dt", "ms", "escape by a coin a step, 200 Hz a row", TV, "coin a step",
            lab.points(STEPS, coin, window),
            law="1 - exp(-rate*dt) of every key at the gate that holds the row's rate",
        ),
        Sweep(
            "grid step", "dt", "ms", "escape keys that keep their surplus, 200 Hz a row", TV, "surplus kept",
            lab.points(STEPS, kept, window), law="0 while no key is due twice a step",
        ),
    ]  # fmt: skip


def grid_ties(lab: Lab) -> list[Sweep]:
    """Spikes of two keys of a row in one step: discarded or kept."""

    def discarded(dt: float) -> TieRace:
        return TieRace(rate=120 * b2.Hz, dt=dt * b2.ms)

    def both(dt: float) -> LooseRace:
        return LooseRace(rate=120 * b2.Hz, t_inh=0 * b2.ms, dt=dt * b2.ms)

    lab.prebuild([discarded(1.0), both(1.0)], lab.rows, 2.5)
    return [
        Sweep(
            "grid ties", "dt", "ms", "open race, top key at 120 Hz, ties discarded", TV, "discarded",
            lab.points(STEPS, discarded, window),
            law="a/(1 - a), a the chance of a key to spike in a step",
        ),
        Sweep(
            "grid ties", "dt", "ms", "open race, top key at 120 Hz, both spikes kept", TV, "both kept",
            lab.points(STEPS, both, window),
            law="0: the chance of a key does not depend on the others",
        ),
    ]  # fmt: skip


def saturation(lab: Lab) -> list[Sweep]:
    """Input of the largest key in spikes a step, of which it can emit one."""

    def race(spikes: float) -> LooseRace:
        return LooseRace(rate=spikes * b2.kHz, t_inh=0 * b2.ms, dt=1 * b2.ms)

    return [
        Sweep(
            "saturation", "rate*dt of the top key", "", "open race, input in spikes a step", TV, "race",
            lab.points(TOP_RATE, race, 2.5),
            law="min(1, rate*dt) of every key",
        )
    ]  # fmt: skip
