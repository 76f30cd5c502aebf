"""The attention blocks of spiking transformers, spike by spike in plain Python: it imports nothing that it is to judge.

Populations are nested lists, (T, batch, tokens, channels) unless said otherwise; a head is a contiguous range of
channels. Every function takes the spikes of the stage before, and sums real weights in the order of their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

Stage = Any
Weight = list[list[float]]


def lif(currents: list[float], threshold: float) -> list[int]:
    """H = V + (X - V)/2, a spike at H >= threshold, and V = 0 after it."""
    v, spikes = 0.0, []
    for current in currents:
        h = v + (current - v) / 2
        spikes.append(int(h >= threshold))
        v = 0.0 if h >= threshold else h
    return spikes


def integrate_and_fire(currents: list[float]) -> list[int]:
    """H = V + X, a spike at H >= 1, which subtracts 1."""
    v, spikes = 0.0, []
    for current in currents:
        h = v + current
        spikes.append(int(h >= 1))
        v = h - 1 if h >= 1 else h
    return spikes


def empty(*shape: int) -> Stage:
    """Zeros."""
    return [empty(*shape[1:]) for _ in range(shape[0])] if shape else 0


def fire(shape: tuple[int, ...], current: Callable[..., float], neuron: Callable[[list[float]], list[int]]) -> Stage:
    """Spikes (T, ...) of neurons whose current in step t is ``current(t, *neuron)``."""
    spikes = empty(*shape)
    for place in product(*map(range, shape[1:])):
        for t, spike in enumerate(neuron([current(t, *place) for t in range(shape[0])])):
            inner = spikes[t]
            for axis in place[:-1]:
                inner = inner[axis]
            inner[place[-1]] = spike
    return spikes


def sizes(x: Stage) -> tuple[int, int, int, int]:
    """T, batch, tokens, channels."""
    return len(x), len(x[0]), len(x[0][0]), len(x[0][0][0])


def active(x: Stage) -> list[list[list[list[int]]]]:
    """Channels that spike, in their order."""
    return [[[[c for c, s in enumerate(token) if s] for token in sample] for sample in step] for step in x]


def weighted(sources: list[int], weight: Weight, bias: list[float], unit: int) -> float:
    """Weights of the sources that spiked, one after the other, and then the bias."""
    total = 0.0
    for source in sources:
        total += weight[source][unit]
    return total + bias[unit]


def half(currents: list[float]) -> list[int]:
    """The neuron after an attention product."""
    return lif(currents, 0.5)


def one(currents: list[float]) -> list[int]:
    """The neuron of a projection."""
    return lif(currents, 1.0)


def projected(x: Stage, weight: Weight, bias: list[float], neuron: Callable[[list[float]], list[int]] = one) -> Stage:
    """Spikes of neurons behind a linear layer."""
    steps, batch, tokens, _ = sizes(x)
    spiking = active(x)
    return fire(
        (steps, batch, tokens, len(bias)),
        lambda t, b, i, unit: weighted(spiking[t][b][i], weight, bias, unit),
        neuron,
    )


def token_mask(q: Stage, heads: int) -> Stage:
    """QKFormer, (T, batch, heads, tokens): the queries of a token's head summed over its channels."""
    steps, batch, tokens, channels = sizes(q)
    d = channels // heads
    return fire((steps, batch, heads, tokens), lambda t, b, h, i: sum(q[t][b][i][h * d : (h + 1) * d]), half)


