"""Integer neurons of neuromorphic chips, each as its formula and as Brian2 neurons, as in `biospike.ideal.lif`.

========== ===================================================== ================= ==================================
convention state compared with the threshold                      spike if          after a spike
========== ===================================================== ================= ==================================
loihi      u = cut(u*(4095 - du)/4096) + x, wrapped to 24 bit     v > 64*vth        v = 0, held for refractory - 1
           v = cut(v*(4096 - dv)/4096) + u + bias, clipped                          steps
truenorth  v = v + x + leak                                       v >= threshold    v = v_reset, or v - threshold
========== ===================================================== ================= ==================================

cut is towards zero. All numbers are whole and stay far below 2^53, so that double precision has them exactly; Brian2's
neurons are equal on every target, whatever a compiler makes of the order of operations. Single precision is refused.

References
----------
loihi: M. Davies et al. (2018), IEEE Micro 38, 82, doi:10.1109/MM.2018.112130359; the integers are those of nengo-loihi
1.1.0 and lava-nc 0.10.0.
truenorth: A. S. Cassidy et al. (2013), IJCNN, doi:10.1109/IJCNN.2013.6707077.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from biospike.errors import InputError
from biospike.ideal.lif import Array, DiscreteLIF, rows_of_input
from biospike.ideal.softmax import softmax
from biospike.parameters import choice, flag, whole

STOCHASTIC = ("stochastic_synapse", "stochastic_leak", "stochastic_threshold")


def _whole(inputs: ArrayLike, dtype: DTypeLike) -> Array:
    rows = rows_of_input(inputs, dtype)
    if np.dtype(dtype) == np.float32 or np.any(rows != np.rint(rows)):
        raise InputError("inputs of a chip must be whole numbers, in double precision or as integers")
    return rows.astype(np.float64)


def _wrapped(x: Array, bits: int) -> Array:
    """Two's complement of `bits` bits and a sign."""
    return x - 2.0 ** (bits + 1) * np.floor((x + 2.0**bits) / 2.0 ** (bits + 1))


def _wrap(name: str, bits: int) -> str:
    """The same as an expression of Brian2."""
    return f"{name} - {2 ** (bits + 1)}.0*floor(({name} + {2**bits}.0)/{2 ** (bits + 1)}.0)"


