"""SpikeGPT's attention that ages, as rows of keys under an inhibition that jumps.

A row is a channel, its keys the tokens so far. Key i holds its level for ever, and what is forgotten is forgotten by
the row: at the end of every token a clock sends one spike to each row, whose inhibition then jumps by the decay w.

    log drive_i = k_i + i w + (u - w)[i is current] - forgotten,      forgotten <- forgotten + w a token

so that key i has k_i - (t-1-i) w at token t > i, and the current one k_t + u, up to a common factor: the shares are
those of `biospike.ideal.attention.spikegpt.ageing_logits`. Levels and inhibition are logarithms, and only their
difference is taken to an exponential. The circuit of the rows, `escape` or `integrate`, pins their rate as ever, and
has to follow only what the log-sum does besides the jump. Left to it alone, without the jump, every token costs
w/w_inh spikes until the row's rate is back, which fails at large decays.

Assumptions: tokens last equally long; a key's charge below threshold stays when the token ends, up to a spike. Ties are
those of the rows' circuit. Reference: arXiv:2302.13939.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import execution
from biospike.circuit import Batch, Shape, Source
from biospike.errors import InputError
from biospike.ideal.attention.spikegpt import ageing_logits, checked
from biospike.ideal.softmax import softmax
from biospike.packing import NUMPY_SECONDS_PER_NEURON, NUMPY_SECONDS_PER_STEP
from biospike.parameters import flag, quantity
from biospike.random import MOST_STEPS
from biospike.session import assemble
from circuits.softmax import Escape, Integrate

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

Array = NDArray[np.float64]

KEYS = """
drive = R0_drive*arrived*exp(clip(level + bonus*current - forgotten, -700, 50)) : Hz
arrived = int(t_in_timesteps >= from_step)                  : 1
current = int(t_in_timesteps < from_step + token_steps)     : 1
level       : 1 (constant)          # k_i + i*w, nats
bonus       : 1 (constant)          # u - w
from_step   : integer (constant)    # at which the token arrives
token_steps : integer (shared, constant)
R0_drive    : Hz (shared, constant)
forgotten   : 1 (linked)
"""
HUB = """
forgotten   : 1                     # nats
decay       : 1 (constant)          # w, nats a token
"""
CLOCK = "steps : integer (shared, constant)"
NEURONS_PER_BATCH = 2**13
LEAST = 1e-100
"""Smaller shares never spike, and binomial laws of them overflow."""


def check_rows(instance: Any, attribute: Any, value: Any) -> None:
    """Accept the circuits that hold the rate of a row by integral inhibition."""
    if not isinstance(value, Escape | Integrate):
        raise InputError(f"AgeingAttention: softmax must be Escape(...) or Integrate(...), got {value!r}")


@attrs.frozen(eq=False)
class TokenRows:
    """Size of the network: rows and tokens."""

    rows: int
    tokens: int

    @property
    def sizes(self) -> tuple[int, int]:
        """What is compiled in."""
        return self.rows, self.tokens


@attrs.frozen(kw_only=True, eq=False)
class AgeingAttention:
    """Rows of keys that age.

    Parameters
    ----------
    softmax
        Circuit of the rows: `Escape` or `Integrate`, with its rate and grid.
    token
        How long a token lasts.
    jump
        Whether the inhibition jumps; False leaves it all to the rows' own servo.
    """

    name: ClassVar[str] = "spikegpt"
    softmax: Escape | Integrate = attrs.field(
        factory=lambda: Escape(rate=400 * b2.Hz, dt=0.1 * b2.ms), validator=check_rows
    )
    token: Quantity = quantity(0.5 * b2.second, above=0 * b2.ms)
    jump: bool = flag(True)

    @property
    def structure(self) -> dict[str, Any]:
        """Everything that `build` reads besides the size."""
        return {"softmax": self.softmax.name, "of softmax": self.softmax.structure}

    @property
    def token_steps(self) -> int:
        """Steps of a token."""
        return execution.count_steps(self.token, self.softmax.dt, like=1 * b2.second)

    def limit(self, k: ArrayLike, decay: ArrayLike, bonus: ArrayLike) -> Array:
        """Shares of every key at every token as its time grows, (channels, tokens, keys); 0 for tokens to come."""
        logits = ageing_logits(k, decay, bonus)
        return softmax(logits.reshape(-1, logits.shape[-1])).reshape(logits.shape)

    def expected_tv(self, shares: ArrayLike, spikes: ArrayLike) -> Array:
        """Error law of the rows' circuit, of shares (..., keys) and the row's spikes in the token (...)."""
        p, n = np.asarray(shares, dtype=float), np.asarray(spikes, dtype=float)
        p = np.where(p < LEAST, 0.0, p)
        return np.asarray(self.softmax.expected_tv(p, n), dtype=float)

    def build(self, shape: TokenRows) -> b2.Network:
        """Network with ``keys``, ``hub`` and ``clock``; runs nothing."""
        rows = self.softmax.build(
            Shape(
                shape.rows, shape.rows * shape.tokens, shape.tokens,
                hub_index=np.arange(shape.rows).repeat(shape.tokens),
                source=Source(keys=KEYS, hub=HUB, linked=("forgotten",)),
            )
        )  # fmt: skip
        clock = b2.NeuronGroup(
            1,
            CLOCK,
            threshold="t_in_timesteps % steps == steps - 1",
            reset="",
            method="exact",
            namespace={},
            name="clock",
        )
        forget = b2.Synapses(clock, rows["hub"], on_pre="forgotten_post += decay_post", namespace={}, name="forget")
        forget.connect()
        return assemble(*rows.objects, clock, forget)

    def state(self, k: Array, decay: Array, bonus: Array, trial: NDArray[np.int64], channel: NDArray[np.int64],
              seed: int) -> dict[str, Any]:  # fmt: skip
        """Initial state of rows (trial, channel); `k` (tokens, channels) of all channels."""
        tokens, dt = len(k), self.softmax.dt
        batch = Batch(np.zeros((len(trial), tokens)), trial, channel, seed)
        own: dict[str, Any] = self.softmax.state(batch, dt)
        del own["keys.drive"]
        w, u = decay[channel], bonus[channel]
        level = k.T[channel] + np.arange(tokens) * w[:, None]
        own |= {
            "keys.level": level,
            "keys.bonus": np.repeat((u - w)[:, None], tokens, axis=1),
            "keys.from_step": np.tile(np.arange(tokens) * self.token_steps, (len(trial), 1)),
            "keys.token_steps": self.token_steps,
            "keys.R0_drive": float(self.softmax.rate),
            # Balanced at the first token, whose share is 1.
            "hub.forgotten": level[:, 0] + u - w,
            "hub.decay": w if self.jump else np.zeros_like(w),
            "clock.steps": self.token_steps,
            "keys.seed": seed,
            "keys.trial": trial.repeat(tokens),
            "keys.index": batch.index.ravel(),
        }
        return own | {f"keys.checkpoint_{t}": (t + 1) * self.token_steps for t in range(tokens)}


@attrs.frozen(eq=False)
class Reading:
    """Channels and trials cut into batches of one size; an `biospike.execution.Plan`."""

    circuit: AgeingAttention
    k: Array
    decay: Array
    bonus: Array
    trials: int
    seed: int
    rows: int

    @property
    def dt(self) -> float:
        """Step, second."""
        return float(self.circuit.softmax.dt)

    @property
    def batches(self) -> int:
        """Number of batches."""
        return -(-self.trials * self.k.shape[1] // self.rows)

    @property
    def numpy_seconds(self) -> float:
        """Rough time on the numpy target."""
        per_step = 8 * NUMPY_SECONDS_PER_STEP + self.rows * len(self.k) * NUMPY_SECONDS_PER_NEURON
        return self.batches * len(self.k) * self.circuit.token_steps * per_step

    @property
    def wanted(self) -> list[str]:
        """Variables to read."""
        return [f"keys.count_{t}" for t in range(len(self.k))]

    def shape(self, number: int | None = None) -> TokenRows:
        """Size of the network."""
        del number  # all batches have one size
        return TokenRows(self.rows, len(self.k))

    def duration(self, number: int) -> float:
        """How long a batch runs, second."""
        del number
        return len(self.k) * self.circuit.token_steps * self.dt

    def _rows(self, number: int) -> tuple[NDArray[np.int64], int]:
        """Rows of a batch, of which those behind the last are that again, and how many are used."""
        every = self.trials * self.k.shape[1]
        first = number * self.rows
        return np.minimum(np.arange(first, first + self.rows), every - 1), min(self.rows, every - first)

    def state(self, number: int) -> dict[str, Any]:
        """Initial state of a batch."""
        trial, channel = np.divmod(self._rows(number)[0], self.k.shape[1])
        return self.circuit.state(self.k, self.decay, self.bonus, trial, channel, self.seed)

    def collect(self, number: int, result: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Spikes of every key in every token, by row."""
        counts = np.stack([result[name].reshape(self.rows, -1) for name in self.wanted], axis=1)
        return {"spike_count": np.diff(counts, axis=1, prepend=0)[: self._rows(number)[1]]}


