"""Tables of the comparison of simulators."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike import metrics
from biospike.circuit import Circuit
from biospike.ideal.softmax import softmax
from biospike.tables import NOT_RUN
from biospike.verdicts import UNDECIDED
from validation.simulators.cases import Case, Spikes
from validation.simulators.mapping import milliseconds
from validation.simulators.measures import (
    Agreement,
    Rows,
    code_cv,
    compare_distances,
    compare_scalar,
    compare_shares,
    counts,
    intervals,
    ks_distances,
    labels,
    smallest_rank,
    tie_fraction,
)
from validation.study.welch import welch

import brian2 as b2

SIGNIFICANT = 0.05
"""Chance that a table in which nothing differs says anywhere that something does (Bonferroni)."""

NEURONS = [
    *("case", "input", "neurons", "dt_ms", "tau_m_ms", "refractory_ms", "t_ref_nest_ms", "v_inf_mv", "sigma_mv"),
    *("spikes_brian2", "spikes_nest", "interval_brian2_ms", "interval_nest_ms", "interval_predicted_ms"),
    *("rate_brian2_hz", "rate_nest_hz", "rate_error_hz", "difference_low_hz", "difference_high_hz"),
    *("rate_predicted_hz", "rate_closed_form_hz", "rate_siegert_neuron_hz"),
    *("stamp_shift_steps", "extra_steps", "mismatches", "verdict"),
]
"""Columns of ``neurons.csv``."""

IDENTICAL = ("identical", "one step longer")
"""Verdicts on spikes that are all where they are expected, by the steps that every interval is longer in NEST."""

KS_SAMPLES = {"ks_row_interval": "row", "ks_key_interval": "key"}


class CaseResult(NamedTuple):
    """Spikes of one case: in NEST with t_ref one step less than the refractory period, and with t_ref equal to it."""

    case: Case
    brian2: Spikes
    nest: Spikes
    nest_same_refractory: Spikes | None = None
    siegert_neuron: float = math.nan


class CircuitResult(NamedTuple):
    """Spikes of one circuit, one recording a seed; `target` is the one that counted them again."""

    circuit: Circuit
    steps: int
    brian2: list[Spikes]
    nest: list[Spikes]
    differing: int = 0
    """Recorded spikes of Brian2 that `biospike.simulation.simulate` did not count, or counted in addition."""
    target: str = ""

    @property
    def simulators(self) -> dict[str, list[Spikes]]:
        """Recordings by the name of the simulator."""
        return {"Brian2": self.brian2, "NEST": self.nest}

    def rows(self, logits: NDArray[np.float64]) -> Rows:
        """Where the neurons belong, in rows of `logits`."""
        return Rows(~np.isnan(logits), milliseconds(self.circuit.dt), self.steps)


def unpaired(brian2: Spikes, nest: Spikes, *, n: int, steps: int, extra: int = 0) -> int:
    """Spikes of either simulator without a partner in the other.

    Parameters
    ----------
    brian2, nest
        Spikes of the same neurons.
    n, steps
        Number of neurons, length of the run: NEST's spikes that would fall behind its end are not expected.
    extra
        Steps by which every interval of NEST is expected to be longer.
    """
    missing = 0
    for mine, theirs in zip(brian2.trains(n), nest.trains(n), strict=True):
        expected = mine + extra * np.arange(len(mine))
        missing += np.setxor1d(expected[expected < steps], theirs).size
    return missing


def neurons_table(results: list[CaseResult]) -> pd.DataFrame:
    """One row a neuron and t_ref for constant input, one row a case for the others.

    Predicted are the interval and the rate of Brian2's grid; the closed form is that of continuous time.
    `rate_error_hz` is the standard error of either rate, `difference_low_hz` to `difference_high_hz` the 95 % interval
    of NEST's less Brian2's. `stamp_shift_steps` is by how many steps NEST's time stamp of the first spike is later,
    `extra_steps` by how many more each further one is expected to be, `mismatches` the spikes that are not there.
    """
    rows = []
    for result in results:
        if result.case.kind == "noise":
            rows.append(_noise_row(result))
            continue
        both = [(result.nest, 0)]
        if result.nest_same_refractory is not None:
            both.append((result.nest_same_refractory, 1))
        for nest, extra in both:
            rows += _constant_rows(result, nest, extra) if result.case.kind == "constant" else [_frozen_row(result)]
    chance = np.array([row.pop("p", math.nan) for row in rows])
    table = pd.DataFrame(rows).reindex(columns=NEURONS)
    table.loc[table["input"] == "noise", "verdict"] = UNDECIDED  # rates that do not scatter
    noisy = np.isfinite(chance)
    table.loc[noisy, "verdict"] = np.where(chance[noisy] < SIGNIFICANT / max(noisy.sum(), 1), "differ", "agree")
    return table


def _describe(case: Case) -> dict[str, Any]:
    return {
        "case": case.name,
        "input": case.kind,
        "neurons": len(case.v_inf),
        "dt_ms": milliseconds(case.dt),
        "tau_m_ms": milliseconds(case.cell.tau_m),
        "refractory_ms": milliseconds(case.cell.refractory),
    }


def _constant_rows(result: CaseResult, nest: Spikes, extra: int) -> list[dict[str, Any]]:
    case, n = result.case, len(result.case.v_inf)
    held = milliseconds(case.cell.refractory) / milliseconds(case.dt)
    rows = []
    for number, (mine, theirs) in enumerate(zip(result.brian2.trains(n), nest.trains(n), strict=True)):
        v_inf = case.v_inf[number]
        grid = round(float(case.cell.grid_interval(v_inf, case.dt) / case.dt)) if len(mine) else math.inf
        single = [Spikes(train, np.zeros_like(train)) for train in (mine, theirs)]
        wrong = unpaired(*single, n=1, steps=case.steps, extra=extra)
        gaps = [np.unique(np.diff(train)) for train in (mine, theirs)]
        # An interval that varies, or is not the one of the formula, is a mismatch too.
        wrong += sum((gap != grid + more).sum() for gap, more in zip(gaps, (0, extra), strict=True))
        wrong += int(math.isfinite(float(case.cell.charging_time(v_inf))) != (len(mine) > 2))
        measured = [float(gap[0]) * milliseconds(case.dt) if gap.size == 1 else math.nan for gap in gaps]
        rows.append(
            _describe(case)
            | {
                "neurons": 1,
                "t_ref_nest_ms": milliseconds(max(held - 1 + extra, 0) * case.dt),
                "v_inf_mv": float(v_inf / b2.mV),
                "spikes_brian2": len(mine),
                "spikes_nest": len(theirs),
                "interval_brian2_ms": measured[0],
                "interval_nest_ms": measured[1],
                "interval_predicted_ms": grid * milliseconds(case.dt),
                "rate_brian2_hz": 1e3 / measured[0] if len(mine) else 0.0,
                "rate_nest_hz": 1e3 / measured[1] if len(theirs) else 0.0,
                "rate_predicted_hz": 1e3 / (grid * milliseconds(case.dt)),
                "rate_closed_form_hz": float(case.cell.firing_rate(v_inf)),
                "stamp_shift_steps": 1 + int(theirs[0] - mine[0]) if len(mine) and len(theirs) else math.nan,
                "extra_steps": extra,
                "mismatches": wrong,
                "verdict": "differs" if wrong else "silent in both" if not len(mine) else IDENTICAL[extra],
            }
        )
    return rows


def _frozen_row(result: CaseResult) -> dict[str, Any]:
    case, n = result.case, len(result.case.v_inf)
    wrong = unpaired(result.brian2, result.nest, n=n, steps=case.steps)
    seconds = case.steps * float(case.dt)
    first = [spikes.step[:1] for spikes in (result.brian2, result.nest)]
    return _describe(case) | {
        "t_ref_nest_ms": milliseconds(max(case.cell.refractory - case.dt, 0 * b2.ms)),
        "spikes_brian2": len(result.brian2.step),
        "spikes_nest": len(result.nest.step),
        "rate_brian2_hz": len(result.brian2.step) / n / seconds,
        "rate_nest_hz": len(result.nest.step) / n / seconds,
        "stamp_shift_steps": 1 + int(first[1][0] - first[0][0]) if all(f.size for f in first) else math.nan,
        "extra_steps": 0,
        "mismatches": wrong,
        "verdict": "differs" if wrong else IDENTICAL[0] if len(result.brian2.step) else "silent in both",
    }


def neuron_rates(spikes: Spikes, case: Case) -> NDArray[np.float64]:
    """Rate of every neuron in Hz, once the onset is over."""
    later = spikes.neuron[spikes.step >= case.settled]
    return np.bincount(later, minlength=len(case.v_inf)) / ((case.steps - case.settled) * float(case.dt))


def _noise_row(result: CaseResult) -> dict[str, Any]:
    case = result.case
    brian2, nest = (neuron_rates(spikes, case) for spikes in (result.brian2, result.nest))
    test = welch(nest, brian2)
    cell, v_inf, sigma = case.cell, case.v_inf[0], case.sigma
    return _describe(case) | {
        "t_ref_nest_ms": milliseconds(max(cell.refractory - case.dt, 0 * b2.ms)),
        "v_inf_mv": float(v_inf / b2.mV),
        "sigma_mv": float(sigma / b2.mV),
        "spikes_brian2": len(result.brian2.step),
        "spikes_nest": len(result.nest.step),
        "rate_brian2_hz": brian2.mean(),
        "rate_nest_hz": nest.mean(),
        "rate_error_hz": math.sqrt(brian2.var(ddof=1) / len(brian2) + nest.var(ddof=1) / len(nest)) / math.sqrt(2),
        "rate_predicted_hz": float(cell.siegert_rate(v_inf, sigma, dt=case.dt)),
        "rate_closed_form_hz": float(cell.siegert_rate(v_inf, sigma)),
        "rate_siegert_neuron_hz": result.siegert_neuron,
        "difference_low_hz": test.low,
        "difference_high_hz": test.high,
        "p": test.p,
    }


def summary_table(results: Mapping[str, CircuitResult], logits: NDArray[np.float64]) -> pd.DataFrame:
    """One row a circuit and measure, with the columns of ``summary.csv``."""
    rows = [
        {"circuit": name, "measure": measure, **found._asdict()}
        for name, result in results.items()
        for measure, found in measures(result, logits).items()
    ]
    table = pd.DataFrame(rows)
    any_one = next(iter(results.values()))
    smallest = smallest_rank(len(any_one.brian2), len(any_one.nest))
    table["verdict"] = verdicts(table["rank"].to_numpy(dtype=float), smallest)
    return table


def not_run(names: Iterable[str], summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``summary.csv`` of circuits that were left out of a study whose others have this table."""
    rows = [
        {"circuit": name, "measure": measure, "verdict": NOT_RUN}
        for name in names
        for measure in summary["measure"].unique()
    ]
    return pd.DataFrame(rows, columns=["circuit", "measure", "verdict"])


