"""Energy of a model by its own spikes and shapes, and every line of SpikingJelly's op_counter beside.

By events: a synaptic layer (Linear, convolution) behind a node that is handed 0 and 1 costs an accumulate (AC, .9 pJ)
a spike and synapse; handed anything else, or before the first node, a multiply-accumulate (MAC, 4.6 pJ) a synapse. An
update of a node costs a MAC, and so does a product of softmax attention. Memory is not in, nor what other functions
multiply, as attention of spikes does: it has no layer.

op_counter, read in version 2.0.0, counts operations of torch. What it counts otherwise is a line each: a real image of
ones is spikes to it; products of spikes are coincidences; a step of a node is additions; norms and sums count; what
torch fuses, as its own attention, is 0; and its total adds 24.96 pJ a byte of weights and states.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from biospike.auditing.layers import first_tensor
from biospike.auditing.nodes import is_node
from biospike.auditing.records import Attention
from biospike.ideal.frameworks.installed import FrameworkMissing, load
from biospike.multihead import multihead_projections
from biospike.theory.energy import AC, MAC

COLUMNS = {
    "by": "`events`: spikes and shapes; `op_counter`: SpikingJelly's",
    "line": "what is counted",
    "ac": "accumulates, all samples",
    "mac": "multiply-accumulates, all samples",
    "nJ": "both at .9 and 4.6 pJ, and memory where the line is that",
    "why": "what it is beside the account by events",
}
"""Columns of ``energy.csv``."""
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution")


@attrs.define(eq=False)
class Account:
    """Hooks on synaptic layers and nodes, and what they have counted."""

    torch: Any
    module: Any
    ac: float = 0.0
    slots: float = 0.0
    """Accumulates of the same layers if every input spiked at every step."""
    mac: float = 0.0
    updates: float = 0.0
    products: float = 0.0
    """Multiply-accumulates of scores and outputs of softmax attention."""
    projections: float = 0.0
    """Those of `mac` that torch's own attention does without calling a layer."""
    ones: float = 0.0
    """Events of layers before the first node whose input happens to be 0 and 1."""
    behind: bool = False
    """Whether a node has been called."""

    def hooks(self) -> Iterator[Any]:
        """Put the hooks on; yield their handles."""
        for one in self.module.modules():
            if is_node(one):
                yield one.register_forward_hook(self._of_node)
            elif is_synaptic(self.torch, one):
                yield one.register_forward_hook(self._of_synapses)

    def _of_node(self, module: Any, args: Any, output: Any) -> None:
        spikes = first_tensor(self.torch, output)
        self.behind, self.updates = True, self.updates + (0 if spikes is None else spikes.numel())

    def _of_synapses(self, module: Any, args: Any, output: Any) -> None:
        given = args[0].detach()
        binary = bool(((given == 0) | (given == 1)).all())
        if getattr(module, "transposed", False):
            products = float(given.numel()) * module.weight[0].numel()
        else:
            products = float(output.numel()) * module.weight.numel() / output_units(module)
        if binary and self.behind:
            self.ac += self._events(module, given)
            self.slots += products
            return
        self.mac += products
        if binary:
            self.ones += self._events(module, given)

    def of_attention(self, call: Attention, module: Any) -> None:
        """Count a call of softmax attention, and the projections of torch's own, which calls no layer for them."""
        batch, heads, queries, width = call.q.shape
        keys = call.k.shape[2]
        self.products += batch * heads * queries * keys * (width + call.v.shape[3])
        if isinstance(module, self.torch.nn.MultiheadAttention):
            sizes = [matrix.size for name, matrix in multihead_projections(module).items() if name.startswith("W_")]
            at_queries = sizes[0] + module.out_proj.weight.numel()
            own = float(batch * (queries * at_queries + keys * (sizes[1] + sizes[2])))
            self.projections, self.mac = self.projections + own, self.mac + own

    def _events(self, module: Any, spikes: Any) -> float:
        """Spikes times the synapses that each reaches."""
        if module.weight.dim() == 2:
            return float(spikes.sum()) * output_units(module)
        if module.transposed:
            return float(spikes.sum()) * module.weight[0].numel()
        if spikes.dim() > module.weight.dim():  # steps before samples
            spikes = spikes.flatten(0, 1)
        with self.torch.no_grad():
            ones = self.torch.ones_like(module.weight)
            return float(module._conv_forward(spikes, ones, None).double().sum())


def is_synaptic(torch: Any, module: Any) -> bool:
    """Whether it is a layer of synapses: Linear, a convolution, or the Conv1D of GPT-2, which is a Linear too."""
    return isinstance(module, torch.nn.Linear | torch.nn.modules.conv._ConvNd) or type(module).__name__ == "Conv1D"


