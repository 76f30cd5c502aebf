"""Discrete neurons of four more packages, each as its formula and as Brian2 neurons, as in `biospike.ideal.lif`.

============ ===================================================== ============ ==================================
convention   membrane compared with the threshold                  spike if     after a spike
============ ===================================================== ============ ==================================
norse        i = i + x, v = v + dt/tau_mem*((v_leak - v) + i)      v > v_th     v = v_reset; i decays after its use
norse_box    v = v + dt/tau_mem*(x + v_leak - v)                   v > v_th     v = v_reset, or v - v_th
sinabs       v = alpha*v + (1 - alpha)*x, or alpha*v + x           v >= v_th    v - k*v_th, k = floor(v/v_th)
bindsnet     v = decay*(v - rest) + rest + x, x lost while held    v >= thresh  v = v_reset, held for refrac
============ ===================================================== ============ ==================================

A sinabs neuron emits as many spikes in a step as its membrane holds thresholds, so `Sinabs.run` counts them; all others
emit one at most. A decay of exp(-dt/tau) is a parameter of its own here, as the packages keep it: computed anew it can
differ in the last bit from one library of mathematics to the next.

References
----------
norse, norse_box: C. Pehle, J. E. Pedersen (2021), doi:10.5281/zenodo.4422025; ``LIFCell``, ``LIFBoxCell`` of 1.1.0.
sinabs: SynSense, sinabs 3.1.3; ``LIF`` and ``IAF``.
bindsnet: H. Hazan et al. (2018), Front. Neuroinform. 12, 89, doi:10.3389/fninf.2018.00089; ``LIFNodes`` of 0.3.4.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from biospike.ideal.lif import Array, DiscreteLIF, rows_of_input
from biospike.parameters import choice, flag, number


@attrs.frozen(kw_only=True)
class Norse(DiscreteLIF):
    """LIFCell: the input jumps the current, which is used at once and decays for the next step; reset to v_reset.

    Rates are inverse time constants, in 1/s with the timestep in s, as in the package.
    """

    tau_mem_inv: float = number(100.0, above=0)
    tau_syn_inv: float = number(200.0, above=0)
    v_leak: float = number(0.0)
    v_th: float = number(1.0)
    v_reset: float = number(0.0)
    step: float = number(1e-3, above=0)

    equations = """
    v       : 1
    current : 1
    """
    threshold = "v > v_th"
    starts_at = "v_leak"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`."""
        update = """
        jumped = current + stim(t, i)
        dv = step*tau_mem_inv*((v_leak - v) + jumped)
        di = step*tau_syn_inv*jumped
        v = v + dv
        current = jumped - di
        """
        return update, "v = v_reset"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`."""
        inputs = rows_of_input(inputs, dtype)
        kind = inputs.dtype.type
        mem, syn = (kind(self.step) * kind(rate) for rate in (self.tau_mem_inv, self.tau_syn_inv))
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        v, current = np.full_like(inputs[0], self.v_leak), np.zeros_like(inputs[0])
        for t, x in enumerate(inputs):
            jumped = current + x
            v = v + mem * ((self.v_leak - v) + jumped)
            current = jumped - syn * jumped
            membrane[t], spikes[t] = v, v > kind(self.v_th)
            v = np.where(spikes[t], kind(self.v_reset), v)
        return spikes, membrane


@attrs.frozen(kw_only=True)
class NorseBox(DiscreteLIF):
    """LIFBoxCell: no current; the reset is to v_reset, or by subtraction with the package's `reset_subtract`."""

    tau_mem_inv: float = number(100.0, above=0)
    v_leak: float = number(0.0)
    v_th: float = number(1.0)
    v_reset: float = number(0.0)
    step: float = number(1e-3, above=0)
    reset: str = choice("value", "value", "subtract")

    equations = "v : 1"
    threshold = "v > v_th"
    starts_at = "v_leak"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`."""
        update = """
        dv = step*tau_mem_inv*((stim(t, i) + v_leak) - v)
        v = v + dv
        """
        return update, "v = v_reset" if self.reset == "value" else "v = v - v_th"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`."""
        inputs = rows_of_input(inputs, dtype)
        kind = inputs.dtype.type
        mem = kind(self.step) * kind(self.tau_mem_inv)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        v = np.full_like(inputs[0], self.v_leak)
        for t, x in enumerate(inputs):
            v = v + mem * ((x + self.v_leak) - v)
            membrane[t], spikes[t] = v, v > kind(self.v_th)
            after = kind(self.v_reset) if self.reset == "value" else v - kind(self.v_th)
            v = np.where(spikes[t], after, v)
        return spikes, membrane