def read_tokens(
    circuit: AgeingAttention,
    k: ArrayLike,
    v: ArrayLike,
    decay: ArrayLike,
    bonus: ArrayLike,
    *,
    trials: int = 1,
    seed: int = 0,
    target: str = "auto",
    progress: bool = False,
) -> xr.Dataset:
    """Let rows of keys attend to tokens as they come.

    Parameters
    ----------
    circuit
        Rows that age.
    k, v, decay, bonus
        As of `biospike.ideal.attention.spikegpt.wkv`.
    trials, seed, target, progress
        As of `biospike.simulate`.

    Returns
    -------
    xarray.Dataset
        `spike_count` (trial, channel, token, key), spikes of every key while a token lasts; `share`, NaN where a row
        was silent; `limit`, what it tends to; `wkv` (trial, token, channel), the shares times the values.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    keys, values, w, u = checked(k, v, decay, bonus)
    execution.check_counts(trials, seed)
    circuit.softmax.check(circuit.softmax.dt)
    tokens, channels = keys.shape
    if tokens * circuit.token_steps > MOST_STEPS:
        raise InputError(
            f"{circuit.name}: {tokens} tokens of {circuit.token_steps} steps are {tokens * circuit.token_steps} steps; "
            f"at most {MOST_STEPS} can be counted"
        )
    rows = max(1, min(NEURONS_PER_BATCH // tokens, trials * channels))
    plan = Reading(circuit, keys, w, u, int(trials), int(seed), rows)
    [(chosen, reason)] = execution.settle_targets([plan], target, progress=progress)
    found = execution.execute(plan, chosen, jobs=execution.check_jobs(None), progress=progress)
    counts = found["spike_count"].reshape(trials, channels, tokens, tokens)
    fired = counts.sum(axis=-1, keepdims=True)
    share = counts / np.where(fired > 0, fired, np.nan)
    dims = ("trial", "channel", "token", "key")
    return xr.Dataset(
        {
            "spike_count": (dims, counts),
            "share": (dims, share),
            "limit": (dims[1:], circuit.limit(keys, w, u)),
            "wkv": (("trial", "token", "channel"), np.einsum("rcti,ic->rtc", share, values)),
        },
        attrs={"target": chosen, "target_reason": reason, "seed": int(seed), "circuit": circuit.name},
    )
