"""What the law says of a chunk of samples: its terms by layer, head and row, and 1 - cos of a condition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from biospike.theory import propagation as law
from validation.model.models import Chunk, Model
from validation.model.spiking import SCALES, Condition, row_limit, scales_of

Array = NDArray[Any]
Terms = dict[str, Array]

SLOW = 100.0
"""Time constant of a streaming gate, in steps."""


def directions(probes: int, samples: int, width: int, key: tuple[int, ...]) -> Array:
    """Probes (probes, samples, width), of every sample its own; all of them if there are as many as the width."""
    if probes >= width:
        return law.probes(width, width, np.random.default_rng(key))[:, None]
    rng = np.random.default_rng(key)
    return np.stack([law.probes(width, probes, rng) for _ in range(samples)], axis=1)


def terms(
    model: Model,
    chunk: Chunk,
    *,
    calibrated: Array,
    probes: int,
    key: tuple[int, ...],
    chosen: tuple[tuple[int, int], ...],
    spikes: tuple[Any, ...] = (),
    biased: tuple[str, ...] = (),
) -> Terms:
    """Terms of the law, means over probes.

    Parameters
    ----------
    spikes
        N for which regular codes are wanted, each a number or rows by layer (batch, heads, queries).
    biased
        Circuits whose first-order floors are wanted.
    chosen
        Heads that the floors and `by_probe` are of.

    Returns
    -------
    dict
        ``a`` of every row (layers, batch, heads, queries); ``v`` likewise at each of `SCALES`, (scales, layers, ...),
        and ``vx``, ``s`` (scales, layers, batch, heads); ``regular`` (spikes, layers, batch, heads, queries); ``floor``
        (circuits, batch), 1 - cos; ``streaming`` (scales, batch), that of a gate of `SLOW` steps; ``by_probe`` (probes,
        batch), the sum of S_a of the chosen heads; ``z`` (batch, width).
    """
    passed = model.transformer.run(chunk.tokens)
    r = directions(probes, len(chunk.places), passed.z.shape[-1], key).astype(passed.z.dtype)
    gradients = model.transformer.reverse(passed, law.cosine_gradient(passed.z, r))
    found: dict[str, list[Array]] = {name: [] for name in ("a", "v", "vx", "s", "regular")}
    by_probe, moved = 0.0, np.zeros((len(biased), *gradients[0].shape[:2]))
    slow = np.zeros((len(SCALES), *gradients[0].shape[:2]))
    for taped, g in zip(passed.tape, gradients, strict=True):
        given = taped.heads
        p, q, k, v = given.p, given.q, given.k, given.v
        a = law.attention_term(p, v, g)
        found["a"].append(a.mean(axis=0))
        at = [scales_of(scale, given, calibrated) for scale in SCALES]
        found["v"].append(np.stack([law.value_term(p, v, g, c_v).mean(axis=0) for _, _, c_v in at]))
        found["vx"].append(np.stack([law.shared_value_term(p, v, g, c_v).mean(axis=0) for _, _, c_v in at]))
        found["s"].append(np.stack([law.score_term(p, q, k, v, g, *c[:2]).mean(axis=0) for c in at]))
        each = [own if np.isscalar(own) else own[given.layer] for own in spikes]
        rows = [law.regular_term(p, v, g, own).mean(axis=0) for own in each]
        found["regular"].append(np.stack(rows) if rows else np.zeros((0, *a.shape[1:])))
        heads = [head for layer, head in chosen if layer == given.layer]
        by_probe = by_probe + a[:, :, heads].sum(axis=(-1, -2))
        for place, (c_q, c_k, _) in enumerate(at):
            shares = law.jensen_shares(p, law.score_variance(q, k, c_q, c_k), SLOW)
            slow[place] += law.bias_term(shares, p, v, g)[..., heads].sum(axis=-1)
        for place, circuit in enumerate(biased):
            change = law.bias_term(row_limit(circuit, given.logits), p, v, g)
            moved[place] += change[..., heads].sum(axis=-1)
    stacked = {name: np.stack(values, axis=0 if name == "a" else 1) for name, values in found.items()}
    floors = {"floor": (moved**2).mean(axis=1) / 2, "streaming": (slow**2).mean(axis=1) / 2}
    return stacked | floors | {"by_probe": np.asarray(by_probe), "z": passed.z}


def expected(condition: Condition, of: Terms, inverse: Array | None, place: int, floor: int) -> Array:
    """1 - cos of every sample (batch,) by the law.

    Parameters
    ----------
    of
        Of `terms`.
    inverse
        1/N of every row (layers, batch, heads, queries), NaN where it was silent; None for 1/N of the condition.
    place
        Of its N among those of `terms`.
    floor
        Of its circuit among those that are biased; -1 if it is none.
    """
    mask = np.zeros((len(of["a"]), of["a"].shape[2]), dtype=bool)
    for layer, head in condition.chosen:
        mask[layer, head] = True

    at = SCALES.index(condition.scale) if condition.scale else 0

    def total(values: Array) -> Array:
        """Sum over rows and chosen heads, (batch,)."""
        rows = values.sum(axis=-1) if values.ndim == 4 else values
        return np.asarray((rows * mask[:, None, :]).sum(axis=(0, 2)))

    half = np.zeros(of["a"].shape[1]) if floor < 0 else of["floor"][floor]
    if condition.block in ("scores", "all"):
        half = half + total(of["s"][at]) / (2 * condition.steps)
    if condition.block == "scores" or condition.by == "limit":
        return half
    if condition.regular:
        return half + total(of["regular"][place]) / 2
    inv = 1 / condition.spikes if inverse is None else np.nan_to_num(inverse)
    half = half + total(of["a"] * inv) / 2
    if condition.block == "attention":
        return half
    return half + total(of["v"][at] * inv) / 2 + total(of["vx"][at]) / (2 * condition.steps)
