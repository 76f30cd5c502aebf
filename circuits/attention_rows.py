"""What drives the keys of a row of an attention block, and what holds the level of the logits.

`PinnedRows`, for circuits under a common gate: the drive is R0*exp(u_ij - reference_i). The level of the logits need
not be known, since each row has a reference potential that falls until the row spikes and then pins its rate.

`DrivenRows`, for circuits whose inhibition is subtracted: the drive is gain*exp(z_ij - top_i), top_i the largest logit
of the row in the limit of the scores, as the weights and the input say it, fixed before the run. The row has the
circuit's own inhibition and nothing else: no reference potential, no release.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from biospike.circuit import Source
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from biospike.wiring import each_step_of
from circuits.coincidence import score_size
from circuits.fluctuation import score_variance
from circuits.projection import BlockShape, Slots
from circuits.softmax import CommonGate, ThresholdLinear
from circuits.softmax.gate import NEVER_REACHED, check_fall

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

if TYPE_CHECKING:
    from circuits.attention import SpikingAttention

Array = NDArray[np.float64]

ROUTED = 1.0
"""Spikes a step that an output neuron can emit."""


class Rows(abc.ABC):
    """Rows of keys of one block."""

    score: ClassVar[str]
    """The score membrane among the variables of the keys."""
    keys: ClassVar[str]
    hub: ClassVar[str]
    hub_step: ClassVar[str]
    on_spike: ClassVar[str] = ""
    linked: ClassVar[tuple[str, ...]]
    counted: ClassVar[tuple[str, ...]] = ()
    """What the keys sum up at every checkpoint, beside their scores."""
    block: SpikingAttention

    def source(self, scores: str, checkpoints: int) -> Source:
        """Equations of the keys and hubs, with those of the scores."""
        sums = [f"{name}_{c} : 1" for name in self.counted for c in range(checkpoints)]
        return Source("\n".join([self.keys + scores, *sums]), self.hub, self.on_spike, self.linked)

    def wire(self, keys: b2.NeuronGroup, hub: b2.NeuronGroup, count: str, checkpoints: int, prefix: str) -> None:
        """Let scores and rows do each step what they do; `count` are the statements by which coincidences count."""
        charge = f"{self.score} = {self.score}*keep + charge*arrived"
        each_step_of(keys, f"{count}\n{charge}", when="before_groups", name=f"{prefix}score_each_step")
        each_step_of(hub, self.hub_step, when="before_groups", name=f"{prefix}row_each_step")

    @abc.abstractmethod
    def check(self, dt: Quantity) -> None:
        """Raise `InputError` if the circuit cannot do what the block needs of it."""

    @abc.abstractmethod
    def check_input(self, x: Array) -> None:
        """Raise `InputError` if the rows of inputs (samples, tokens, features) are out of reach."""

    def logits(self, x: Array) -> Array:
        """Logits of inputs in the limit, NaN where a query may not attend if all tokens are real."""
        return self.block.masked(self.block.logits_of(self.block.signed_rates(x)), None)

    @abc.abstractmethod
    def rates(self, logits: Array, y: Array) -> Array:
        """Attention spikes a step of every key as the window grows; shape of the logits."""

    def shares(self, logits: Array, y: Array) -> Array:
        """Shares of the keys as the window grows; shape of the logits."""
        rates = self.rates(logits, y)
        return np.asarray(rates / rates.sum(axis=-1, keepdims=True))

    def blank(self, unmasked: NDArray[np.bool_]) -> Array:
        """Logits from which the circuit makes the state of rows whose drive is not its own."""
        return np.zeros(unmasked.shape)

    @abc.abstractmethod
    def state(self, shape: BlockShape, slots: Slots, dt: Quantity) -> dict[str, Any]:
        """Initial state of what `source` adds, without the scores."""


class PinnedRows(Rows):
    """Under a common gate: a reference potential holds the rate of the row."""

    score: ClassVar[str] = "u"
    keys: ClassVar[str] = """
