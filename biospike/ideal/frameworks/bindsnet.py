"""BindsNET's own neurons `LIFNodes`, read in version 0.3.4. BindsNET ships no attention layer.

The nodes are driven without a network, in which a connection would cost a step unless ``one_step=True``. They overwrite
what they are handed: the input of a neuron that is held by its refractory period is set to 0 in the caller's tensor.
Their state is float32, whatever precision the input has, unless another is put in its place, as here.
"""

from __future__ import annotations

from typing import Any

from biospike.errors import InputError
from biospike.ideal.framework_lif import BindsNET
from biospike.ideal.frameworks.installed import load
from biospike.ideal.lif import DiscreteLIF

Tensor = Any

CONVENTIONS: dict[str, DiscreteLIF] = {"LIFNodes": BindsNET()}


def _nodes(torch: Any, kind: DiscreteLIF, currents: Tensor, thresh: float) -> Any:
    """BindsNET's nodes of a convention, for currents (n,), with another threshold."""
    if not isinstance(kind, BindsNET):
        raise InputError(f"BindsNET has no neuron {kind}: its LIFNodes are BindsNET")
    nodes = load("bindsnet.network.nodes").LIFNodes(
        n=len(currents), thresh=thresh, rest=kind.rest, reset=kind.v_reset, refrac=kind.refrac
    )
    nodes.to(currents.dtype)
    for name, value in {"thresh": thresh, "rest": kind.rest, "reset": kind.v_reset}.items():
        setattr(nodes, name, torch.tensor(value, dtype=currents.dtype))
    nodes.compute_decays(kind.step)
    nodes.decay = torch.tensor(kind.decay, dtype=currents.dtype)
    nodes.set_batch_size(1)  # which makes the state anew, in float32
    nodes.v = torch.full_like(currents[None], kind.rest)
    nodes.refrac_count = torch.zeros_like(nodes.v)
    return nodes


def drive(torch: Any, kind: DiscreteLIF, currents: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes, and the membrane that was compared with the threshold, both (T, n), for currents (T, n)."""
    nodes = _nodes(torch, kind, currents[0], getattr(kind, "thresh", 0.0))
    # The nodes keep the membrane after the reset: what was compared is read from some that cannot reach a threshold.
    twin = _nodes(torch, kind, currents[0], torch.finfo(currents.dtype).max)
    spikes, membranes = torch.empty_like(currents), torch.empty_like(currents)
    for t, current in enumerate(currents):
        twin.v, twin.refrac_count = nodes.v.clone(), nodes.refrac_count.clone()
        twin(current[None].clone())
        nodes(current[None].clone())
        membranes[t], spikes[t] = twin.v[0], nodes.s[0]
    return spikes, membranes
