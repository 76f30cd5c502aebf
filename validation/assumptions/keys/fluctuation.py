"""Input that fluctuates: filtered spikes that drive the keys, and scores that fluctuate in the exponent."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Batch, Shape, Source
from biospike.ideal.softmax import softmax
from biospike.parameters import number, quantity
from biospike.random import normal
from biospike.wiring import each_step_of
from validation.assumptions.keys.hazard_keys import HazardKeys
from validation.assumptions.keys.membrane import TV
from validation.assumptions.lab import Lab
from validation.assumptions.sweep import Sweep

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

TAU_SYN = (0.0, 2.0, 10.0, 50.0)
TAU_SCORE = (1000.0, 300.0, 100.0, 30.0, 10.0)
GAIN = 8.0
"""Nats per coincidence a step, on the study's own rows."""
INPUTS = 2**56
"""Random numbers of the input spikes are indexed from here on, so that they are not those of the thresholds."""

FILTERED = Source(
    keys="""
    drive = R0_drive*x : Hz
    x          : 1                       # input spikes through the synapse, in units of the largest key's mean
    strength   : 1 (constant)            # exp(z_i - max z)
    p_in       : 1 (shared, constant)    # input spikes a step of the largest key
    keep_syn   : 1 (shared, constant)
    R0_drive   : Hz (shared, constant)
    """
)
FILTER = f"""
x = x*keep_syn + (1 - keep_syn)*bernoulli(p_in*strength, seed, trial, index + {INPUTS}, t_in_timesteps)/p_in
"""
SCORED = Source(
    keys="""
    drive = R0_drive*exp(u - top) : Hz
    u          : 1                       # score membrane, nats
    p_in       : 1 (constant)            # coincidences a step
    top        : 1 (constant)            # mean score of the largest key
    gain       : 1 (shared, constant)    # nats per coincidence a step
    keep_score : 1 (shared, constant)
    R0_drive   : Hz (shared, constant)
    """
)
CHARGE = f"""
u = u*keep_score + (1 - keep_score)*gain*bernoulli(p_in, seed, trial, index + {INPUTS}, t_in_timesteps)
"""


@attrs.frozen(kw_only=True)
class FilteredKeys(HazardKeys):
    """`HazardKeys` whose drive is input spikes, `p_in` a step for the largest key, through a synapse of `tau_syn`.

    The filter has unit area, so that the mean drive is that of `HazardKeys`. Under a common gate the mean shares are
    exact for Poisson input and escape keys: a key of drive e is e/epsilon keys of drive epsilon, which are all alike.
    """

    name = "filtered_keys"
    p_in: float = number(0.1, above=0, maximum=1)
    tau_syn: Quantity = quantity(0 * b2.ms, minimum=0 * b2.ms)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        network = HazardKeys.build(self, attrs.evolve(shape, source=FILTERED))
        each_step_of(network["keys"], FILTER, when="before_groups", name="keys_filter_each_step")
        return network

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """The synapse starts at its mean."""
        own = HazardKeys.state(self, batch, dt)
        del own["keys.drive"]
        keep = np.exp(-float(dt / self.tau_syn)) if self.tau_syn > 0 * b2.ms else 0.0
        return own | {
            "keys.x": batch.drive,
            "keys.strength": batch.drive,
            "keys.p_in": self.p_in,
            "keys.keep_syn": keep,
            "keys.R0_drive": float(self.rate),
        }


