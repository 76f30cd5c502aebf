"""ML frameworks held against the references, spike for spike: their own neurons and attention layers, on one input.

========================= ====================================== ===================================
framework                 neuron                                 attention layers
========================= ====================================== ===================================
SpikingJelly 2.0.0        LIFNode, IFNode: `SpikingJellyHard`,   SpikingSelfAttention,
                          `SpikingJellySoft`                     TokenQKAttention, ChannelQKAttention,
                                                                 SpikeDrivenSelfAttention
snnTorch 1.0.0            Leaky: `SnnTorch`                      none: assembled from Leaky
Norse 1.1.0               LIFCell, LIFBoxCell: `Norse`,          none: neurons only
                          `NorseBox`
sinabs 3.1.3              LIF, IAF: `Sinabs`                     none: neurons only
BindsNET 0.3.4            LIFNodes: `BindsNET`                   none: neurons only
========================= ====================================== ===================================

In float64 a neuron equals its reference bit for bit, membrane and spikes, and in float32 the reference run in float32;
the modules of the frameworks tell what changed between versions, or what a default rounds.

A block in float64 is fed by torch's sums, whose last bit depends on the order of the terms: its spikes can differ from
the reference's only where a membrane is within that rounding of the threshold, and not at all where the weights make
every sum exact. In float32, which is what models are run in, a mismatch is a membrane within float32 rounding of the
threshold, and all that follows from it; it is counted like any other.

The extra ``biospike[ml]`` installs SpikingJelly and snnTorch; `installed.INSTALL` says how the others are. Nothing is
imported before it is used.

References
----------
W. Fang et al. (2023), Sci. Adv. 9, eadi1480, doi:10.1126/sciadv.adi1480.
J. K. Eshraghian et al. (2023), Proc. IEEE 111, 1016, doi:10.1109/JPROC.2023.3308088.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biospike.errors import InputError
from biospike.ideal.attention import SpikingBertAttention
from biospike.ideal.attention.layers import check_spikes
from biospike.ideal.framework_lif import Sinabs
from biospike.ideal.frameworks import assembled, bindsnet, norse, sinabs, snntorch, spikingjelly
from biospike.ideal.frameworks.installed import (
    FRAMEWORKS,
    NEURON_FRAMEWORKS,
    FrameworkMissing,
    available,
    check_framework,
    check_precision,
    one_thread,
    require,
    versions,
)
from biospike.ideal.lif import DiscreteLIF

__all__ = [
    "FRAMEWORKS",
    "NEURON_FRAMEWORKS",
    "FrameworkMissing",
    "available",
    "difference",
    "framework_attention",
    "framework_conventions",
    "framework_neuron",
    "shipped_attention",
    "versions",
]

NEURONS: dict[str, Any] = {
    "spikingjelly": spikingjelly,
    "snntorch": snntorch,
    "norse": norse,
    "sinabs": sinabs,
    "bindsnet": bindsnet,
}
"""Framework -> the module that drives its neurons, and knows what they can be set to."""


def framework_conventions(framework: str) -> dict[str, DiscreteLIF]:
    """Return what the framework's neuron can be set to -> the reference that it is claimed to equal.

    Raises
    ------
    InputError
        If the framework is unknown.
    """
    check_framework(framework, NEURON_FRAMEWORKS)
    return dict(NEURONS[framework].CONVENTIONS)


def framework_neuron(
    framework: str, kind: DiscreteLIF, inputs: ArrayLike, dtype: str = "float32"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Drive the framework's own neuron, as `DiscreteLIF.trace` does the formula.

    Parameters
    ----------
    framework
        One of `NEURON_FRAMEWORKS`.
    kind
        A convention that this framework has, with its parameters.
    inputs
        Shape (T, n).
    dtype
        "float32", which is what the frameworks compute in, or "float64".

    Returns
    -------
    spikes
        As `DiscreteLIF.trace` gives them, shape (T, n).
    membrane
        The value that was compared with the threshold, shape (T, n), in that precision.

    Raises
    ------
    FrameworkMissing
        If it is not installed.
    InputError
        If the framework has no such neuron, or the inputs are not finite or not of two dimensions.
    """
    check_framework(framework, NEURON_FRAMEWORKS)
    check_precision(dtype)
    rows = np.array(inputs, dtype=dtype)
    if rows.ndim != 2 or not np.all(np.isfinite(rows)):
        raise InputError(f"inputs must be finite, of shape (T, n), got the shape {rows.shape}")
    with one_thread(framework) as torch:
        spikes, membrane = NEURONS[framework].drive(torch, kind, torch.from_numpy(rows))
        counts = spikes.numpy().astype(np.int64)
        return counts if isinstance(kind, Sinabs) else counts.astype(np.uint8), membrane.numpy()


def shipped_attention(framework: str) -> tuple[str, ...]:
    """Names of the reference blocks for which the framework ships a layer; none in snnTorch.

    Raises
    ------
    FrameworkMissing
        If it is not installed.
    """
    require(framework)
    return spikingjelly.shipped() if framework == "spikingjelly" else ()


def difference(framework: str, block: Any) -> str:
    """How the framework's block differs from the reference, in one line; empty if nothing is known to differ.

    Raises
    ------
    InputError
        If the framework is unknown, or no framework runs the block.
    """
    check_framework(framework)
    assembled.check_block(block)
    notes = [spikingjelly.difference(block) if framework == "spikingjelly" else snntorch.DIFFERENCE]
    if isinstance(block, SpikingBertAttention):
        notes.append(
            "where all values of a channel spike, the softmax adds up to the threshold but for rounding: the last bit "
            "decides in which step the spike comes"
        )
    return "; ".join(note for note in notes if note)


def framework_attention(
    framework: str, block: Any, x: ArrayLike, *, dtype: str = "float32", reset: str = "zero"
) -> dict[str, NDArray[np.uint8]]:
    """Run an attention block in a framework, with the weights of the reference block.

    The framework's own layer where it ships one (`shipped_attention`), otherwise its neurons joined by torch products;
    `difference` says what is then different.

    Parameters
    ----------
    framework
        One of `FRAMEWORKS`.
    block
        A block of `biospike.ideal.attention`, all but `SpikeSoftmax`.
    x
        Spikes, (T, batch, tokens, channels).
    dtype
        "float32", which is what the frameworks compute in, or "float64".
    reset
        For snnTorch, in place of the published reset to zero: "zero", or "subtract", which is snnTorch's default.

    Returns
    -------
    dict
        Spikes, by the name and in the shape of the reference's stage; at least "output".

    Raises
    ------
    FrameworkMissing
        If it is not installed.
    InputError
        If the block cannot be run, or the input is no such array of spikes.
    """
    check_framework(framework)
    check_precision(dtype)
    assembled.check_block(block)
    spikes = check_spikes(x, block.channels)
    with one_thread(framework) as torch:
        tensor = torch.tensor(spikes, dtype=getattr(torch, dtype))

        def fire(kind: DiscreteLIF, currents: Any) -> Any:
            rows = currents.reshape(len(currents), -1)
            if framework == "snntorch":
                leaky, gain = snntorch.nearest(kind, reset)
                found, _ = snntorch.drive(torch, leaky, gain * rows)
            else:
                found, _ = spikingjelly.drive(torch, kind, rows)
            return found.reshape(currents.shape)

        if framework == "spikingjelly" and type(block) in spikingjelly.LAYERS:
            stages = spikingjelly.attention(torch, block, tensor)
        else:
            stages = assembled.stages(block, tensor, fire)
        return {name: stage.numpy().astype(np.uint8) for name, stage in stages.items()}