@attrs.frozen(kw_only=True)
class Sinabs(DiscreteLIF):
    """LIF, and IAF with alpha = 1: k = floor(v/v_th) spikes in a step where v >= v_th > 0, no floor, v = v - k*v_th.

    `run` and `trace` give k. Brian2 knows one spike of a neuron and step: its variable ``emitted`` is k.
    """

    alpha: float = number(math.exp(-1 / 20), minimum=0, maximum=1)
    v_th: float = number(1.0, above=0)
    norm_input: bool = flag(True)

    equations = """
    v       : 1
    emitted : 1
    """
    threshold = "emitted >= 1"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`."""
        drive = "(1 - alpha)*stim(t, i)" if self.norm_input else "stim(t, i)"
        update = f"""
        drive = {drive}
        v = alpha*v + drive
        emitted = floor(v/v_th)*int(v > 0)
        """
        return update, "v = v - emitted*v_th"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`; numbers of spikes."""
        inputs = rows_of_input(inputs, dtype)
        kind = inputs.dtype.type
        alpha, v_th = kind(self.alpha), kind(self.v_th)
        spikes, membrane = np.zeros(inputs.shape, np.int64), np.zeros_like(inputs)
        v = np.zeros_like(inputs[0])
        for t, x in enumerate(inputs):
            v = alpha * v + ((1 - alpha) * x if self.norm_input else x)
            emitted = np.where(v > 0, np.floor(v / v_th), 0)
            membrane[t], spikes[t] = v, emitted
            v = v - emitted * v_th
        return spikes, membrane


@attrs.frozen(kw_only=True)
class BindsNET(DiscreteLIF):
    """LIFNodes: the membrane decays, then takes its input; a spike holds the input out while the counter is above 0.

    The counter is set to `refrac` by a spike and falls by the timestep after the input of every step was masked, so
    that the shortest interval is refrac + step. The membrane goes on to decay meanwhile.
    """

    decay: float = number(math.exp(-1 / 100), minimum=0, maximum=1)
    thresh: float = number(-52.0)
    rest: float = number(-65.0)
    v_reset: float = number(-65.0)
    refrac: float = number(5.0, minimum=0)
    step: float = number(1.0, above=0)

    equations = """
    v    : 1
    held : 1
    """
    threshold = "v >= thresh"
    starts_at = "rest"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`; held is the counter of the refractory period."""
        update = """
        decayed = (v - rest)*decay + rest
        taken = stim(t, i)*int(held <= 0)
        held = held - step
        v = decayed + taken
        """
        return update, "v = v_reset\nheld = refrac"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`."""
        inputs = rows_of_input(inputs, dtype)
        kind = inputs.dtype.type
        rest, decay = kind(self.rest), kind(self.decay)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        v, held = np.full_like(inputs[0], self.rest), np.zeros_like(inputs[0])
        for t, x in enumerate(inputs):
            v = (v - rest) * decay + rest + np.where(held > 0, 0, x)
            held = held - kind(self.step)
            membrane[t], spikes[t] = v, v >= kind(self.thresh)
            v = np.where(spikes[t], kind(self.v_reset), v)
            held = np.where(spikes[t], kind(self.refrac), held)
        return spikes, membrane


FRAMEWORK_LIF: dict[str, type[DiscreteLIF]] = {
    "norse": Norse,
    "norse_box": NorseBox,
    "sinabs": Sinabs,
    "bindsnet": BindsNET,
}
