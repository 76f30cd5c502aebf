"""Spike-driven Transformer V2 (Meta-SpikeFormer): shortcut of membranes, folded 3x3 convolutions, SSA of any width.

    S = LIF(x);   q, k, v = LIF(BN(RepConv(S)));   A = LIF_0.5(0.125 * q (k^T v));   x' = x + BN(RepConv(A))
    x'' = x' + BN(W2 LIF(BN(W1 LIF(x'))))

x is a real current, not spikes. RepConv is 1x1 -> BN, padded with what it makes of zero -> depth-wise 3x3 -> 1x1 -> BN:
in evaluation mode, and with the BN behind it, one dense 3x3 convolution with zero padding and a bias,

    W[o,i,xy] = s2_o sum_m p2[o,m] D[m,xy] p1[m,i] s1_m,    b_o = s2_o sum_m p2[o,m] (sum_xy D[m,xy]) t1_m + t2_o,

s = gamma/sqrt(variance + eps), t = beta - mean*s. The scale is 0.125 whatever the width of a head, 32 to 120 channels.
Rates of the trained model are in no source at hand.

Spikformer V2 (arXiv:2401.02020) has the SSA of Spikformer, in 8 or 16 layers, behind a spiking convolutional stem. No
public code was found: the stem is not modelled, and no accuracy is claimed.

Reference: M. Yao et al. (2024), Spike-driven Transformer V2, ICLR, arXiv:2404.03663.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import float_array
from biospike.errors import InputError
from biospike.ideal.attention.layers import LIF, LIF_HALF, Affine, Fire, Reals, Spikes, check_heads, fire, project
from biospike.ideal.attention.spikformer import SCALE, self_attention_current

STAGES = ((256, 360), (384, 480), (512, 640), (768, 960))
"""Channels of the two stages with attention, model by model."""
HEADS, SIDE = 8, 14
"""Of every model; its 196 tokens are a square."""


@attrs.frozen(eq=False)
class BatchNorm:
    """Batch norm in evaluation mode, of (channels,)."""

    gamma: NDArray[np.float64]
    beta: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    eps: float = 1e-5

    @property
    def gain(self) -> NDArray[np.float64]:
        """Factor s."""
        return np.asarray(self.gamma / np.sqrt(self.variance + self.eps))

    @property
    def shift(self) -> NDArray[np.float64]:
        """Summand t, what it makes of zero."""
        return np.asarray(self.beta - self.mean * self.gain)


@attrs.frozen(eq=False)
class Convolution:
    """A dense 3x3 convolution with zero padding.

    Attributes
    ----------
    weight : ndarray (units, features, 3, 3)
        As PyTorch stores it.
    bias : ndarray (units,)
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __attrs_post_init__(self) -> None:
        if self.weight.ndim != 4 or self.weight.shape[2:] != (3, 3) or self.bias.shape != self.weight.shape[:1]:
            raise InputError(
                f"weight must have the shape (units, features, 3, 3) and bias (units,), got {self.weight.shape} and "
                f"{self.bias.shape}"
            )

    def apply(self, x: ArrayLike) -> Reals:
        """Currents (..., height, width, units) of an input (..., height, width, features)."""
        values = np.asarray(x, dtype=float)
        if values.shape[-1] != self.weight.shape[1]:
            raise InputError(f"the convolution has {self.weight.shape[1]} features, the input has {values.shape[-1]}")
        height, width = values.shape[-3:-1]
        padded = np.pad(values, [*[(0, 0)] * (values.ndim - 3), (1, 1), (1, 1), (0, 0)])
        total = np.zeros((*values.shape[:-1], len(self.bias)))
        for row in range(3):
            for column in range(3):
                part = padded[..., row : row + height, column : column + width, :]
                total += part @ self.weight[:, :, row, column].T
        return total + self.bias

    def behind(self, norm: BatchNorm) -> Convolution:
        """Return this convolution with a batch norm behind it folded in."""
        return Convolution(self.weight * norm.gain[:, None, None, None], self.bias * norm.gain + norm.shift)


def fold_rep_conv(
    inner: ArrayLike, first: BatchNorm, depth_wise: ArrayLike, outer: ArrayLike, last: BatchNorm
) -> Convolution:
    """Fold the five stages of a RepConv, in evaluation mode, into one convolution.

    Parameters
    ----------
    inner
        p1, the first 1x1 convolution, (channels, features).
    first
        Batch norm behind it, by whose value of zero its output is padded.
    depth_wise
        D, (channels, 3, 3).
    outer
        p2, the second 1x1 convolution, (units, channels).
    last
        Batch norm behind that.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    p1, D, p2 = float_array(inner, "p1"), float_array(depth_wise, "D"), float_array(outer, "p2")
    if p1.ndim != 2 or D.shape != (len(p1), 3, 3) or p2.ndim != 2 or p2.shape[1] != len(p1):
        raise InputError(
            f"RepConv: expected p1 (channels, features), D (channels, 3, 3), p2 (units, channels); got {p1.shape}, "
            f"{D.shape}, {p2.shape}"
        )
    weight = np.einsum("om,mxy,mi->oixy", p2, D, p1 * first.gain[:, None])
    padding = Convolution(weight, p2 @ (D.sum(axis=(1, 2)) * first.shift))
    return padding.behind(last)


class SpikeDrivenV2Stages(NamedTuple):
    """Stages of a block, each (T, batch, height, width, channels): spikes, but for the currents x."""

    s: Spikes
    q: Spikes
    k: Spikes
    v: Spikes
    attention: Spikes
    attended: Reals
    hidden: Spikes
    x: Reals


@attrs.frozen(eq=False, kw_only=True)
class SpikeDrivenV2Block:
    """One block with attention.

    Attributes
    ----------
    q, k, v, projection : Convolution
        RepConvs with the batch norm behind them folded in.
    mlp_in, mlp_out : Affine
        (channels, hidden) and back, batch norm folded in.
    heads : int
    """

    q: Convolution
    k: Convolution
    v: Convolution
    projection: Convolution
    mlp_in: Affine
    mlp_out: Affine
    heads: int = HEADS

    def __attrs_post_init__(self) -> None:
        check_heads(self.mlp_in.features, self.heads)

    def run(self, x: ArrayLike, neurons: Fire = fire) -> SpikeDrivenV2Stages:
        """Pass currents through.

        Parameters
        ----------
        x
            (T, batch, height, width, channels), real.
        neurons
            Those of the formula, or others in their place, such as `circuits.transformers.Membranes`.
        """
        current = float_array(x, "x")
        if current.ndim != 5 or current.shape[-1] != self.mlp_in.features:
            raise InputError(
                f"x must have the shape (T, batch, height, width, {self.mlp_in.features}), got {current.shape}"
            )
        s = neurons(LIF, current)
        q, k, v = (neurons(LIF, one.apply(s)) for one in (self.q, self.k, self.v))
        flat = (*current.shape[:2], -1, current.shape[-1])
        scores = self_attention_current(
            q.reshape(flat), k.reshape(flat), v.reshape(flat), heads=self.heads, scale=SCALE
        )
        attention = neurons(LIF_HALF, scores.reshape(current.shape))
        attended = current + self.projection.apply(attention)
        hidden = neurons(LIF, project(neurons(LIF, attended), self.mlp_in))
        return SpikeDrivenV2Stages(s, q, k, v, attention, attended, hidden, attended + project(hidden, self.mlp_out))
