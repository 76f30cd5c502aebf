"""One layer of discrete neurons, replayed from its currents as it is and with one idealisation given up at a time.

What is given up, one a column of the table:

============ ==========================================================================================================
leak         the other way: leaky membranes keep everything, those without a leak lose 1/`LEAK` a step
refractory   for a step after every spike the input is lost and nothing spikes
noise        a normal number of `NOISE` thresholds on the membrane, each step
spread       thresholds that differ by `SPREAD` from neuron to neuron (standard deviation, normal)
dt           `SUBSTEPS` steps in the place of each, towards where the membrane would be: it resets where it crosses
============ ==========================================================================================================

A spike survives where the changed layer has one too, same neuron and step. Currents stay those of the unchanged model,
so that this is what one layer does, not what becomes of the layers after it.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.auditing.records import Currents
from biospike.metrics import student_quantile
from biospike.random import normal

LEAK = 20.0
NOISE = 0.05
SPREAD = 0.05
SUBSTEPS = 10
DRAWS = 4
"""Of noise, and of thresholds."""
PARTS = 10
"""Into which the neurons of a single sample are cut, for intervals."""
RELAXATIONS = ("leak", "refractory", "noise", "spread", "dt")
RANDOM = ("noise", "spread")

Values = Any
"""Membranes (batch, ...) in the precision of the model, or one number for all."""


@attrs.frozen(kw_only=True)
class Neuron(abc.ABC):
    """A discrete neuron of a framework: its own operations in their order.

    Attributes
    ----------
    v_th : float
    reset : str
        ``zero``, ``subtract`` or ``none``.
    """

    v_th: float
    reset: str

    @property
    @abc.abstractmethod
    def rest(self) -> float:
        """Membrane at the start."""

    @abc.abstractmethod
    def charged(self, v: Values, x: Values, threshold: Values) -> Values:
        """Membrane that is compared with the threshold."""

    @abc.abstractmethod
    def fires(self, h: Values, threshold: Values) -> NDArray[np.bool_]:
        """Spikes."""

    @abc.abstractmethod
    def after(self, h: Values, fired: Values, v: Values, threshold: Values) -> Values:
        """Membrane that is kept; v is that of before the step."""

    @abc.abstractmethod
    def with_other_leak(self) -> Neuron:
        """The neuron without its leak, or with one."""

    @abc.abstractmethod
    def towards(self, x: Values) -> tuple[float, Values]:
        """What of a difference is left after a step, and where a constant input leads; without leak 1 and the slope."""

    def replay(self, currents: Currents, relaxed: str = "", *, seed: int = 0, draw: int = 0) -> NDArray[np.bool_]:
        """Spikes of the layer, as it is or with one of `RELAXATIONS` given up.

        Parameters
        ----------
        currents
            Of the layer, and the membrane from which it started.
        relaxed
            Empty for none.
        seed, draw
            Of noise and thresholds.

        Returns
        -------
        bool array (steps, batch, ...)
        """
        x = currents.inputs
        kind = x.dtype.type
        neuron = self.with_other_leak() if relaxed == "leak" else self
        places = np.arange(x[0].size).reshape(x[0].shape)
        threshold: Values = kind(self.v_th)
        if relaxed == "spread":  # a neuron has one threshold, whatever the sample
            threshold = (self.v_th * (1 + SPREAD * normal(seed, draw, places[:1], -1))).astype(kind)
        v = np.full_like(x[0], self.rest) if currents.start is None else currents.start.astype(kind)
        spikes, held = np.zeros(x.shape, dtype=bool), np.zeros(x[0].shape, dtype=bool)
        for t, drive in enumerate(x):
            if relaxed == "dt":
                v, spikes[t] = self._finely(v, drive, threshold)
                continue
            h = neuron.charged(v, np.where(held, kind(0), drive) if relaxed == "refractory" else drive, threshold)
            if relaxed == "noise":
                h = (h + NOISE * self.v_th * normal(seed, draw, places, t)).astype(kind)
            fired = neuron.fires(h, threshold)
            if relaxed == "refractory":
                fired &= ~held
                held = fired
            v = neuron.after(h, fired, v, threshold)
            spikes[t] = fired
        return spikes

    def _finely(self, v: Values, x: Values, threshold: Values) -> tuple[Values, NDArray[np.bool_]]:
        """Membrane and spikes after a step that is cut into `SUBSTEPS`."""
        left, goal = self.towards(x)
        some = np.zeros(x.shape, dtype=bool)
        for _ in range(SUBSTEPS):
            v = v + (goal / SUBSTEPS if left == 1 else (1 - left ** (1 / SUBSTEPS)) * (goal - v)).astype(x.dtype)
            fired = self.fires(v, threshold)
            some |= fired
            if self.reset != "none":
                v = np.where(fired, v - threshold if self.reset == "subtract" else x.dtype.type(self.rest), v)
        return v, some


@attrs.frozen(kw_only=True)
class SpikingJellyNode(Neuron):
    """H = V + (X - (V - v_reset))/tau, or without `decay_input` V - (V - v_reset)/tau + X; spike at H >= v_th.

    An infinite tau is the ``IFNode``.
    """

    tau: float = np.inf
    decay_input: bool = False
    v_reset: float = 0.0

    @property
    def rest(self) -> float:
        """See `Neuron`."""
        return self.v_reset if self.reset == "zero" else 0.0

    def charged(self, v: Values, x: Values, threshold: Values) -> Values:
        """See `Neuron`."""
        decay = v - self.rest
        return v + (x - decay) / self.tau if self.decay_input else v - decay / self.tau + x

    def fires(self, h: Values, threshold: Values) -> NDArray[np.bool_]:
        """See `Neuron`."""
        return np.asarray(h >= threshold)

    def after(self, h: Values, fired: Values, v: Values, threshold: Values) -> Values:
        """See `Neuron`."""
        return np.where(fired, h.dtype.type(self.rest) if self.reset == "zero" else h - threshold, h)

    def with_other_leak(self) -> Neuron:
        """See `Neuron`."""
        if np.isinf(self.tau):
            return attrs.evolve(self, tau=LEAK)
        return _Kept(v_th=self.v_th, reset=self.reset, v_reset=self.v_reset, gain=self.tau if self.decay_input else 1.0)

    def towards(self, x: Values) -> tuple[float, Values]:
        """See `Neuron`."""
        return 1 - 1 / self.tau, x if np.isinf(self.tau) else self.rest + (x if self.decay_input else self.tau * x)


@attrs.frozen(kw_only=True)
class _Kept(SpikingJellyNode):
    """A node without leak whose input is divided as before."""

    gain: float = 1.0

    def charged(self, v: Values, x: Values, threshold: Values) -> Values:
        return v + x / self.gain


@attrs.frozen(kw_only=True)
class SnnTorchLeaky(Neuron):
    """beta*mem + I, less what is due of the reset of before; spike at mem > threshold.

    With `delayed`, its default, the reset waits for the next step; without, what was reset already is not again.
    """

    beta: float
    delayed: bool = True

    @property
    def rest(self) -> float:
        """See `Neuron`."""
        return 0.0

    def charged(self, v: Values, x: Values, threshold: Values) -> Values:
        """See `Neuron`."""
        due = (v > threshold).astype(x.dtype)
        if self.reset == "zero":
            return x.dtype.type(self.beta) * ((1 - due) * v) + x
        charged = x.dtype.type(self.beta) * v + x
        return charged - due * threshold if self.reset == "subtract" else charged

    def fires(self, h: Values, threshold: Values) -> NDArray[np.bool_]:
        """See `Neuron`."""
        return np.asarray(h > threshold)

    def after(self, h: Values, fired: Values, v: Values, threshold: Values) -> Values:
        """See `Neuron`."""
        if self.delayed or self.reset == "none":
            return h
        due = fired.astype(h.dtype) - (v > threshold).astype(h.dtype)
        return h - due * (threshold if self.reset == "subtract" else h)

    def with_other_leak(self) -> Neuron:
        """See `Neuron`."""
        return attrs.evolve(self, beta=1.0 if self.beta < 1 else 1 - 1 / LEAK)

    def towards(self, x: Values) -> tuple[float, Values]:
        """See `Neuron`."""
        return self.beta, x if self.beta == 1 else x / (1 - self.beta)


class Survival(NamedTuple):
    """Fraction of a layer's spikes that survive, with its 95 % interval over samples, or over parts of the neurons."""

    fraction: float
    low: float
    high: float


