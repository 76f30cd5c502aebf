"""Attention by spikes in the place of the softmax, in some heads of a model: what a circuit does, as `Attend`.

By shares, counts are drawn from the law of the code at N spikes a row: multinomial ones of independent
spikes, or floor(N p + u) of regular ones, u a phase of every key, of p the softmax or, where it is something else, the
circuit's limit. N infinite is that limit itself. By simulate, the circuit runs in Brian2.

Blocks: ``attention`` is the row's spikes alone. ``values``: they read the spike trains of values, one step each.
``scores``: scores counted over T steps from trains of queries and keys, and nothing else. ``all``: all of it. Every
neuron has one train, which all its readers share.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biospike import simulate
from biospike.ideal.softmax import softmax
from biospike.ideal.transformer import Heads, exact
from biospike.theory.propagation import RATE
from circuits import SOFTMAX_CIRCUITS
from circuits.softmax import COMMON_GATES

Array = NDArray[Any]

BLOCKS = ("attention", "values", "scores", "all")
SCALES = ("calibrated", "token", "sentence")
REGULAR = ("integrate", "divisive", "subtractive", "shunting", "none", "self_inhibition")
"""Circuits whose keys spike like clocks; the others' spikes are drawn independently of one another."""


class Condition(NamedTuple):
    """How the attention is done.

    Attributes
    ----------
    circuit : str
    block, scale : str
        Of `BLOCKS` and `SCALES`.
    by : str
        ``shares``, ``limit`` or ``simulate``.
    spikes : float
        N of every row, by shares.
    steps : int
        T, of trains; 0 where there are none.
    duration : str
        By simulate.
    chosen : tuple of (layer, head)
        Heads whose attention it is.
    target : str
        By simulate.
    """

    circuit: str
    block: str
    scale: str
    by: str
    spikes: float
    steps: int
    duration: str
    chosen: tuple[tuple[int, int], ...]
    target: str = "auto"

    @property
    def regular(self) -> bool:
        """Whether its keys spike like clocks."""
        return self.circuit in REGULAR

    @property
    def biased(self) -> bool:
        """Whether its limit is not softmax."""
        return self.circuit not in COMMON_GATES and self.circuit not in ("none", "self_inhibition")


def row_limit(circuit: str, logits: Array) -> Array:
    """Limit of the circuit for logits (..., keys)."""
    return SOFTMAX_CIRCUITS[circuit]().limit(logits.reshape(-1, logits.shape[-1])).reshape(logits.shape)


def scales_of(scale: str, given: Heads, calibrated: Array) -> tuple[Array, ...]:
    """Values of q, k and v that spike at the rate `RATE`.

    Parameters
    ----------
    scale
        ``token``: the largest of each token and head; ``sentence``: of each sample and head; ``calibrated``: of each
        head over the calibration.
    calibrated
        The largest of each, (3, layers, heads).
    """
    if scale == "calibrated":
        return tuple(own[given.layer][:, None, None] for own in calibrated)
    axes = (-1,) if scale == "token" else (-1, -2)
    return tuple(np.abs(x).max(axis=axes, keepdims=True) for x in (given.q, given.k, given.v))


