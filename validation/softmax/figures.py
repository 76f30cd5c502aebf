"""Figures of ``compare_softmax``, drawn while its binaries run."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import attrs
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import entr

from biospike import execution, plots
from biospike.circuit import Circuit
from biospike.files import owned_prefix, remove_abandoned, written
from biospike.ideal.softmax import softmax
from biospike.recording import save_groups
from biospike.traces import record
from validation.softmax.control_figure import control_figure

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

RASTER_WINDOW = 150 * b2.ms
RASTER_KEYS = 16

# A fork has imported everything already, which takes seconds. No thread of this process runs yet when it is made.
START = "fork"


@attrs.frozen(eq=False)
class Raster:
    """What a raster shows: one row of every circuit."""

    circuits: Mapping[str, Circuit]
    logits: NDArray[np.float64]
    duration: Quantity
    seed: int
    left_out: tuple[str, ...] = ()
    """Circuits that were not run, named in the figure."""


def raster_row(logits: NDArray[np.float64]) -> int:
    """Row to show: the one of median softmax entropy among those with few enough keys to label."""
    p = softmax(logits)
    entropy = entr(p).sum(axis=-1)
    keys = (~np.isnan(logits)).sum(axis=-1)
    fitting = np.flatnonzero(keys <= max(RASTER_KEYS, keys.min()))
    return int(fitting[np.argsort(entropy[fitting], kind="stable")[len(fitting) // 2]])


def trace(raster: Raster) -> dict[str, xr.Dataset]:
    """Record one row of every circuit, spike by spike."""
    row = raster_row(raster.logits)
    logits = raster.logits[row]
    window = min(raster.duration, RASTER_WINDOW)
    shown = logits[: np.flatnonzero(~np.isnan(logits)).max() + 1]
    return {
        name: record(circuit, shown, duration=window, seed=raster.seed, row=row)
        for name, circuit in raster.circuits.items()
    }


def draw_raster(raster: Raster, out: Path) -> list[Path]:
    """Record one row of every circuit, write it and its figure, and return the files."""
    traces = trace(raster)
    save_groups(traces, out / "traces.nc")
    return [out / "traces.nc", *plots.save_figure(plots.raster_figure(traces, raster.left_out), out, "raster")]


def draw_convergence(summary: pd.DataFrame, convergence: pd.DataFrame, out: Path) -> list[Path]:
    """Write the figure of the two tables, and return its files."""
    return list(plots.save_figure(plots.convergence_figure(summary, convergence), out, "convergence"))


def draw_controls(summary: pd.DataFrame, curves: Mapping[str, pd.DataFrame], out: Path) -> list[Path]:
    """Write the figure of the controls, and return its files."""
    return list(plots.save_figure(control_figure(summary, curves), out, "controls"))


@contextlib.contextmanager
def drawing(raster: Raster, out: Path, *, beside: bool) -> Iterator[Callable[..., object]]:
    """Draw the raster while the body runs, and what the body asks for by ``draw(function, *arguments)``.

    With `beside` in a process of its own, since Brian2 and Matplotlib keep global settings, else in this one. No raster
    is left in `out` unless the body succeeds.
    """
    if not beside:
        yield lambda function, *arguments: function(*arguments)
        draw_raster(raster, out)
        return
    remove_abandoned(out)
    with (
        tempfile.TemporaryDirectory(dir=out, prefix=owned_prefix(".raster-")) as private,
        # An interruption is for this process to report.
        ProcessPoolExecutor(
            1, multiprocessing.get_context(START), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
        ) as process,
    ):
        # In the place of one binary: sharing its core with one, it would be what all wait for in the end.
        execution.processors.acquire()
        drawn = [process.submit(draw_raster, raster, Path(private))]
        drawn[0].add_done_callback(lambda _: execution.processors.release())
        yield lambda function, *arguments: drawn.append(process.submit(function, *arguments))
        for one in drawn:
            for path in one.result():
                written.append(path.replace(out / path.name))
