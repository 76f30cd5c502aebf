"""What the table says of one head of an attention layer, and of one layer of spiking nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.auditing.laws import CHECKED, LEVELS, spikes_for
from biospike.auditing.records import Currents
from biospike.auditing.replay import RELAXATIONS, Neuron, survival
from biospike.auditing.rows import Rows
from biospike.circuit import Circuit
from biospike.theory.effective_dimension import pca_dimension
from biospike.theory.energy import attention_fan_out, event_energy
from biospike.theory.propagation import WITHIN

Array = NDArray[np.float64]

COLUMNS = {
    "layer": "name of the layer in the model; `#2` for its second call in one pass",
    "head": "of the layer; empty for nodes",
    "kind": "class of the layer",
    "circuit": "whose law and neurons the rows are held against; empty for nodes",
    "rows": "attention rows that were measured; of nodes neurons times steps, of `all` samples",
    "spikes_tv_10": "spikes for a mean total variation of .1 from softmax, by the law of the circuit: median of rows",
    "spikes_tv_05": "the same, of .05",
    "spikes_tv_01": "the same, of .01",
    "low": "5 % of the rows need fewer than these spikes for .05",
    "high": "95 % of the rows need fewer than these",
    "timesteps_low": "steps for the median of .05 at the highest rate of attention spikes a row and step",
    "timesteps_high": "the same at the lowest rate",
    "simulated_tv": "total variation of the circuit's neurons on some of the rows, each at about its spikes for .05",
    "simulated_low": "95 % interval of the mean over trials (Student's t)",
    "simulated_high": "its other end",
    "law_tv": "the law at the spikes that were counted",
    "S": "variance that spikes of rows give the normalised output, times spikes: their sum a token of the output",
    "predicted_error": "1 - cos of the output, a token, to first order, if each row has its spikes for .05",
    "d_eff": "principal components that hold 95 % of the variance of the head's outputs",
    "energy_low": "nJ a sample by events, at the lowest rate of inputs and, of attention, the highest",
    "energy_high": "nJ at the highest rate of inputs and, of attention, the lowest; row `all` is a model with nodes",
    "survival_leak": "fraction of a layer's spikes that stay where they are without its leak, or with one",
    "survival_leak_low": "95 % interval over samples, or parts of the neurons of one, and over draws",
    "survival_leak_high": "its other end",
    "survival_refractory": "the same, with a step after every spike in which the input is lost",
    "survival_refractory_low": "as above",
    "survival_refractory_high": "as above",
    "survival_noise": "the same, with noise on the membrane",
    "survival_noise_low": "as above",
    "survival_noise_high": "as above",
    "survival_spread": "the same, with thresholds that differ from neuron to neuron",
    "survival_spread_low": "as above",
    "survival_spread_high": "as above",
    "survival_dt": "the same, in ten steps for one",
    "survival_dt_low": "as above",
    "survival_dt_high": "as above",
    "note": "what is not as it might be thought",
}  # fmt: skip
"""Columns of ``audit.csv``."""


def head_rows(
    rows: Rows, circuit: Circuit, *, tokens: int, rates: tuple[float, float], input_rates: tuple[float, float]
) -> tuple[list[dict[str, Any]], Array]:
    """Rows of the table of one layer, one a head, and the spikes for a total variation of .05, (heads, rows).

    Parameters
    ----------
    tokens
        Of the model's output, over which `predicted_error` is a mean.
    rates, input_rates
        Lowest and highest spikes a step: of an attention row, and of a unit of queries, keys and values.
    """
    scale = rows.number / rows.logits.shape[1]
    needed, found = [], []
    for head, logits in enumerate(rows.logits):
        spikes = {name: spikes_for(circuit, logits, tv) for name, tv in LEVELS.items()}
        five = spikes[CHECKED]
        row: dict[str, Any] = {"layer": rows.layer, "head": head, "kind": rows.kind, "circuit": circuit.name}
        row |= {"rows": len(five)} | {name: _quantile(needs, 0.5) for name, needs in spikes.items()}
        row |= {"low": _quantile(five, 0.05), "high": _quantile(five, 0.95)}
        row |= {"timesteps_low": row[CHECKED] / rates[1], "timesteps_high": row[CHECKED] / rates[0]}
        notes = list(rows.notes)
        if np.isfinite(five).all():
            row |= _energy(rows.sizes, float(five.mean()), rates, input_rates)
        if rows.S is not None:
            S = rows.S[head]
            row["S"] = float(S.sum() * scale / tokens)
            # A row of one key has no error and needs no spike; of one that never comes near nothing is predicted.
            row["predicted_error"] = float((S / (2 * np.where(five > 0, five, np.inf))).sum() * scale / tokens)
            if not np.isfinite(five).all():
                row["predicted_error"] = np.nan
            elif row["predicted_error"] > WITHIN:
                notes.append(f"predicted error above {WITHIN}: outside the first order")
        row["d_eff"] = _dimension(rows.outputs[head])
        needed.append(five)
        found.append(row | {"note": "; ".join(notes)})
    return found, np.array(needed)


def _quantile(values: Array, level: float) -> float:
    """Of values that may be infinite."""
    return float(np.quantile(values, level, method="inverted_cdf"))


def _dimension(outputs: Array) -> float:
    """Effective dimension of outputs, of which three at least differ; else NaN."""
    if len(np.unique(outputs, axis=0)) < 3:
        return np.nan
    return float(pca_dimension(outputs))


def _energy(
    sizes: tuple[int, ...], spikes: float, rates: tuple[float, float], input_rates: tuple[float, float]
) -> dict[str, float]:
    """Events of a head of `circuits.attention.SpikingAttention` after its encoders, nJ a sample.

    Queries, keys and values have an ON and an OFF neuron a unit, of which the input rate is that of the pair.
    """
    queries, keys, width, values = sizes
    fan_out = {name: float(count) for name, count in attention_fan_out(keys, 1, values).items()}
    fan_out |= {"key": float(queries), "value": float(queries)}
    neurons = queries * keys + 2 * (queries + keys) * width + 2 * keys * values + 2 * queries * values
    found = {}
    for name, rate, own in (("energy_low", rates[1], input_rates[0]), ("energy_high", rates[0], input_rates[1])):
        steps = spikes / rate
        emitted = {
            "query": own * steps * queries * width, "key": own * steps * keys * width,
            "value": own * steps * keys * values, "attention": queries * spikes,
        }  # fmt: skip
        found[name] = event_energy(emitted, fan_out, neurons * steps)["total"] / 1e3
    return found


def node_row(currents: Currents, neuron: Neuron, seed: int) -> dict[str, Any]:
    """Row of the table of one layer of nodes."""
    spikes = currents.spikes != 0
    row: dict[str, Any] = {"layer": currents.layer, "kind": currents.kind, "rows": spikes.size}
    notes = list(currents.notes)
    wrong = int((neuron.replay(currents) != spikes).sum())
    if wrong:
        return row | {
            "note": "; ".join([*notes, f"the replay differs in {wrong} of {spikes.size} steps: nothing survives it"])
        }
    if not spikes.any():
        return row | {"note": "; ".join([*notes, "silent on this input"])}
    notes.append(f"replay identical, {int(spikes.sum())} spikes")
    for name in RELAXATIONS:
        fraction, low, high = survival(neuron, currents, name, seed)
        row |= {f"survival_{name}": fraction, f"survival_{name}_low": low, f"survival_{name}_high": high}
    return row | {"note": "; ".join(notes)}
