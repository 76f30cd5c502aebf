"""`audit`: what spikes would ask of a model's attention, and what its spiking nodes would bear, on the user's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.auditing import energy
from biospike.auditing.given import checked_module, parts_of, unpacked
from biospike.auditing.laws import circuits_of, simulated
from biospike.auditing.layers import attention_layers
from biospike.auditing.measure import COLUMNS, head_rows, node_row
from biospike.auditing.model import Heard, listen
from biospike.auditing.nodes import neuron_of, node_layers
from biospike.auditing.records import Attention, Currents, check_outputs
from biospike.auditing.rows import Rows, joined
from biospike.auditing.state import untouched
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.ideal.frameworks.installed import load
from biospike.metrics import t_interval
from biospike.random import SEEDS

Array = NDArray[np.float64]

ATTENTION_RATES = (0.01, 0.1)
INPUT_RATES = (0.02, 0.3)
FEWEST = 10
"""Spikes of a row that is simulated: of fewer there are often none, and a row without a spike has no shares."""


@attrs.frozen(kw_only=True)
class Options:
    """How much is measured; see `audit`."""

    circuits: Mapping[str, Circuit]
    max_rows: int
    check_rows: int
    trials: int
    probes: int
    rates: tuple[float, float]
    input_rates: tuple[float, float]
    op_counter: bool
    seed: int
    target: str

    def __attrs_post_init__(self) -> None:
        for name, least in (("max_rows", 1), ("check_rows", 0), ("trials", 1), ("probes", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name, rates in (("attention_rates", self.rates), ("input_rates", self.input_rates)):
            if len(rates) != 2 or not 0 < rates[0] <= rates[1] <= 1:
                raise InputError(f"{name} must be two numbers above 0 and at most 1, the lower first, got {rates!r}")
        if self.seed >= SEEDS:
            raise InputError(f"seed must be below {SEEDS}, got {self.seed}")


@attrs.frozen(eq=False)
class Audit:
    """What was found.

    Attributes
    ----------
    table : DataFrame
        One row a layer, head and circuit, and one a layer of nodes; columns are `biospike.auditing.measure.COLUMNS`.
    energy : DataFrame
        One row a line of the accounts, none of arrays; columns are `biospike.auditing.energy.COLUMNS`.
    notes : tuple of str
        Of the whole model.
    """

    table: pd.DataFrame
    energy: pd.DataFrame
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Columns of the table that have values, and the notes."""
        return "\n".join([self.table.dropna(axis=1, how="all").to_string(index=False), *self.notes])


def audit(
    module: Any,
    inputs: Any = None,
    *,
    circuits: Sequence[Circuit | str] | None = None,
    max_rows: int = 256,
    check_rows: int = 2,
    trials: int = 8,
    probes: int = 4,
    attention_rates: tuple[float, float] = ATTENTION_RATES,
    input_rates: tuple[float, float] = INPUT_RATES,
    batch_size: int | None = None,
    batch_axis: int = 0,
    op_counter: bool = True,
    seed: int = 0,
    target: str = "auto",
) -> Audit:
    """Measure the attention rows and the spiking nodes of a model on an input.

    The model is run in evaluation mode and left as it was: hooks, modes, states, gradients, random numbers.

    Parameters
    ----------
    module
        An ``nn.Module`` of torch with softmax attention that `biospike.auditing.layers` knows, or with spiking nodes of
        SpikingJelly or snnTorch; or a `biospike.auditing.Attention`, or a sequence of them, which need neither torch
        nor inputs.
    inputs
        What the module is called with: a tensor or an array, a tuple of arguments, or a dict of named ones.
    circuits
        Against whose law and neurons the rows are held: names registered as ``biospike.circuits``, or circuits. Default
        escape, whose counts are multinomial.
    max_rows
        Rows of a head that are measured, evenly through all of them.
    check_rows, trials
        Rows of a head that are simulated, of those that need some spikes, 0 for none, and trials of each.
    probes
        Directions of the output over which S is a mean; 0 for none, which needs no gradient.
    attention_rates, input_rates
        Lowest and highest spikes a step: of an attention row, and of a unit of queries, keys and values.
    batch_size, batch_axis
        Samples on which the model is run at a time, and their axis in the inputs; default all at once.
    op_counter
        Whether SpikingJelly's counter is asked too, where it is installed: it runs the model once more, and slowly.
    seed, target
        Of the simulation; the seed is also that of probes, noise and thresholds.

    Raises
    ------
    InputError
        If the module or the input is not understood, or an attention layer's own output is not reproduced to 1e-5.
    """
    options = Options(
        circuits=circuits_of(circuits), max_rows=max_rows, check_rows=check_rows, trials=trials, probes=probes,
        rates=attention_rates, input_rates=input_rates, op_counter=op_counter, seed=seed, target=target,
    )  # fmt: skip
    records = [module] if isinstance(module, Attention) else module
    if isinstance(records, list | tuple) and records and all(isinstance(one, Attention) for one in records):
        return _of_records(records, options)
    return _of_module(module, inputs, options, batch_size, batch_axis)


