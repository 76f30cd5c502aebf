"""SpikingResformer's dual spike self-attention (DSSA): real-valued currents times spikes, twice.

    Y = BN(conv_p(X)), real, split into Y1 and Y2 in every head
    A = LIF(c1 * Y1^T X),   c1 = 1/sqrt(f_X*d)     spikes of (patch, token)
    O = LIF(c2 * Y2 A),     c2 = 1/sqrt(f_A*N')    spikes of (token, channel)

conv_p is a convolution of width and stride p, so that N' = N/p^2 patches; d is the width of a head, and f_X and f_A are
the firing rates of X and of A in each head, running averages of the training. At a rate of zero a scale is infinite.
The published block then projects O and adds it, as a current, to its membrane shortcut.

The products have real terms: here, as in a circuit, they are added in the order of the channels and of the patches.

Reference: X. Shi, Z. Hao, Z. Yu (2024), SpikingResformer: Bridging ResNet and Vision Transformer in Spiking Neural
Networks, CVPR, arXiv:2403.14302.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import float_array
from biospike.errors import InputError
from biospike.ideal.attention.layers import (
    LIF,
    Affine,
    Fire,
    Reals,
    Spikes,
    check_heads,
    check_spikes,
    fire,
    merge_heads,
    ordered_matmul,
    project,
    split_heads,
)


class DualSpike(NamedTuple):
    """Stages: y1 and y2 (T, batch, heads, patches, width), real; spikes (T, batch, heads, patches, tokens) and output.

    The output has the shape (T, batch, tokens, channels).
    """

    y1: Reals
    y2: Reals
    attention: Spikes
    output: Spikes


def rate_scale(rate: ArrayLike, terms: int) -> Reals:
    """1/sqrt(rate*terms), which gives a sum of so many terms, each present at this rate, the variance of one.

    Raises
    ------
    InputError
        If a firing rate is not in (0, 1].
    """
    rates = np.asarray(rate, dtype=float)
    if not np.all((rates > 0) & (rates <= 1)):
        raise InputError(
            f"firing rates must be in (0, 1], got {rates.ravel().tolist()}: the scale 1/sqrt(rate*{terms}) is infinite "
            "for a silent head"
        )
    return 1 / np.sqrt(rates * terms)


def patch_weight(kernel: ArrayLike) -> Reals:
    """Weights (features, units) of a kernel (units, channels, p, p); features are (row, column, channel)."""
    array = float_array(kernel, "weights")
    return array.transpose(2, 3, 1, 0).reshape(-1, len(array))


def token_patches(size: tuple[int, int], p: int) -> NDArray[np.int64]:
    """Tokens of every patch, (patches, p*p), row by row; tokens and patches are numbered row by row."""
    height, width = size
    if p < 1 or height % p or width % p:
        raise InputError(f"an image of {height} x {width} tokens does not divide into patches of {p} x {p}")
    tokens = np.arange(height * width).reshape(height // p, p, width // p, p)
    return tokens.transpose(0, 2, 1, 3).reshape(-1, p * p)


@attrs.frozen(eq=False, kw_only=True)
class DualSpikeAttention:
    """DSSA.

    Attributes
    ----------
    y : Affine
        (p*p*channels, 2*channels), batch norm folded in; see `patch_weight`. The units of a head are contiguous: its
        Y1, then its Y2.
    heads, p : int
        1, 3, 6 and 4, 2, 1 in the three stages of SpikingResformer-Ti.
    size : tuple of int
        Height and width in tokens.
    rate_x, rate_a : ndarray (heads,)
        Firing rates of the input and of the attention.
    """

    y: Affine
    heads: int
    p: int
    size: tuple[int, int]
    rate_x: Reals = attrs.field(converter=np.asarray)
    rate_a: Reals = attrs.field(converter=np.asarray)

    def __attrs_post_init__(self) -> None:
        check_heads(self.channels, self.heads)
        if self.y.features != self.p**2 * self.channels or self.y.units % 2:
            raise InputError(
                f"y must have p*p*channels features and 2*channels units, got {self.y.features} and {self.y.units} "
                f"for p = {self.p}"
            )
        if self.rate_x.shape != (self.heads,) or self.rate_a.shape != (self.heads,):
            raise InputError(
                f"rates must have the shape ({self.heads},), got {self.rate_x.shape} and {self.rate_a.shape}"
            )
        _ = self.patches, self.scales

    @property
    def channels(self) -> int:
        """Channels of the input and the output."""
        return self.y.units // 2

    @property
    def width(self) -> int:
        """Channels of a head, d."""
        return self.channels // self.heads

    @property
    def patches(self) -> NDArray[np.int64]:
        """Tokens of every patch, (N', p*p)."""
        return token_patches(self.size, self.p)

    @property
    def scales(self) -> tuple[Reals, Reals]:
        """c1 and c2 of every head."""
        return rate_scale(self.rate_x, self.width), rate_scale(self.rate_a, len(self.patches))

    def run(self, x: ArrayLike, *, neurons: Fire = fire) -> DualSpike:
        """All stages for an input (T, batch, tokens, channels) of spikes, with the published neurons or with others."""
        spikes = check_spikes(x, self.channels)
        if spikes.shape[2] != self.size[0] * self.size[1]:
            raise InputError(f"x must have {self.size[0]} x {self.size[1]} tokens, got {spikes.shape[2]}")
        gathered = spikes[:, :, self.patches].reshape(*spikes.shape[:2], len(self.patches), -1)
        y = split_heads(project(gathered, self.y), self.heads)
        y1, y2 = y[..., : self.width], y[..., self.width :]
        c1, c2 = (scale[:, None, None] for scale in self.scales)
        x_heads = np.swapaxes(split_heads(spikes, self.heads), -1, -2)
        attention = neurons(LIF, c1 * ordered_matmul(y1, x_heads))
        output = neurons(LIF, c2 * ordered_matmul(np.swapaxes(attention, -1, -2), y2))
        return DualSpike(y1, y2, attention, merge_heads(output))
