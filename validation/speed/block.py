"""The attention block at the sizes of small transformers: target fused, Brian2's own code, and torch.

Every peer presents the same tokens to the same block, in a process of its own. Attention and outputs of target fused
are counted again by the loop of `validation.speed.attention`. Counts of the two targets and of the hand-written loop
must be the same, every one; torch draws numbers of its own, and its totals and its attention must be those of the same
law.
"""

from __future__ import annotations

import importlib.util
import resource
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from biospike import execution, fused
from circuits.attention import SpikingAttention, softmax_circuit
from circuits.presentation import plan_presentation, present
from validation.inputs.tokens import drawn_weights
from validation.speed.attention import verify_outputs
from validation.speed.peers.attention_loop import LIBRARY, Loop, build
from validation.speed.process import PeerError
from validation.speed.watch import watch_binaries

import brian2 as b2

WINDOWS = 24
TAU_S = 50 * b2.ms
"""Of the score membrane: the attention is on in four steps of five."""
FUSED, LOOP, OWN, TORCH = "fused", "loop", "cpp_standalone", "torch"
BLOCK_PEERS = {
    FUSED: "biospike, fused",
    LOOP: "hand-written C++ loop",
    OWN: "biospike, cpp_standalone",
    TORCH: "torch, batched",
}
TOTALS = ("spikes_encoder", "spikes_qkv", "coincidences", "attention_count", "output_count")
SIGMAS = 6.0
"""Standard errors by which totals of the same law may differ."""
SIMILAR = 0.05
"""Part by which the distances of two attentions of the same law from their limit may differ, besides two over the
root of the rows: each is a mean over them, of distances that scatter by a part of themselves."""


@attrs.frozen(kw_only=True)
class BlockSize:
    """One block, and how it is presented.

    Attributes
    ----------
    tokens, features, heads, width : int
    steps, trials, seed : int
        Of the longest window; the trials are what torch runs as one batch.
    """

    tokens: int
    features: int
    heads: int
    width: int
    steps: int
    trials: int
    seed: int

    def block(self) -> tuple[SpikingAttention, NDArray[np.float64]]:
        """Block and tokens (tokens, features) in [0, 1]; the block is fitted to them."""
        x = np.random.default_rng([self.seed, self.tokens]).random((self.tokens, self.features))
        matrices: dict[str, Any] = {
            f"W_{stream}": drawn_weights(self.seed + number, self.features, self.heads * self.width)
            for number, stream in enumerate("qkv")
        }
        options: dict[str, Any] = {"heads": self.heads, "softmax": softmax_circuit("escape"), "tau_s": TAU_S}
        block = SpikingAttention(**matrices, **options)
        return block.fitted(x), x

    def options(self, block: SpikingAttention) -> dict[str, Any]:
        """Arguments of `present` besides block and tokens."""
        return {"duration": self.steps * block.dt, "trials": self.trials, "seed": self.seed, "windows": WINDOWS}


def missing(peer: str) -> bool:
    """Whether a peer is not installed."""
    return peer == TORCH and importlib.util.find_spec("torch") is None


def build_ahead(size: BlockSize, target: str, *, progress: bool) -> None:
    """Compile what a target runs."""
    block, x = size.block()
    execution.build_plans([plan_presentation(block, x, **size.options(block))], target, progress=progress)


@contextmanager
def taking_the_kernels_place(directory: Path) -> Iterator[Loop]:
    """Let the hand-written loop, compiled into a directory if it is not there, run what target fused is asked to."""
    library = directory / LIBRARY
    loop = Loop(library if library.exists() else build(directory))
    original = fused.run_circuit
    fused.run_circuit = loop
    try:
        yield loop
    finally:
        fused.run_circuit = original


