"""What the comparison of simulators means, in plain words made from its numbers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from biospike.circuit import Circuit, relative_exponential
from biospike.errors import InputError
from biospike.parameters import to_plain
from biospike.recording import versions
from biospike.tables import NOT_RUN
from biospike.verdicts import UNDECIDED
from circuits.softmax.diffusive import Diffusive
from circuits.softmax.escape import Escape
from circuits.softmax.race import Race
from validation.simulators import mapping
from validation.simulators.data import Recorded
from validation.simulators.mapping import milliseconds
from validation.simulators.tables import SIGNIFICANT
from validation.study.claims import Finding, findings_text
from validation.study.left_out import paragraphs
from validation.study.report import made, markdown

import brian2 as b2

FROZEN_COLUMNS = [
    "case", "input", "neurons", "dt_ms", "t_ref_nest_ms", "spikes_brian2", "spikes_nest", "stamp_shift_steps",
    "mismatches", "verdict",
]  # fmt: skip
NOISE_COLUMNS = [
    "case", "dt_ms", "sigma_mv", "rate_brian2_hz", "rate_nest_hz", "rate_error_hz", "difference_low_hz",
    "difference_high_hz", "rate_predicted_hz", "rate_closed_form_hz", "rate_siegert_neuron_hz", "verdict",
]  # fmt: skip
PUBLISHED_HZ = 27.1095934379
"""Siegert's rate in NEST's test suite: tau_m 10 ms, 15 mV to threshold, 2 ms, mean 15 mV, sigma sqrt(1.5) mV."""


def report(
    results: Recorded,
    tables: dict[str, pd.DataFrame],
    *,
    version: str,
    findings: Sequence[Finding] = (),
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Return the report as Markdown; `left_out` holds circuits that were not run, and why."""
    neurons, summary, controls = (tables[name] for name in ("neurons", "summary", "controls"))
    ran = summary[summary["verdict"] != NOT_RUN]
    constant, noise = (neurons[neurons["input"] == kind] for kind in ("constant", "noise"))
    frozen = neurons[neurons["input"].isin(["delta", "exponential"])]
    parts = [
        "# Brian2 and NEST, side by side",
        _what_was_run(results, version),
        "## Single neurons",
        *_deterministic(constant, frozen),
        *_tables(*_by_case(constant)),
        *_tables(frozen, FROZEN_COLUMNS),
        *_noise(noise),
        *_tables(noise, NOISE_COLUMNS),
        "![neurons](neurons.png)" if len(neurons) else "",
        "## Circuits",
        *paragraphs((left_out or {}).values()),
        *_circuits(results, ran),
        markdown(summary),
        _columns(ran),
        "![raster](raster.png)",
        "![shares](shares.png)",
        "![isi](isi.png)",
        "## Deliberate errors",
        *_controls(controls),
        markdown(controls),
        "## How the circuits are said in NEST",
        *_mapping(results),
        "## Claims",
        findings_text(findings),
        _made(results, version),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(table: pd.DataFrame, columns: list[str]) -> list[str]:
    return [markdown(table[[name for name in columns if name in table]])] if len(table) else []


def _by_case(constant: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One row a case and t_ref; ``neurons.csv`` has one a neuron."""
    rows = [
        {
            "case": name,
            "dt_ms": mine["dt_ms"].iloc[0],
            "refractory_ms": mine["refractory_ms"].iloc[0],
            "t_ref_nest_ms": mine["t_ref_nest_ms"].iloc[0],
            "drives": len(mine),
            "spikes_brian2": int(mine["spikes_brian2"].sum()),
            "spikes_nest": int(mine["spikes_nest"].sum()),
            "intervals_brian2_ms": " ".join(f"{value:g}" for value in mine["interval_brian2_ms"].dropna()),
            "intervals_nest_ms": " ".join(f"{value:g}" for value in mine["interval_nest_ms"].dropna()),
            "mismatches": int(mine["mismatches"].sum()),
            "verdict": ", ".join(mine.loc[mine["verdict"] != "silent in both", "verdict"].unique()),
        }
        for (name, _), mine in constant.groupby(["case", "extra_steps"], sort=False)
    ]
    table = pd.DataFrame(rows)
    return table, list(table.columns)


def _what_was_run(results: Recorded, version: str) -> str:
    keys = (~np.isnan(results.logits)).sum(axis=1)
    runs = "; ".join(
        f"{name} {found.steps * milliseconds(found.circuit.dt):g} ms at {milliseconds(found.circuit.dt):g} ms"
        for name, found in results.circuits.items()
    )
    seeds = {(len(found.brian2), len(found.nest)) for found in results.circuits.values()}
    each = " and ".join(f"{a} seeds of Brian2, {b} of NEST" for a, b in sorted(seeds))
    return (
        f"Brian2 {b2.__version__} and NEST {version}. {len(results.cases)} sets of single neurons; circuits on "
        f"{len(keys)} rows of {keys.min()} to {keys.max()} keys ({runs}); {each}; seed {results.seed}."
    )


def _deterministic(constant: pd.DataFrame, frozen: pd.DataFrame) -> list[str]:
    lines = []
    for extra, rows in constant.groupby("extra_steps"):
        spikes, wrong = int(rows["spikes_nest"].sum()), int(rows["mismatches"].sum())
        words = (
            "with t_ref one step shorter than the refractory period of Brian2, or both zero"
            if extra == 0
            else "with the same number for both, every interval one step longer is expected"
        )
        end = "all are where they should be" if wrong == 0 else f"**{wrong} are not where they should be**"
        lines.append(
            f"Constant current, NEST {words}: {len(rows)} neurons, {spikes} spikes of NEST against "
            f"{int(rows['spikes_brian2'].sum())} of Brian2; {end}."
        )
    if len(constant):
        resolved = constant[(constant["extra_steps"] == 0) & constant["interval_brian2_ms"].notna()]
        below = 1 - resolved["rate_brian2_hz"] / resolved["rate_closed_form_hz"]
        held = constant[constant["extra_steps"] > 0]
        later = 1 - held["rate_nest_hz"] / held["rate_closed_form_hz"]
        text = (
            f"Rounding to the grid changes the rate of Brian2 by {-below.max():+.2%} to {-below.min():+.2%} of the "
            "closed form: up by the step that Brian2 takes off a refractory period, down by rounding the rest up."
        )
        if later.notna().any():
            text += f" With the same t_ref, NEST's rate strays by {-later.max():+.2%} to {-later.min():+.2%}."
        lines.append(text)
    for row in frozen.itertuples():
        lines.append(
            f"{str(row.case).capitalize()}: {row.spikes_brian2} spikes of Brian2, {row.spikes_nest} of NEST, "
            f"{row.mismatches:g} without a partner."
        )
    stamps = pd.concat([constant, frozen])["stamp_shift_steps"].dropna().unique()
    if len(stamps):
        shift = " or ".join(f"{value:g}" for value in stamps)
        lines.append(f"NEST's time stamp of the first spike is {shift} step later: the end of the step, not its start.")
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def _noise(noise: pd.DataFrame) -> list[str]:
    lines = []
    for row in noise.itertuples():
        brian2, nest, grid, siegert = (
            float(value)
            for value in (row.rate_brian2_hz, row.rate_nest_hz, row.rate_predicted_hz, row.rate_closed_form_hz)
        )
        own = float(row.rate_siegert_neuron_hz)
        lines.append(
            f"{str(row.case).capitalize()}, {row.dt_ms:g} ms: Brian2 {brian2:.2f} Hz, NEST {nest:.2f} Hz, each "
            f"+- {row.rate_error_hz:.2f}. Siegert {siegert:.4f} Hz"
            + (f", NEST's own `siegert_neuron` {own:.4f} Hz" if np.isfinite(own) else "")
            + f", from which Brian2 is {brian2 / siegert - 1:+.1%} and NEST {nest / siegert - 1:+.1%}; corrected for "
            f"the grid {grid:.2f} Hz, from which they are {brian2 / grid - 1:+.1%} and {nest / grid - 1:+.1%}. The "
            f"simulators {'cannot be told apart' if row.verdict == UNDECIDED else row.verdict}."
        )
    published = noise[noise["case"].str.startswith("published")]
    if len(published):
        off = abs(float(published["rate_closed_form_hz"].iloc[0]) - PUBLISHED_HZ)
        lines.append(f"The published rate is {PUBLISHED_HZ} Hz, {off:.1e} Hz from the Siegert formula used here.")
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def _circuits(results: Recorded, summary: pd.DataFrame) -> list[str]:
    lines = []
    for name, rows in summary.groupby("circuit", sort=False):
        by = rows.set_index("measure")
        share, rate = by.loc["share_tv"], by.loc["row_rate_hz"]
        distance = by[by.index.str.startswith("ks_")]
        told = rows.loc[rows["verdict"] == "differ", "measure"].tolist()
        few = sorted(set(rows["verdict"]) & {"too few seeds", "too few spikes"})
        verdict = (
            f"**The simulators differ in {', '.join(told)}.**"
            if told
            else f"{few[0].capitalize()} to tell."
            if few
            else "No measure tells the simulators apart."
        )
        found = results.circuits[str(name)]
        rate_hz = expected_rate(found.circuit, results.logits, found.steps * float(found.circuit.dt))
        lines.append(
            f"**{str(name).capitalize()}.** Shares of all seeds, NEST from Brian2: TV "
            f"{_figure(share['difference'], '.4f')}, where sampling leaves {_figure(share['seed_to_seed'], '.4f')} "
            f"(rank {_figure(share['rank'], '.3f')}); from softmax {_figure(share['brian2'], '.4f')} and "
            f"{_figure(share['nest'], '.4f')}. Row rate {rate['brian2']:.2f} and {rate['nest']:.2f} Hz, "
            f"difference {rate['difference']:+.2f} ({_figure(rate['low'], '+.2f')} to "
            f"{_figure(rate['high'], '+.2f')}); in closed form "
            f"{rate_hz:.2f}. "
            f"Kolmogorov-Smirnov distances across simulators are {_ratios(distance)} of those between seeds of one, "
            f"ranks {', '.join(_figure(value, '.2f') for value in distance['rank'])}. {verdict}"
        )
    recounted = {name: found for name, found in results.circuits.items() if found.target}
    wrong = sum(found.differing for found in recounted.values())
    if recounted:
        targets = ", ".join(f"{name} on {found.target}" for name, found in recounted.items())
        same = "the same counts" if wrong == 0 else f"**counts that differ by {wrong} spikes**"
        lines.append(f"`biospike.simulate`, with the same seed, gives {same} as the recorded spikes ({targets}).")
    return lines


def expected_rate(circuit: Circuit, logits: NDArray[np.float64], seconds: float) -> float:
    """Rate of a row in Hz, mean over rows, in a window that starts as the circuit does.

    `race`: after every event the row is closed for c steps and then open for 1/P, P the chance of any spike a step;
    an event has sum(p)/P spikes, so the rate is sum(p)/(1 + c*P) a step. `escape`: R0, and the w-th part of the
    inhibition that balances the row, ln(sum e), once. `diffusive` starts in balance: R0.
    """
    drive = relative_exponential(logits)
    if isinstance(circuit, Race):
        p = float(circuit.rate * circuit.dt) * drive
        closed = round(float(circuit.t_inh / circuit.dt))
        chance = 1 - np.prod(1 - p, axis=-1)
        return float((p.sum(axis=-1) / (1 + closed * chance)).mean() / float(circuit.dt))
    if isinstance(circuit, Escape):
        return float(circuit.rate) + float(np.log(drive.sum(axis=-1)).mean()) / (circuit.w * seconds)
    if isinstance(circuit, Diffusive):
        return float(circuit.rate)
    raise InputError(f"no rate is known for {circuit.name}")


def _figure(value: float, form: str) -> str:
    """A number as text, ``none`` where there is none."""
    return format(value, form) if np.isfinite(value) else "none"


def _ratios(distance: pd.DataFrame) -> str:
    ratio = distance["difference"] / distance["seed_to_seed"]
    return f"{_figure(ratio.min(), '.2f')} to {_figure(ratio.max(), '.2f')}"


def _columns(summary: pd.DataFrame) -> str:
    tests = len(summary)
    return (
        "`row_rate_hz`, `tv_softmax` (error of one seed), `isi_cv` and `tie_fraction` (intervals of a row that are "
        "zero steps) are means over seeds, `difference` NEST less Brian2 with its 95 % interval (Welch), "
        "`seed_to_seed` the standard deviation between seeds. `share_tv` is of shares pooled over seeds: `brian2` and "
        "`nest` from softmax, `difference` from each other. `ks_...` are mean Kolmogorov-Smirnov distances between "
        "two seeds: of Brian2, of NEST, and in `difference` one of each; `seed_to_seed` is the mean within the "
        "simulators. For these four `low` to `high` is the range that holds 95 % of the differences when the seeds "
        "are relabelled, and `seed_to_seed` of `share_tv` their mean. `rank` is the fraction of relabellings with a "
        f"difference at least as large. `differ` means a rank below {SIGNIFICANT / max(tests, 1):.4f}, so that the "
        f"chance of any false alarm in these {tests} rows is at most {SIGNIFICANT:.0%}."
    )


def _controls(controls: pd.DataFrame) -> list[str]:
    caught = controls["verdict"].eq("caught")
    text = f"{caught.sum()} of {len(controls)} deliberate errors are caught."
    missed = controls.loc[~caught, "control"].tolist()
    if missed:
        text += f" Not caught: {'; '.join(missed)}."
    return [text, "`without_it` and `with_it` are the measure in the faithful comparison and with the error."]


def _mapping(results: Recorded) -> list[str]:
    lines = [(inspect.getdoc(mapping) or "").split("\nReferences\n")[0].strip()]
    for name in results.circuits:
        lines += [f"**{name}.** {inspect.getdoc(getattr(mapping, name))}"]
    return lines


def _made(results: Recorded, version: str) -> str:
    lines = [
        f"{name}: parameters in SI base units {json.dumps(to_plain(found.circuit))}"
        for name, found in results.circuits.items()
    ]
    return made(*lines, f"seed {results.seed}", packages=versions() | {"nest": version})
