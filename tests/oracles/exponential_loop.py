"""The exponential circuits in plain Python: outputs and counts from recorded input spikes, (step, neuron)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Events = Iterable[tuple[int, int]]


def coincidences(inputs: Events, order: int) -> set[tuple[int, int]]:
    """Detector j of a value, neuron value*order + j - 1, spikes a step after copies 1..j of the value all have."""
    arrived = set(inputs)
    firsts = {(step, neuron // order) for step, neuron in arrived}
    outputs = set()
    for step, value in firsts:
        for j in range(order):
            if (step, value * order + j) not in arrived:
                break
            outputs.add((step + 1, value * order + j))
    return outputs


def survivors(inputs: Events, window: int, values: int, steps: int) -> set[tuple[int, int]]:
    """A value spikes a step after the end of every window in which its input did not."""
    vetoed = {(step // window, value) for step, value in inputs}
    windows = range(steps // window)
    return {((w + 1) * window, value) for w in windows for value in range(values) if (w, value) not in vetoed}


def counts(outputs: Events, neurons: int, marks: Sequence[int]) -> list[list[int]]:
    """Spikes of every neuron that `mark` steps of input have caused, one step later."""
    found = [[0] * len(marks) for _ in range(neurons)]
    for step, neuron in outputs:
        for m, mark in enumerate(marks):
            found[neuron][m] += step <= mark
    return found
