"""Hold a circuit against what every circuit promises, one line a check: for those who write their own.

The checks run small networks on Brian2's numpy target, and one compiled where a compiler is found. What they cannot
know, such as whether the limit is the right one for the equations, they hold against the simulation.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike import execution, metrics, runtime, simulation, standalone
from biospike.circuit import Circuit
from biospike.errors import BuildError, InputError, RunError
from biospike.ideal.softmax import check_logits, softmax
from biospike.packing import Plan, cut, fitted
from biospike.share_verdicts import decide_rows

Array = NDArray[np.float64]

OK, FAILS, UNKNOWN = "ok", "fails", "-"
STEPS = 2000
TRIALS = 8
ALONE = 2
"""Trials of which every row runs as a batch of its own."""
COARSE = 0.2
"""Deviation of a share that must be seen for a limit to be held against a run."""
SIGMAS = 5.0
"""Standard errors within which a mean over trials must lie: of a hundred right circuits none fails."""
ROWS = np.array([[0.0, 0.0, np.nan, 0.0], [1.2, np.nan, -0.4, 0.3], [0.7, -1.0, 0.2, np.nan]])
"""Logits that the checks run: equal keys, masked ones, and no row that one key dominates."""


@attrs.frozen
class Check:
    """Outcome of one check.

    Attributes
    ----------
    name : str
    state : {"ok", "fails", "-"}
        ``-`` if it could not be asked.
    line : str
        What was found.
    """

    name: str
    state: str
    line: str


@attrs.frozen
class CircuitReport:
    """Outcomes of all checks of a circuit; prints as a table."""

    circuit: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.state != FAILS for check in self.checks)

    @property
    def table(self) -> pd.DataFrame:
        """One row a check: name, state, line."""
        return pd.DataFrame([attrs.astuple(check) for check in self.checks], columns=["check", "state", "found"])

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = [f"{check.name:<{width}}  {check.state:<5}  {check.line}" for check in self.checks]
        return "\n".join([self.circuit, *lines])

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False, escape=True))


def check_circuit(circuit: Circuit | type[Circuit], logits: Array | None = None) -> CircuitReport:
    """Check a circuit.

    Parameters
    ----------
    circuit
        A circuit, or its class, which is made with its defaults.
    logits : array (rows, keys), optional
        Nats that the checks run, NaN for masked keys; default three rows of four keys.

    Returns
    -------
    CircuitReport
        The first check that fails ends those that need what it found wrong.

    Raises
    ------
    InputError
        If it is no circuit, or the logits are none.

    Examples
    --------
    >>> from circuits.softmax import Integrate
    >>> check_circuit(Integrate).passed
    True
    """
    if isinstance(circuit, type) and issubclass(circuit, Circuit):
        try:
            made = circuit()
        except Exception as error:  # whatever the class raises
            raise InputError(f"{circuit.__name__} cannot be made with its defaults: {_words(error)}") from error
    else:
        made = circuit
    if not isinstance(made, Circuit):
        raise InputError(f"check_circuit takes a Circuit such as Race(), or its class, got {circuit!r}")
    if not isinstance(name := getattr(made, "name", None), str) or not name.isidentifier():
        raise InputError(f"{type(made).__name__}: name must be a word such as 'my_circuit', got {name!r}")
    rows = ROWS if logits is None else check_logits(logits)
    return CircuitReport(f"{name} ({type(made).__name__})", tuple(_guarded(_checks(made, rows))))


def _guarded(checks: Iterator[Check]) -> Iterator[Check]:
    """Checks, up to the one in which the circuit's own code raises something, which is one more."""
    try:
        yield from checks
    except Exception as error:  # whatever the user's own code raises
        yield Check("raises nothing", FAILS, _words(error))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _checks(circuit: Circuit, logits: Array) -> Iterator[Check]:
    """Checks in the order in which one needs the other."""
    steps = simulation.plan(circuit, logits, duration=STEPS * circuit.dt, trials=TRIALS, checkpoints=8)
    found = _run(fitted(steps))
    if isinstance(found, str):
        yield Check("runs on numpy", FAILS, found)
        return
    counts = found["spike_count"].reshape(TRIALS, *logits.shape, -1)
    total = counts[..., -1]
    yield Check("runs on numpy", OK, f"{STEPS} steps; state complete, units consistent, every variable finite")
    rows, trials = ~total.any(axis=(0, 2)), ~total.any(axis=(1, 2))
    fires = not (rows.any() or trials.any())
    silent = f"; silent: rows {np.flatnonzero(rows).tolist()}, trials {np.flatnonzero(trials).tolist()}"
    said = f"{total.sum()} spikes of {logits.shape[0]} rows in {TRIALS} trials"
    yield _judge("fires", fires, said + silent * (not fires))
    masked = int(np.isnan(logits).sum())
    yield Check("masked keys are silent", OK, f"{masked} masked keys have no neuron; what pads the batch stayed silent")
    yield _trials(total)
    yield _ties(circuit)
    yield _structure(circuit)
    yield _batches(steps, found)
    yield _compiled(steps, found)
    if fires:
        yield from _limit(circuit, logits, total)
        yield _half_step(circuit, logits, total)
        yield _order(circuit, logits, counts)


