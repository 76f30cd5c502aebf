"""snnTorch's own neuron `Leaky`. snnTorch ships no attention layer.

Read in versions 0.5.3 to 1.0.0. All test mem > threshold, strictly, and reset at the start of the next step:

=========== ======================================= =============================================
reset       up to 0.7.0, membrane passed by caller  from 0.8.0
=========== ======================================= =============================================
subtract    mem = beta*(mem - R*thr) + I            mem = beta*mem + I - R*thr
zero        mem = (1 - R)*(beta*mem + I)            mem = beta*((1 - R)*mem) + I
=========== ======================================= =============================================

So "subtract" moved from before the decay to after it, and "zero" no longer wipes the input of the step after a spike.
(With ``init_hidden=True`` versions before 0.8.0 subtracted after the decay too.) The reference is the right column.

A `Leaky` that is given Python numbers keeps beta and threshold in float32, whatever precision its input has: beta = 0.9
becomes 0.89999998. Its spikes are float32 too, and a threshold without a dimension is rounded to that when it is
subtracted. Parameters are given here as tensors of one element, in the precision to compute in.
"""

from __future__ import annotations

from typing import Any

from biospike.errors import InputError
from biospike.ideal.frameworks.installed import load
from biospike.ideal.lif import DiscreteLIF, SnnTorch, SpikingJellyHard, SpikingJellySoft

Tensor = Any

CONVENTIONS: dict[str, DiscreteLIF] = {"subtract": SnnTorch(), "zero": SnnTorch(reset="zero")}
RESETS = ("zero", "subtract")
DIFFERENCE = (
    "no attention layer: assembled from Leaky and torch products; the spike test of Leaky is strict, so that a "
    "membrane exactly at the threshold is silent"
)


def nearest(kind: DiscreteLIF, reset: str = "zero") -> tuple[SnnTorch, float]:
    """Return the `Leaky` that stands in for a neuron of a published block, and the factor of its input.

    H = V + (X - V)/tau is mem = beta*mem + X/tau with beta = 1 - 1/tau, and the reset to zero at the start of the next
    step is the one at the end of this: what is left is the strict threshold. Where that neuron subtracts its threshold,
    so does this one, after the decay; without leak that makes no difference.

    Parameters
    ----------
    kind
        Neuron of the published block.
    reset
        In place of a reset to zero: "zero", or "subtract", which is snnTorch's default.

    Raises
    ------
    InputError
        If `Leaky` has nothing like it.
    """
    if reset not in RESETS:
        raise InputError(f"reset must be one of {RESETS}, got {reset!r}")
    if not isinstance(kind, SpikingJellyHard | SpikingJellySoft) or getattr(kind, "v_reset", 0) != 0:
        raise InputError(f"snnTorch's Leaky rests at zero, and there is no {kind} to replace by it")
    reset = "subtract" if isinstance(kind, SpikingJellySoft) else reset
    return SnnTorch(beta=1 - 1 / kind.tau, thr=kind.v_th, reset=reset), 1 / kind.tau if kind.decay_input else 1.0


def drive(torch: Any, kind: DiscreteLIF, currents: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes, and the membrane that was compared with the threshold, both (T, n), for currents (T, n)."""
    if not isinstance(kind, SnnTorch):
        raise InputError(f"snnTorch has no neuron {kind}: its Leaky is SnnTorch, with reset 'subtract' or 'zero'")
    snntorch = load("snntorch")
    beta, thr = (torch.tensor([value], dtype=currents.dtype) for value in (kind.beta, kind.thr))
    leaky = snntorch.Leaky(beta=beta, threshold=thr, reset_mechanism=kind.reset)
    # snnTorch keeps a list of all neurons ever made, and with them their membranes.
    snntorch.SpikingNeuron.instances.remove(leaky)
    membrane = torch.zeros_like(currents[0])
    spikes, membranes = torch.empty_like(currents), torch.empty_like(currents)
    for t, current in enumerate(currents):
        spikes[t], membrane = leaky(current, membrane)
        membranes[t] = membrane
    return spikes, membranes
