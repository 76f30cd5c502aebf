"""What the blocks are made of: affine maps with batch norm folded in, neurons over arrays, heads, ordered sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.arrays import float_array, refuse_not_finite
from biospike.errors import InputError
from biospike.ideal.lif import DiscreteLIF, SpikingJellyHard, SpikingJellySoft

Spikes = NDArray[np.uint8]
Reals = NDArray[np.float64]
Fire = Callable[[DiscreteLIF, Reals], Spikes]
"""Neurons that answer currents (T, ...) with spikes of that shape: those of `fire`, or others in their place."""

LIF = SpikingJellyHard(tau=2.0, v_th=1.0)
"""The neuron of all these models but SpikingBERT."""
LIF_HALF = SpikingJellyHard(tau=2.0, v_th=0.5)
"""The same with threshold 1/2, which follows attention products."""
IF = SpikingJellySoft(tau=math.inf, v_th=1.0, decay_input=False)
"""SpikingBERT's neuron: no leak, the threshold is subtracted."""


def _reals(value: Any) -> Reals:
    array = float_array(value, "weights")
    refuse_not_finite(array, "an array of weights or biases")
    array.flags.writeable = False
    return array


@attrs.frozen(eq=False)
class Affine:
    """A linear layer or a 1x1 convolution, in evaluation mode: x -> x @ weight + bias.

    Attributes
    ----------
    weight : ndarray (features, units)
        The transpose of what PyTorch stores.
    bias : ndarray (units,)
    """

    weight: Reals = attrs.field(converter=_reals)
    bias: Reals = attrs.field(converter=_reals)

    def __attrs_post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[1:]:
            raise InputError(
                f"weight must have the shape (features, units) and bias (units,), got {self.weight.shape} and "
                f"{self.bias.shape}"
            )

    @property
    def features(self) -> int:
        """Length of the input."""
        return self.weight.shape[0]

    @property
    def units(self) -> int:
        """Length of the output."""
        return self.weight.shape[1]


def fold_batch_norm(
    weight: ArrayLike,
    bias: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    eps: float = 1e-5,
) -> Affine:
    """Fold batch norm, in evaluation mode, into the layer before it.

    gamma*(x @ W + b - mean)/sqrt(variance + eps) + beta = x @ (W*g) + ((b - mean)*g + beta), g = gamma/sqrt(variance
    + eps). The two sides are equal but for rounding.

    Parameters
    ----------
    weight
        Shape (features, units).
    bias
        Bias of the layer, (units,) or 0.
    mean, variance, gamma, beta
        Running statistics and affine parameters of the batch norm, (units,).
    eps
        PyTorch's default is 1e-5.

    Raises
    ------
    InputError
        If a variance is negative, or the shapes do not match.
    """
    spread = float_array(variance, "variance") + eps
    if np.any(spread <= 0):
        raise InputError(f"variance + eps must be above 0, got a minimum of {np.min(spread)}")
    gain = float_array(gamma, "gamma") / np.sqrt(spread)
    shift = (float_array(bias, "bias") - float_array(mean, "mean")) * gain + float_array(beta, "beta")
    return Affine(float_array(weight, "weights") * gain, shift)


def ordered_matmul(a: ArrayLike, b: ArrayLike) -> Reals:
    """Matrix product that adds its terms one after the other, from the first to the last.

    That is the order in which the spikes of one step reach a neuron: by the index of their source. A library's matrix
    product adds in an order of its own, and agrees to the last bit only where every partial sum is exact.

    Parameters
    ----------
    a, b
        Shapes (..., n, k) and (..., k, m), broadcast as in `numpy.matmul`.

    Returns
    -------
    ndarray (..., n, m)
    """
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if left.shape[-1] != right.shape[-2]:
        raise InputError(f"cannot multiply the shapes {left.shape} and {right.shape}")
    shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    total = np.zeros((*shape, left.shape[-2], right.shape[-1]))
    term = np.empty_like(total)
    for k in range(left.shape[-1]):
        np.multiply(left[..., :, k, None], right[..., None, k, :], out=term)
        total += term
    return total


def project(x: ArrayLike, layer: Affine) -> Reals:
    """Currents of a layer, (..., features) -> (..., units): weighted spikes in the order of the features, then bias."""
    spikes = np.asarray(x, dtype=float)
    if spikes.shape[-1] != layer.features:
        raise InputError(f"the layer has {layer.features} features, the input has {spikes.shape[-1]}")
    rows = spikes.reshape(-1, layer.features)
    total = np.zeros((len(rows), layer.units))
    # `ordered_matmul` of rows that are mostly zero, which add nothing.
    for k, weights in enumerate(layer.weight):
        active = np.flatnonzero(rows[:, k])
        total[active] += rows[active, k, None] * weights
    return (total + layer.bias).reshape(*spikes.shape[:-1], layer.units)


def fire(neuron: DiscreteLIF, currents: ArrayLike) -> Spikes:
    """Spikes of neurons that start at rest, for currents (T, ...) of any further shape."""
    drive = np.asarray(currents, dtype=float)
    return neuron.run(drive.reshape(len(drive), -1)).reshape(drive.shape)


def check_spikes(x: ArrayLike, channels: int) -> Spikes:
    """Input of a block: 0 and 1, or the small counts that residual connections make of them.

    Raises
    ------
    InputError
        If the shape is not (T, batch, tokens, channels), or a value is not a whole number from 0 to 255.
    """
    values = float_array(x, "x")
    if values.ndim != 4 or values.shape[-1] != channels:
        raise InputError(f"x must have the shape (T, batch, tokens, {channels}), got {values.shape}")
    if not ((values >= 0) & (values <= np.iinfo(np.uint8).max) & (values == np.rint(values))).all():
        raise InputError("x must hold spikes, 0 or 1, or whole numbers of them up to 255")
    return values.astype(np.uint8)


def check_heads(channels: int, heads: int) -> None:
    """Raise `InputError` unless the channels divide into the heads."""
    if heads < 1 or channels % heads:
        raise InputError(f"{channels} channels do not divide into {heads} heads")


def split_heads(x: NDArray[Any], heads: int) -> NDArray[Any]:
    """(..., tokens, channels) -> (..., heads, tokens, width)."""
    check_heads(x.shape[-1], heads)
    return np.swapaxes(x.reshape(*x.shape[:-1], heads, -1), -2, -3)


def merge_heads(x: NDArray[Any]) -> NDArray[Any]:
    """(..., heads, tokens, width) -> (..., tokens, channels), the inverse of `split_heads`."""
    swapped = np.swapaxes(x, -2, -3)
    return swapped.reshape(*swapped.shape[:-2], -1)
