"""The attention block of the benchmark: random tokens and weights, one head, streaming, on the compiled target.

What is timed is checked: the outputs of its first trial are counted again from the spikes of its attention and values,
which are recorded on the numpy target, in a loop over plain integers that shares nothing with the circuit.
"""

from __future__ import annotations

import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from biospike import execution, runtime
from circuits.attention import SpikingAttention, softmax_circuit
from circuits.presentation import neurons, plan_presentation, present
from validation.inputs.tokens import drawn_weights
from validation.speed.watch import watch_binaries

import brian2 as b2

FEATURES = WIDTH = 8
WINDOWS = 6

Spikes = Sequence[Sequence[tuple[int, ...]]]
"""Places of the neurons that spike, by steps."""


def block_of(tokens: int, seed: int) -> tuple[SpikingAttention, Any]:
    """Block and tokens (tokens, FEATURES) in [0, 1]; the block is fitted to them."""
    x = np.random.default_rng([seed, tokens]).random((tokens, FEATURES))
    W_q, W_k, W_v = (drawn_weights(seed + number, FEATURES, WIDTH) for number in range(3))
    block = SpikingAttention(W_q=W_q, W_k=W_k, W_v=W_v, mode="streaming", softmax=softmax_circuit("escape"))
    return block.fitted(x), x


def options(steps: int, trials: int, seed: int, dt: b2.Quantity) -> dict[str, Any]:
    """Arguments of `present` besides block and tokens."""
    return {"duration": steps * dt, "trials": trials, "seed": seed, "windows": WINDOWS}


def build_ahead(tokens: int, steps: int, trials: int, seed: int, *, progress: bool) -> None:
    """Compile what `present_tokens` runs."""
    block, x = block_of(tokens, seed)
    plan = plan_presentation(block, x, **options(steps, trials, seed, block.dt))
    execution.build_plans([plan], "cpp_standalone", progress=progress)


def present_tokens(tokens: int, steps: int, trials: int, seed: int) -> dict[str, float]:
    """Present tokens once, on one core.

    Returns
    -------
    dict
        ``loop_wall_s`` and ``loop_cpu_s`` of the binaries, ``call_wall_s``, the number of ``neurons`` of all trials,
        the ``steps`` that were run with the settling before the window, and ``spikes`` of the attention.

    Raises
    ------
    RuntimeError
        If no attention neuron spiked, or the outputs are not those of the loop.
    """
    block, x = block_of(tokens, seed)
    given = options(steps, trials, seed, block.dt)
    plan = plan_presentation(block, x, **given)
    start = time.perf_counter()
    with watch_binaries() as watched:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        data = present(block, x, target="cpp_standalone", jobs=1, **given)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spikes = int(data["attention_count"].isel(checkpoint=-1).sum())
    if spikes == 0:
        raise RuntimeError(f"no attention neuron spiked with {tokens} tokens in {steps} steps")
    took = time.perf_counter() - start
    if wrong := verify_outputs(block, x, given, data):
        raise RuntimeError(f"{tokens} tokens in {steps} steps: {wrong}")
    return {
        "loop_wall_s": watched.busy_s(),
        "loop_cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "call_wall_s": took,
        "compilations": watched.compilations,
        "neurons": neurons(plan.shape()) * plan.slots * plan.batches,
        "steps": round(plan.duration(0) / plan.dt),
        "spikes": spikes,
    }


def verify_outputs(block: SpikingAttention, x: NDArray[np.float64], given: dict[str, Any], data: xr.Dataset) -> str:
    """Return what is wrong with attention and outputs of the first trial, in every window; empty if nothing is."""
    if not data["output_count"].isel(trial=0, sample=0).any():
        return "no output neuron spiked"
    by_head, onset = record_attention(block, x, given)
    marks = [int(mark) for mark in data["timesteps"].values]
    for head, (attention, values) in enumerate(by_head):
        first = data.isel(trial=0, sample=0, head=head)
        outputs = first["output_count"].transpose("checkpoint", "query", "unit", "sign").values
        pairs = first["attention_count"].transpose("checkpoint", "query", "key").values
        kept = [Counter(spike for some in attention[onset : onset + mark] for spike in some) for mark in marks]
        for name, found, expected in (
            ("attention", pairs, kept),
            ("outputs", outputs, count_outputs(attention, values, onset, marks)),
        ):
            wrong = sum(
                int(count) != counts[place]
                for array, counts in zip(found, expected, strict=True)
                for place, count in np.ndenumerate(array)
            )
            if wrong:
                return f"{wrong} of {found.size} counts of the {name} are not those of an independent loop"
    return ""