def masked_tokens(mask: Stage, k: Stage) -> Stage:
    """Keys of the tokens and heads whose mask spikes."""
    d = len(k[0][0][0]) // len(mask[0][0])
    return [
        [[[s & mask[t][b][c // d][i] for c, s in enumerate(key)] for i, key in enumerate(keys)]
         for b, keys in enumerate(step)]
        for t, step in enumerate(k)
    ]  # fmt: skip


def channel_mask(q: Stage) -> Stage:
    """QKFormer and spike-driven attention, (T, batch, channels): a population summed over the tokens."""
    steps, batch, tokens, channels = sizes(q)
    return fire((steps, batch, channels), lambda t, b, c: sum(q[t][b][i][c] for i in range(tokens)), half)


def masked_channels(mask: Stage, k: Stage) -> Stage:
    """Spikes of the channels whose mask spikes."""
    return [
        [[[s & mask[t][b][c] for c, s in enumerate(token)] for token in tokens] for b, tokens in enumerate(step)]
        for t, step in enumerate(k)
    ]


def both(k: Stage, v: Stage) -> Stage:
    """Coincidences of two populations."""
    return [
        [[[a & b for a, b in zip(*pair, strict=True)] for pair in zip(*sample, strict=True)]
         for sample in zip(*step, strict=True)]
        for step in zip(k, v, strict=True)
    ]  # fmt: skip


def self_attention(q: Stage, k: Stage, v: Stage, heads: int, scale: float) -> Stage:
    """Spikformer: scale times the values of every token, each as often as its key coincides with the query."""
    steps, batch, tokens, channels = sizes(q)
    d = channels // heads
    queries, keys = active(q), active(k)

    def scores(t: int, b: int, i: int, h: int) -> list[int]:
        own = {c for c in queries[t][b][i] if c // d == h}
        return [len(own.intersection(key)) for key in keys[t][b]]

    place = list(product(range(steps), range(batch), range(tokens), range(heads)))
    score = {at: scores(*at) for at in place}
    return fire(
        (steps, batch, tokens, channels),
        lambda t, b, i, c: scale * sum(s for s, value in zip(score[t, b, i, c // d], v[t][b], strict=True) if value[c]),
        half,
    )  # fmt: skip


def bert_context(x: Stage, k: Stage, v: Stage, weight: Weight, bias: list[float], heads: int) -> Stage:
    """SpikingBERT's currents, real: softmax over tokens of real queries times key spikes, times value spikes."""
    steps, batch, tokens, channels = sizes(x)
    d = channels // heads
    spiking = active(x)
    context = empty(steps, batch, tokens, channels)
    for t, b, i, h in product(range(steps), range(batch), range(tokens), range(heads)):
        head = range(h * d, (h + 1) * d)
        q = {c: weighted(spiking[t][b][i], weight, bias, c) for c in head}
        scores = [sum(q[c] for c in head if k[t][b][j][c]) / math.sqrt(d) for j in range(tokens)]
        raised = [math.exp(score - max(scores)) for score in scores]
        for c in head:
            shared = [e for j, e in enumerate(raised) if v[t][b][j][c]]
            context[t][b][i][c] = math.fsum(shared) / math.fsum(raised)
    return context


def patches(size: tuple[int, int], p: int) -> list[list[int]]:
    """Tokens of every patch of an image, row by row."""
    height, width = size
    return [
        [(row + r) * width + column + c for r in range(p) for c in range(p)]
        for row in range(0, height, p)
        for column in range(0, width, p)
    ]


def dual_spike(
    x: Stage,
    attention: Stage | None,
    weight: Weight,
    bias: list[float],
    *,
    heads: int,
    tokens_of: list[list[int]],
    rate: list[float],
) -> Stage:
    """SpikingResformer: attention (T, batch, heads, patches, tokens) of the input, or of attention spikes the output.

    The units of a head are its Y1 and then its Y2; features of a patch are ordered by token and then by channel.
    """
    steps, batch, tokens, channels = sizes(x)
    d, count = channels // heads, len(tokens_of)
    first = attention is None

    def unit(h: int, c: int) -> int:
        return h * 2 * d + (0 if first else d) + c

    spiking = active(x)
    value: dict[tuple[int, int, int, int], list[float]] = {}
    for t, b, n in product(range(steps), range(batch), range(count)):
        sources = [place * channels + c for place, i in enumerate(tokens_of[n]) for c in spiking[t][b][i]]
        for h in range(heads):
            value[t, b, h, n] = [weighted(sources, weight, bias, unit(h, c)) for c in range(d)]

    def score(t: int, b: int, h: int, n: int, i: int) -> float:
        total = 0.0
        for c in range(d):
            if x[t][b][i][h * d + c]:
                total += value[t, b, h, n][c]
        return (1 / math.sqrt(rate[h] * d)) * total

    def sum_of_patches(t: int, b: int, i: int, c: int) -> float:
        assert attention is not None
        total, h = 0.0, c // d
        for n in range(count):
            if attention[t][b][h][n][i]:
                total += value[t, b, h, n][c % d]
        return (1 / math.sqrt(rate[h] * count)) * total

    if first:
        return fire((steps, batch, heads, count, tokens), score, one)
    return fire((steps, batch, tokens, channels), sum_of_patches, one)


def one_spike(scores: list[float], base: float, steps: int) -> tuple[list[int], list[float]]:
    """SpikedAttention: step of each key's spike, or -1, and its share, by the falling threshold."""
    top = max(score for score in scores if not math.isnan(score))
    theta, ramp = base ** (steps - 1) * math.log(base) / 2, base ** (steps - 1) * math.log(base)
    step, trace, worth = [-1] * len(scores), 1.0, [0.0] * len(scores)
    for t in range(steps):
        for key, score in enumerate(scores):
            if step[key] < 0 and base ** (steps - 1) * (score - top) >= theta:
                step[key], worth[key] = t, trace
        theta, trace = theta - ramp, trace / base
    return step, [one / math.fsum(worth) for one in worth]
