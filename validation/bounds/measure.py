"""What is measured for the spike bounds: encoders, softmax circuits, attention blocks, and coins without any neuron.

Every function returns one dataset of raw counts or estimates; `biospike.recording` knows what made it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from biospike import runtime, simulate
from biospike.encoding import ENCODERS, Poisson, Regular, encode
from biospike.recording import git_revision, versions
from circuits import SOFTMAX_CIRCUITS
from circuits.attention import SpikingAttention
from validation.attention import study as compare_attention
from validation.bounds.laws import triangular_weights
from validation.data import token_block

import brian2 as b2

Array = NDArray[np.float64]

TRIANGULAR = "regular, triangular"
"""The regular code read with a triangular window instead of by its count."""
UNIFORM_KEYS = 8
"""Keys of the rows whose shares are uniform on the simplex."""
CODES = (("bernoulli", "escape"), ("regular", "integrate"))
"""Encoder and softmax circuit of the blocks: all chance, and as regular as it gets."""
SMALL_STEP = 1e-5
"""Change of a token for the derivative of the attention."""
DT = 1e-3


def uniform_values(values: int, trials: int, seed: int) -> Array:
    """Values (trials, values) uniform on [0, 1], one in each of `values` equal cells, drawn anew for every trial."""
    generator = np.random.default_rng([seed, 1])
    return (np.arange(values) + generator.uniform(size=(trials, values))) / values


def uniform_rows(rows: int, keys: int, seed: int) -> Array:
    """Logits (rows, keys) whose softmax is uniform on the simplex."""
    return np.log(np.random.default_rng([seed, 2]).dirichlet(np.ones(keys), rows))


def measure_encoder(code: str, x: Array, full: NDArray[np.int64], seed: int) -> xr.Dataset:
    """Estimates of values by one code.

    Parameters
    ----------
    code
        A name in `biospike.encoding.ENCODERS`, or `TRIANGULAR`.
    x : ndarray (trials, values)
    full : ndarray (points,) of int
        Spikes that would stand for x = 1; the steps follow from it.

    Returns
    -------
    xarray.Dataset
        `estimate` and `spikes` (trial, value, point), `x` (trial, value), `timesteps` and `full_count` (point).
    """
    if code == TRIANGULAR:
        steps = full
        estimate, spikes = _read_triangular(x.ravel(), full, seed)
    else:
        encoder = ENCODERS[code]()
        per_step = encoder.rate_per_step if isinstance(encoder, Poisson) else 1.0
        steps = np.rint(full / per_step).astype(np.int64)
        spikes = encode(encoder, x.ravel(), steps.tolist(), seed=seed)[0]
        estimate = spikes / encoder.full_count(steps)
    shape = (*x.shape, len(full))
    return xr.Dataset(
        {
            "estimate": (("trial", "value", "point"), estimate.reshape(shape)),
            "spikes": (("trial", "value", "point"), spikes.reshape(shape)),
            "x": (("trial", "value"), x),
        },
        coords={"timesteps": ("point", steps), "full_count": ("point", full)},
        attrs={"code": code} | provenance(seed),
    )


def _read_triangular(x: Array, marks: NDArray[np.int64], seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Estimates and counts (values, marks) of regular trains, from every spike of the neurons of `encode`."""
    encoder, index = Regular(), np.arange(x.size)
    with runtime.preferences("numpy", DT):
        group = encoder.build(x.size)
        monitor = b2.SpikeMonitor(group)
        network = b2.Network(group, monitor)
        state: dict[str, Any] = {"x": x, "seed": seed, "trial": 0 * index, "index": index}
        state |= encoder.state((seed, 0 * index, index))
        runtime.assign(network, {f"{group.name}.{name}": value for name, value in state.items()})
        network.run(int(marks[-1]) * DT * b2.second, namespace={})
        neuron, step = np.array(monitor.i), np.rint(np.array(monitor.t / b2.second) / DT).astype(np.int64)
    estimate, count = np.zeros((x.size, len(marks))), np.zeros((x.size, len(marks)), dtype=np.int64)
    for place, window in enumerate(marks):
        within = step < window
        weights = triangular_weights(int(window))[step[within]]
        estimate[:, place] = np.bincount(neuron[within], weights=weights, minlength=x.size)
        count[:, place] = np.bincount(neuron[within], minlength=x.size)
    return estimate, count


