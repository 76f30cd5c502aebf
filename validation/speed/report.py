"""What the benchmark found, in plain words made from its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from validation.speed.block import SIGMAS as BLOCK_SIGMAS
from validation.speed.case import SPREAD as LOGIT_SPREAD
from validation.speed.measure import START_NEURONS, START_STEPS
from validation.speed.peers import CEILING, IDENTICAL, PEERS, REFERENCE
from validation.speed.tables import growth, longest
from validation.speed.verify import DETERMINISTIC, SIGMAS
from validation.study.report import markdown

Tables = dict[str, pd.DataFrame]


def report(tables: Tables, lines: list[str], machine: dict[str, Any]) -> str:
    """Return the report as Markdown; `lines` say which peers gave no figures, and why."""
    sections = [
        "# How fast biospike is, and how far from the limit of the machine",
        _what_was_run(tables["costs"]),
        "![benchmark](benchmark.png)",
        *_targets(tables["targets"]),
        *_comparison(tables["costs"], tables["ratios"]),
        *_curves(tables["costs"]),
        *_memory(tables["memory"]),
        *_attention(tables["attention"]),
        *_block(tables["block"]),
        *_published(tables["published"]),
        *_against(tables["against"]),
        *_start(tables["start"]),
        *_study(tables["study"]),
        "## What gave no figures",
        "\n".join(f"- {line}" for line in lines) if lines else "Every peer ran every problem that it was asked to run.",
        "## What the figures are",
        _meaning(),
        "## Machine",
        _machine(machine),
    ]
    return "\n\n".join(sections) + "\n"


def _what_was_run(costs: pd.DataFrame) -> str:
    if not len(costs):
        return "No peer was timed."
    problems = costs[["circuit", "keys", "neurons", "steps", "checkpoints"]].drop_duplicates()
    text = f"{int(costs['repetitions'].sum())} runs of {len(problems)} problems."
    base = costs[costs["part"] == "compare"]
    if len(base):
        first = base.iloc[0]
        text += (
            f" The comparison: {first['neurons']:,} neurons in rows of {first['keys']} keys, {first['steps']:,} steps, "
            f"{first['checkpoints']} checkpoints, up to {base['repetitions'].max()} interleaved repetitions."
        )
    return f"{text} Logits are normal with a standard deviation of {LOGIT_SPREAD:g} nats."


def _targets(table: pd.DataFrame) -> list[str]:
    if not len(table):
        return []
    count = table["met"].value_counts()
    met, missed, open_ = (int(count.get(name, 0)) for name in ("met", "not met", "not measured"))
    text = f"{met} of {met + missed} targets that were measured are met"
    text += f"; {open_} could not be measured." if open_ else "."
    return ["## Targets", text, markdown(table)]


def _comparison(costs: pd.DataFrame, ratios: pd.DataFrame) -> list[str]:
    if not len(ratios):
        return []
    base = costs[costs["part"] == "compare"]
    shown = ["circuit", "peer", "repetitions", "loop_ns_per_neuron_step", "loop_ns_per_neuron_step_min"]
    shown += ["loop_ns_per_neuron_step_max", "process_ns_per_neuron_step", "call_wall_s", "peak_mib"]
    text = []
    for circuit, mine in ratios.groupby("circuit", sort=False):
        by_peer = mine.set_index("peer")
        parts = []
        if CEILING in by_peer.index:
            row = by_peer.loc[REFERENCE]
            parts.append(
                f"biospike takes {row['to_loop']:.2f} times ({row['to_loop_min']:.2f} to {row['to_loop_max']:.2f}) the "
                "time of the hand-written loop"
            )
        slower = by_peer.drop(index=[n for n in by_peer.index if n in (CEILING, REFERENCE) or n.startswith("loop_")])
        slower = slower[slower.index != "biospike_cores"].sort_values("to_biospike")
        listed = [f"{PEERS[name].label} {row['to_biospike']:.3g}" for name, row in slower.iterrows()]
        if listed:
            parts.append(f"times that of biospike: {', '.join(listed)}")
        if "biospike_cores" in by_peer.index:
            parts.append(f"all cores make the call {by_peer.loc['biospike_cores', 'speedup_wall']:.2f} times faster")
        text.append(f"- **{circuit}**: {'; '.join(parts)}.")
    if "loop_skipping" in set(ratios["peer"]):
        ratio = ratios[ratios["peer"] == "loop_skipping"]["to_loop"].iloc[0]
        text.append(
            f"- A loop over rows need not draw numbers for rows that are closed. It takes {ratio:.2f} times the time "
            "of the loop that does, with the same counts. biospike leaves them out where eight keys side by side are "
            "closed."
        )
    return ["## The comparison", "\n".join(text), markdown(base[shown]), markdown(ratios)]


def _curves(costs: pd.DataFrame) -> list[str]:
    text = []
    for part in ("keys", "neurons", "checkpoints"):
        for (circuit, peer), points in costs[costs["part"] == part].groupby(["circuit", "peer"], sort=False):
            if peer not in (CEILING, REFERENCE):
                continue
            curve = longest(points, part)
            listed = ", ".join(
                f"{row.loop_ns_per_neuron_step:.3g} at {getattr(row, part):,}" for row in curve.itertuples()
            )
            text.append(f"- {circuit}, {PEERS[peer].label}, ns per neuron and step against {part}: {listed}.")
    return ["## Curves", "\n".join(text)] if text else []


def _memory(memory: pd.DataFrame) -> list[str]:
    if not len(memory):
        return []
    exponent, per = growth(memory)
    durations = memory[memory["against"] == "duration"]
    peak = durations["peak_mib"]
    text = (
        f"Peak memory of the process is {peak.min():.0f} to {peak.max():.0f} MiB for {durations['steps'].min():,} to "
        f"{durations['steps'].max():,} steps at {durations['neurons'].iloc[0]:,} neurons. "
    )
    if np.isnan(exponent):
        text += "Too few sizes to say how it grows with the neurons."
    else:
        text += (
            f"Above what the imports take it grows with the neurons to the power {exponent:.2f}, by {per:.1f} bytes a "
            "neuron and checkpoint."
        )
    return ["## Memory", text, markdown(memory)]


def _attention(attention: pd.DataFrame) -> list[str]:
    if not len(attention):
        return []
    table = attention.groupby("tokens").median(numeric_only=True).reset_index()
    text = "One head of width 8, streaming, compiled, one core."
    if len(table) > 1:
        last = table.tail(2)
        cost, tokens = last["loop_us_per_presentation_step"].to_numpy(), last["tokens"].to_numpy(dtype=float)
        slope = np.log(cost[1] / cost[0]) / np.log(tokens[1] / tokens[0])
        text += f" From {tokens[0]:.0f} to {tokens[1]:.0f} tokens the time of a step grows with the power {slope:.2f}."
    shown = ["tokens", "neurons", "steps", "loop_us_per_presentation_step", "loop_ns_per_neuron_step", "call_wall_s"]
    return ["## Attention block", text, markdown(table[shown])]


def _block(block: pd.DataFrame) -> list[str]:
    if not len(block):
        return []
    cost = block.pivot_table(
        index="tokens", columns="peer", values="loop_us_per_presentation_step", aggfunc="median", sort=False
    ).reset_index()
    text = (
        "Processor time of a step and sample, microseconds, streaming rows of escape, the attention on in four steps "
        "of five, one core: of target fused the whole call, with initial states and results; of `cpp_standalone` its "
        "binaries; of the hand-written loop and of torch the loop alone, torch's batched over the samples in single "
        "precision. Counts of the first three are the same, every one; torch's totals agree within "
        f"{BLOCK_SIGMAS:g} standard errors."
    )
    return ["## Attention block beside its peers", text, markdown(cost)]


def _published(published: pd.DataFrame) -> list[str]:
    if not len(published):
        return []
    cost, above = (
        published.pivot_table(index="block", columns="peer", values=value, aggfunc="median", sort=False)
        for value in ("call_cpu_s", "above_mib")
    )
    table = (1e3 * cost).add_suffix("_ms").join(above.add_suffix("_mib")).reset_index()
    parts = []
    if "float64" in cost:
        ratio = cost["fused"] / cost["float64"]
        parts = [f" Target fused takes {ratio.min():.2f} to {ratio.max():.2f} times what float64 takes."]
    text = (
        "Processor time of a call for one sample, one core, after a first one, milliseconds; and peak memory above "
        "what the process had before, MiB. The peers are SpikingJelly's neurons between torch's products. Output "
        f"spikes of target fused are those of the formula.{''.join(parts)}"
    )
    return ["## Published blocks", text, markdown(table)]


def _against(against: pd.DataFrame) -> list[str]:
    if not len(against):
        return []
    table = against.groupby(["work", "cache", "checkout"], sort=False)[["process_cpu_s", "process_wall_s"]].median()
    wide = table.unstack("checkout")
    wide.columns = [f"{checkout}_{value}" for value, checkout in wide.columns]
    for value in ("process_cpu_s", "process_wall_s"):
        wide[f"ratio_{value}"] = wide[f"this_{value}"] / wide[f"older_{value}"]
    text = (
        "Whole processes of the studies, with what they start, in seconds: of the older commit and of this checkout, "
        "in turn, each with a cache of its own that the cold run finds empty. A ratio below 1 says that this is faster."
    )
    return ["## Against an older commit", text, markdown(wide.reset_index())]


def _start(start: pd.DataFrame) -> list[str]:
    if not len(start):
        return []
    wide = start.pivot_table(index=["circuit", "peer"], columns="cache", values="process_wall_s", sort=False)
    wide = wide.rename(columns={name: f"{name}_wall_s" for name in wide.columns}).reset_index()
    text = (
        f"Wall time of the whole process for a first result on {START_NEURONS:,} neurons and {START_STEPS:,} steps, "
        "with a new cache directory and again with the one it left; `none` where nothing is compiled."
    )
    return ["## Time to the first result", text, markdown(wide)]


def _study(study: pd.DataFrame) -> list[str]:
    if not len(study):
        return []
    text = (
        "`compare_softmax` in a process of its own. Inside is the wall time in which at least one compiled binary "
        "runs; outside is the rest, from the start of the worker to the last file: before the first binary starts "
        "(imports, checks, plans), between binaries, and after the last one ends (what needs all circuits). Tables are "
        "made and rasters drawn beside the binaries. `outside_cpu_s` is the processor time of the Python process."
    )
    return ["## The default study", text, markdown(study)]


def _meaning() -> str:
    identical = ", ".join(peer.label for peer in PEERS.values() if peer.agreement == IDENTICAL)
    return "\n".join(
        (
            "- `loop` is stepping alone, in processor time unless it says wall: for biospike all of its compiled "
            "processes with their start and files, for target fused its kernels (of blocks: the call), for the others "
            "the loop without set-up, construction, imports or "
            "compilation. `call` is from the problem to its counts without imports, `process` the whole process with "
            "them.",
            "- A ratio is taken within a repetition, between runs that follow each other; its median, minimum and "
            "maximum are given. Processor time hardly depends on what else the machine does, wall time does.",
            "- `peak_mib` is the largest resident set of any one process of the peer.",
            f"- Counts are checked before a time is kept. They are held against the hand-written loop, "
            f"in every key and window. The same integers: {identical}. Others must "
            f"spike by the law within {SIGMAS:g} standard errors: chi-square of the shares of each row against "
            "softmax, and spikes in all against the loop's, in every window. For integrate they start alike and may be "
            f"{DETERMINISTIC} spikes a key apart.",
            "- Frameworks run their own neuron classes in single precision, batched over all rows and trials, without "
            "gradients, on one thread. NumPy and the frameworks draw random numbers from generators of their own.",
        )
    )


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    loads = (machine[name] for name in ("load_average", "load_average_end") if name in machine)
    load = " before, and after ".join(", ".join(map(str, each)) for each in loads)
    return "\n".join(
        (
            f"- {machine['processor']}, {machine['cores']} cores, {machine['memory']} memory, {machine['caches']}",
            f"- {machine['platform']}",
            f"- {machine['compiler']}, {machine['flags']}",
            f"- {versions}",
            f"- revision {machine['revision']}; load average of 1, 5, 15 minutes {load}",
        )
    )
