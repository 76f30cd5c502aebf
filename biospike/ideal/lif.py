"""Four discrete LIF neurons that papers and frameworks call "the" LIF, each as its formula and as Brian2 neurons.

They differ in three choices that no rescaling undoes for 0 < beta < 1:

================== ==================================== ============= =======================================
convention         membrane compared with the threshold spike if      after a spike
================== ==================================== ============= =======================================
paper              u = beta*u + I - v_th*s              u >= v_th     v_th is subtracted after the next decay
spikingjelly_hard  H = V + (X - (V - v_reset))/tau      H >= v_th     V = v_reset
spikingjelly_soft  H = V + (X - V)/tau                  H >= v_th     V = H - v_th: decays with V
snntorch           mem = beta*mem + I - R*thr           mem > thr     as in the paper, or mem = 0 before the decay
================== ==================================== ============= =======================================

`run` is the formula, line by line, in NumPy. `build` gives Brian2 neurons that do the same floating-point operations in
the same order, so that spikes and membranes are equal bit for bit, on every target, when the network is run, and for a
standalone device built, inside `bit_exact`.

References
----------
paper: D. Guo, J. Wu, S. M. Yiu (2026), arXiv:2604.15769.
spikingjelly: W. Fang et al. (2023), Sci. Adv. 9, eadi1480, doi:10.1126/sciadv.adi1480; ``activation_based/neuron.py``.
snntorch: J. K. Eshraghian et al. (2023), Proc. IEEE 111, 1016, doi:10.1109/JPROC.2023.3308088; class ``Leaky``.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from biospike.arrays import float_array
from biospike.circuit import check_indices
from biospike.errors import InputError
from biospike.parameters import choice, flag, number

import brian2 as b2

Array = NDArray[Any]

EXACT_FLAGS = ["-w", "-O3", "-march=native", "-ffp-contract=off", "-std=c++11"]
"""Compiler flags without fast-math, and without fusing a*b + c into one operation that rounds once."""


@contextlib.contextmanager
def bit_exact() -> Iterator[None]:
    """Run or build Brian2 networks in here to keep every floating-point operation as written.

    Sets two Brian2 preferences, and restores them: no rearranging of expressions, and `EXACT_FLAGS` for the compiler.
    """
    settings = {
        "codegen.loop_invariant_optimisations": False,
        "codegen.cpp.extra_compile_args_gcc": EXACT_FLAGS,
    }
    before = {name: b2.prefs[name] for name in settings}
    try:
        for name, value in settings.items():
            b2.prefs[name] = value
        yield
    finally:
        for name, value in before.items():
            b2.prefs[name] = value


def rows_of_input(inputs: ArrayLike, dtype: DTypeLike) -> Array:
    """Input of shape (T, n) in a precision; `InputError` if it is not finite or not of two dimensions."""
    rows = float_array(inputs, "inputs").astype(dtype)
    if rows.ndim != 2:
        raise InputError(f"inputs must have the shape (T, n), got {rows.shape}")
    if not np.all(np.isfinite(rows)):
        raise InputError("inputs must be finite")
    return rows


@attrs.frozen(kw_only=True)
class DiscreteLIF(abc.ABC):
    """One convention: the formula in `trace`, and the same formula as the Brian2 statements of `statements`."""

    equations: ClassVar[str]
    threshold: ClassVar[str]
    starts_at: ClassVar[str | None] = None
    """Parameter at which the membrane v starts, as in the package; None for zero."""

    @abc.abstractmethod
    def statements(self) -> tuple[str, str]:
        """Brian2 statements of the update at the start of every step, and of the reset after a spike."""

    @abc.abstractmethod
    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """Run the formula and keep the membrane.

        Parameters
        ----------
        inputs
            Input, shape (T, n), in units of the threshold's scale. All neurons start at zero, or at v_reset.
        dtype
            Precision. float64 is Brian2's; the frameworks compute in float32, to which the parameters are then rounded.

        Returns
        -------
        spikes
            0 or 1, shape (T, n), of uint8; a whole number where a convention has several spikes in a step.
        membrane
            The value that was compared with the threshold, shape (T, n).

        Raises
        ------
        InputError
            If the inputs are not finite or not of two dimensions.
        """

    def run(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Spikes of `trace`, shape (T, n)."""
        return self.trace(inputs, dtype)[0]

    def build(self, n: int, stimulus: b2.TimedArray, *, name: str = "discrete_lif*") -> b2.NeuronGroup:
        """Brian2 neurons driven by `stimulus`, their membrane where `starts_at` says; nothing is run.

        The update is a statement in the slot "groups"; threshold and reset follow in the default schedule. A synapse
        onto a variable of these neurons therefore acts in the next step, except that the hard reset erases what was
        added to its membrane in the step of a spike.

        Parameters
        ----------
        n
            Number of neurons.
        stimulus
            Input of shape (T, n), without unit; its dt is the time step. After T steps Brian2 repeats the last row.
        name
            Name of the group.

        Raises
        ------
        InputError
            If the stimulus is not for n neurons.
        """
        if stimulus.values.shape[1:] != (n,):
            raise InputError(f"the stimulus must have the shape (T, {n}), got {stimulus.values.shape}")
        check_indices(stimulus.values.size, "values of the stimulus")
        update, reset = self.statements()
        numbers = {key: value for key, value in attrs.asdict(self).items() if isinstance(value, float | int)}
        constants = {key: value for key, value in numbers.items() if not isinstance(value, bool)}
        group = b2.NeuronGroup(
            n,
            self.equations,
            threshold=self.threshold,
            reset=reset,
            namespace=constants | {"stim": stimulus},
            dt=stimulus.dt * b2.second,
            name=name,
        )
        group.run_regularly(update, when="groups")
        if self.starts_at is not None:
            group.v = getattr(self, self.starts_at)
        return group


