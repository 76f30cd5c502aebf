"""Spiking nodes of SpikingJelly and snnTorch in a model: their currents and spikes, and the neurons that they are.

A node is replayed from its own currents by `biospike.auditing.replay`; what that finds must be the node's spikes.
Single-step nodes are called once a step, multi-step nodes once with all steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np

from biospike.auditing.layers import first_tensor
from biospike.auditing.records import Currents
from biospike.auditing.replay import Neuron, SnnTorchLeaky, SpikingJellyNode
from biospike.errors import InputError

FRAMEWORKS = ("spikingjelly", "snntorch")
BASES = ("BaseNode", "SimpleBaseNode", "SpikingNeuron")
PLAIN_RESETS = {0: "subtract", 1: "zero", 2: "none"}
"""snnTorch's numbers of its resets."""


def node_layers(module: Any) -> dict[str, Any]:
    """Spiking nodes by name, each once."""
    return {name or type(one).__name__: one for name, one in module.named_modules() if is_node(one)}


def is_node(module: Any) -> bool:
    """Whether it is a spiking node of one of `FRAMEWORKS`."""
    return any(
        kind.__name__ in BASES and kind.__module__.partition(".")[0] in FRAMEWORKS for kind in type(module).__mro__
    )


def neuron_of(module: Any) -> Neuron | str:
    """The neuron that a node is, or why there is none."""
    kind = type(module).__name__
    if type(module).__module__.startswith("spikingjelly"):
        if kind not in ("LIFNode", "IFNode"):
            return f"{kind} is not replayed: LIFNode and IFNode are"
        tau = float(module.tau) if kind == "LIFNode" else np.inf
        scaled = kind == "LIFNode" and bool(module.decay_input)
        reset = "subtract" if module.v_reset is None else "zero"
        v_reset = float(module.v_reset or 0.0)
        return SpikingJellyNode(
            v_th=float(module.v_threshold), reset=reset, tau=tau, decay_input=scaled, v_reset=v_reset
        )
    if kind != "Leaky":
        return f"{kind} is not replayed: Leaky is"
    if module.inhibition or module.state_quant:
        return "Leaky with inhibition or quantised states is not replayed"
    numbers = [module.beta, module.threshold, module.graded_spikes_factor]
    if any(one.numel() != 1 for one in numbers) or float(numbers[2]) != 1:
        return "Leaky with one beta or threshold a neuron, or graded spikes, is not replayed"
    reset, beta = PLAIN_RESETS[int(module.reset_mechanism_val)], min(max(float(module.beta), 0.0), 1.0)
    return SnnTorchLeaky(v_th=float(module.threshold), reset=reset, beta=beta, delayed=bool(module.reset_delay))


@attrs.define(eq=False)
class NodeWatch:
    """Hooks on one node, and what they have seen."""

    torch: Any
    layer: str
    module: Any
    inputs: list[Any] = attrs.field(factory=list)
    outputs: list[Any] = attrs.field(factory=list)
    start: Any = None

    def hooks(self) -> Iterator[Any]:
        """Put the hooks on; yield their handles."""
        yield self.module.register_forward_pre_hook(self._before, with_kwargs=True)
        yield self.module.register_forward_hook(self._after)

    def _before(self, module: Any, args: Any, kwargs: Any) -> None:
        given = first_tensor(self.torch, [*args, *kwargs.values()])
        if not self.inputs:
            handed = args[1] if len(args) > 1 else kwargs.get("mem")
            kept = handed if handed is not None else getattr(module, "v", getattr(module, "mem", None))
            if isinstance(kept, self.torch.Tensor) and kept.numel():
                self.start = kept.detach().clone()
        self.inputs.append(None if given is None else given.detach().clone())

    def _after(self, module: Any, args: Any, output: Any) -> None:
        found = first_tensor(self.torch, output)
        self.outputs.append(None if found is None else found.detach().clone())

    def found(self) -> Currents | str:
        """All steps of the node, or why there are none."""
        if not self.outputs:
            return "never called on this input"
        if len(self.inputs) != len(self.outputs) or any(one is None for one in self.inputs + self.outputs):
            return "called without a tensor of floating point"
        if self.inputs[0].dtype not in (self.torch.float32, self.torch.float64):
            raise InputError(
                f"{self.layer}: currents of {self.inputs[0].dtype}; accepted are float32 and float64, in others nodes "
                "lose steps by rounding: convert model and inputs by .float()"
            )
        joined = self.torch.cat if getattr(self.module, "step_mode", "s") == "m" else self.torch.stack
        if len({one.shape[1 if joined is self.torch.cat else 0 :] for one in self.inputs}) > 1:
            return "called with inputs of several shapes in one pass"
        inputs, spikes = (joined(list(seen)).cpu().numpy() for seen in (self.inputs, self.outputs))
        if inputs.shape != spikes.shape:
            return f"currents {inputs.shape} and spikes {spikes.shape} have different shapes"
        carried = self.start is not None and bool((self.start != (getattr(self.module, "v_reset", None) or 0.0)).any())
        several = len(self.outputs) > 1 and joined is self.torch.cat
        notes = ("state carried over from before",) * carried + (f"called {len(self.outputs)} times",) * several
        start = None if self.start is None else self.start.cpu().numpy()
        if start is not None and start.shape != inputs.shape[1:]:
            start = None  # the framework starts anew on another shape
        return Currents(
            layer=self.layer, kind=type(self.module).__name__, inputs=inputs, spikes=spikes, start=start, notes=notes
        )
