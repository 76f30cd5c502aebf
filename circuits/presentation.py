"""present(): tokens in, coincidences, attention and outputs out; the counterpart of `biospike.simulate` for blocks."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from biospike import execution, recording
from biospike.errors import InputError, RunError
from biospike.fused.replay import TRIALS, replay_once
from biospike.packing import NUMPY_SECONDS_PER_NEURON, NUMPY_SECONDS_PER_STEP
from biospike.random import MOST_STEPS
from circuits.projection import BlockShape, Slots, check_sizes
from circuits.token_circuit import TokenCircuit, as_samples

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

WINDOWS = 12
FIRST_WINDOW = 1 / 64
"""Default windows are spaced evenly in the logarithm from this fraction of the duration to all of it."""
NEURONS_PER_BATCH = 2**13
OBJECTS = 12
"""Objects that the numpy target visits in a step."""
REPLAYED_TOKENS, REPLAYED_FEATURES, REPLAYED_HEADS = 3, 32, 2
REPLAYED_MARKS = {False: (1, 10, 100, 400), True: (400,)}
"""Windows in steps, by whether each is a run of its own."""


@attrs.frozen(eq=False)
class Presentation:
    """Inputs, trials and windows cut into batches of one size; an `biospike.execution.Plan`."""

    circuit: TokenCircuit
    x: NDArray[np.float64]
    unmasked: NDArray[np.bool_]
    trials: int
    seed: int
    dt: float
    marks: NDArray[np.int64]
    slots: int
    """Slots of a batch."""
    room: int
    """Checkpoints that are compiled in."""

    @property
    def runs(self) -> list[NDArray[np.int64]]:
        """Windows of each kind of run: one run for all of them, or each a run of its own."""
        return [self.marks[[w]] for w in range(len(self.marks))] if self.circuit.staged else [self.marks]

    @property
    def per_run(self) -> int:
        """Batches of one kind of run."""
        return -(-self.trials * len(self.x) // self.slots)

    @property
    def batches(self) -> int:
        """Number of batches."""
        return len(self.runs) * self.per_run

    @property
    def wanted(self) -> list[str]:
        """Variables to read."""
        return self.circuit.wanted(1 + max(len(run) for run in self.runs))

    @property
    def numpy_seconds(self) -> float:
        """Rough time on the numpy target."""
        per_step = OBJECTS * NUMPY_SECONDS_PER_STEP + self.slots * neurons(self.shape()) * NUMPY_SECONDS_PER_NEURON
        return sum(self.duration(number) / self.dt for number in range(self.batches)) * per_step

    def shape(self, number: int | None = None) -> BlockShape:
        """Size of the network."""
        del number  # all batches have one size
        _, tokens, features = self.x.shape
        return BlockShape(
            slots=self.slots,
            tokens=tokens,
            features=features,
            heads=self.circuit.heads,
            width=self.circuit.width,
            checkpoints=self.room,
        )

    def duration(self, number: int) -> float:
        """How long a batch runs, second."""
        window = int(self.runs[number // self.per_run][-1])
        return self.circuit.timing(window, self.dt * b2.second).end * self.dt

    def _numbers(self, number: int) -> NDArray[np.int64]:
        """Which (trial, sample) fill the batch."""
        first = number % self.per_run * self.slots
        return np.arange(first, min(first + self.slots, self.trials * len(self.x)))

    def state(self, number: int) -> dict[str, Any]:
        """Initial state of a batch; empty slots have no input and are masked."""
        used = self._numbers(number)
        trial, sample = (np.zeros(self.slots, dtype=np.int64) for _ in range(2))
        trial[: len(used)], sample[: len(used)] = np.divmod(used, len(self.x))
        x, unmasked = self.x[sample], self.unmasked[sample]
        x[len(used) :], unmasked[len(used) :] = 0.0, False
        windows = self.runs[number // self.per_run]
        # Unused checkpoints lie before the run.
        marks = np.full(self.room, -(2**30), dtype=np.int64)
        marks[: len(windows) + 1] = [0, *windows]
        slots = Slots(x, unmasked, trial, sample, self.seed)
        return self.circuit.state(self.shape(), slots, marks, int(windows[-1]), self.dt * b2.second)

    def collect(self, number: int, result: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Counts of a batch by slot."""
        windows = self.runs[number // self.per_run]
        collected = self.circuit.collect(self.shape(), result, len(windows) + 1)
        used = self._numbers(number)
        mine = {name: values[: len(used)] for name, values in collected.items()}
        if (spikes := mine.get("attention_count")) is not None:
            check_masked(self.circuit.name, spikes, self.unmasked[used % len(self.x)])
        return mine


def cut_presentation(plan: Presentation) -> Presentation:
    """Study of a sample, two trials, few tokens and up to 1000 steps, whose last key only its own query attends to."""
    tokens, features = min(plan.x.shape[1], REPLAYED_TOKENS), min(plan.x.shape[2], REPLAYED_FEATURES)
    unmasked = plan.unmasked[:1, :tokens, :tokens] | np.eye(tokens, dtype=bool)
    unmasked[:, :-1, -1] = False
    marks = REPLAYED_MARKS[plan.circuit.staged]
    return attrs.evolve(
        plan,
        circuit=plan.circuit.cut(features, min(plan.circuit.heads, REPLAYED_HEADS)),
        x=plan.x[:1, :tokens, :features],
        unmasked=unmasked,
        trials=TRIALS,
        marks=np.array(marks),
        slots=TRIALS,
        room=1 + len(marks),
    )


def check_masked(circuit: str, spikes: NDArray[np.int64], unmasked: NDArray[np.bool_]) -> None:
    """Raise `RunError` if a key spiked that its query may not attend to.

    Parameters
    ----------
    circuit
        Name, for the message.
    spikes : ndarray (slots, ..., queries, keys, checkpoints)
    unmasked : ndarray (slots, queries, keys)
    """
    fired = spikes.any(axis=-1)
    allowed = np.expand_dims(unmasked, tuple(range(1, fired.ndim - 2)))
    if (fired & ~allowed).any():
        *_, head, query, key = (int(number) for number in np.argwhere(fired & ~allowed)[0])
        raise RunError(f"{circuit}: key {key}, which is masked for query {query}, spiked in head {head}")


def neurons(shape: BlockShape) -> int:
    """Neurons of a slot, roughly: encoders, ON and OFF units with their dendrites, scores, outputs."""
    return shape.tokens * (3 * shape.features + 11 * shape.units + shape.heads * shape.tokens)


def present(
    circuit: TokenCircuit,
    tokens: ArrayLike,
    *,
    duration: Quantity | str,
    trials: int = 1,
    seed: int = 0,
    target: str = "auto",
    windows: int | ArrayLike | Quantity = WINDOWS,
    key_mask: ArrayLike | None = None,
    jobs: int | None = None,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    """Present tokens to a circuit and count its spikes.

    Parameters
    ----------
    circuit
        From `circuits`, for example ``SpikingAttention(W_q=..., W_k=..., W_v=...)``; its scales are fitted to these
        tokens unless they are set.
    tokens : array (tokens, features) or (samples, tokens, features)
        Values in [0, 1].
    duration
        Longest window, such as ``"10 s"``: T steps of the circuit's `dt`. In the staged mode the score stage and the
        attention stage take so long each, and every window is a run of its own.
    trials, seed, target, jobs, progress, check
        As of `biospike.simulate`. Target ``fused`` is for `circuits.SpikingAttention` with rows of ``race``,
        ``escape``, ``integrate`` or ``divisive``.
    windows
        How many windows to read, spaced evenly in the logarithm up to the duration, or the windows themselves.
    key_mask : array (tokens,) or (samples, tokens) of bool, optional
        False for tokens to which nobody attends.

    Returns
    -------
    xarray.Dataset
        Integer counts in the window, dims (trial, sample, ..., checkpoint): `coincidences`, signed, and
        `attention_count` (head, query, key); `output_count` (head, query, unit, sign). Spikes of whole populations
        from the start of the run to the end of the window: `spikes_encoder`, `spikes_qkv`, `spikes_attention`,
        `spikes_output`. Coordinates `window_ms` and `timesteps`, the T of the theory. `read_out` turns counts into
        scores, attention and outputs. Attributes: parameters, scales, seed, target, versions.

    Raises
    ------
    InputError
        On bad input, naming the value and what is accepted, before anything is built.
    biospike.standalone.BuildError, biospike.standalone.RunError
        If the compiled target cannot be built or fails.
    """
    plan = plan_presentation(
        circuit, tokens, duration=duration, trials=trials, seed=seed, windows=windows, key_mask=key_mask
    )
    workers = execution.check_jobs(jobs)
    [(target, reason)] = execution.settle_targets([plan], target, progress=progress)
    if target == "fused" and check:
        replay_once(plan, cut_presentation)
    joined = execution.execute(plan, target, jobs=workers, progress=progress)
    return _dataset(plan, joined, target, reason)


def plan_presentation(
    circuit: TokenCircuit,
    tokens: ArrayLike,
    *,
    duration: Quantity | str,
    trials: int = 1,
    seed: int = 0,
    windows: int | ArrayLike | Quantity = WINDOWS,
    key_mask: ArrayLike | None = None,
) -> Presentation:
    """Check the arguments of `present` and cut its work into batches."""
    if not isinstance(circuit, TokenCircuit):
        raise InputError(f"circuit must be one of tokens such as SpikingAttention(...), got {circuit!r}")
    x = as_samples(tokens, circuit.features)
    execution.check_counts(trials, seed)
    circuit.check(circuit.dt)
    steps = execution.count_steps(duration, circuit.dt, like=1 * b2.second)
    marks = execution.mark_windows(windows, steps, float(circuit.dt), FIRST_WINDOW)
    end = circuit.timing(int(marks[-1]), circuit.dt).end
    if end > MOST_STEPS:
        raise InputError(
            f"{circuit.name}: duration = {duration} is {end:.10g} steps with those before the window; at most "
            f"{MOST_STEPS} can be counted"
        )
    samples, n, _ = x.shape
    one = BlockShape(
        slots=1, tokens=n, features=circuit.features, heads=circuit.heads, width=circuit.width, checkpoints=len(marks)
    )
    check_sizes(circuit.name, circuit.sizes(one))
    fitted = circuit.fitted(x)
    fitted.check_input(x)
    plan = Presentation(
        circuit=fitted,
        x=x,
        unmasked=fitted.unmasked(key_mask, samples, n),
        trials=int(trials),
        seed=int(seed),
        dt=float(circuit.dt),
        marks=marks,
        slots=1,
        # Room for whole multiples of the default number of windows, so that builds are shared.
        room=1 + -(-len(marks) // WINDOWS) * WINDOWS,
    )
    fitting = max(1, NEURONS_PER_BATCH // neurons(plan.shape()))
    # A power of two, so that builds are shared; no more than there is work for.
    return attrs.evolve(plan, slots=2 ** int(np.log2(min(fitting, 2 * trials * samples - 1))))


def _dataset(plan: Presentation, joined: dict[str, NDArray[Any]], target: str, reason: str) -> xr.Dataset:
    samples = len(plan.x)
    variables = {}
    for name, values in joined.items():
        # (runs, trials, samples, ..., windows of a run), of which either the first or the last counts the windows.
        split = values.reshape(len(plan.runs), plan.trials, samples, *values.shape[1:])
        merged = np.moveaxis(split, 0, -2).reshape(*split.shape[1:-1], len(plan.marks))
        variables[name] = (("trial", "sample", *plan.circuit.dims[name], "checkpoint"), merged)
    data = xr.Dataset(
        variables,
        coords={
            "window_ms": ("checkpoint", plan.marks * plan.dt * 1e3, {"units": "ms"}),
            "timesteps": ("checkpoint", plan.marks),
        },
        attrs=recording.provenance(plan.circuit, seed=plan.seed, target=target, reason=reason, dt=plan.dt),
    )
    data["tokens"] = (("sample", "query", "feature"), plan.x)
    data["unmasked"] = (("sample", "query", "key"), plan.unmasked)
    return data.assign(plan.circuit.describe())