def measure_softmax(name: str, rows: Mapping[str, Array], seed: int, **options: Any) -> xr.Dataset:
    """Counts of a softmax circuit on several sets of rows, by their name; as of `biospike.simulate`.

    The coordinate `prior` of a row says which set it is of.
    """
    keys = max(some.shape[1] for some in rows.values())
    padded = [np.pad(some, ((0, 0), (0, keys - some.shape[1])), constant_values=np.nan) for some in rows.values()]
    data = simulate(SOFTMAX_CIRCUITS[name](), np.concatenate(padded), seed=seed, **options)
    return data.assign_coords(prior=("row", np.repeat(list(rows), [len(some) for some in rows.values()])))


def prepare_block(source: str, code: tuple[str, str], **options: Any) -> compare_attention.Study:
    """Check an attention block of `compare_attention`: of the tokens that ship (head, block) or the paper's toy.

    Parameters
    ----------
    source
        ``toy``; ``block``, all heads of the tokens that ship; or ``head``, their first head.
    code
        Names of the encoder and of the softmax circuit.
    """
    encoder, softmax = code
    settings: dict[str, Any] = {"encoder": encoder, "softmax": softmax, "quiet": True} | options
    if source != "head":
        return compare_attention.prepare(compare_attention.Config(toy=source == "toy", **settings))
    block = token_block()
    width = block.W_q.shape[1] // block.heads
    first = {name: getattr(block, name)[:, :width] for name in ("W_q", "W_k", "W_v")}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "first_head.npz")
        np.savez(path, X=block.X, heads=1, **first)
        return compare_attention.prepare(compare_attention.Config(tokens=path, **settings))


def measure_block(study: compare_attention.Study, source: str) -> xr.Dataset:
    """Counts of a block in both modes, as of `compare_attention.run`, with its `lipschitz` constant as an attribute."""
    data = compare_attention.run(study)
    block = next(iter(study.blocks.values()))
    return data.assign_attrs(block=source, lipschitz=lipschitz(block, study.tokens.X))


def lipschitz(block: SpikingAttention, x: Array) -> float:
    """Largest singular value of the derivative of ordinary attention at the tokens x (tokens, features).

    The Lipschitz constant L_f at this input, in the Euclidean norm: at most that of the whole cube.
    """
    inward = np.where(x > 0.5, -SMALL_STEP, SMALL_STEP)
    moved = x + inward.ravel()[:, None, None] * np.eye(x.size).reshape(x.size, *x.shape)
    at = block.ordinary(x)["output"].values.ravel()
    derivative = (block.ordinary(moved)["output"].values.reshape(x.size, -1) - at) / inward.reshape(-1, 1)
    return float(np.linalg.norm(derivative, 2))


def flip_coins(flips: NDArray[np.int64], trials: int, repeats: int, seed: int) -> xr.Dataset:
    """Fair coins, no neuron: heads (trial, repeat, point) among so many flips."""
    heads = np.random.default_rng([seed, 3]).binomial(flips, 0.5, size=(trials, repeats, len(flips)))
    return xr.Dataset(
        {"heads": (("trial", "repeat", "point"), heads)}, coords={"flips": ("point", flips)}, attrs=provenance(seed)
    )


def provenance(seed: int) -> dict[str, Any]:
    """Attributes of a dataset that no circuit made."""
    return {"seed": seed, "versions": json.dumps(versions()), "git_revision": git_revision()}