drive = R0_drive*exp(u - reference)*unmasked*attending : Hz
u              : 1                        # score membrane, nats
charge         : 1 (constant)             # nats a coincidence
keep           : 1 (shared, constant)     # exp(-dt/tau_s); 1 in the staged mode
unmasked       : 1 (constant)
R0_drive       : Hz (shared, constant)
reference      : 1 (linked)
attending      : 1 (linked)
bit            : integer (constant)
"""
    hub: ClassVar[str] = """
reference      : 1                        # log-domain inhibition of the row, nats
attending      : 1                        # 1 once the attention neurons are let go
attend_from    : integer (shared, constant)
release        : 1 (shared, constant)     # nats a step, until the first few spikes
first_spikes   : integer (shared, constant)
w_reference    : 1 (shared, constant)     # nats a spike
fall           : 1 (shared, constant)     # nats a step, w*R0*dt
"""
    hub_step: ClassVar[str] = """
attending = int(t_in_timesteps >= attend_from)
reference -= attending*(fall + release*int(row_spikes < first_spikes))
"""
    on_spike: ClassVar[str] = "reference_post += w_reference_post"
    linked: ClassVar[tuple[str, ...]] = ("reference", "attending")

    def __init__(self, block: SpikingAttention, circuit: CommonGate) -> None:
        self.block, self.circuit = block, circuit

    def check(self, dt: Quantity) -> None:
        """See `Rows`: a rate that the reference can hold."""
        check_fall(self.block.name, self.block.w, self.circuit.rate, dt, self.block.release)
        self.circuit.check_pinned(self.block.w, dt)

    def check_input(self, x: Array) -> None:
        """See `Rows`."""
        self.check_logits(self.logits(x))

    def check_logits(self, logits: Array) -> None:
        """Raise `InputError` unless the falling reference passes the largest logit of every row before the window."""
        block, top = self.block, np.nanmax(logits, axis=-1)
        # The first spikes raise it again, and that release must be over too.
        lowest = block.start - block.release * block.settle + block.w * block.first_spikes
        if top.max() >= block.start or top.min() <= lowest:
            raise InputError(
                f"{block.name}: the largest logits of the rows, {top.min():.3g} to {top.max():.3g} nats, must lie "
                f"between start - settle*release + first_spikes*w = {lowest:.3g} and start = {block.start:.3g}"
            )

    def rates(self, logits: Array, y: Array) -> Array:
        """See `Rows`: the rate at which the reference pins the row, shared out."""
        return float(self.circuit.rate * self.circuit.dt) * self.shares(logits, y)

    def shares(self, logits: Array, y: Array) -> Array:
        """See `Rows`: softmax, by the common gate."""
        return softmax(logits.reshape(-1, logits.shape[-1])).reshape(logits.shape)

    def state(self, shape: BlockShape, slots: Slots, dt: Quantity) -> dict[str, Any]:
        """See `Rows`."""
        block, rate = self.block, float(self.circuit.rate)
        occupied = np.broadcast_to(np.any(slots.unmasked, axis=-1, keepdims=False)[:, None], score_size(shape)[:-1])
        return {
            "keys.R0_drive": rate,
            "hub.reference": np.where(occupied, block.start, NEVER_REACHED).ravel(),
            "hub.release": block.release,
            "hub.first_spikes": block.first_spikes,
            "hub.w_reference": block.w,
            "hub.fall": block.w * rate * float(dt),
        }


class DrivenRows(Rows):
    """Under the circuit's own inhibition, which is subtracted: the level of the logits is fixed before the run."""

    score: ClassVar[str] = "z"
    keys: ClassVar[str] = """
drive = gain*exp(z - top)*unmasked*attending : 1
z              : 1                        # score membrane, nats
charge         : 1 (constant)             # nats a coincidence
keep           : 1 (shared, constant)     # exp(-dt/tau_s); 1 in the staged mode
unmasked       : 1 (constant)
gain           : 1 (shared, constant)     # thresholds a step
top            : 1 (linked)
attending      : 1 (linked)
bit            : integer (constant)
"""
    hub: ClassVar[str] = """
top            : 1 (constant)             # largest logit of the row in the limit, nats
attending      : 1                        # 1 once the attention neurons are let go
attend_from    : integer (shared, constant)
"""
    hub_step: ClassVar[str] = "attending = int(t_in_timesteps >= attend_from)"
    linked: ClassVar[tuple[str, ...]] = ("top", "attending")
    counted: ClassVar[tuple[str, ...]] = ("driven",)

    def __init__(self, block: SpikingAttention, circuit: ThresholdLinear) -> None:
        self.block, self.circuit = block, circuit

    def wire(self, keys: b2.NeuronGroup, hub: b2.NeuronGroup, count: str, checkpoints: int, prefix: str) -> None:
        """See `Rows`; the drive is summed up after the scores were charged and the rows were let go."""
        super().wire(keys, hub, count, checkpoints, prefix)
        sums = "\n".join(f"driven_{c} += drive*int(t_in_timesteps < checkpoint_{c})" for c in range(checkpoints))
        each_step_of(keys, sums, when="before_thresholds", name=f"{prefix}drive_each_step")

    def check(self, dt: Quantity) -> None:
        """See `Rows`: no leak, with which the rates depend on more than the mean of a drive that fluctuates."""
        if self.circuit.beta != 1:
            raise InputError(
                f"{self.block.name}: rows of {self.circuit.name} need beta = 1, with which their limit is known "
                f"while scores fluctuate; got {self.circuit.beta}"
            )

    def check_input(self, x: Array) -> None:
        """See `Rows`: outputs must be able to relay what the rows route to them."""
        values = self.block.rates_of(x)[:, :, 2]
        routed = float(np.einsum("nhij,njhes->nhies", self.rates(self.logits(x), x), values).max())
        if routed > ROUTED:
            gain = self.circuit.gain
            raise InputError(
                f"{self.block.name}: an output would have to relay {routed:.3g} spikes a step and can relay "
                f"{ROUTED:g}; take a gain of at most {0.99 * gain * ROUTED / routed:.2g}, got {gain:g}"
            )

    def rates(self, logits: Array, y: Array) -> Array:
        """See `Rows`: the fixed point at the mean drive, in spikes a step."""
        return self.settled(self.mean_drive(logits, y), ~np.isnan(logits))

    def mean_drive(self, logits: Array, y: Array) -> Array:
        """Mean over time of the drive, thresholds a step; above that of the mean scores by exp(variance/2)."""
        block, known = self.block, ~np.isnan(logits)
        distance = np.where(known, logits, 0.0) - self.top(logits)[..., None]
        if not block.staged:
            distance = distance + score_variance(block, y, block.keep, block.nats) / 2
        return np.where(known, self.circuit.gain * np.exp(distance), 0.0)

    def settled(self, drive: Array, known: NDArray[np.bool_]) -> Array:
        """Fixed point of the circuit at a drive (..., keys), thresholds a step, over the keys that are known."""
        return np.asarray(self.circuit.settled(drive, np.maximum(known.sum(axis=-1), 1)))

    @staticmethod
    def top(logits: Array) -> Array:
        """Largest logit of each row, 0 for one without keys."""
        top = np.where(np.isnan(logits), -np.inf, logits).max(axis=-1)
        return np.where(np.isfinite(top), top, 0.0)

    def blank(self, unmasked: NDArray[np.bool_]) -> Array:
        """See `Rows`: the circuit counts the keys by which it divides the spikes of the row."""
        return np.where(unmasked, 0.0, np.nan)

    def state(self, shape: BlockShape, slots: Slots, dt: Quantity) -> dict[str, Any]:
        """See `Rows`."""
        logits = self.block.logits_of(self.block.signed_rates(slots.x))
        return {
            "keys.gain": self.circuit.gain,
            "hub.top": self.top(np.where(slots.unmasked[:, None], logits, np.nan)).ravel(),
        }