def record_attention(
    block: SpikingAttention, x: NDArray[np.float64], given: dict[str, Any]
) -> tuple[list[tuple[Spikes, Spikes]], int]:
    """Of every head spikes (query, key), and (token, unit, sign) of the values, by steps from when attention begins.

    Returns them and the onset of the window.
    """
    plan = plan_presentation(block, x, **given | {"trials": 1})
    shape, timing = plan.shape(), block.timing(int(plan.marks[-1]), block.dt)
    axes = {
        "keys": (shape.slots, shape.heads, shape.tokens, shape.tokens),
        "neurons": (shape.slots, shape.tokens, len(block.streams), shape.heads, shape.width, 2),
    }
    with runtime.preferences("numpy", plan.dt):
        network = block.build(shape)
        runtime.assign(network, plan.state(0))
        # Before attention begins nothing is sent to the outputs.
        network.run(timing.attend_from * block.dt, namespace={})
        monitors = {name: b2.SpikeMonitor(network[name], name=f"{name}_spikes") for name in axes}
        network.add(*monitors.values())
        network.run((timing.end - timing.attend_from) * block.dt, namespace={})
        trains: dict[str, list[list[tuple[int, ...]]]] = {}
        for name, monitor in monitors.items():
            trains[name] = [[] for _ in range(timing.end - timing.attend_from)]
            steps = np.rint(np.asarray(monitor.t_) / plan.dt).astype(int) - timing.attend_from
            places = np.stack(np.unravel_index(np.asarray(monitor.i[:]), axes[name]), axis=1)
            for step, place in zip(steps.tolist(), places.tolist(), strict=True):
                trains[name][step].append(tuple(place))
    by_head: list[tuple[Spikes, Spikes]] = []
    for head in range(shape.heads):
        attention = [[(query, key) for _, own, query, key in some if own == head] for some in trains["keys"]]
        values = [
            [(token, unit, sign) for _, token, stream, own, unit, sign in some if (stream, own) == (2, head)]
            for some in trains["neurons"]
        ]
        by_head.append((attention, values))
    return by_head, timing.onset - timing.attend_from


def count_outputs(
    attention: Spikes, values: Spikes, onset: int, marks: Sequence[int]
) -> list[Counter[tuple[int, ...]]]:
    """Spikes of the outputs (query, unit, sign) in windows of `marks` steps that begin one step after the onset.

    An attention spike lets the value spikes of its key in the same step through to its query. They arrive a step later,
    and an output neuron emits one a step of those it owes. No step ends a word: the spikes of a step are one integer.
    """
    owed: Counter[tuple[int, ...]] = Counter()
    emitted: Counter[tuple[int, ...]] = Counter()
    windows = []
    for step in range(onset + marks[-1] + 1):
        for place in [place for place, spikes in owed.items() if spikes]:
            owed[place] -= 1
            emitted[place] += step > onset
        if step - onset in marks:
            windows.append(emitted.copy())
        rows, units = (
            _as_integers((q, k) for q, k in attention[step]),
            _as_integers(((u, s), t) for t, u, s in values[step]),
        )
        for query, keys in rows.items():
            for unit, tokens in units.items():
                owed[query, *unit] += (keys & tokens).bit_count()
    return windows


def _as_integers(spikes: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    """Integer of every place, with the bits of its spikes."""
    found: dict[Any, int] = defaultdict(int)
    for place, number in spikes:
        found[place] |= 1 << number
    return found
