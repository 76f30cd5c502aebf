"""Tables of the benchmark, computed from its timings: costs with their spread, ratios, and targets met or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from validation.speed.peers import CEILING, PEERS, REFERENCE
from validation.speed.plan import MOST_NEURONS, TARGET_NEURONS

POINT = ["part", "circuit", "peer", "keys", "neurons", "steps", "checkpoints"]
SPREAD = ("loop_ns_per_neuron_step", "process_ns_per_neuron_step", "call_wall_s", "peak_mib")
TARGETS = ["target", "circuit", "peer", "measured", "low", "high", "bound", "limit", "met", "reason"]

CEILING_LIMIT = 2.0
PEER_LIMITS = {"brian2": 10.0, "nest": 10.0, "snntorch": 50.0, "spikingjelly": 50.0}
FLAT_LIMIT = 1.5
DURATION_LIMIT = 1.1
"""Peak memory may move by a tenth, which is what an allocator does."""
EXPONENT_LIMIT = 1.1
OUTSIDE_LIMIT_S = 5.0


def costs(timings: pd.DataFrame) -> pd.DataFrame:
    """One row a point and peer: median, minimum and maximum over the repetitions of what each run cost."""
    rows = []
    for key, runs in timings.groupby(POINT, sort=False):
        row: dict[str, Any] = dict(zip(POINT, key, strict=True)) | {"repetitions": len(runs)}
        for name in SPREAD:
            row |= {name: runs[name].median(), f"{name}_min": runs[name].min(), f"{name}_max": runs[name].max()}
        rows.append(row)
    return pd.DataFrame(rows)


def longest(curve: pd.DataFrame, part: str) -> pd.DataFrame:
    """One row a point of a peer's curve along `part`: where slow peers ran fewer steps, biospike did so too, again."""
    return curve.sort_values([part, "steps"]).drop_duplicates(part, keep="last")


def paired(runs: pd.DataFrame, above: str, below: str, column: str = "loop_cpu_s") -> tuple[float, float, float]:
    """Median, minimum and maximum over repetitions of the ratio of two peers, each to the other's run beside it."""
    wide = runs.pivot(index="repetition", columns="peer", values=column)
    if above not in wide or below not in wide:
        return np.nan, np.nan, np.nan
    ratio = (wide[above] / wide[below]).dropna()
    if ratio.empty:
        return np.nan, np.nan, np.nan
    return float(ratio.median()), float(ratio.min()), float(ratio.max())


