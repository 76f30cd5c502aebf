"""What the independent loop makes of the parameters of an attention block and of the spikes that reach it."""

from typing import Any

import numpy as np
from oracles import attention_loop as loop

PHASE = 0.5


def encoder_synapses(block):
    """Synapses of encoder neurons (slot, token, copy, feature), by the weights and scales of the block."""
    w = (np.stack([block.W_q, block.W_k, block.W_v]) * np.repeat(block.scales, block.width, axis=1)[:, None]).tolist()
    places = [divmod(column, block.width) for column in range(len(w[0][0]))]

    def synapses(sender):
        slot, token, copy, feature = sender
        for stream in range(3) if block.encoders == "shared" else (copy,):
            for place, weight in zip(places, w[stream][feature], strict=True):
                yield (slot, token, stream, *place), weight

    return synapses


def biases(block, slots, tokens):
    """Bias of every unit (slot, token, stream, head, unit), in thresholds."""
    found: dict[tuple[int, ...], float] = {}
    for stream, (bias, scales) in enumerate(zip((block.b_q, block.b_k, block.b_v), block.scales, strict=True)):
        for column in range(block.heads * block.width):
            head, unit = divmod(column, block.width)
            one = 0.0 if bias is None else float(bias[column] * scales[head])
            found |= {(r, i, stream, head, unit): one for r in range(slots) for i in range(tokens)}
    return found


def tops(block, x, pairs, used):
    """Largest logit (slot, head, query) among the keys that the query may attend to, of leakless units of scale 1."""
    found: dict[Any, float] = {}
    for slot in range(used):
        tokens, may = x[slot % len(x)], pairs[slot % len(pairs)]
        q, k = (
            (tokens @ w + (0 if b is None else b)).reshape(len(tokens), block.heads, block.width)
            for w, b in ((block.W_q, block.b_q), (block.W_k, block.b_k))
        )
        for head in range(block.heads):
            logits = block.score_scale * q[:, head] @ k[:, head].T
            found |= {(slot, head, i): float(row[may[i]].max()) for i, row in enumerate(logits) if may[i].any()}
    return found


def expect(block, shape, timing, window, pairs, sent, synapses, *, used, from_step=0, x=None):
    """Spikes by population, signed coincidences by step, and ties at the threshold, of a block of deterministic keys.

    `pairs` (samples, queries, keys) is True where a query may attend; `sent` the spikes that the synapses carry; `x`
    the tokens, from which rows whose inhibition is subtracted have the level of their logits.
    """
    bias = biases(block, shape.slots, shape.tokens)
    start = dict.fromkeys(((*unit, sign) for unit in bias for sign in (0, 1)), PHASE)
    leak = 1.0 if block.tau_m is None else float(np.exp(-float(block.dt / block.tau_m)))
    neurons, ties = loop.lif_pairs(loop.currents(sent, synapses, bias), start, from_step, leak)
    scores = loop.arrivals(neurons, round(float(block.delay / block.dt)))
    scores = [s if timing.score_from <= t < timing.score_to else loop.Counter() for t, s in enumerate(scores)]
    allowed = [
        (slot, head, query, key)
        for slot in range(used)
        for head in range(shape.heads)
        for query, key in np.argwhere(pairs[slot % len(pairs)]).tolist()
    ]
    keep = 1.0 if block.staged else float(np.exp(-float(block.dt / block.tau_s)))
    nats = block.score_scale / (block.scales[0] * block.scales[1])
    charge = (nats * (1 / window if block.staged else 1 - keep)).tolist()
    if x is None:
        attention = loop.integrating_rows(
            scores,
            allowed,
            charge=charge,
            keep=keep,
            per_step=float(block.softmax.rate) * float(block.dt),
            attend_from=timing.attend_from,
            reference=block.start,
            release=block.release,
            first_spikes=block.first_spikes,
            w=block.w,
        )
    else:
        inhibition = {name: getattr(block.softmax, name) for name in ("w", "alpha") if hasattr(block.softmax, name)}
        attention = loop.subtracting_rows(
            scores,
            allowed,
            charge=charge,
            keep=keep,
            gain=block.softmax.gain,
            top=tops(block, x, pairs, used),
            attend_from=timing.attend_from,
            total=getattr(block.softmax, "feedback", "") == "sum",
            **inhibition,
        )
    outputs = loop.relayed(loop.routed(attention, neurons))
    return {"neurons": neurons, "keys": attention, "outputs": outputs}, scores, ties