def _of_records(records: Sequence[Attention], options: Options) -> Audit:
    table: list[dict[str, Any]] = []
    measured: list[Rows] = []
    for call in records:
        said = check_outputs(call)
        if said:
            table.append({"layer": call.layer, "kind": call.kind, "rows": 0, "note": said})
        else:
            measured.append(joined([Rows.of(call, None, options.max_rows)], options.max_rows))
    table += _attention(measured, 1, options)
    return Audit(_frame(table), _frame([], energy.COLUMNS), ("arrays without their model: no gradient, hence no S",))


def _of_module(module: Any, inputs: Any, options: Options, batch_size: int | None, batch_axis: int) -> Audit:
    torch = load("torch")
    module, notes = checked_module(torch, module)
    layers, nodes = attention_layers(torch, module), node_layers(module)
    if not layers and not nodes:
        raise InputError(
            f"{type(module).__name__} has neither attention nor spiking nodes that are known: nn.MultiheadAttention, "
            "layers with a number of heads that project by query, key, value, by q_proj, k_proj, v_proj or by qkv at "
            "once, and nodes of SpikingJelly and snnTorch"
        )
    args, kwargs = unpacked(torch, inputs)
    parts = [
        listen(torch, module, *part, max_rows=options.max_rows, probes=options.probes, seed=options.seed)
        for part in parts_of(torch, args, kwargs, batch_size, batch_axis)
    ]
    if not any(part.fired for part in parts):
        raise InputError(
            f"no hook fired: {', '.join([*layers, *nodes])} were not called on this input, or past their own forward"
        )
    by_layer: dict[str, list[Rows]] = {}
    for part in parts:
        for rows in part.rows:
            by_layer.setdefault(rows.layer, []).append(rows)
    measured = [joined(rows, options.max_rows) for rows in by_layer.values()]
    table = _attention(measured, sum(part.tokens for part in parts), options)
    table += [
        {"layer": name, "kind": kind, "rows": 0, "note": said} for name, (kind, said) in parts[0].told.items()
        if name not in by_layer
    ]  # fmt: skip
    table += [_node(name, nodes[name], [part.nodes[name] for part in parts], options.seed) for name in nodes]
    account = energy.lines([part.account for part in parts], options.input_rates)
    if nodes:
        table.append(_whole(type(module).__name__, parts, account))
    if options.op_counter and len(parts) == 1:
        with untouched(torch, module):
            account += energy.of_op_counter(torch, module, args, kwargs, parts[0].account)
    said = dict.fromkeys([*notes, *(note for part in parts for note in part.notes)])
    return Audit(_frame(table), _frame(account, energy.COLUMNS), tuple(said))


