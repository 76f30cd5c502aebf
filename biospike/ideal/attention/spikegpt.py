"""SpikeGPT (arXiv:2302.13939): attention that ages, and LIF neurons over tokens; a timestep is a token.

    wkv_t = [sum_{i<t} e^{k_i - (t-1-i) w} v_i + e^{u + k_t} v_t] / [the same without v],      w > 0 a channel
    x <- x + LIF(W_o (sigmoid(r) * wkv)),     x <- x + LIF(sigmoid(W_r x_r) * W_v relu(W_k x_k)^2)

A channel of wkv is a softmax over past tokens with the ageing logits z_i = k_i - (t-1-i) w, z_t = u + k_t, in
`ageing_logits` by ages, in `wkv` as a recursion with a running maximum, whose state is carried on from token to token.
k, v and r are projections of tokens mixed with the one before (token shift), without bias. The LIF is
h <- h + (I - h)/2, a spike at h >= 1, h <- 0, carried along the sequence.

Held levels i*w overflow as numbers at large w and lose digits over long sequences: what is kept here is a logarithm,
and compared by ages. Rates of the trained model are in no source at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from biospike.arrays import float_array, refuse_not_finite
from biospike.errors import InputError

Array = NDArray[np.float64]


class Aged(NamedTuple):
    """What wkv keeps of the tokens before: sums over e^maximum, and the maximum; each (channels,)."""

    numerator: Array
    denominator: Array
    maximum: Array

    @classmethod
    def nothing(cls, channels: int) -> Aged:
        """Before the first token."""
        return cls(np.zeros(channels), np.zeros(channels), np.full(channels, -np.inf))


def wkv(k: ArrayLike, v: ArrayLike, decay: ArrayLike, bonus: ArrayLike, past: Aged | None = None) -> tuple[Array, Aged]:
    """Attention of every token to itself and those before it.

    Parameters
    ----------
    k, v
        Keys in nats, and values, (tokens, channels).
    decay, bonus
        w > 0, nats a token, and u, (channels,).
    past
        State behind earlier tokens; None for none.

    Returns
    -------
    out : ndarray (tokens, channels)
    past : Aged
        State to go on from.

    Raises
    ------
    InputError
        If shapes do not fit, a value is not finite, or a decay is not above 0.
    """
    keys, values, w, u = checked(k, v, decay, bonus)
    numerator, denominator, maximum = Aged.nothing(keys.shape[1]) if past is None else past
    out = np.empty_like(values)
    for t, (key, value) in enumerate(zip(keys, values, strict=True)):
        top = np.maximum(maximum, u + key)
        before, now = np.exp(maximum - top), np.exp(u + key - top)
        out[t] = (before * numerator + now * value) / (before * denominator + now)
        top = np.maximum(maximum - w, key)
        before, now = np.exp(maximum - w - top), np.exp(key - top)
        numerator, denominator, maximum = before * numerator + now * value, before * denominator + now, top
    return out, Aged(numerator, denominator, maximum)


def checked(k: ArrayLike, v: ArrayLike, decay: ArrayLike, bonus: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """Keys and values (tokens, channels), decay and bonus (channels,), as arrays of numbers; see `wkv`."""
    keys, values = float_array(k, "k"), float_array(v, "v")
    if keys.ndim != 2 or keys.size == 0 or keys.shape != values.shape:
        raise InputError(f"k and v must have one shape (tokens, channels), got {keys.shape} and {values.shape}")
    w, u = float_array(decay, "the decay"), float_array(bonus, "the bonus")
    for name, array in (("k", keys), ("v", values), ("the bonus", u)):
        refuse_not_finite(array, name)
    for name, array in (("decay", w), ("bonus", u)):
        if array.shape not in ((), (1,), keys.shape[1:]):
            raise InputError(f"the {name} must have the shape {keys.shape[1:]}, one a channel, got {array.shape}")
    if not ((w > 0) & np.isfinite(w)).all():
        raise InputError(f"the decay must be above 0 nats a token, got {w[~((w > 0) & np.isfinite(w))].ravel()[0]}")
    return keys, values, np.broadcast_to(w, keys.shape[1:]), np.broadcast_to(u, keys.shape[1:])


def ageing_logits(k: ArrayLike, decay: ArrayLike, bonus: ArrayLike) -> Array:
    """Logits of every key at every token by their ages, (channels, tokens, keys), NaN for tokens to come.

    Parameters
    ----------
    k
        (tokens, channels), nats.
    decay, bonus
        (channels,).
    """
    keys, _, w, u = checked(k, k, decay, bonus)
    tokens = len(keys)
    age = np.arange(tokens)[:, None] - 1 - np.arange(tokens)
    aged = keys.T[:, None] - np.maximum(age, 0) * w[:, None, None]
    aged = np.where(age == -1, keys.T[:, None] + u[:, None, None], aged)
    return np.asarray(np.where(age < -1, np.nan, aged))


def lif_over_tokens(currents: ArrayLike, membrane: Array | None = None) -> tuple[NDArray[np.uint8], Array]:
    """Spikes of neurons whose steps are tokens, (tokens, channels), and their membranes behind the last."""
    drive = np.asarray(currents, dtype=float)
    h = np.zeros(drive.shape[1:]) if membrane is None else membrane.copy()
    spikes = np.empty(drive.shape, dtype=np.uint8)
    for t, current in enumerate(drive):
        h = h + (current - h) / 2
        spikes[t] = h >= 1
        h = np.where(spikes[t], 0.0, h)
    return spikes, h


Attend = Callable[[Array, Array, Array, Array], Array]
"""From keys, values, decay and bonus to wkv (tokens, channels)."""


class Memory(NamedTuple):
    """What a block keeps of the tokens before."""

    aged: Aged
    attended: Array
    fed: Array
    attention_membrane: Array
    feed_membrane: Array


class Passed(NamedTuple):
    """What a block makes of tokens: outputs, spikes of both LIF populations, keys, values, wkv; (tokens, channels)."""

    x: Array
    attention: NDArray[np.uint8]
    feed: NDArray[np.uint8]
    k: Array
    v: Array
    wkv: Array


@attrs.frozen(eq=False, kw_only=True)
class SpikeGPTBlock:
    """One block of SpikeGPT, C channels and 4 C hidden ones, in evaluation mode.

    Attributes
    ----------
    mix_k, mix_v, mix_r, mix_feed_k, mix_feed_r : ndarray (C,)
        Part of a token, against the one before it, in what the projections read.
    W_k, W_v, W_r, W_o : ndarray (C, C)
        Of the attention, the transposes of what PyTorch stores.
    F_k, F_v, F_r : ndarray (C, 4 C), (4 C, C), (C, C)
        Of the feed-forward network.
    decay, bonus : ndarray (C,)
        w > 0 and u.
    rescale : float
        Divides the outputs of W_o and F_v: 2^(layer//6) in the released code for inference.
    """

    mix_k: Array
    mix_v: Array
    mix_r: Array
    mix_feed_k: Array
    mix_feed_r: Array
    W_k: Array
    W_v: Array
    W_r: Array
    W_o: Array
    F_k: Array
    F_v: Array
    F_r: Array
    decay: Array
    bonus: Array
    rescale: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator, channels: int, gain: float = 1.0, rescale: float = 1.0) -> SpikeGPTBlock:
        """Weights of normal numbers over the root of their fan-in, outputs times `gain`, decays from .0067 to 20.09."""
        C, wide = channels, 4 * channels
        place = np.arange(C) / max(C - 1, 1)

        def weights(rows: int, columns: int, factor: float = 1.0) -> Array:
            return np.asarray(factor * rng.normal(size=(rows, columns)) / np.sqrt(rows))

        return cls(
            mix_k=place, mix_v=place**0.5, mix_r=place**0.5, mix_feed_k=place, mix_feed_r=place,
            W_k=weights(C, C), W_v=weights(C, C), W_r=weights(C, C), W_o=weights(C, C, gain), F_k=weights(C, wide),
            F_v=weights(wide, C, gain), F_r=weights(C, C), decay=np.exp(-5 + 8 * place),
            bonus=np.full(C, np.log(0.3)), rescale=rescale,
        )  # fmt: skip

    @property
    def channels(self) -> int:
        """C."""
        return len(self.decay)

    def start(self) -> Memory:
        """Return the memory before the first token."""
        none = np.zeros(self.channels)
        return Memory(Aged.nothing(self.channels), none, none, none, none)

    def run(self, x: ArrayLike, memory: Memory | None = None, attend: Attend | None = None) -> tuple[Passed, Memory]:
        """Pass tokens through.

        Parameters
        ----------
        x
            (tokens, C), real-valued.
        memory
            To go on from; None to start.
        attend
            In the place of `wkv`: it sees these tokens only, so that nothing is to be carried on.
        """
        tokens, past = _tokens(x), self.start() if memory is None else memory
        a = normalised(tokens)
        before = np.vstack([past.attended, a[:-1]])
        k, v, r = (
            (a * m + before * (1 - m)) @ W
            for m, W in ((self.mix_k, self.W_k), (self.mix_v, self.W_v), (self.mix_r, self.W_r))
        )
        out, aged = wkv(k, v, self.decay, self.bonus, past.aged)
        out = out if attend is None else attend(k, v, self.decay, self.bonus)
        spikes, membrane = lif_over_tokens((expit(r) * out) @ self.W_o / self.rescale, past.attention_membrane)
        tokens = tokens + spikes
        f = normalised(tokens)
        before = np.vstack([past.fed, f[:-1]])
        hidden = np.maximum((f * self.mix_feed_k + before * (1 - self.mix_feed_k)) @ self.F_k, 0) ** 2
        gate = expit((f * self.mix_feed_r + before * (1 - self.mix_feed_r)) @ self.F_r)
        fed, feed_membrane = lif_over_tokens(gate * (hidden @ self.F_v) / self.rescale, past.feed_membrane)
        passed = Passed(tokens + fed, spikes, fed, k, v, out)
        return passed, Memory(aged, a[-1], f[-1], membrane, feed_membrane)


def _tokens(x: ArrayLike) -> Array:
    """Tokens (tokens, channels) as finite numbers: the spikes of one that is not would be 0."""
    tokens = float_array(x, "x")
    refuse_not_finite(tokens, "x")
    return tokens


def normalised(x: Array) -> Array:
    """LayerNorm with PyTorch's 1e-5, without gains, which the projections take in."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5))


def run_blocks(blocks: list[SpikeGPTBlock], x: ArrayLike, halve_every: int = 0) -> list[Passed]:
    """Pass tokens through blocks one after the other.

    Parameters
    ----------
    halve_every
        x is divided by two behind so many blocks, as in the released code for inference, where it goes with the blocks'
        `rescale`; 0: never. Without a threshold the two cancel; with LIF neurons they do not.
    """
    tokens, passed = normalised(_tokens(x)), []
    for number, block in enumerate(blocks):
        made, _ = block.run(tokens)
        passed.append(made)
        tokens = made.x
        if halve_every and (number + 1) % halve_every == 0:
            tokens = tokens / 2
    return passed