def run_peer(peer: str, size: BlockSize, directory: Path) -> dict[str, float]:
    """Present the tokens once, on one core; the directory is that of the compiled loop.

    Returns
    -------
    dict
        ``loop_cpu_s``, processor time: of the binaries with their start and files, of the whole call of target fused,
        of the loop of torch and of the hand-written one; ``call_wall_s``; ``steps`` with those before the window;
        ``digest`` of all counts, which is -1 for torch; ``NAME_mean`` and ``NAME_error`` of the totals; ``distance``,
        mean total variation of the attention pooled over trials from the limit.

    Raises
    ------
    PeerError
        If nothing spiked, or counts of target fused are not those of the loop over integers.
    """
    block, x = size.block()
    given = size.options(block)
    plan = plan_presentation(block, x, **given)
    timing = block.timing(size.steps, block.dt)
    wall, digest, compilations = time.perf_counter(), -1, 0
    if peer == TORCH:
        from validation.speed.peers import torch_block  # noqa: PLC0415

        counts, cpu = torch_block.run(block, x, timing=timing, marks=plan.marks, trials=size.trials, seed=size.seed)
    elif peer == LOOP:
        with taking_the_kernels_place(directory) as loop:
            data = present(block, x, target=FUSED, jobs=1, check=False, **given)
        cpu, counts, digest = loop.took, totals_of(data), digest_of(data)
    else:
        who = resource.RUSAGE_SELF if peer == FUSED else resource.RUSAGE_CHILDREN
        with watch_binaries() as watched:
            before = resource.getrusage(who)
            data = present(block, x, target=peer, jobs=1, check=False, **given)
            after = resource.getrusage(who)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        compilations = watched.compilations
        counts, digest = totals_of(data), digest_of(data)
    figures = {"loop_cpu_s": cpu, "call_wall_s": time.perf_counter() - wall, "compilations": compilations}
    if peer == FUSED and (wrong := verify_outputs(block, x, given, data)):
        raise PeerError(wrong)
    return figures | {"steps": timing.end, "digest": digest} | summary(block, x, counts)


def totals_of(data: xr.Dataset) -> dict[str, NDArray[np.float64]]:
    """Counts of the sample, (trials, ...), by name."""
    return {name: data[name].isel(sample=0).values.astype(float) for name in TOTALS}


def digest_of(data: xr.Dataset) -> int:
    """Number that two results share if all their counts are the same."""
    found = 0
    for name in TOTALS:
        found = zlib.crc32(np.ascontiguousarray(data[name].values, dtype=np.int64).tobytes(), found)
    return found


def summary(
    block: SpikingAttention, x: NDArray[np.float64], counts: dict[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Means over trials of the totals at the end, with standard errors, and how far the attention is from its limit."""
    figures: dict[str, float] = {}
    for name, values in counts.items():
        total = values[..., -1].reshape(len(values), -1).sum(axis=1)
        figures[f"{name}_mean"] = float(total.mean())
        figures[f"{name}_error"] = float(total.std(ddof=1) / np.sqrt(len(total))) if len(total) > 1 else np.inf
    pooled = counts["attention_count"][..., -1].sum(axis=0)
    if not pooled.any() or not counts["output_count"].any():
        raise PeerError("no attention neuron, or no output, spiked")
    figures["rows"] = pooled.shape[0] * pooled.shape[1]
    shares = pooled / np.maximum(pooled.sum(axis=-1, keepdims=True), 1)
    limit = block.limit(x)["attention"].values[0]
    figures["distance"] = float(np.abs(shares - limit).sum(axis=-1).mean() / 2)
    return figures


def disagreement(found: dict[str, float], fused: dict[str, float]) -> str:
    """What is wrong with the counts of a peer, held against those of target fused; empty if nothing is."""
    if found["digest"] >= 0:
        return "" if found["digest"] == fused["digest"] else "its counts are not those of target fused"
    for name in TOTALS:
        error = np.hypot(found[f"{name}_error"], fused[f"{name}_error"])
        apart = abs(found[f"{name}_mean"] - fused[f"{name}_mean"])
        if apart > SIGMAS * error:
            return f"{name} is {apart:.4g} from that of target fused, {apart / error:.2g} standard errors"
    if abs(found["distance"] / fused["distance"] - 1) > SIMILAR + 2 / np.sqrt(fused["rows"]):
        return f"its attention is {found['distance']:.3g} from the limit, that of target fused {fused['distance']:.3g}"
    return ""