def _whole(kind: str, parts: list[Heard], account: list[dict[str, Any]]) -> dict[str, Any]:
    """Row of a model with nodes: its energy a sample, at the lowest and the highest rate of inputs."""
    heard = (next((one for one in part.nodes.values() if isinstance(one, Currents)), None) for part in parts)
    samples = sum(one.spikes.shape[1] for one in heard if one is not None)
    row: dict[str, Any] = {"layer": "all", "kind": kind, "rows": samples, "note": "energy of all layers, a sample"}
    ends = [line["nJ"] / samples for line in account if line["line"].startswith("total at ")] if samples else []
    return row | dict(zip(("energy_low", "energy_high"), ends, strict=False))


def _frame(rows: list[dict[str, Any]], columns: Mapping[str, str] = COLUMNS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def _attention(measured: list[Rows], tokens: int, options: Options) -> list[dict[str, Any]]:
    """Rows of the table of all attention layers; those that are simulated in one run a circuit."""
    table: list[dict[str, Any]] = []
    for name, circuit in options.circuits.items():
        mine: list[tuple[dict[str, Any], Array, Array]] = []
        for rows in measured:
            if not rows.number:
                table.append({"layer": rows.layer, "kind": rows.kind, "circuit": name, "rows": 0,
                              "note": "; ".join((*rows.notes, "no row is left"))})  # fmt: skip
                continue
            found, needed = head_rows(
                rows, circuit, tokens=tokens, rates=options.rates, input_rates=options.input_rates
            )
            table += found
            for row, logits, spikes in zip(found, rows.logits, needed, strict=True):
                chosen = np.flatnonzero(np.isfinite(spikes) & (spikes >= FEWEST))
                if options.check_rows and len(chosen):
                    at = chosen[np.linspace(0, len(chosen) - 1, min(options.check_rows, len(chosen))).astype(int)]
                    mine.append((row, logits[at], spikes[at]))
        if mine:
            _check(circuit, mine, options)
    return table


def _check(circuit: Circuit, rows: list[tuple[dict[str, Any], Array, Array]], options: Options) -> None:
    """Run what was chosen, and write into the rows of the table what came of it."""
    keys = max(logits.shape[1] for _, logits, _ in rows)
    wide = [np.pad(one, ((0, 0), (0, keys - one.shape[1])), constant_values=np.nan) for _, one, _ in rows]
    spikes = np.concatenate([needed for *_, needed in rows])
    found = simulated(
        circuit, np.concatenate(wide), spikes, trials=options.trials, seed=options.seed, target=options.target
    )
    ends = np.cumsum([len(needed) for *_, needed in rows])[:-1]
    for (row, *_), tv, law in zip(rows, np.split(found.tv, ends), np.split(found.expected, ends), strict=True):
        low, high = t_interval(tv.mean(axis=0))
        row |= {"simulated_tv": float(tv.mean()), "simulated_low": float(low), "simulated_high": float(high)}
        row["law_tv"] = float(law.mean())


def _node(name: str, module: Any, parts: list[Currents | str], seed: int) -> dict[str, Any]:
    """Row of the table of one layer of nodes, over all parts of the input."""
    neuron = neuron_of(module)
    said = [part for part in (neuron, *parts) if isinstance(part, str)]
    if said or isinstance(neuron, str):
        return {"layer": name, "kind": type(module).__name__, "rows": 0, "note": "; ".join(dict.fromkeys(said))}
    heard = [part for part in parts if isinstance(part, Currents)]
    starts = [part.start for part in heard if part.start is not None]
    whole = attrs.evolve(
        heard[0], inputs=np.concatenate([part.inputs for part in heard], axis=1),
        spikes=np.concatenate([part.spikes for part in heard], axis=1),
        start=np.concatenate(starts) if len(starts) == len(heard) else None,
    )  # fmt: skip
    return node_row(whole, neuron, seed)