@attrs.frozen(kw_only=True)
class ScoredKeys(HazardKeys):
    """`HazardKeys` behind score membranes, as in streaming attention: u_i filters coincidences, the drive is exp(u_i).

    Coincidences are Bernoulli with probability p_i = lowest + (z_i - min z)/gain a step, so that the mean of u_i is
    z_i but for a constant, and u_i fluctuates with a variance of about gain^2*p_i*(1 - p_i)*dt/(2*tau_s).
    """

    name = "scored_keys"
    gain: float = number(GAIN, above=0)
    lowest: float = number(0.1, above=0, maximum=1)
    tau_steps: float = number(100.0, above=0)

    def build(self, shape: Shape) -> b2.Network:
        """See `biospike.circuit.Circuit.build`."""
        network = HazardKeys.build(self, attrs.evolve(shape, source=SCORED))
        each_step_of(network["keys"], CHARGE, when="before_groups", name="keys_score_each_step")
        return network

    def coincidences(self, logits: Array) -> Array:
        """Coincidences a step, (rows, keys); 0 for masked keys."""
        known = ~np.isnan(logits)
        lowest = np.where(known, logits, np.inf).min(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.where(known, self.lowest + (logits - lowest) / self.gain, 0.0)

    def state(self, batch: Batch, dt: Quantity) -> dict[str, Any]:
        """Scores start in their stationary state, taken as normal."""
        own = HazardKeys.state(self, batch, dt)
        del own["keys.drive"]
        p, keep = self.coincidences(batch.logits), np.exp(-1 / self.tau_steps)
        sd = self.gain * np.sqrt(p * (1 - p) * (1 - keep) / (1 + keep))
        # A key without input would have the score 0, and not none: masked keys are put out of reach.
        out = np.where(np.isnan(batch.logits), 1e3, self.gain * p.max(axis=1, keepdims=True))
        return own | {
            "keys.u": self.gain * p + sd * normal(batch.seed, batch.trial[:, None], batch.index, -3),
            "keys.p_in": p,
            "keys.top": out,
            "keys.gain": self.gain,
            "keys.keep_score": keep,
            "keys.R0_drive": float(self.rate),
        }

    def limit(self, logits: Array) -> Array:
        """Shares E[exp u_i]/sum_j E[exp u_j] under inhibition that is slow against the scores, exact.

        ln E[exp u] = sum_k ln(1 + p*(exp(gain*(1 - keep)*keep^k) - 1)), k from 0 to infinity: about z + var/2.
        """
        p, keep = self.coincidences(logits), np.exp(-1 / self.tau_steps)
        weight = self.gain * (1 - keep) * keep ** np.arange(int(40 * self.tau_steps))
        known = ~np.isnan(logits)
        grown = np.full(logits.shape, np.nan)
        grown[known] = np.log1p(p[known][:, None] * np.expm1(weight)).sum(axis=1)
        return softmax(grown)


def synaptic_filtering(lab: Lab) -> list[Sweep]:
    """Time constant of the synapses through which input spikes drive the keys."""
    sweeps = []
    for label, k in (("escape", 1.0), ("integrate", np.inf)):

        def keys(tau: float, k: float = k) -> FilteredKeys:
            return FilteredKeys(tau_syn=tau * b2.ms, rate=200 * b2.Hz, regularity=k, dt=0.5 * b2.ms)

        sweeps.append(
            Sweep(
                "synaptic filtering", "tau_syn", "ms", f"{label} keys driven by spikes, 200 Hz a row", TV, label,
                lab.points(TAU_SYN, keys, 2.5),
                law="0 for Poisson input: a strong key is many weak ones that are all alike",
            )
        )  # fmt: skip
    return sweeps


def jensen_bias(lab: Lab) -> list[Sweep]:
    """Time constant of the score membrane whose exponential drives the keys, in steps."""
    sweeps = []
    for label, w in (("slow inhibition", 0.01), ("fast inhibition", 1.0)):

        def keys(tau: float, w: float = w) -> ScoredKeys:
            # The same coincidences, whatever a row's logits are multiplied by.
            gain = GAIN * lab.factor
            return ScoredKeys(tau_steps=tau, w=w, gain=gain, rate=200 * b2.Hz, dt=0.5 * b2.ms)

        sweeps.append(
            Sweep(
                "Jensen bias", "tau_s", "steps", f"escape keys behind score membranes, {label} (w = {w:g})", TV, label,
                lab.points(TAU_SCORE, keys, 2.0, predict=label == "slow inhibition"),
                law="E[exp u]/sum E[exp u], about exp(var/2)" if label == "slow inhibition" else "",
            )
        )  # fmt: skip
    return sweeps
