"""The report of the audit: what breaks softmax, what only costs spikes, and what does not matter, from its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from validation.assumptions.crossings import COLUMNS
from validation.assumptions.lab import Lab, audit_rows
from validation.assumptions.sweep import COSTLY, LIMIT, Sweep
from validation.assumptions.table import ROW_SETS, tabulate
from validation.study.claims import Finding, findings_text
from validation.study.report import described, made, markdown

HEADINGS = {
    "breaks": "What breaks softmax",
    "unresolved": "What this audit cannot decide",
    "costs spikes": "What only costs spikes",
    "does not matter": "What does not matter",
}
CAPTION = (
    "*Bias against each knob, whose values are evenly spaced in the order from ideal (left) to realistic (right). "
    "Markers: measured, with 95 % interval; dashed lines: closed form; grey dashed rule: 0.01. The axis is linear "
    "below 0.001, and lower estimates are drawn at its end. Knob values in colour belong to the sweep of that colour, "
    "black ones to all.*"
)
LIMITS = (
    "Limits. Every knob is turned alone: biases of several may add or cancel. The intervals are over trials, for these "
    "rows and, where devices differ, for one device; neither is a sample of all. Where the bias of a key is of the "
    "size of its sampling error, the upper end of the interval is the safe one. The output spikes for an error assume "
    "that it falls as one over their root, and for regular codes as one over their number."
)
ABOVE, BELOW = f"above {LIMIT:g}", f"not above {LIMIT:g}"
NULL = 1e-6
AGREE = 0.15
"""Measured and predicted bias are said to agree within this fraction, or within the interval."""


def report(
    sweeps: Sequence[Sweep],
    lab: Lab,
    *,
    revision: str,
    findings: Sequence[Finding],
    crossed: pd.DataFrame | None = None,
    on_rows: pd.DataFrame | None = None,
) -> str:
    """Return the report as Markdown; `crossed` is the table of `crossings`, `on_rows` that of ``row_sets.csv``."""
    parts = ["# Which idealised assumptions of spiking attention are load-bearing", *_method(sweeps, lab)]
    parts += [_summary(sweeps), "![The audit](assumptions.png)", CAPTION]
    for verdict, heading in HEADINGS.items():
        mine = [sweep for sweep in sweeps if sweep.verdict == verdict]
        if not mine:
            continue
        parts.append(f"## {heading}")
        for name in dict.fromkeys(sweep.assumption for sweep in mine):
            about = [_sentences(sweep) for sweep in mine if sweep.assumption == name]
            parts.append(f"**{name[0].upper()}{name[1:]}.** " + " ".join(about))
    parts += ["## How well the closed forms hold", _laws(sweeps)]
    if crossed is not None and len(crossed):
        parts += ["## Thresholds depend on the rate and on the rows", _crossings(crossed), markdown(crossed)]
        parts += [described(COLUMNS)]
    if on_rows is not None and len(on_rows):
        parts += ["## On peaked and on flat rows", _row_sets(on_rows), markdown(on_rows.drop(columns=["metric"]))]
        parts += [described(ROW_SETS)]
    parts += ["## Table", markdown(tabulate(sweeps).drop(columns=["metric"]))]
    parts += [_metrics(sweeps), LIMITS, "## Claims", findings_text(findings), made(revision=revision)]
    return "\n\n".join(parts) + "\n"


def _crossings(crossed: pd.DataFrame) -> str:
    ranges = []
    for (knob, unit), rows in crossed.dropna(subset=["value"]).groupby(["knob", "unit"], sort=False):
        least, most = (rows.loc[at] for at in (rows["value"].idxmin(), rows["value"].idxmax()))
        ranges.append(
            f"{knob} from {least['value']:.3g} {unit} ({least['rows_kind']} rows, {least['rate_hz']:g} Hz) to "
            f"{most['value']:.3g} {unit} ({most['rows_kind']} rows, {most['rate_hz']:g} Hz)"
        )
    return (
        f"The closed form passes a mean TV of {LIMIT:g}, by root finding, at {'; '.join(ranges) or 'no value'}. "
        "Natural rows are the shipped ones, peaked rows have their logits doubled, flat rows a quarter of them, and "
        "audit rows are those that the sweeps are measured on; `low` to `high` is the 95 % percentile interval over "
        "rows drawn again."
    )


def _row_sets(on_rows: pd.DataFrame) -> str:
    """At the realistic end of every sweep, where one set of rows says that it breaks and another that it does not."""
    word = np.select([on_rows["bias_low"] > LIMIT, on_rows["bias_high"] <= LIMIT], [ABOVE, BELOW], "")
    turned = []
    for (assumption, circuit), mine in on_rows.assign(word=word).groupby(["assumption", "circuit"], sort=False):
        kinds = {one: ", ".join(mine.loc[mine["word"] == one, "rows_kind"]) for one in (ABOVE, BELOW)}
        if all(kinds.values()):
            turned.append(f"{assumption}, {circuit} ({'; '.join(f'{one}: {kinds[one]}' for one in kinds)})")
    number = on_rows.groupby(["assumption", "circuit"]).ngroups
    return (
        f"The realistic end of {number} sweeps on the study's rows, with their logits doubled (peaked), and "
        f"with a quarter of them (flat). The rows turn over whether the bias exceeds {LIMIT:g} in {len(turned)}"
        + (f": {'; '.join(turned)}." if turned else ".")
    )


def _method(sweeps: Sequence[Sweep], lab: Lab) -> list[str]:
    rows = audit_rows()
    keys = (~np.isnan(rows)).sum(axis=1)
    span = np.nanmax(rows, axis=1) - np.nanmin(rows, axis=1)
    return [
        "Each assumption has one knob, turned from ideal to realistic on one or more circuits, in "
        f"{len(sweeps)} sweeps; everything else stays ideal. Unless a knob is about the logits, the circuits receive "
        f"{len(rows)} real attention rows of {keys.min()} to {keys.max()} keys that span {span.min():.1f} to "
        f"{span.max():.1f} nats, {lab.trials} trials each and a quarter of that for regular codes (seed {lab.seed}, "
        f"windows {lab.stretch:g} times those of the quick preset).",
        "**Bias** is what more trials do not remove: the TV of the shares pooled over all trials, from which the TV "
        "that sampling leaves is taken off in quadrature. It can be negative where there is no bias. The lower end of "
        "the 95 % interval is that of an estimate which is never too high on average, since the sign of the deviation "
        "of each key comes from one half of the trials and its size from the other; the upper end is that of the "
        "pooled TV itself, which is never too low. A knob *breaks* what the circuit computes if the lower "
        f"end exceeds {LIMIT:g} somewhere in its sweep, *costs spikes* if the whole interval stays below that and the "
        f"output spikes for a sampling error of {LIMIT:g} grow by more than {COSTLY:g} times, and otherwise does not "
        f"matter. An upper end above {LIMIT:g} with a lower end below it is called undecided.",
    ]


def _summary(sweeps: Sequence[Sweep]) -> str:
    clauses = []
    for verdict, words in (
        ("breaks", f"exceed a bias of {LIMIT:g}"),
        ("costs spikes", "only cost spikes"),
        ("does not matter", "do neither"),
        ("unresolved", "stay undecided"),
    ):
        number = sum(sweep.verdict == verdict for sweep in sweeps)
        if number:
            clauses.append(f"{number} {words}")
    mixed = [
        name
        for name in dict.fromkeys(sweep.assumption for sweep in sweeps)
        if len({sweep.verdict for sweep in sweeps if sweep.assumption == name}) > 1
    ]
    text = f"Of {len(sweeps)} sweeps, {', '.join(clauses)}."
    if mixed:
        text += f" Which it is depends on the circuit or the code for {len(mixed)} assumptions: {', '.join(mixed)}."
    return text


def knob_text(sweep: Sweep, value: Any) -> str:
    """A knob value with its name and unit."""
    if isinstance(value, str):
        return f"{sweep.knob} {value}"
    number = "infinite" if math.isinf(value) else f"{value:.3g}"
    return f"{sweep.knob} = {number}{' ' + sweep.unit if sweep.unit else ''}"


def _sentences(sweep: Sweep) -> str:
    """One circuit: how large, from where, against what law, and at what cost."""
    worst, ideal = sweep.worst, sweep.points[0]
    at = f"at {knob_text(sweep, worst.value)}"
    size = f"{worst.bias:.4f} [{worst.low:.4f}, {worst.high:.4f}]"
    if sweep.verdict == "breaks":
        where = sweep.exceeds_at
        if where == ideal.value:
            crossed = f"it exceeds {LIMIT:g} from the ideal end on ({ideal.bias:.4f})"
        else:
            crossed = f"it exceeds {LIMIT:g} from {knob_text(sweep, where)} on"
        text = f"For {sweep.circuit}, the bias reaches {size} {at}; {crossed}."
    else:
        resolved = "small, but its interval excludes 0" if worst.low > 0 else "not distinguishable from 0"
        text = (
            f"For {sweep.circuit}, the bias never exceeds {LIMIT:g} within the sweep, up to "
            f"{knob_text(sweep, sweep.points[-1].value)}: it is at most {size}, {at}, {resolved}."
        )
        if sweep.verdict == "unresolved":
            highest = max(sweep.points, key=lambda point: point.high)
            text = (
                f"For {sweep.circuit}, the bias is {size} {at}, but the interval reaches {highest.high:.4f} at "
                f"{knob_text(sweep, highest.value)}, so that {LIMIT:g} is not excluded: more trials would decide."
            )
    return f"{text}{_law(sweep)}{_cost(sweep)}"


def _law(sweep: Sweep) -> str:
    worst = sweep.worst
    if not sweep.law or math.isnan(worst.predicted):
        return ""
    if sweep.verdict != "breaks":
        return f" Expected: {sweep.law}."
    off = 100 * (worst.predicted / worst.bias - 1)
    side = "within 1 %" if abs(off) < 1 else f"{abs(off):.0f} % {'above' if off > 0 else 'below'} the measured value"
    return f" The closed form ({sweep.law}) gives {worst.predicted:.4f} there, {side}."


def agrees(point: Any) -> bool:
    """Whether a measured bias and its closed form agree: within the interval, or within `AGREE`."""
    inside = point.low <= point.predicted <= point.high
    return bool(inside or abs(point.bias - point.predicted) <= AGREE * abs(point.predicted))


def _cost(sweep: Sweep) -> str:
    needed = sweep.needed
    if not (np.isfinite(needed).all() and sweep.cost > COSTLY):
        return ""
    place = int(np.argmax(needed))
    return (
        f" A sampling error of {LIMIT:g} takes {needed[0]:.3g} output spikes at the ideal end and {needed[place]:.3g} "
        f"at {knob_text(sweep, sweep.points[place].value)}, {sweep.cost:.3g} times as many."
    )


def _laws(sweeps: Sequence[Sweep]) -> str:
    held = [point for sweep in sweeps for point in sweep.points if np.isfinite(point.predicted)]
    if not held:
        return "No closed form applies to these sweeps."
    inside = sum(point.low <= point.predicted <= point.high for point in held)
    large = [p for p in held if p.predicted > LIMIT]
    text = f"A closed form exists for {len(held)} of {sum(len(s.points) for s in sweeps)} points. {inside} of them lie "
    text += "within the 95 % interval."
    if large:
        off = np.array([point.bias / point.predicted - 1 for point in large])
        text += (
            f" Of the {len(large)} points with a predicted bias above {LIMIT:g}, the measured one differs by a median "
            f"of {100 * np.median(np.abs(off)):.1f} % and at most {100 * np.abs(off).max():.0f} %."
        )
    null = [point for point in held if point.predicted < NULL and point.high > point.low]
    if null:
        above = sum(point.low > 0 for point in null)
        text += (
            f" At {len(null)} points theory expects no bias (below {NULL:g}); the lower end of {above} of them is "
            f"above 0, where {0.025 * len(null):.1f} would be by chance."
        )
    missed = [
        f"{sweep.assumption}, {sweep.circuit} ({knob_text(sweep, point.value)}: measured {point.bias:.4f}, "
        f"predicted {point.predicted:.4f})"
        for sweep in sweeps
        for point in sweep.points
        if np.isfinite(point.predicted) and not agrees(point)
        and abs(point.bias - point.predicted) > LIMIT / 5
    ]  # fmt: skip
    if missed:
        text += f" They miss by more than {100 * AGREE:.0f} % and by more than {LIMIT / 5:g} in: {'; '.join(missed)}."
    return text


def _metrics(sweeps: Sequence[Sweep]) -> str:
    kinds: dict[str, list[str]] = {}
    for sweep in sweeps:
        kinds.setdefault(sweep.metric, [])
        if sweep.assumption not in kinds[sweep.metric]:
            kinds[sweep.metric].append(sweep.assumption)
    return "Metrics: " + "; ".join(f"{metric} ({', '.join(names)})" for metric, names in kinds.items()) + "."