@attrs.frozen(kw_only=True)
class Loihi(DiscreteLIF):
    """A compartment of Loihi 1 with current and membrane; inputs are weights times 2^(6 + exponent), as the chip adds.

    Attributes
    ----------
    du, dv : int
        Decay of current and membrane, 12 bit: 4095 leaves nothing of the current, 0 everything of the membrane.
    vth : int
        Threshold in units of 64, 17 bit.
    bias_mant, bias_exp : int
        13 bit and a sign, times 2^bias_exp.
    refractory : int
        Smallest interval in steps; 0 and 1 are the same.
    vmin : int
        Floor of the membrane; nengo-loihi has 0 by default.
    input_wraps : bool
        Whether the input of a step wraps at 2^21, and current and bias together at 2^23, as in nengo-loihi.
    """

    du: int = whole(4095, minimum=0, maximum=4095)
    dv: int = whole(0, minimum=0, maximum=4095)
    vth: int = whole(100, minimum=0, maximum=2**17 - 1)
    bias_mant: int = whole(0, minimum=-(2**12), maximum=2**12 - 1)
    bias_exp: int = whole(0, minimum=0, maximum=7)
    refractory: int = whole(0, minimum=0, maximum=63)
    vmin: int = whole(1 - 2**23, minimum=1 - 2**23, maximum=0)
    input_wraps: bool = flag(False)

    equations = """
    u    : 1
    v    : 1
    held : 1
    """
    threshold = "v > 64*vth"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`; held counts the steps that a spike still silences."""
        taken, driven = (_wrap("x", 21), _wrap("pushed", 23)) if self.input_wraps else ("x", "pushed")
        update = f"""
        x = stim(t, i)
        taken = {taken}
        summed = sign(u)*floor(abs(u)*(4095 - du)/4096) + taken
        u = {_wrap("summed", 23)}
        pushed = u + bias_mant*2**bias_exp
        driven = {driven}
        risen = sign(v)*floor(abs(v)*(4096 - dv)/4096) + driven
        v = clip(risen, vmin, 8388607)*int(held <= 0)
        held = clip(held - 1, 0, 64)
        """
        return update, "v = 0\nheld = clip(refractory - 1, 0, 64)"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`; whole numbers only."""
        inputs = _whole(inputs, dtype)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        u, v, held = (np.zeros_like(inputs[0]) for _ in range(3))
        for t, x in enumerate(inputs):
            taken = _wrapped(x, 21) if self.input_wraps else x
            u = _wrapped(np.sign(u) * np.floor(np.abs(u) * (4095 - self.du) / 4096) + taken, 23)
            driven = u + self.bias_mant * 2**self.bias_exp
            driven = _wrapped(driven, 23) if self.input_wraps else driven
            v = np.sign(v) * np.floor(np.abs(v) * (4096 - self.dv) / 4096) + driven
            v = np.where(held > 0, 0, np.clip(v, self.vmin, 2**23 - 1))
            held = np.maximum(held - 1, 0)
            membrane[t], spikes[t] = v, v > 64 * self.vth
            v = np.where(spikes[t], 0, v)
            held = np.where(spikes[t], max(self.refractory - 1, 0), held)
        return spikes, membrane


@attrs.frozen(kw_only=True)
class TrueNorth(DiscreteLIF):
    """A deterministic neuron of TrueNorth; inputs are sums of the weights of the axons that fired.

    Attributes
    ----------
    leak : int
        Added in every step; with `leak_reversal` away from zero, or towards it if negative.
    leak_reversal : bool
    threshold : int
        Above 0, 18 bit.
    negative : int
        Below minus this the membrane saturates there, or with ``negative_resets`` goes to -v_reset.
    reset : {"value", "subtract", "none"}
    v_reset : int
    stochastic_synapse, stochastic_leak, stochastic_threshold : bool
        The chip's random modes. None of them is modelled: True is refused.
    """

    leak: int = whole(0, minimum=-255, maximum=255)
    leak_reversal: bool = flag(False)
    alpha: int = whole(100, minimum=1, maximum=2**18 - 1)
    negative: int = whole(2**18 - 1, minimum=0, maximum=2**18 - 1)
    negative_resets: bool = flag(False)
    reset: str = choice("value", "value", "subtract", "none")
    v_reset: int = whole(0, minimum=-(2**18), maximum=2**18 - 1)
    stochastic_synapse: bool = flag(False)
    stochastic_leak: bool = flag(False)
    stochastic_threshold: bool = flag(False)

    equations = "v : 1"
    threshold = "v >= alpha"

    def __attrs_post_init__(self) -> None:
        for name in STOCHASTIC:
            if getattr(self, name):
                raise InputError(f"TrueNorth: {name} draws random numbers and is not modelled; accepted is False")

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`."""
        leak = "leak*sign(given)" if self.leak_reversal else "leak"
        floor = "-v_reset" if self.negative_resets else "-negative"
        update = f"""
        given = v + stim(t, i)
        leaked = given + {leak}
        below = int(leaked < -negative)
        v = leaked*(1 - below) + {floor}*below
        """
        resets = {"value": "v = v_reset", "subtract": "v = v - alpha", "none": "v = v"}
        return update, resets[self.reset]

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`; whole numbers only."""
        inputs = _whole(inputs, dtype)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        v = np.zeros_like(inputs[0])
        floor = -self.v_reset if self.negative_resets else -self.negative
        for t, x in enumerate(inputs):
            v = v + x
            v = v + self.leak * (np.sign(v) if self.leak_reversal else 1)
            v = np.where(v < -self.negative, floor, v)
            membrane[t], spikes[t] = v, v >= self.alpha
            after = {"value": np.full_like(v, self.v_reset), "subtract": v - self.alpha, "none": v}[self.reset]
            v = np.where(spikes[t], after, v)
        return spikes, membrane


def shares_of_levels(logits: ArrayLike, levels: ArrayLike) -> Array:
    """Shares that a race decides by uniform noise of so many levels, as eight bits have 255: m/sum m of each row.

    m = round(levels*exp(z - max z)), half to even: a key whose m is 0 never wins, which is a dynamic range of
    ln(2*levels) nats, 6.2 for 255.

    Parameters
    ----------
    logits
        Shape (rows, keys), nats; NaN masks a key.
    levels
        Above 0; one number, or one a row, (rows, 1).

    Raises
    ------
    InputError
        If there are none.
    """
    there = np.asarray(levels)
    if not np.all(there > 0):
        raise InputError(f"levels must be above 0, got {there}")
    p = softmax(logits)
    m = np.rint(there * p / np.nanmax(p, axis=-1, keepdims=True))
    return np.asarray(m / np.nansum(m, axis=-1, keepdims=True))