def ratios(timings: pd.DataFrame) -> pd.DataFrame:
    """Every peer of the comparison against the hand-written loop and against biospike, in processor time of stepping.

    `speedup_wall` is the wall time of the call of biospike on one core over that of the peer.
    """
    rows = []
    for circuit, runs in timings[timings["part"] == "compare"].groupby("circuit", sort=False):
        for peer in runs["peer"].unique():
            row: dict[str, Any] = {"circuit": circuit, "peer": peer, "neurons": int(runs["neurons"].iloc[0])}
            for name, low, high, figures in (
                ("to_loop", "to_loop_min", "to_loop_max", paired(runs, peer, CEILING)),
                ("to_biospike", "to_biospike_min", "to_biospike_max", paired(runs, peer, REFERENCE)),
                ("speedup_wall", "speedup_wall_min", "speedup_wall_max", paired(runs, REFERENCE, peer, "call_wall_s")),
            ):
                row |= dict(zip((name, low, high), figures, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def targets(timings: pd.DataFrame, memory: pd.DataFrame, study: pd.DataFrame) -> pd.DataFrame:
    """Every target with what was measured, its spread over the repetitions, whether it is met, and why not."""
    rows = [*_speed(timings), *_worst(timings), *_flat(timings), *_memory(memory), *_study(study)]
    return pd.DataFrame(rows, columns=TARGETS)


def judge(
    target: str,
    figures: tuple[float, float, float],
    bound: str,
    limit: float,
    *,
    circuit: str = "",
    peer: str = "",
    reason: str = "",
) -> dict[str, Any]:
    """One row of `targets`: `figures` are the measured value and its spread, `bound` is "at most" or "at least"."""
    measured, low, high = figures
    if np.isnan(measured):
        met = "not measured"
    else:
        met = "met" if (measured <= limit if bound == "at most" else measured >= limit) else "not met"
    values = (target, circuit, peer, measured, low, high, bound, limit, met, "" if met == "met" else reason)
    return dict(zip(TARGETS, values, strict=True))


def _speed(timings: pd.DataFrame) -> Iterable[dict[str, Any]]:
    if timings.empty:
        return
    large = timings[(timings["part"] == "compare") & (timings["neurons"] >= TARGET_NEURONS)]
    for circuit, runs in large.groupby("circuit", sort=False):
        cost = runs.groupby("peer")["loop_ns_per_neuron_step"].median()
        neurons = int(runs["neurons"].iloc[0])

        def against(peer: str, cost: pd.Series = cost, neurons: int = neurons) -> str:
            if peer not in cost or REFERENCE not in cost:
                return f"{PEERS[peer].label} has no figures for it"
            step = cost[peer] * neurons * 1e-3
            text = f"{cost[REFERENCE]:.2f} against {cost[peer]:.2f} ns; {PEERS[peer].label}: {step:.0f} us a step"
            if peer != CEILING and CEILING in cost:
                text += f", {cost[peer] / cost[CEILING]:.3g} times the hand-written loop, the limit"
            return text

        yield judge(
            "biospike over the hand-written loop",
            paired(runs, REFERENCE, CEILING),
            "at most",
            CEILING_LIMIT,
            circuit=circuit,
            peer=CEILING,
            reason=f"{against(CEILING)}; biospike's includes starting its processes and reading their files",
        )
        for peer, limit in PEER_LIMITS.items():
            yield judge(
                f"{PEERS[peer].label} over biospike",
                paired(runs, peer, REFERENCE),
                "at least",
                limit,
                circuit=circuit,
                peer=peer,
                reason=against(peer),
            )
        yield judge(
            "plain Brian2 over biospike on all cores, wall time of the call",
            paired(runs, "brian2", "biospike_cores", "call_wall_s"),
            "at least",
            PEER_LIMITS["brian2"],
            circuit=circuit,
            peer="brian2",
            reason="of the call: with initial states, processes, results, and for Brian2 code generation",
        )


def _worst(timings: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """The largest ratio to the hand-written loop along each curve, at as many neurons as the target is about."""
    if timings.empty:
        return
    large = timings[timings["neurons"] >= TARGET_NEURONS]
    for part in ("keys", "neurons", "checkpoints"):
        for circuit, runs in large[large["part"] == part].groupby("circuit", sort=False):
            found = {}
            for value, of_value in runs.groupby(part):
                # The reference runs again beside slow peers.
                first = of_value[of_value["point"] == of_value["point"].min()]
                if not np.isnan((figures := paired(first, REFERENCE, CEILING))[0]):
                    found[value] = figures
            if not found:
                continue
            listed = ", ".join(f"{figures[0]:.2f} at {value:,}" for value, figures in found.items())
            yield judge(
                f"biospike over the hand-written loop, worst of {len(found)} along {part}",
                max(found.values()),
                "at most",
                CEILING_LIMIT,
                circuit=circuit,
                peer=CEILING,
                reason=listed,
            )


def _flat(timings: pd.DataFrame) -> Iterable[dict[str, Any]]:
    if timings.empty:
        return
    chosen = (timings["part"] == "neurons") & (timings["peer"] == REFERENCE) & (timings["neurons"] >= TARGET_NEURONS)
    for circuit, runs in timings[chosen].groupby("circuit", sort=False):
        table = runs.groupby("neurons")["loop_ns_per_neuron_step"].agg(["median", "min", "max"])
        most = int(table.index.max())
        if len(table) < 2:
            continue
        top, bottom = table.loc[table["median"].idxmax()], table.loc[table["median"].idxmin()]
        figures = top["median"] / bottom["median"], top["min"] / bottom["max"], top["max"] / bottom["min"]
        short = f"; measured up to {most:,} neurons only" if most < MOST_NEURONS else ""
        listed = ", ".join(f"{row.median:.2f} ns at {row.Index:,}" for row in table.itertuples())
        name = f"dearest over cheapest from {int(table.index.min()):,} to {most:,} neurons"
        yield judge(name, figures, "at most", FLAT_LIMIT, circuit=circuit, peer=REFERENCE, reason=listed + short)


def _memory(memory: pd.DataFrame) -> Iterable[dict[str, Any]]:
    if memory.empty:
        return
    circuit = memory["circuit"].iloc[0]
    by_duration = memory[memory["against"] == "duration"].sort_values("steps")
    for column, what in (("peak_mib", "process"), ("binary_peak_mib", "compiled process")):
        values = by_duration[column].to_numpy()
        ratio = values[-1] / values[0] if len(values) > 1 and values[0] > 0 else np.nan
        steps = by_duration["steps"]
        name = f"peak memory of the {what}, {steps.iloc[-1]} over {steps.iloc[0]} steps"
        listed = ", ".join(f"{value:.1f} MiB" for value in values)
        yield judge(name, (ratio, ratio, ratio), "at most", DURATION_LIMIT, circuit=circuit, reason=listed)
    exponent, per = growth(memory)
    name = "exponent of peak memory above that of the imports, in neurons at equal checkpoints"
    reason = f"{per:.1f} bytes a neuron and checkpoint"
    yield judge(name, (exponent, exponent, exponent), "at most", EXPONENT_LIMIT, circuit=circuit, reason=reason)


def growth(memory: pd.DataFrame) -> tuple[float, float]:
    """Exponent of the memory above that of the imports, between the two largest problems, and what it grows by.

    The second figure is in bytes a neuron and checkpoint. Both are NaN where there are not two problems that need more
    than the imports.
    """
    table = memory[memory["against"] == "neurons"].sort_values("neurons").tail(2)
    above = (table["peak_mib"] - table["before_mib"]).to_numpy()
    neurons = table["neurons"].to_numpy(dtype=float)
    if len(table) < 2 or np.any(above <= 0):
        return np.nan, np.nan
    per = (above[1] - above[0]) / (neurons[1] - neurons[0]) / table["checkpoints"].iloc[-1] * 2**20
    return float(np.log(above[1] / above[0]) / np.log(neurons[1] / neurons[0])), float(per)


def _study(study: pd.DataFrame) -> Iterable[dict[str, Any]]:
    if study.empty:
        return
    warm = study[(study["cache"] == "warm") & (study["compilations"] == 0)]
    outside = warm["outside_wall_s"]
    figures = (outside.median(), outside.min(), outside.max()) if len(warm) else (np.nan, np.nan, np.nan)
    inside, before, after = (
        warm[name].median() if len(warm) else np.nan for name in ("inside_wall_s", "before_wall_s", "after_wall_s")
    )
    yield judge(
        "seconds of a warm compare_softmax in which no binary runs",
        figures,
        "at most",
        OUTSIDE_LIMIT_S,
        reason=f"{before:.1f} s before the first binary, nearly all of it imports, {after:.1f} s after the last, for "
        f"the figure and files of all circuits; binaries run for {inside:.1f} s",
    )