def output_units(module: Any) -> int:
    """Units, or channels, that a layer of synapses has."""
    return int(module.weight.shape[1 if type(module).__name__ == "Conv1D" else 0])


def lines(accounts: Sequence[Account], rates: tuple[float, float]) -> list[dict[str, Any]]:
    """The account by events, over all parts of the input: as it was, and at two rates of what spiking layers get."""
    ac, slots, mac, products, updates = (
        sum(getattr(one, name) for one in accounts) for name in ("ac", "slots", "mac", "products", "updates")
    )
    others = mac + products + updates
    return [
        _line("events", "spikes at synapses", (ac, 0), "layers behind a node that are handed 0 and 1"),
        _line("events", "numbers at synapses", (0, mac), "layers before the first node, or handed other numbers"),
        _line("events", "products of attention", (0, products), "scores and outputs of softmax attention"),
        _line("events", "updates of nodes", (0, updates), "a step of a node"),
        _line("events", "total", (ac, others), "without memory, and what other functions multiply"),
        *(
            _line(
                "events",
                f"total at {rate:g} spikes a step",
                (rate * slots, others),
                f"if inputs of spiking layers had this rate; they have {ac / slots:.3g}",
            )
            for rate in (rates if slots else ())
        ),
    ]


def _line(by: str, line: str, counts: Sequence[float], why: str, more: float = 0.0) -> dict[str, Any]:
    """One row; `more` is energy besides that of the counts, pJ."""
    ac, mac = map(float, counts)
    return {"by": by, "line": line, "ac": ac, "mac": mac, "nJ": (AC * ac + MAC * mac + more) / 1e3, "why": why}


def of_op_counter(
    torch: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ours: Account
) -> list[dict[str, Any]]:
    """The account of op_counter of one run, a line for each thing that it counts in a way of its own.

    Parameters
    ----------
    module
        In evaluation mode, its state as before the run that the other account is of.
    ours
        The account by events of the same input.
    """
    try:
        counter = load("spikingjelly.activation_based.op_counter")
    except FrameworkMissing as missing:
        return [_line("op_counter", "not asked", (np.nan, np.nan), str(missing))]
    profiler = counter.SimpleEnergyProfiler()
    profiler.bind_model(module)
    notices = logging.getLogger("spikingjelly")
    level = notices.level
    notices.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), profiler:
            module(*args, **kwargs)
        report = profiler.get_report()
    finally:
        notices.setLevel(level)
    synapses, nodes = set(), set()
    for name, one in module.named_modules():
        scope = f"{type(module).__name__}.{name}" if name else type(module).__name__
        if is_node(one):
            nodes.add(scope)
        elif is_synaptic(torch, one):
            synapses.add(scope)
    counts = profiler.ac_counter.get_counts(), profiler.mac_counter.get_counts()
    layers, steps = (tuple(_counted(one, scopes) for one in counts) for scopes in (synapses, nodes))
    whole = tuple(_counted(one, {"Global"}) for one in counts)
    free = tuple(_counted(one, {"Global"}, PRODUCTS) - layer for one, layer in zip(counts, layers, strict=True))
    rest = tuple(a - b - c - d for a, b, c, d in zip(whole, layers, steps, free, strict=True))
    memory = float(report.energy_memory_pj)
    told: list[tuple[str, Sequence[float], str, float]] = [
        ("synapses", layers, "its layers, without regard to where 0 and 1 come from", 0),
        ("of these: real inputs of 0 and 1", (ours.ones, 0), "no spikes: numbers in the account by events", 0),
        ("products of functions", free, "those of attention too; of spikes with spikes coincidences", 0),
        ("steps of nodes", steps, "additions of a step, where the account by events has a MAC", 0),
        ("norms, sums, additions", rest, "not in the account by events", 0),
        ("memory", (0, 0), "24.96 pJ a byte of weights and states", memory),
        ("total", whole, "of all, with memory", memory),
    ]
    if ours.products:
        uncounted = max(ours.products + ours.projections - free[1], 0.0)
        told.append(("not counted: attention that torch fuses", (0, uncounted), "of what the account by events has", 0))
    return [_line("op_counter", *one) for one in told]


def _counted(counts: Any, scopes: set[str], only: tuple[str, ...] = ()) -> float:
    """Operations of some scopes, all or those of some names."""
    return float(
        sum(
            number
            for scope in scopes & set(counts)
            for operation, number in counts[scope].items()
            if not only or str(operation).split(".")[1] in only
        )
    )
