"""An attention network counted again from recorded spikes: plain Python, nothing of biospike's.

Spikes are a list over steps of sets of neurons, each the tuple of its place. Neurons that spike in one step are the
bits of one Python integer of any length: nothing here ends at 32 or 64.
"""

from collections import Counter, defaultdict
from math import exp
from typing import Any

Place = tuple[int, ...]


def currents(sent, synapses, bias):
    """What dendrites hold after each step: the bias, then weighted spikes in the order of the senders.

    `synapses` is a function sender -> [(dendrite, weight)], `bias` a dict with every dendrite.
    """
    held = []
    for senders in sent:
        sums = dict(bias)
        for sender in sorted(senders):
            for dendrite, weight in synapses(sender):
                sums[dendrite] += weight
        held.append(sums)
    return held


def lif_pairs(held, start, from_step=0, leak=1.0):
    """Spikes (*dendrite, sign), sign 0 ON and 1 OFF, and how often the threshold was met exactly.

    Membranes feel in a step what dendrites held after the one before; `start` is a dict with every neuron.
    """
    v, ties, spikes = dict(start), 0, []
    for step in range(len(held)):
        fired = set()
        for neuron, before in v.items():
            now = before * leak
            if step >= max(from_step, 1):
                current = held[step - 1][neuron[:-1]]
                now += -current if neuron[-1] else current
            if now >= 1:
                ties += now == 1
                now -= 1
                fired.add(neuron)
            v[neuron] = now
        spikes.append(fired)
    return spikes, ties


def bits(spikes, number, rest):
    """Neurons of a step as integers: bit `number(neuron)` of the integer that `rest(neuron)` names."""
    found: defaultdict[Place, int] = defaultdict(int)
    for neuron in spikes:
        found[rest(neuron)] |= 1 << number(neuron)
    return found


def arrivals(neurons, delay=0):
    """Signed coincidences (slot, head, query, key) that are counted in each step, of spikes of the step before.

    Neurons are (slot, token, stream, head, unit, sign), streams 0 and 1 queries and keys; keys come `delay` steps late.
    """
    counted = []
    for step in range(len(neurons)):
        arrived: Counter[Place] = Counter()
        sent = [neurons[at] if at >= 0 else () for at in (step - 1, step - 1 - delay)]
        queries, keys = (
            bits((n for n in some if n[2] == stream), lambda n: n[4], lambda n: (n[0], n[3], n[5], n[1]))
            for stream, some in enumerate(sent)
        )
        by_head = defaultdict(list)
        for (slot, head, sign, key), units in keys.items():
            by_head[slot, head].append((sign, key, units))
        for (slot, head, sign, query), units in queries.items():
            for other, key, theirs in by_head[slot, head]:
                if shared := (units & theirs).bit_count():
                    arrived[slot, head, query, key] += shared if sign == other else -shared
        counted.append(arrived)
    return counted


def integrating_rows(arrived, allowed, *, charge, keep, per_step, attend_from, reference, release, first_spikes, w):
    """Attention spikes (slot, head, query, key) of deterministic keys that start at a phase of 1/2.

    `arrived` is that of `arrivals` where scores count, `charge` nats a coincidence by head, `per_step` R0*dt.
    """
    u, v, spikes = dict.fromkeys(allowed, 0.0), dict.fromkeys(allowed, 0.5), []
    level: defaultdict[Place, float] = defaultdict(lambda: reference)
    fired_of_row: Counter[Place] = Counter()
    rows = {key[:3] for key in allowed}
    for step, counts in enumerate(arrived):
        for key in u:
            u[key] = u[key] * keep + charge[key[1]] * counts[key]
        if step >= attend_from:
            for row in rows:
                level[row] -= w * per_step + (release if fired_of_row[row] < first_spikes else 0)
            for key in v:
                v[key] += per_step * exp(u[key] - level[key[:3]])
        fired = {key for key in v if v[key] >= 1}
        for key in fired:
            v[key] -= 1
            level[key[:3]] += w
            fired_of_row[key[:3]] += 1
        spikes.append(fired)
    return spikes


def subtracting_rows(arrived, allowed, *, charge, keep, gain, top, attend_from, w=0.0, alpha=0.0, total=False):
    """Attention spikes (slot, head, query, key) of discrete integrate-and-fire keys that start at a phase of 1/2.

    A spike takes a threshold off its key one step later, alpha more, and off all of its row w over the number of keys,
    or w if `total`.
    `top` is the level of the logits by row; `charge`, `arrived` and `allowed` as of `integrating_rows`.
    """
    z, u, spikes = dict.fromkeys(allowed, 0.0), dict.fromkeys(allowed, 0.5), []
    fired: set[Any] = set()
    size = Counter(key[:3] for key in allowed) if not total else dict.fromkeys((key[:3] for key in allowed), 1)
    for step, counts in enumerate(arrived):
        of_row = Counter(key[:3] for key in fired)
        for key in u:
            z[key] = z[key] * keep + charge[key[1]] * counts[key]
            drive = gain * exp(z[key] - top[key[:3]]) if step >= attend_from else 0.0
            u[key] = u[key] + drive - (1 + alpha) * (key in fired) - w * (of_row[key[:3]] / size[key[:3]])
        fired = {key for key in u if u[key] >= 1}
        spikes.append(fired)
    return spikes


def routed(attention, neurons):
    """Value spikes (slot, query, head, unit, sign) that attention spikes of a step let through, one Counter a step."""
    sent = []
    for keys, some in zip(attention, neurons, strict=True):
        rows = bits(keys, lambda a: a[3], lambda a: a[:3])
        values = bits((n for n in some if n[2] == 2), lambda n: n[1], lambda n: (n[0], n[3], n[4], n[5]))
        counts: Counter[Place] = Counter()
        for (slot, head, query), over_keys in rows.items():
            for (its, of, unit, sign), over_tokens in values.items():
                if (its, of) == (slot, head) and (shared := (over_keys & over_tokens).bit_count()):
                    counts[slot, query, head, unit, sign] += shared
        sent.append(counts)
    return sent


def relayed(sent):
    """Spikes of neurons that relay what was sent to them in the steps before, at most one a step."""
    owed: Counter[Place] = Counter()
    spikes = []
    for step in range(len(sent)):
        owed += sent[step - 1] if step else Counter()
        fired = set(owed)
        owed -= Counter(fired)
        spikes.append(fired)
    return spikes


def counts(spikes, first, last):
    """Spikes of every neuron in the steps first <= t < last."""
    return sum((Counter(some) for some in spikes[first:last]), Counter())
