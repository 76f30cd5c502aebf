"""An ordinary transformer in NumPy, forward and in reverse, whose attention may be anybody's.

Tokens x (batch, tokens, width) pass through layers of multi-head attention and a perceptron, each with its residual,
the norms before (``pre``) or after them::

    pre:   y = x + O(attention(norm1(x))),   x' = y + down(act(up(norm2(y))))
    post:  y = norm1(x + O(attention(x))),   x' = norm2(y + down(act(up(y))))

and are pooled to one vector z (batch, width). What a layer's attention returns, o (batch, heads, tokens, d_k) before
the projection O, comes from a function of the queries, keys and values: that is where a circuit of neurons takes the
place of the softmax. `Transformer.reverse` gives the gradient of functions of z with respect to every o.

References
----------
Vaswani et al., *Attention is all you need*, NeurIPS 2017; Ba, Kiros, Hinton, *Layer normalization*, arXiv:1607.06450;
Hendrycks, Gimpel, *Gaussian error linear units*, arXiv:1606.08415 (the exact one, by the normal distribution).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from biospike.errors import InputError
from biospike.ideal.softmax import softmax

Array = NDArray[Any]
"""float64, or float32 where weights and tokens are."""

PARTS = ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.0", "mlp.2")
NORMS = ("norm1", "norm2")
POOLS = ("mean", "first", "last")
ACTIVATIONS = ("gelu", "relu")


class Linear(NamedTuple):
    """``x @ weight.T + bias``, weight (out, in) as PyTorch has it."""

    weight: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        """Forward."""
        return np.asarray(x @ self.weight.T + self.bias)

    def pull(self, dy: Array) -> Array:
        """Gradient of the input from that of the output."""
        return np.asarray(dy @ self.weight)


class Norm(NamedTuple):
    """Layer norm over the last axis."""

    weight: Array
    bias: Array
    eps: float

    def _standard(self, x: Array) -> tuple[Array, Array]:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.eps)
        return centred / spread, spread

    def __call__(self, x: Array) -> Array:
        """Forward."""
        return np.asarray(self._standard(x)[0] * self.weight + self.bias)

    def pull(self, x: Array, dy: Array) -> Array:
        """Gradient at input x from that of the output."""
        unit, spread = self._standard(x)
        d = dy * self.weight
        along = (d * unit).mean(axis=-1, keepdims=True)
        return np.asarray((d - d.mean(axis=-1, keepdims=True) - unit * along) / spread)


class Layer(NamedTuple):
    """Projections and norms of one layer."""

    q: Linear
    k: Linear
    v: Linear
    o: Linear
    up: Linear
    down: Linear
    norm1: Norm
    norm2: Norm


class Heads(NamedTuple):
    """What the attention of one layer is given.

    Attributes
    ----------
    layer : int
    q, k, v : arrays (batch, heads, tokens, d_k)
    logits : array (batch, heads, tokens, tokens)
        In nats, NaN where a key is masked.
    p : array (batch, heads, tokens, tokens)
        Their softmax.
    """

    layer: int
    q: Array
    k: Array
    v: Array
    logits: Array
    p: Array


Attend = Callable[[Heads], Array]
"""From what a layer is given to its o (batch, heads, tokens, d_k)."""


class Taped(NamedTuple):
    """What the reverse pass needs of a layer: its heads, and inputs of norms and activation."""

    heads: Heads
    x: Array
    attended: Array
    inner: Array
    left: Array


class Passed(NamedTuple):
    """A forward pass: z (batch, width), tokens after the last layer, and what each layer left."""

    z: Array
    last: Array
    tape: tuple[Taped, ...]


def exact(given: Heads) -> Array:
    """Ordinary attention, p v."""
    return np.asarray(given.p @ given.v)


@attrs.frozen(eq=False, kw_only=True)
class Transformer:
    """Layers and how they are joined.

    Parameters
    ----------
    layers
        From the first to the last.
    heads
        Of each layer.
    pre
        Whether the norms come before attention and perceptron; else after the residuals.
    activation
        ``gelu`` or ``relu``.
    causal
        Whether a query sees only keys up to its own.
    norm
        After the last layer, if there is one.
    pool
        ``mean`` over tokens, or the ``first`` or ``last`` token.
    """

    layers: tuple[Layer, ...]
    heads: int
    pre: bool = True
    activation: str = attrs.field(default="gelu", validator=attrs.validators.in_(ACTIVATIONS))
    causal: bool = False
    norm: Norm | None = None
    pool: str = attrs.field(default="mean", validator=attrs.validators.in_(POOLS))

    @classmethod
    def from_weights(cls, weights: Mapping[str, Array], *, heads: int, eps: float = 1e-5, **options: Any) -> Self:
        """Layers from arrays by name.

        Parameters
        ----------
        weights
            ``blocks.N.PART.weight`` and ``.bias`` with N from 0 and the parts ``attn.q``, ``attn.k``, ``attn.v``,
            ``attn.o``, ``mlp.0``, ``mlp.2``, ``norm1`` and ``norm2``; ``norm.weight`` and ``norm.bias`` if there is a
            last norm. Others are left alone.
        heads
            Divides the width.
        eps
            Added to the variances of the norms.
        options
            Other parameters.

        Raises
        ------
        InputError
            If a name is missing, there is no block, or the width is no multiple of the heads.
        """
        numbers = {int(found[1]) for name in weights if (found := re.match(r"blocks\.(\d+)\.", name))}
        if not numbers:
            raise InputError("weights have no block: accepted names are blocks.N.attn.q.weight and so on, N from 0")

        def pair(name: str) -> tuple[Array, Array]:
            for part in (f"{name}.weight", f"{name}.bias"):
                if part not in weights:
                    raise InputError(f"weights have no {part}")
            return np.asarray(weights[f"{name}.weight"]), np.asarray(weights[f"{name}.bias"])

        def layer(block: str) -> Layer:
            q, k, v, o, up, down = (Linear(*pair(f"{block}.{part}")) for part in PARTS)
            norm1, norm2 = (Norm(*pair(f"{block}.{part}"), eps) for part in NORMS)
            return Layer(q, k, v, o, up, down, norm1, norm2)

        layers = tuple(layer(f"blocks.{number}") for number in range(max(numbers) + 1))
        width = layers[0].q.weight.shape[0]
        if heads < 1 or width % heads:
            raise InputError(f"heads must divide the width of {width}, got {heads}")
        norm = Norm(*pair("norm"), eps) if "norm.weight" in weights else None
        return cls(layers=layers, heads=heads, norm=norm, **options)

    def run(self, x: Array, attend: Attend = exact) -> Passed:
        """Forward.

        Parameters
        ----------
        x
            Tokens (batch, tokens, width), all of them taken part.
        attend
            The attention of every layer.
        """
        tape = []
        for number, layer in enumerate(self.layers):
            given = self._given(number, layer, layer.norm1(x) if self.pre else x)
            attended = x + layer.o(_joined(attend(given)))
            y = attended if self.pre else layer.norm1(attended)
            inner = layer.up(layer.norm2(y) if self.pre else y)
            left = y + layer.down(self._act(inner))
            tape.append(Taped(given, x, attended, inner, left))
            x = left if self.pre else layer.norm2(left)
        out = x if self.norm is None else self.norm(x)
        z = {"mean": lambda: out.mean(axis=1), "first": lambda: out[:, 0], "last": lambda: out[:, -1]}[self.pool]()
        return Passed(z, x, tuple(tape))

    def reverse(self, passed: Passed, dz: Array) -> tuple[Array, ...]:
        """Gradients with respect to what every layer's attention returned.

        Parameters
        ----------
        passed
            Of `run` with exact attention.
        dz
            Gradients (..., batch, width) of scalars with respect to z.

        Returns
        -------
        tuple of arrays (..., batch, heads, tokens, d_k)
            Of each layer, through all that comes after its o.
        """
        tokens = passed.last.shape[1]
        dx = np.zeros((*dz.shape[:-1], tokens, dz.shape[-1]), dtype=dz.dtype)
        if self.pool == "mean":
            dx += dz[..., None, :] / tokens
        else:
            dx[..., 0 if self.pool == "first" else -1, :] = dz
        if self.norm is not None:
            dx = self.norm.pull(passed.last, dx)
        found = []
        for layer, taped in zip(self.layers[::-1], passed.tape[::-1], strict=True):
            dleft = dx if self.pre else layer.norm2.pull(taped.left, dx)
            dm = layer.up.pull(layer.down.pull(dleft) * self._slope(taped.inner))
            dy = dleft + (layer.norm2.pull(taped.attended, dm) if self.pre else dm)
            dattended = dy if self.pre else layer.norm1.pull(taped.attended, dy)
            g = _split(layer.o.pull(dattended), self.heads)
            found.append(g)
            if taped.heads.layer:
                dh = _through_heads(layer, taped.heads, g)
                dx = dattended + (layer.norm1.pull(taped.x, dh) if self.pre else dh)
        return tuple(found[::-1])

    def _given(self, number: int, layer: Layer, x: Array) -> Heads:
        q, k, v = (_split(part(x), self.heads) for part in (layer.q, layer.k, layer.v))
        logits = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]).astype(q.dtype)
        if self.causal:
            logits[..., ~np.tri(logits.shape[-1], dtype=bool)] = np.nan
        return Heads(number, q, k, v, logits, softmax(logits).astype(q.dtype, copy=False))

    def _act(self, x: Array) -> Array:
        return np.asarray(x * ndtr(x) if self.activation == "gelu" else np.maximum(x, 0))

    def _slope(self, x: Array) -> Array:
        if self.activation == "relu":
            return (x > 0).astype(x.dtype)
        return np.asarray(ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi).astype(x.dtype))


def _split(x: Array, heads: int) -> Array:
    """Heads (..., heads, tokens, d_k) of (..., tokens, width)."""
    return x.reshape(*x.shape[:-1], heads, -1).swapaxes(-2, -3)


def _joined(o: Array) -> Array:
    """Inverse of `_split`."""
    return o.swapaxes(-2, -3).reshape(*o.shape[:-3], o.shape[-2], -1)


def _through_heads(layer: Layer, given: Heads, g: Array) -> Array:
    """Gradient of the input of the projections of queries, keys and values, from that of o."""
    dp = g @ given.v.swapaxes(-1, -2)
    dlogits = given.p * (dp - (given.p * dp).sum(axis=-1, keepdims=True))
    dlogits = dlogits / np.sqrt(given.q.shape[-1]).astype(g.dtype)
    dq, dk = dlogits @ given.k, dlogits.swapaxes(-1, -2) @ given.q
    dv = given.p.swapaxes(-1, -2) @ g
    parts: Sequence[tuple[Linear, Array]] = ((layer.q, dq), (layer.k, dk), (layer.v, dv))
    return np.asarray(sum(part.pull(_joined(d)) for part, d in parts))
