"""Sweeps: many runs of `biospike.simulate`, each kept in an immutable file of its own, on one machine or on a cluster.

A *point* is one run, and its *key* the SHA-256 of everything its numbers depend on: configuration, logits, seed,
target, code, versions. ``DIRECTORY/points/KEY.nc`` is written to a temporary name, synced and renamed, so it is whole
or not there. Starting a sweep again therefore runs what is missing and nothing else, and two sweeps may share a
directory.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import joblib
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from biospike import execution, fused, recording, simulation, source, standalone, toolchain
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.files import remove_abandoned, write_atomically, written
from biospike.ideal.softmax import check_logits
from biospike.parameters import to_plain

from brian2.units.fundamentalunits import Quantity

POINTS = "points"
"""Subdirectory of the results."""


class SweepError(standalone.RunError):
    """A point could not be computed. What is complete is kept, and the sweep can be started again."""


@attrs.frozen(eq=False, kw_only=True)
class Point:
    """One run of a sweep: the arguments of `biospike.simulate`.

    Attributes
    ----------
    circuit, logits, duration, trials, seed, checkpoints, dt
        As there.
    target : {"cpp_standalone", "cython", "numpy", "fused", "continuous"}
        Never ``auto``, whose choice depends on what was compiled before.
    labels : dict
        How a table names this point: the values of what is swept, and whatever else tells points apart.
    """

    circuit: Circuit
    logits: NDArray[np.float64] = attrs.field(converter=check_logits)
    duration: Quantity | str
    trials: int = 1
    seed: int = 0
    checkpoints: Any = simulation.CHECKPOINTS
    dt: Quantity | str | None = None
    target: str = "numpy"
    labels: dict[str, Any] = attrs.field(factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """What `simulate` takes besides circuit, logits and target."""
        names = ("duration", "trials", "seed", "checkpoints", "dt")
        return {name: getattr(self, name) for name in names}

    def check(self) -> None:
        """Raise what `simulate` would raise for this point."""
        simulation.check_study(self.circuit, self.logits, target=self.target, **self.options)

    def configuration(self) -> dict[str, Any]:
        """Everything the numbers depend on, as plain values."""
        plan = simulation.plan(self.circuit, self.logits, **self.options)
        return {
            "circuit": f"{type(self.circuit).__module__}.{type(self.circuit).__qualname__}",
            "parameters": to_plain(plan.circuit),
            "logits": to_plain(self)["logits"],
            "steps": plan.steps,
            "dt": plan.dt,
            "windows": plan.marks.tolist(),
            "trials": plan.trials,
            "seed": plan.seed,
            "target": self.target,
            "code": standalone.code_digest(type(self.circuit)),
            "versions": recording.versions(),
            "toolchain": " ".join(standalone.toolchain()) if self.target != "numpy" else "none",
            "kernels": fused.source_digest() if self.target in fused.TARGETS else "none",
        }

    def key(self) -> str:
        """SHA-256 of the configuration, hexadecimal."""
        return hashlib.sha256(json.dumps(self.configuration(), sort_keys=True).encode()).hexdigest()


def grid(
    circuits: Iterable[Circuit],
    logits: Mapping[str, ArrayLike] | ArrayLike,
    *,
    durations: Sequence[Quantity | str],
    seeds: Iterable[int] = (0,),
    trials: int = 1,
    checkpoints: Any = simulation.CHECKPOINTS,
    dt: Quantity | str | None = None,
    target: str = "auto",
) -> list[Point]:
    """Every combination of circuits, logits, durations and seeds, the last varying fastest.

    Parameters
    ----------
    circuits
        Circuits with their parameters: `vary` makes those of a grid.
    logits
        Rows (rows, keys) in nats, or several of them by name.
    durations, seeds, trials, checkpoints, dt
        As in `biospike.simulate`, which checks them.
    target
        ``auto`` is fused, or else compiled C++, where a compiler works, else numpy, with a warning if there is one that
        does not.

    Raises
    ------
    InputError
        If there is no point at all, or one is not accepted by `simulate`.
    """
    rows = logits if isinstance(logits, Mapping) else {"logits": logits}
    tried = [*circuits]
    compiled = _choose_target(tried) if target == "auto" else target
    points = [
        Point(
            circuit=circuit,
            logits=values,
            duration=duration,
            trials=trials,
            seed=seed,
            checkpoints=checkpoints,
            dt=dt,
            target="fused" if target == "auto" and compiled != "numpy" and fused.is_for(circuit) else compiled,
            labels={"circuit": circuit.name, "logits": name, "duration": str(duration), "seed": seed},
        )
        for circuit, (name, values), duration, seed in itertools.product(tried, rows.items(), durations, seeds)
    ]
    if not points:
        raise InputError("a sweep needs at least one circuit, one set of logits, one duration and one seed")
    for point in points:
        point.check()
    return points


def _choose_target(circuits: Sequence[Circuit]) -> str:
    """``auto``: the compiled target if the compiler works and every circuit can be compiled."""
    if standalone.hindrance():
        return "numpy"
    try:
        toolchain.try_compiler()
        for circuit in circuits:
            source.check_importable(type(circuit))
    except standalone.BuildError as error:
        warnings.warn(f"target 'auto' is numpy: {' '.join(str(error).split())}", stacklevel=3)
        return "numpy"
    return "cpp_standalone"


def vary(kind: type[Circuit], values: Mapping[str, Sequence[Any]]) -> list[Circuit]:
    """Circuits of one kind with every combination of parameter values, the last parameter varying fastest.

    Raises
    ------
    InputError
        If a parameter is unknown or a value out of range, naming it.
    """
    known = [field.name for field in attrs.fields(kind)]
    for name, given in values.items():
        if name not in known:
            raise InputError(f"{kind.name}: unknown parameter {name!r}; accepted: {', '.join(known)}")
        if isinstance(given, (str, Quantity)) or not isinstance(given, Sequence) or not given:
            raise InputError(f"{kind.name}: {name} needs a list of at least one value, got {given!r}")
    return [kind(**dict(zip(values, chosen, strict=True))) for chosen in itertools.product(*values.values())]


def sweep(
    points: Sequence[Point],
    directory: str | Path,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> list[Path]:
    """Run what is not complete in `directory`, and return the file of every point, in their order.

    The files are those of `biospike.simulate`, read by `biospike.load`, with the point's key and labels among their
    attributes. Neither jobs, scheduler, order nor interruptions show in them.

    Parameters
    ----------
    points
        From `grid`; equal points are run once.
    directory
        Holds ``points/KEY.nc``.
    jobs
        Processes on this machine; default all cores.
    scheduler
        Address of a Dask scheduler, such as ``tcp://node:8786``; its workers then run the points (extra ``cluster``).
    progress
        Show builds, points done and the remaining time on standard error.

    Raises
    ------
    SweepError
        If a point fails or a worker has other code or versions than this process.
    OSError
        If a result cannot be written.
    """
    workers = execution.check_jobs(jobs)
    folder = Path(directory, POINTS)
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    standalone.remove_leftovers()
    keys = [point.key() for point in points]
    by_key = dict(zip(keys, points, strict=True))
    files = {key: folder / f"{key}.nc" for key in by_key}
    missing = {key: point for key, point in by_key.items() if not is_complete(files[key], key)}
    kept = len(by_key) - len(missing)
    with tqdm(total=len(by_key), initial=kept, desc="sweep", unit="point", disable=not progress) as bar:
        for key, data in _compute(missing, None if scheduler else folder, workers, scheduler, progress):
            if data is not None:
                _keep(data, files[key])
            bar.update()
    written.extend(files.values())
    return [files[key] for key in keys]


def _compute(
    missing: dict[str, Point], folder: Path | None, jobs: int, scheduler: str | None, progress: bool
) -> Iterator[tuple[str, xr.Dataset | None]]:
    """Keys in the order they are done, with the result unless it is written already."""
    if scheduler is not None:
        from biospike import cluster  # noqa: PLC0415  (needs an extra)

        yield from cluster.compute(missing, scheduler, compute)
        return
    _build(missing.values(), progress)
    processes = min(jobs, max(1, len(missing)))
    pool = joblib.Parallel(n_jobs=processes, return_as="generator_unordered", pre_dispatch="4*n_jobs")
    try:
        for key in pool(joblib.delayed(_compute_here)(point, key, folder) for key, point in missing.items()):
            yield key, None
    except joblib.externals.loky.process_executor.TerminatedWorkerError:
        raise SweepError(
            "a worker process was killed, perhaps for lack of memory; start the sweep again to go on, "
            "with fewer --jobs if it happens again"
        ) from None


def _build(points: Iterable[Point], progress: bool) -> None:
    """Compile every shape once, before the workers look for it."""
    for target in execution.IN_THREADS:
        compiled = [point for point in points if point.target == target]
        plans = [simulation.plan(point.circuit, point.logits, **point.options) for point in compiled]
        shapes = {(str(plan.circuit.structure), type(plan.circuit), plan.sizes): plan for plan in plans}
        execution.build_plans(list(shapes.values()), target, progress=progress)


def compute(point: Point, key: str) -> xr.Dataset:
    """Run a point.

    Raises
    ------
    SweepError
        If the run fails, or this process has other code or versions than the one that made the key.
    """
    if point.key() != key:
        raise SweepError(
            f"{point.labels}: this worker has other code or versions than the process that started the sweep; install "
            f"the same on both (here: biospike code {standalone.code_digest(type(point.circuit))[:12]}, "
            f"{recording.versions()})"
        )
    try:
        data = simulation.simulate(point.circuit, point.logits, target=point.target, jobs=1, **point.options)
    except (ValueError, OSError, standalone.BuildError, standalone.RunError) as error:
        raise SweepError(f"{point.labels}: {error}") from error
    data.attrs |= {"key": key, "labels": json.dumps({name: str(value) for name, value in point.labels.items()})}
    return data


def _compute_here(point: Point, key: str, folder: Path) -> str:
    _keep(compute(point, key), folder / f"{key}.nc")
    return key


def _keep(data: xr.Dataset, path: Path) -> None:
    content = recording.content(data)
    write_atomically(path, lambda temporary: temporary.write_bytes(content + _seal(content, data.attrs["key"])))
    path.chmod(0o444)


def _seal(content: bytes, key: str) -> bytes:
    """Stands after the netCDF file, where no reader of netCDF looks; says whose it is, and whether it is whole."""
    return f"\nkey {key} sha256 {hashlib.sha256(content + key.encode()).hexdigest()}\n".encode()


KEY_LENGTH = hashlib.sha256().digest_size * 2


def is_complete(path: Path, key: str) -> bool:
    """Whether the file of a point is there, undamaged and its own: known without a reader of netCDF."""
    try:
        return _check_seal(path) == key
    except (OSError, InputError):
        return False


def _check_seal(path: Path) -> str:
    """Key of the point whose file this is.

    Raises
    ------
    OSError
        If it cannot be read.
    InputError
        If it is not as it was written.
    """
    whole = path.read_bytes()
    size, before = len(_seal(b"", "0" * KEY_LENGTH)), len("\nkey ")
    content, seal = whole[:-size], whole[-size:]
    key = seal[before : before + KEY_LENGTH].decode("ascii", errors="replace")
    if seal != _seal(content, key):
        raise InputError(f"{path} is damaged: it is not as it was written")
    return key


def read(path: Path) -> xr.Dataset:
    """Load the file of a point.

    Raises
    ------
    OSError
        If it cannot be read.
    InputError
        If it is not as it was written. It is then not given to HDF5, which a wrong bit can keep busy for ever.
    """
    _check_seal(path)
    return recording.load(path)
