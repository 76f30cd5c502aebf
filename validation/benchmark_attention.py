"""The attention block of the benchmark: random tokens and weights, one head, streaming, on the compiled target."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np

from biospike import execution
from circuits.attention import SpikingAttention
from circuits.presentation import neurons, plan_presentation, present
from validation.attention_measures import softmax_circuit
from validation.benchmark_watch import watch_binaries
from validation.tokens_file import drawn_weights

import brian2 as b2

FEATURES = WIDTH = 8
WINDOWS = 6


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
        If no attention neuron spiked.
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
    return {
        "loop_wall_s": watched.busy_s(),
        "loop_cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "call_wall_s": time.perf_counter() - start,
        "compilations": watched.compilations,
        "neurons": neurons(plan.shape()) * plan.slots * plan.batches,
        "steps": round(plan.duration(0) / plan.dt),
        "spikes": spikes,
    }