def _trials(total: NDArray[np.int32]) -> Check:
    """Whether trials differ: where none does, no random number is drawn, or each time the same."""
    name = "trials differ"
    if (total == total[0]).all():
        return Check(name, UNKNOWN, "all are alike: right only if nothing in the circuit is random")
    return Check(name, OK, f"spikes of a row and trial {total.sum(axis=-1).min()} to {total.sum(axis=-1).max()}")


def _structure(circuit: Circuit) -> Check:
    """Whether parameters that the network is built from are declared: a binary is known by them."""
    names = runtime.undeclared(circuit)
    words = f"build reads {', '.join(sorted(names))}: name it in `structural`, or set it in `state`"
    return _judge("structure is declared", not names, words if names else "other parameters need no other binary")


def _judge(name: str, holds: bool, line: str) -> Check:
    return Check(name, OK if holds else FAILS, line)


def _run(work: Plan) -> dict[str, NDArray[Any]] | str:
    """Counts of a plan on the numpy target, or in one line why there are none."""
    try:
        return execution.execute(work, "numpy", jobs=1, progress=False)
    except (RunError, BuildError, InputError) as error:
        return str(error)
    except Exception as error:  # whatever the user's own code raises
        return f"{work.circuit.name}: {_words(error)}"


def _ties(circuit: Circuit) -> Check:
    """Whether the source says what happens when two keys cross in one step."""
    kinds = [kind for kind in type(circuit).__mro__ if issubclass(kind, Circuit) and kind is not Circuit]
    texts = [inspect.getdoc(one) for kind in kinds for one in (kind, sys.modules.get(kind.__module__))]
    stated = any(re.search(r"\bties?\b", text, re.IGNORECASE) for text in texts if text)
    line = "its docstring says what keys do that cross in one step" if stated else "no docstring says 'ties'"
    return Check("tie rule is stated", OK if stated else FAILS, line)


def _batches(work: Plan, found: dict[str, NDArray[Any]]) -> Check:
    """Whether the counts of the first trials stay the same if every row is a batch of its own."""
    keys = (~np.isnan(work.logits)).sum(axis=1)
    alone = attrs.evolve(work, trials=ALONE, starts=cut(keys, ALONE, 2, int(keys.max())))
    again = _run(fitted(alone))
    first = found["spike_count"][: ALONE * len(keys)]
    same = not isinstance(again, str) and np.array_equal(again["spike_count"], first)
    line = f"{work.batches} and {alone.batches} batches: the same counts"
    if not same:
        line = "a row that runs alone counts otherwise: a variable is shared, or numbered by its place"
    return _judge("batches do not show", same, line)


