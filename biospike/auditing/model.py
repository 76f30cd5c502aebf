"""One run of a model under hooks: rows of its attention, currents of its nodes, the account of its energy."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from biospike.auditing.energy import Account
from biospike.auditing.given import padding
from biospike.auditing.layers import Watch, attention_layers, first_tensor
from biospike.auditing.nodes import NodeWatch, node_layers
from biospike.auditing.records import Attention, Currents, Flags
from biospike.auditing.rows import Rows
from biospike.auditing.state import untouched
from biospike.errors import InputError

Array = NDArray[np.float64]


@attrs.frozen(eq=False, kw_only=True)
class Heard:
    """What one run gave.

    Attributes
    ----------
    rows : list of Rows
        One a call of an attention layer whose output was reproduced.
    nodes : dict
        Layer of nodes -> its currents, or why there are none.
    told : dict
        Attention layer that has no rows -> why.
    account : Account
    tokens : int
        Of the output.
    fired : bool
        Whether any hook did.
    notes : tuple of str
    """

    rows: list[Rows]
    nodes: dict[str, Currents | str]
    told: dict[str, tuple[str, str]]
    account: Account
    tokens: int
    fired: bool
    notes: tuple[str, ...]


def listen(
    torch: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, max_rows: int, probes: int, seed: int
) -> Heard:
    """Run the model once, and leave it as it was; arguments as of `biospike.auditing.audit`.

    Raises
    ------
    InputError
        If the model does not take the input, or the output of an attention layer is not reproduced.
    """
    layers, nodes = attention_layers(torch, module), node_layers(module)
    made_without = any(one.is_inference() for one in module.parameters())
    graph = bool(layers) and probes > 0 and not nodes and not made_without
    watches = [Watch(torch, name, one) for name, one in layers.items()]
    heard = [NodeWatch(torch, name, one) for name, one in nodes.items()]
    account = Account(torch, module)
    with untouched(torch, module) as handles:
        hooked: list[Any] = [*watches, *heard, account]
        for one in hooked:
            handles.extend(one.hooks())
        for parameter in module.parameters() if graph else ():  # frozen or not
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        output = first_tensor(torch, run(torch, module, args, kwargs, graph=graph))
        pads = padding(torch, kwargs)
        calls, told = _extracted(watches, pads, set(nodes))
        if pads is None:  # the mask was given by its place: layers know it
            pads = next((~call.real for _, call, _ in calls if not call.real.all()), None)
        gradients, why = _gradients(torch, output, pads, [edge for *_, edge in calls], probes if graph else 0, seed)
    rows = [
        Rows.of(call, None if gradients is None else _at_heads(watch, call, gradients[place]), max_rows)
        for place, (watch, call, _) in enumerate(calls)
    ]
    if made_without and probes and layers:
        why = "parameters were made in inference mode, where there are no gradients: no S"
    for watch, call, _ in calls:
        account.of_attention(call, watch.module)
    notes = (why,) if why else ()
    if nodes and calls:
        notes = ("a model with spiking nodes: no gradient but that of a surrogate, hence no S",)
    return Heard(
        rows=rows, nodes={one.layer: one.found() for one in heard}, told=told, account=account,
        tokens=_tokens(output, pads), fired=any(watch.calls for watch in watches) or any(one.outputs for one in heard),
        notes=notes,
    )  # fmt: skip


def run(torch: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, graph: bool) -> Any:
    """Call the module; whatever it raises is one line.

    Raises
    ------
    InputError
        Naming the module and what it said.
    """
    try:
        with torch.set_grad_enabled(graph):
            return module(*args, **kwargs)
    except InputError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        if isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said:
            raise InputError(
                f"{type(module).__name__} runs out of memory on this input: shorter sequences, or fewer samples at a "
                f"time by batch_size ({said})"
            ) from None
        raise InputError(f"{type(module).__name__} does not take this input: {type(error).__name__}: {said}") from error


def _extracted(
    watches: list[Watch], pads: Flags | None, nodes: set[str]
) -> tuple[list[tuple[Watch, Attention, Any]], dict[str, tuple[str, str]]]:
    """Calls that were reproduced, and layers that have none with the reason."""
    calls, told = [], {}
    for watch in watches:
        kind = type(watch.module).__name__
        if not watch.calls:
            told[watch.layer] = kind, "never called on this input"
            continue
        try:
            for call, said, edge in watch.found(pads):
                if said:
                    told[call.layer] = kind, said
                else:
                    calls.append((watch, call, edge))
        except InputError as error:
            # Attention of spikes projects by the same names, and its nodes are in the table.
            if not any(name.startswith(f"{watch.layer}.") for name in nodes):
                raise
            told[watch.layer] = kind, f"no softmax attention of its projections: {error}"
    return calls, told


def _gradients(
    torch: Any, output: Any, pads: Flags | None, edges: list[tuple[Any, Any]], probes: int, seed: int
) -> tuple[list[list[Array]] | None, str]:
    """Gradients of probes of the normalised output, by call and probe; or None, and why.

    `edges` are those of the calls' outputs in the graph, None where there is none, and the outputs.
    """
    if not probes or not edges:
        return None, ""
    if output is None or not output.requires_grad:
        return None, "no gradient reaches the output: no S"
    if output.dim() < 2 or output.shape[-1] < 2:
        return None, "the output is one number a sample, which has no direction: no S"
    generator = torch.Generator().manual_seed(seed)
    real = torch.ones(output.shape[:-1], dtype=output.dtype)
    if _fits(output, pads):
        real = torch.from_numpy(~pads).to(output.dtype)  # type: ignore[operator]
    found: list[list[Array]] = [[] for _ in edges]
    known = [edge for edge, _ in edges if edge is not None]
    try:
        with torch.enable_grad():
            normalised = output / output.norm(dim=-1, keepdim=True)
        for _ in range(probes):
            r = torch.randn(output.shape, generator=generator, dtype=output.dtype) * real[..., None]
            r = r.to(output.device)
            flowing = iter(torch.autograd.grad(normalised, known, r, retain_graph=True, allow_unused=True))
            for mine, (edge, values) in zip(found, edges, strict=True):
                gradient = None if edge is None else next(flowing)
                mine.append((torch.zeros_like(values) if gradient is None else gradient).detach())
    except RuntimeError as error:
        return None, f"no gradient, hence no S: {' '.join(str(error).split())[:120]}"
    if not all(bool(torch.isfinite(one).all()) for mine in found for one in mine):
        return None, "gradients are not finite: no S"
    return found, ""


def _at_heads(watch: Watch, call: Attention, gradients: list[Any]) -> Array:
    """Gradients with respect to the outputs of the heads, (probes, batch, heads, queries, width)."""
    return np.stack([call.to_outputs(watch.arranged(one)) for one in gradients])


def _tokens(output: Any, pads: Flags | None) -> int:
    if output is None or not output.dim():
        return 1
    number = output[..., 0].numel()
    return int(number - pads.sum()) if _fits(output, pads) and pads is not None else number


def _fits(output: Any, pads: Flags | None) -> bool:
    return pads is not None and tuple(output.shape[:-1]) == pads.shape