class Attention:
    """The attention of one condition, for the layers of one chunk in their order.

    Attributes
    ----------
    inverse : dict
        1/N of every row by layer, (batch, heads, queries); NaN of silent rows.
    """

    def __init__(self, condition: Condition, calibrated: Array, key: tuple[int, ...], jobs: int | None = 1) -> None:
        self.condition, self.calibrated, self.jobs = condition, calibrated, jobs
        self.rng = np.random.default_rng(key)
        self.inverse: dict[int, Array] = {}

    def __call__(self, given: Heads) -> Array:
        """See `biospike.ideal.transformer.Attend`."""
        heads = [head for layer, head in self.condition.chosen if layer == given.layer]
        if not heads:
            return exact(given)
        whole = exact(given)
        own = Heads(given.layer, *(x[:, heads] for x in given[1:]))
        calibrated = self.calibrated[:, :, heads]
        whole[:, heads] = self._spiking(own, scales_of(self.condition.scale, own, calibrated))
        return whole

    def _spiking(self, given: Heads, scales: tuple[Array, ...]) -> Array:
        condition = self.condition
        logits, p = given.logits, given.p
        if condition.block in ("scores", "all"):
            logits = self._counted(given, scales)
            p = softmax(logits)
        if condition.block == "scores":
            return np.asarray(p @ given.v)
        if condition.by == "simulate":
            return self._simulated(logits, given)
        if condition.biased:
            p = row_limit(condition.circuit, logits)
        if np.isinf(condition.spikes):
            return np.asarray(p @ given.v)
        self.inverse[given.layer] = np.full(p.shape[:-1], 1 / condition.spikes)
        if condition.block == "attention":
            counts = _counts(self.rng, p, condition.spikes, condition.regular)
            total = counts.sum(axis=-1, keepdims=True)
            return np.asarray((counts / np.maximum(total, 1)) @ given.v)
        c = np.broadcast_to(scales[2], (*given.v.shape[:-1], 1))
        each = zip(p, given.v, c, strict=True)  # one sample after the other: trains are large
        return np.stack([_read(self.rng, *own, int(condition.spikes), condition.steps) for own in each])

    def _counted(self, given: Heads, scales: tuple[Array, ...]) -> Array:
        """Logits from coincidences over the steps, NaN where a key is masked."""
        steps, found = self.condition.steps, np.empty(given.logits.shape)
        c_q, c_k = (np.broadcast_to(scale, (*given.q.shape[:-1], 1)) for scale in scales[:2])
        for sample, (q, q_scale, k, k_scale) in enumerate(zip(given.q, c_q, given.k, c_k, strict=True)):
            own, others = (_flat(_trains(self.rng, *of, steps)) for of in ((q, q_scale), (k, k_scale)))
            pairs = own @ others.swapaxes(-1, -2)
            found[sample] = pairs * (q_scale / RATE) * (k_scale / RATE).swapaxes(-1, -2)
        return np.where(np.isnan(given.logits), np.nan, found / (steps * np.sqrt(given.q.shape[-1])))

    def _simulated(self, logits: Array, given: Heads) -> Array:
        rows = logits.reshape(-1, logits.shape[-1]).astype(np.float64)
        data = simulate(
            SOFTMAX_CIRCUITS[self.condition.circuit](), rows, duration=self.condition.duration, checkpoints=1,
            limit=False, seed=int(self.rng.integers(2**32)), target=self.condition.target, jobs=self.jobs, check=False,
        )  # fmt: skip
        counts = data["spike_count"].values[0, :, :, -1].reshape(logits.shape)
        total = counts.sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore"):
            self.inverse[given.layer] = np.where(total[..., 0] > 0, 1 / total[..., 0], np.nan)
        return np.asarray((counts / np.maximum(total, 1)) @ given.v)  # a silent row gives nothing


def _counts(rng: np.random.Generator, p: Array, spikes: float, regular: bool) -> Array:
    """Spikes of every key, by the code."""
    if regular:
        return np.floor(spikes * p + rng.random(p.shape))
    double = p.astype(np.float64)
    return rng.multinomial(int(spikes), double / double.sum(axis=-1, keepdims=True))


def _trains(rng: np.random.Generator, x: Array, scale: Array, steps: int) -> Array:
    """Signed ON/OFF trains (..., tokens, steps, d_k) of 1, 0 and -1, whose mean is x RATE/scale.

    A byte decides, and a finer number where the byte lies on the edge: exact, and a fraction of the time. Sums of whole
    numbers below 2^24 are exact in float32, in any order.
    """
    chance = np.minimum(np.abs(x) * RATE / scale, 1)[..., None, :]
    edge = np.minimum(np.floor(256 * chance), 255)
    rest = 256 * chance - edge
    byte = rng.integers(256, size=(*x.shape[:-1], steps, x.shape[-1]), dtype=np.uint8)
    fired = byte < edge.astype(np.uint8)
    *outer, _, inner = at = np.nonzero(byte == edge.astype(np.uint8))
    fired[at] = rng.random(len(inner)) < rest[(*outer, 0, inner)]
    return np.asarray(fired * np.sign(x).astype(np.float32)[..., None, :])


def _flat(trains: Array) -> Array:
    return trains.reshape(*trains.shape[:-2], -1)


def _read(rng: np.random.Generator, p: Array, v: Array, scale: Array, spikes: int, steps: int) -> Array:
    """Mean of what N spikes of every row (heads, queries), each at a step of its own, read of the value trains."""
    trains = _trains(rng, v, scale, steps)
    cumulative = p.cumsum(axis=-1) / p.sum(axis=-1, keepdims=True)
    keys = (rng.random((*p.shape[:-1], spikes, 1)) > cumulative[..., None, :-1]).sum(axis=-1)
    at = rng.random((*p.shape[:-1], steps)).argpartition(spikes - 1, axis=-1)[..., :spikes]
    heads = np.arange(len(p))[:, None, None]
    read = trains[heads, keys, at] * (scale / RATE)[heads, keys]
    return np.asarray(read.mean(axis=-2), dtype=v.dtype)