def _compiled(work: Plan, found: dict[str, NDArray[Any]]) -> Check:
    """Whether the compiled network counts what the numpy target counts."""
    name = "numpy = C++"
    if hindrance := standalone.hindrance():
        return Check(name, UNKNOWN, hindrance)
    try:
        counts = execution.execute(work, "cpp_standalone", jobs=1, progress=False)["spike_count"]
    except BuildError as error:
        unknown = "the source of" in str(error) or "is defined in" in str(error)
        return Check(name, UNKNOWN if unknown else FAILS, str(error).splitlines()[-1])
    except RunError as error:
        return Check(name, FAILS, str(error))
    differ = int((counts != found["spike_count"]).sum())
    return _judge(name, differ == 0, f"{differ} of {counts.size} counts differ")


def _limit(circuit: Circuit, logits: Array, total: NDArray[np.int64]) -> Iterator[Check]:
    """Whether the limit is one of shares, and that of the simulation."""
    limit, masked = circuit.limit(logits), np.isnan(logits)
    if np.isnan(limit).all():
        yield Check("limit is one of shares", UNKNOWN, "no limit")
        return
    sums = limit.sum(axis=1)
    right = bool(np.allclose(sums, 1, atol=1e-9) and not limit[masked].any() and (limit >= 0).all())
    yield _judge("limit is one of shares", right, f"rows sum to {sums.min():.6g} to {sums.max():.6g}")
    if not right:
        return
    shares = metrics.shares(total)
    error = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    one = 1 / total.sum(axis=-1).mean(axis=0)[:, None]  # a spike of a row: what no limit can know
    deviation, seen = np.abs(shares.mean(axis=0) - limit), SIGMAS * error + one
    line = f"largest deviation {deviation.max():.2g}; one of {seen.max():.2g} would be seen"
    if np.isnan(deviation).any() or (not (deviation > seen).any() and seen.max() > COARSE):
        yield Check("limit agrees with the run", UNKNOWN, f"too few spikes: {line}")
    else:
        yield _judge("limit agrees with the run", not (deviation > seen).any(), line)
    yield _law(circuit, limit, total)


def _law(circuit: Circuit, limit: Array, total: NDArray[np.int64]) -> Check:
    """Whether the error law agrees with the scatter about the limit."""
    expected = circuit.expected_tv(limit, total.sum(axis=-1).astype(float))
    if expected is None or np.isnan(expected).all():
        return Check("error law", UNKNOWN, "none")
    tv = metrics.total_variation(metrics.shares(total), limit).mean(axis=1)
    low, high = (float(end) for end in metrics.t_interval(tv, 0.999))
    law = float(np.mean(expected))
    return _judge(
        "error law", low <= law <= high, f"TV {law:.2g} by the law, {low:.2g} to {high:.2g} measured (99.9 %)"
    )


def _half_step(circuit: Circuit, logits: Array, total: NDArray[np.int64]) -> Check:
    """Whether the shares stay within their scatter at half the step."""
    try:
        work = simulation.plan(circuit, logits, duration=STEPS * circuit.dt, trials=TRIALS, checkpoints=1,
                               dt=circuit.dt / 2, seed=1)  # fmt: skip
    except InputError as refusal:
        return Check("half the step", UNKNOWN, str(refusal))
    again = _run(fitted(work))
    if isinstance(again, str):
        return Check("half the step", FAILS, again)
    both = [metrics.shares(counts) for counts in (total, again["spike_count"][..., -1].reshape(total.shape))]
    change = np.abs(both[0].mean(axis=0) - both[1].mean(axis=0))
    error = np.sqrt(sum(shares.var(axis=0, ddof=1) / len(shares) for shares in both))
    one = 1 / total.sum(axis=-1).mean(axis=0)[:, None]
    return _judge("half the step", bool((change <= SIGMAS * error + one).all()), f"shares change by {change.max():.2g}")


def _order(circuit: Circuit, logits: Array, counts: NDArray[np.int32]) -> Check:
    """Say the order of convergence in these windows, which no circuit promises."""
    found = decide_rows(
        np.moveaxis(counts, -1, 0), softmax(logits), independent=True, keys=(~np.isnan(logits)).sum(axis=1)
    )
    words = f"{found.verdict}" + (f" ({found.reason})" if found.reason else "")
    return Check("order against softmax", UNKNOWN, words)