def verdicts(rank: NDArray[np.float64], smallest: float) -> list[str]:
    """One word a row: ``differ`` where the rank is below `SIGNIFICANT` divided by the rows, and ``agree`` elsewhere.

    ``too few seeds`` where no difference, however large, could have been told; ``too few spikes`` without a value.
    """
    level = SIGNIFICANT / len(rank)
    words = ["too few spikes" if np.isnan(r) else "differ" if r < level else "agree" for r in rank]
    return ["too few seeds" if smallest >= level and word == "agree" else word for word in words]


def measures(result: CircuitResult, logits: NDArray[np.float64]) -> dict[str, Agreement]:
    """Every measure of one circuit, by its name."""
    rows = result.rows(logits)
    p = softmax(logits)
    first, both = len(result.brian2), [*result.brian2, *result.nest]
    ways = labels(first, len(result.nest))
    n = np.stack([counts(spikes, rows) for spikes in both])
    scalars = {
        "row_rate_hz": n.sum(axis=(1, 2)) / len(p) / rows.seconds,
        "tv_softmax": metrics.total_variation(metrics.shares(n), p).mean(axis=-1),
        "isi_cv": np.array([code_cv(spikes, rows) for spikes in both]),
        "tie_fraction": np.array([tie_fraction(spikes, rows) for spikes in both]),
    }
    samples = {name: [intervals(spikes, rows, of) for spikes in both] for name, of in KS_SAMPLES.items()}
    samples["ks_count"] = [one[rows.unmasked].astype(float) for one in n]
    return {
        "share_tv": compare_shares(n[:first], n[first:], p, ways),
        **{name: compare_scalar(value[:first], value[first:], ways) for name, value in scalars.items()},
        **{name: compare_distances(ks_distances(sample), first, ways) for name, sample in samples.items()},
    }
