"""The sweep that is broken in these tests, small enough to be broken often, and how it is started in a process."""

import gc
import multiprocessing
from pathlib import Path

import numpy as np

from biospike.sweep import grid, sweep, vary
from circuits.softmax import Race

import brian2 as b2

LOGITS = np.random.default_rng(11).normal(0, 1.5, (3, 5))
LOGITS[1, 3:] = np.nan

# Children come from a process of one thread that has imported everything: cheap to start, and safe to fork from.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["warm_process"])


def points(seeds=(1, 2), target="numpy"):
    """Two rates of one circuit, and two windows: 4 points a seed."""
    circuits = vary(Race, {"rate": ["500 Hz", "1 kHz"]})
    durations = ["10 ms", "20 ms"]
    return grid(circuits, LOGITS, durations=durations, seeds=seeds, trials=2, checkpoints=3, target=target)


def run(directory, seeds=(1, 2), target="numpy", jobs=1):
    """Run the sweep as a user's process would, in the child."""
    # Brian2 collects garbage before every run: what the imports made need not be looked through.
    gc.freeze()
    b2.prefs.codegen.target = "numpy"
    sweep(points(seeds, target), directory, jobs=jobs)


def content(directory):
    """Bytes of every point's file by name; what is being written, or was when its process died, begins with a dot."""
    return {path.name: path.read_bytes() for path in Path(directory, "points").glob("[!.]*.nc")}
