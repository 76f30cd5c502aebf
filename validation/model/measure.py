"""Chunks of samples through a model whose attention is spikes: here, on all cores, or on the workers of a scheduler.

A chunk is run by itself and drawn by a key of its own, so that how the work is cut never shows. What is done is kept
until the study is, in the directory of `biospike.parts`: one that was interrupted goes on where it was.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from biospike import cluster, execution, parts
from biospike.files import write_atomically
from biospike.provenance import code_digest
from validation.model.models import Model
from validation.model.predict import Terms, expected, terms
from validation.model.spiking import Attention, Condition

Array = NDArray[Any]
Arrays = dict[str, Array]


NOTHING = 1e-12
"""1/N in the place of that of a row that nobody counted."""
_code = functools.cache(code_digest)


class Job(NamedTuple):
    """Work on one chunk: its law, or a condition's draws.

    Attributes
    ----------
    model : Model
    chunk : int
    condition : Condition, optional
        None for the law.
    draws : int
    seed : int
    calibrated : array (3, layers, heads)
    probes : int
    chosen : tuple of (layer, head)
    spikes : tuple of float or arrays
        N of regular codes in the law, of all rows or of each by layer.
    biased : tuple of str
        Circuits whose floors are wanted.
    """

    model: Model
    chunk: int
    condition: Condition | None
    draws: int
    seed: int
    calibrated: Array
    probes: int
    chosen: tuple[tuple[int, int], ...]
    spikes: tuple[Any, ...]
    biased: tuple[str, ...]

    @property
    def key(self) -> str:
        """What its result is known by: SHA-256 of everything it depends on."""
        digest = hashlib.sha256(_code().encode())
        digest.update(repr((self.model.name, self.chunk, self.condition, self.draws, self.seed, *self[6:])).encode())
        for array in (self.model.chunks[self.chunk].tokens, self.calibrated, self.model.transformer.layers[0].q.weight):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def do(job: Job, key: str = "") -> Arrays:
    """Do a job; `key` is of a scheduler's, and changes nothing."""
    return law_of(job) if job.condition is None else drawn(job, job.condition)


def law_of(job: Job) -> Terms:
    """Terms of the law of a chunk."""
    return terms(
        job.model, job.model.chunks[job.chunk], calibrated=job.calibrated, probes=job.probes,
        key=(job.seed, 1, job.chunk), chosen=job.chosen, spikes=job.spikes, biased=job.biased,
    )  # fmt: skip


def drawn(job: Job, condition: Condition) -> Arrays:
    """Outputs ``z`` (draws, batch, width) of a condition.

    By simulate also ``spikes`` and ``silent`` (draws,), means over rows, and ``law`` (draws, batch) at each row's N.
    """
    chunk, simulated = job.model.chunks[job.chunk], condition.by == "simulate"
    found: dict[str, list[Array]] = {name: [] for name in (("z", "spikes", "silent", "law") if simulated else ("z",))}
    name = int.from_bytes(hashlib.sha256(repr(condition).encode()).digest()[:4])
    of = law_of(job) if simulated and not (condition.regular or condition.biased) else None
    for draw in range(job.draws):
        attention = Attention(condition, job.calibrated, (job.seed, 2, name, draw, job.chunk))
        found["z"].append(job.model.transformer.run(chunk.tokens, attention).z)
        if simulated:
            _note(job, condition, attention, of, found)
    return {variable: np.asarray(values) for variable, values in found.items()}


def _note(
    job: Job, condition: Condition, attention: Attention, of: Terms | None, found: dict[str, list[Array]]
) -> None:
    """Add counts of rows and the law at them."""
    transformer, chunk = job.model.transformer, job.model.chunks[job.chunk]
    inverse = np.zeros((len(transformer.layers), len(chunk.places), transformer.heads, chunk.tokens.shape[1]))
    for layer, rows in attention.inverse.items():
        inverse[layer][:, [head for own, head in condition.chosen if own == layer]] = rows
    rows = np.concatenate([own.ravel() for own in attention.inverse.values()])
    found["spikes"].append(np.nan_to_num(1 / rows).mean())
    found["silent"].append(np.isnan(rows).mean())
    if condition.biased:
        found["law"].append(np.full(len(chunk.places), np.nan))
        return
    if of is None:  # a regular code's law goes by each row's count; a silent row adds nothing to it
        of = law_of(job._replace(spikes=(1 / np.where(inverse > 0, inverse, NOTHING),), biased=()))
    found["law"].append(expected(condition, of, inverse, 0, -1))


def run(jobs: list[Job], *, workers: int | None, scheduler: str | None, progress: bool) -> Iterator[tuple[Job, Arrays]]:
    """Do all jobs and yield each with its result, in any order.

    Parameters
    ----------
    workers
        Processes; None for all cores.
    scheduler
        Address of a Dask scheduler, whose workers do it instead.
    """
    place, keys = parts.place(), {job.key: job for job in jobs}
    left = dict(keys)
    with tqdm(total=len(jobs), desc="chunks", disable=not progress, leave=False) as bar:
        for key, job in keys.items():
            known = _kept(place, key)
            if known is not None:
                del left[key]
                bar.update()
                yield job, known
        for key, result in _compute(left, workers, scheduler):
            _keep(place, key, result)
            bar.update()
            yield keys[key], result


def _compute(left: dict[str, Job], workers: int | None, scheduler: str | None) -> Iterator[tuple[str, Arrays]]:
    if scheduler is not None:
        yield from cluster.compute(left, scheduler, do)
        return
    pool = joblib.Parallel(n_jobs=min(execution.check_jobs(workers), max(len(left), 1)), return_as="generator")
    yield from zip(left, pool(joblib.delayed(do)(job) for job in left.values()), strict=True)


def _kept(place: Path | None, key: str) -> Arrays | None:
    """Result of an earlier run; a file that is damaged is none."""
    if place is None:
        return None
    unread = contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile)
    with unread, (place / f"{key}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
    return None


def _keep(place: Path | None, key: str, result: Arrays) -> None:
    """Keep a result; where there is no room, nothing is kept: that must not cost the run."""
    if place is not None:
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            write_atomically(place / f"{key}.npz", lambda path: np.savez(path, allow_pickle=False, **result))