def survival(neuron: Neuron, currents: Currents, relaxed: str, seed: int = 0) -> Survival:
    """How many of the spikes survive one of `RELAXATIONS`.

    A ratio of sums; its interval is Student's over samples, or over `PARTS` of the neurons of a single one, and of
    noise and thresholds, beside it, over `DRAWS`.
    """
    spikes = currents.spikes != 0
    if not spikes.any():
        return Survival(np.nan, np.nan, np.nan)
    draws = range(DRAWS if relaxed in RANDOM else 1)
    hits = np.stack([_parts(spikes & neuron.replay(currents, relaxed, seed=seed, draw=draw)) for draw in draws])
    whole = _parts(spikes)
    fraction = float(hits.mean(axis=0).sum() / whole.sum())
    half = _half(hits.mean(axis=0) - fraction * whole, len(whole) / whole.sum())
    if len(hits) > 1:
        half = float(np.hypot(half, _half(hits.sum(axis=1) / whole.sum() - fraction, 1.0)))
    return Survival(fraction, max(fraction - half, 0.0), min(fraction + half, 1.0))


def _parts(spikes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Spikes by sample, or of one sample by part of its neurons."""
    if spikes.shape[1] > 1:
        return spikes.reshape(len(spikes), spikes.shape[1], -1).sum(axis=(0, 2)).astype(float)
    by_neuron = spikes.reshape(len(spikes), -1).sum(axis=0)
    return np.array([part.sum() for part in np.array_split(by_neuron, min(PARTS, by_neuron.size))], dtype=float)


def _half(residuals: NDArray[np.float64], scale: float) -> float:
    """Half of the 95 % interval of a mean of residuals, times a scale; NaN for a single one."""
    if len(residuals) < 2:
        return np.nan
    return float(student_quantile(len(residuals) - 1, 0.95) * residuals.std(ddof=1) / np.sqrt(len(residuals)) * scale)
