"""Claims about real inhibition, as read off the ladder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from validation.microcircuits.gate import STANDS
from validation.study.claims import OURS, Claims, Finding, judged
from validation.study.results import Missing, Results
from validation.study.verdict import Case

CLAIMS = Claims()
NEAR = 0.02
"""Rms L2 distance of a row's shares below which a mean field is taken to be right, and a rung to compute softmax: a
third of the bias of the best rung that subtracts."""
LAW = 0.1
"""Part of an error law within which it is met."""
RANK = 0.05
"""Chance of calling two runs of one process different, over all measures together."""
GATE = 0.05
"""Slope of the log-ratio of rates, per nat, below which inhibition multiplies: .2 over keys 4 nats apart, a third of
what subtraction makes of neurons of 5 Hz."""


def _named(row: dict[str, Any]) -> str:
    return f"{row['circuit']} M {row['neurons_per_key']:.0f} {row['rows_kind']}"


def _ladder(results: Results, **where: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = results.table("ladder", **where).to_dict("records")
    return rows


def _distance(row: dict[str, Any], column: str, most: float) -> Case:
    return Case(name=_named(row), estimate=row[column], low=row[f"{column}_low"], high=row[f"{column}_high"],
                most=most, trials=row["trials"])  # fmt: skip


def _conditions(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    return f"{first['rows']:.0f} rows of a kind, {first['trials']:.0f} trials; distances are rms L2 of a row"


@CLAIMS.add("the mean field of a microcircuit gives its shares", OURS)
def mean_field(results: Results) -> Finding:
    """Distance of the simulated shares from the limit, every rung that has one."""
    rows = [row for row in _ladder(results) if np.isfinite(row["from_limit"])]
    if not rows:
        raise Missing("no rung with a limit")
    worst = max(rows, key=lambda row: row["from_limit"])
    return judged(
        f"largest distance of a row {worst['from_limit']:.3f} ({_named(worst)})",
        [_distance(row, "from_limit", NEAR) for row in rows],
        on="the rung",
        threshold_from="a third of the bias of the best rung that subtracts",
        conditions=_conditions(rows),
    )


@CLAIMS.add("spiking interneurons that subtract do not compute softmax: the bias is that of the f-I curve", OURS)
def subtracting(results: Results) -> Finding:
    """Bias of the spiking rungs against softmax on natural rows, and of the hub at the same rate."""
    rows = _ladder(results, circuit="interneurons", rows_kind="natural")
    hub = results.table("ladder", rows_kind="natural")
    hub = hub[hub["circuit"] == "populations"]
    beside = f"; {hub.iloc[0]['limit_tv']:.3f} under the integral of a hub" if len(hub) else ""
    return judged(
        "bias " + "; ".join(f"M {row['neurons_per_key']:.0f}: {row['bias']:.3f}" for row in rows)
        + ". Mean field, TV: " + "; ".join(f"{row['limit_tv']:.3f}" for row in rows) + beside,
        [Case(name=_named(row), estimate=row["bias"], low=row["bias_low"], high=row["bias_high"], least=NEAR,
              trials=row["trials"]) for row in rows],
        on="the rung",
        threshold_from="the distance within which a rung would be taken to compute softmax",
        conditions=_conditions(rows),
    )  # fmt: skip


@CLAIMS.add("inhibition that divides the release of inputs computes softmax, where a release is a spike", OURS)
def presynaptic(results: Results) -> Finding:
    """Bias of the presynaptic rung against softmax, on every kind of rows."""
    rows = _ladder(results, circuit="presynaptic")
    return judged(
        "bias " + "; ".join(f"{row['rows_kind']}: {row['bias']:.3f}, limit TV {row['limit_tv']:.4f}" for row in rows),
        [_distance(row, "bias", NEAR) for row in rows],
        on="the rows",
        threshold_from="a third of the bias of the best rung that subtracts",
        conditions=_conditions(rows) + f"; {rows[0]['rate_per_neuron']:g} Hz a neuron",
    )


@CLAIMS.add("a microcircuit's inhibition multiplies all rates of a row by one factor", OURS)
def gates(results: Results) -> Finding:
    """Slope of the log-ratio of rates with and without competitors, on the logit of a key."""
    table = results.table("ladder").groupby(["circuit", "neurons_per_key"], sort=False).head(1)
    rows: list[dict[str, Any]] = table[table["multiplicativity_high"].notna()].to_dict("records")
    return judged(
        "slope per nat " + "; ".join(
            f"{row['circuit']} M {row['neurons_per_key']:.0f}: {row['multiplicativity']:.3f} (spread of the limit "
            f"{row['spread']:.2f})" for row in rows
        ),
        [Case(name=f"{row['circuit']} M {row['neurons_per_key']:.0f}", estimate=row["multiplicativity"],
              low=row["multiplicativity_low"], high=row["multiplicativity_high"], least=-GATE, most=GATE)
         for row in rows],
        on="the rung",
        threshold_from="a third of the slope where inhibition subtracts from neurons of 5 Hz",
        conditions="keys 0 to 4 nats below the top, competitors that halve their softmax",
    )  # fmt: skip


@CLAIMS.add("loops of spiking interneurons oscillate from the gain of the linear response on", OURS)
def onset(results: Results) -> Finding:
    """Amplification near the onset against the linear response."""
    table: pd.DataFrame = results.table("onset")
    some = table[table["predicted"].notna()]
    ratio = (some["amplification"] / some["predicted"]).to_numpy()
    words = "; ".join(
        f"G {row['gain']:.2g}: {row['amplification']:.2f} ({row['predicted']:.2f})" for row in some.to_dict("records")
    )
    return judged(
        f"root of the power of inhibition at {some['frequency'].iloc[0]:.0f} Hz over that without the loop, simulated "
        f"(linear response): {words}",
        [Case.exact(f"G {gain:.2g}", float(one), least=1 - 2 * LAW, most=1 + 2 * LAW)
         for gain, one in zip(some["gain"], ratio, strict=True)],
        on="the gain, towards whose onset simulated power grows less than by the linear response",
        decision="range",
        threshold_from=f"the linear response, within {2 * LAW:g} of it",
        conditions=f"one key alone; onset by linear response at G {some['onset_predicted'].iloc[0]:.2f}",
    )  # fmt: skip


@CLAIMS.add("a private barrage at a fixed distance under the threshold is a common gate", OURS)
def barrage(results: Results) -> Finding:
    """Bias of the closed loop at the best of the simulated distances, and the mean field beside it."""
    table = results.table("gate")
    closed = table[(table["loop"] == "slow") & (table["code"] == "calibrated") & (table["common_share"] == 0)]
    closed = closed[closed["distance_sigma"].notna()]
    if closed.empty:
        raise Missing("no closed loop of a barrage")
    # Where there are too few trials for an interval, the bias itself chooses, and the verdict stays open.
    keys = ["neuron", "rate", "distance_sigma"]
    worst = closed.assign(most=closed["high"].fillna(closed["bias"])).groupby(keys)["most"].max().reset_index()
    best = worst.loc[worst.groupby(["neuron", "rate"])["most"].idxmin()]
    rows: list[dict[str, Any]] = closed.merge(best[keys], on=keys).to_dict("records")
    field = results.table("gate_widths", code="calibrated", neuron=["destexhe", "balanced"])
    return judged(
        "mean field, least bias: " + "; ".join(
            f"{row['neuron']}, {row['rate']:g} Hz: {row['bias']:.4f} at {row['best']:g} sigma"
            for row in field.to_dict("records")
        ) + ". Closed loop",
        [Case(name=f"{row['neuron']}, {row['rate']:g} Hz, {row['distance_sigma']:g} sigma, {row['rows_kind']}",
              estimate=row["bias"], low=row["low"], high=row["high"], most=STANDS) for row in rows],
        on="the rows",
        threshold_from="a third of what GABA_A has at the lowest rate",
        conditions="calibrated code, private events, the best of the simulated distances",
    )  # fmt: skip


@CLAIMS.add("spiking interneurons in NEST have the statistics of those in Brian2", OURS)
def agreement(results: Results) -> Finding:
    """Rank of the distance of the two simulators among relabelled seeds, every measure."""
    rows = results.table("nest").to_dict("records")
    least = min(rows, key=lambda row: row["rank"])
    return judged(
        f"of {len(rows)} measures the one that is farthest apart, {least['measure']}, has the rank {least['rank']:.2f}",
        [Case.exact(row["measure"], row["rank"], least=RANK / len(rows)) for row in rows],
        on="the measure",
        decision="ranks",
        threshold_from=f"{RANK:g} over the number of measures",
        conditions="one row of 10 keys, 8 seeds of each simulator; distances are Kolmogorov-Smirnov's",
    )
