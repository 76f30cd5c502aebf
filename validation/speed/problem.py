"""What every peer of the benchmark is given, as numbers only: it imports nothing that a peer would not import itself.

A slot is one row of one trial, in the order (trial, row). Arrays of keys have the shape (slots, keys); a masked key has
no drive and never spikes. Every peer returns the same: cumulative spike counts (slots, keys, checkpoints).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Counts = NDArray[np.int32]

ARRAYS = ("logits", "marks", "trial", "index", "drive", "v", "theta")


@attrs.frozen(kw_only=True)
class Size:
    """How large a problem is, and the seed of its logits and random numbers."""

    circuit: str
    keys: int
    rows: int
    trials: int
    steps: int
    checkpoints: int
    seed: int

    @property
    def neurons(self) -> int:
        """Keys of all rows and trials."""
        return self.keys * self.rows * self.trials

    @property
    def neuron_steps(self) -> int:
        """What costs are divided by."""
        return self.neurons * self.steps


@attrs.frozen(kw_only=True, eq=False)
class Problem:
    """One circuit on rows of logits, with its initial state.

    Attributes
    ----------
    circuit : str
        race, escape or integrate.
    trials, seed, steps : int
    dt : float
        Step, second.
    w, R0 : float
        Inhibition of a spike in nats, and rate of a row in Hz, of escape and integrate.
    closed_steps : int
        Steps for which a spike closes the row, of race.
    regularity : int
        k of the thresholds' Gamma distribution, 0 for fixed thresholds.
    logits : ndarray (rows, keys)
        Nats; NaN masks a key.
    marks : ndarray (checkpoints,)
        Windows in steps, increasing.
    trial : ndarray (slots,)
    index : ndarray (slots, keys)
        Address of a key's random numbers within its trial.
    drive, v, theta : ndarray (slots, keys)
        R0*exp(z - max z) in Hz, membrane and threshold at the start; `v` and `theta` are 0 for race.
    """

    circuit: str
    trials: int
    seed: int
    steps: int
    dt: float
    w: float
    R0: float
    closed_steps: int
    regularity: int
    logits: Floats
    marks: Integers
    trial: Integers
    index: Integers
    drive: Floats
    v: Floats
    theta: Floats

    @property
    def unmasked(self) -> NDArray[np.bool_]:
        """Which keys exist, (slots, keys)."""
        return np.tile(~np.isnan(self.logits), (self.trials, 1))

    @property
    def neurons(self) -> int:
        """Number of keys that exist, in all slots."""
        return int((~np.isnan(self.logits)).sum()) * self.trials

    def empty_counts(self) -> Counts:
        """Counts of nothing, to be filled checkpoint by checkpoint."""
        return np.zeros((*self.drive.shape, len(self.marks)), dtype=np.int32)

    def save(self, directory: Path) -> None:
        """Write the problem into a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        plain = {field.name: getattr(self, field.name) for field in attrs.fields(Problem) if field.name not in ARRAYS}
        (directory / "problem.json").write_text(json.dumps(plain), encoding="utf-8")
        for name in ARRAYS:
            np.save(directory / f"{name}.npy", getattr(self, name))

    @staticmethod
    def load(directory: Path) -> Problem:
        """Read what `save` wrote; arrays stay on the disk until somebody looks at them."""
        plain: dict[str, Any] = json.loads((directory / "problem.json").read_text(encoding="utf-8"))
        return Problem(**plain, **{name: np.load(directory / f"{name}.npy", mmap_mode="r") for name in ARRAYS})


@attrs.frozen(eq=False)
class Outcome:
    """What a peer returns.

    Attributes
    ----------
    counts : ndarray (slots, keys, checkpoints)
    loop_wall_s, loop_cpu_s : float
        Of stepping alone, on the wall and of the processor.
    compilations : int
        Processes besides the stepping that were started: a timed run must not compile.
    """

    counts: Counts
    loop_wall_s: float
    loop_cpu_s: float
    compilations: int = 0