@attrs.frozen(kw_only=True)
class Paper(DiscreteLIF):
    """u_t = beta*u_{t-1} + I_t - v_th*s_{t-1}, s_t = [u_t >= v_th]; beta = 1 is the perfect integrator."""

    beta: float = number(0.5, minimum=0, maximum=1)
    v_th: float = number(1.0, above=0)

    equations = """
    u : 1
    s : 1
    """
    threshold = "u >= v_th"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`; s holds the last step's spike until it has been used."""
        update = """
        u = beta*u + stim(t, i) - v_th*s
        s = 0
        """
        return update, "s = 1"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`."""
        inputs = rows_of_input(inputs, dtype)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        u = np.zeros_like(inputs[0])
        s = np.zeros_like(inputs[0])
        for t, I in enumerate(inputs):  # noqa: E741
            u = self.beta * u + I - self.v_th * s
            s = (u >= self.v_th).astype(inputs.dtype)
            membrane[t], spikes[t] = u, s
        return spikes, membrane


@attrs.frozen(kw_only=True)
class SpikingJellyHard(DiscreteLIF):
    """LIFNode with a v_reset: H = V + (X - (V - v_reset))/tau, S = [H >= v_th], V = v_reset after a spike.

    Without ``decay_input`` the input is not divided by tau: H = V - (V - v_reset)/tau + X. Version 0.0.0.0.14 wrote
    H = V*(1 - 1/tau) + X in places; in floating point that is another number unless tau is a power of two.
    """

    tau: float = number(2.0, minimum=1)
    v_th: float = number(1.0)
    v_reset: float = number(0.0)
    decay_input: bool = flag(True)

    equations = "v : 1"
    threshold = "v >= v_th"
    starts_at = "v_reset"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`."""
        if self.decay_input:
            charge = "H = v + (stim(t, i) - (v - v_reset))/tau"
        else:
            charge = "H = v - (v - v_reset)/tau + stim(t, i)"
        # H, and not v at once: Brian2 rewrites v = v - a + b as v += -a + b, which adds in another order.
        return charge + "\nv = H", "v = v_reset"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`."""
        inputs = rows_of_input(inputs, dtype)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        V = np.full_like(inputs[0], self.v_reset)
        for t, X in enumerate(inputs):
            decay = V - self.v_reset
            H = V + (X - decay) / self.tau if self.decay_input else V - decay / self.tau + X
            S = H >= self.v_th  # noqa: SIM300
            V = np.where(S, self.v_reset, H)
            membrane[t], spikes[t] = H, S
        return spikes, membrane


@attrs.frozen(kw_only=True)
class SpikingJellySoft(DiscreteLIF):
    """LIFNode with v_reset=None: H = V + (X - V)/tau, S = [H >= v_th], V = H - v_th*S.

    Without ``decay_input``: H = V - V/tau + X.
    """

    tau: float = number(2.0, minimum=1)
    v_th: float = number(1.0, above=0)
    decay_input: bool = flag(True)

    equations = "v : 1"
    threshold = "v >= v_th"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`."""
        charge = "H = v + (stim(t, i) - v)/tau" if self.decay_input else "H = v - v/tau + stim(t, i)"
        return charge + "\nv = H", "v -= v_th"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`."""
        inputs = rows_of_input(inputs, dtype)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        V = np.zeros_like(inputs[0])
        for t, X in enumerate(inputs):
            H = V + (X - V) / self.tau if self.decay_input else V - V / self.tau + X
            S = (H >= self.v_th).astype(inputs.dtype)  # noqa: SIM300
            V = H - self.v_th * S
            membrane[t], spikes[t] = H, S
        return spikes, membrane


@attrs.frozen(kw_only=True)
class SnnTorch(DiscreteLIF):
    """Leaky with its delayed reset: R = [mem > thr], then mem = beta*mem + I - R*thr, or beta*(1 - R)*mem + I.

    The spike test is strict: a membrane that is exactly at the threshold is silent here and fires in the others.
    """

    beta: float = number(0.5, minimum=0, maximum=1)
    thr: float = number(1.0, above=0)
    reset: str = choice("subtract", "subtract", "zero")

    equations = """
    mem : 1
    R   : 1
    """
    threshold = "mem > thr"

    def statements(self) -> tuple[str, str]:
        """See `DiscreteLIF.statements`; R holds the last step's spike until it has been used."""
        update = (
            "mem = beta*mem + stim(t, i) - R*thr"
            if self.reset == "subtract"
            else "mem = beta*((1 - R)*mem) + stim(t, i)"
        )
        return update + "\nR = 0", "R = 1"

    def trace(self, inputs: ArrayLike, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], Array]:
        """See `DiscreteLIF.trace`."""
        inputs = rows_of_input(inputs, dtype)
        spikes, membrane = np.zeros(inputs.shape, np.uint8), np.zeros_like(inputs)
        mem = np.zeros_like(inputs[0])
        for t, I in enumerate(inputs):  # noqa: E741
            R = (mem > self.thr).astype(inputs.dtype)
            mem = self.beta * mem + I - R * self.thr if self.reset == "subtract" else self.beta * ((1 - R) * mem) + I
            membrane[t], spikes[t] = mem, mem > self.thr
        return spikes, membrane


DISCRETE_LIF: dict[str, type[DiscreteLIF]] = {
    "paper": Paper,
    "spikingjelly_hard": SpikingJellyHard,
    "spikingjelly_soft": SpikingJellySoft,
    "snntorch": SnnTorch,
}
"""Conventions by name."""
