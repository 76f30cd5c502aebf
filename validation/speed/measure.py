"""Runs what `validation.speed.plan` lays out, peers in turn, and returns one row a run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pandas as pd

from biospike import fused
from biospike.simulation import build_ahead as build_rows_ahead
from biospike.standalone import RunError
from validation.speed import attention as benchmark_attention
from validation.speed.block import BLOCK_PEERS, FUSED, OWN, BlockSize, build_ahead, disagreement, missing
from validation.speed.case import CIRCUITS, make_problem, simulate_options
from validation.speed.peers import CEILING, IDENTICAL, PEERS, REFERENCE
from validation.speed.peers.attention_loop import build as build_loop
from validation.speed.plan import CHECKPOINTS, KEYS, VARIANTS, Point, Preset, size_of
from validation.speed.problem import Counts, Problem
from validation.speed.process import PeerError, run
from validation.speed.published import PUBLISHED, PUBLISHED_PEERS
from validation.speed.published import missing as lacks
from validation.speed.truth import expected_counts, verify_study
from validation.speed.verify import verify

Say = Callable[[str], None]
START_NEURONS, START_STEPS = 1000, 1000
"""The first result: a small problem, of which nearly all the time is start-up."""
FILLING = {"duration": "50 ms", "target": "cpp_standalone"}
"""The study that fills the cache: the same circuits and checkpoints, hence the same binaries."""


@attrs.frozen(eq=False)
class Place:
    """Where problems and what was compiled lie, the hand-written loop among it, and whom to tell."""

    directory: Path
    say: Say
    progress: bool

    def problem(self, point: Point) -> Problem:
        """Make the problem of a point, write it for the peers, and compile what biospike needs for it."""
        problem = make_problem(point.size)
        problem.save(self.directory / "problem")
        circuit, options = CIRCUITS[problem.circuit](), simulate_options(problem)
        for target in ("cpp_standalone", "fused"):
            build_rows_ahead([circuit], problem.logits, target=target, progress=self.progress, **options)
        return problem

    def warm_up(self, circuit: str, seed: int) -> None:
        """Let plain Brian2 compile what it keeps of a circuit, on a small problem that the next one replaces.

        If it fails, so will the run that is timed, which says why.
        """
        size = size_of(circuit, keys=KEYS, neurons=KEYS, steps=2, checkpoints=1, seed=seed)
        make_problem(size).save(self.directory / "problem")
        with contextlib.suppress(PeerError):
            run("peer", peer="brian2", problem=str(self.directory / "problem"), directory=str(self.directory))

    def run(self, peer: str) -> tuple[dict[str, float], Counts]:
        """Figures and counts of a peer on the problem that was written last.

        Raises
        ------
        PeerError
            If it fails, or compiles, which would be timed.
        """
        found = run("peer", peer=peer, problem=str(self.directory / "problem"), directory=str(self.directory))
        if found.counts is None or found.figures["compilations"]:
            raise PeerError("it compiled during a run that is timed")
        return found.figures, found.counts


def compare(place: Place, points: Sequence[Point], refused: list[str]) -> Iterator[pd.DataFrame]:
    """Yield for each point one row a peer and repetition, the peers in turn.

    `refused` takes why a peer gave no figures.
    """
    warm = set()
    for number, point in enumerate(points):
        size = point.size
        if "brian2" in point.peers and size.circuit not in warm:
            warm.add(size.circuit)
            place.warm_up(size.circuit, size.seed)
        place.say(
            f"{number + 1}/{len(points)} {point.part}: {size.circuit}, {size.neurons} neurons in rows of {size.keys}, "
            f"{size.steps} steps: {', '.join(point.peers)}"
        )
        yield pd.DataFrame(_compare(place, point, number, refused))


def _compare(place: Place, point: Point, number: int, refused: list[str]) -> list[dict[str, Any]]:
    problem = place.problem(point)
    expected = expected_counts(place.directory, problem)
    # The reference first: without it nothing is compared.
    peers = [REFERENCE, *(name for name in point.peers if name != REFERENCE)]
    rows: list[dict[str, Any]] = []
    for repetition in range(point.repeats):
        for name in list(peers):
            try:
                figures, counts = place.run(name)
                _check(problem, counts, expected, PEERS[name].agreement)
            except PeerError as error:
                if name == REFERENCE:
                    raise RunError(f"{PEERS[name].label}, {point.size.circuit}: {error}") from None
                peers.remove(name)
                rows = [row for row in rows if row["peer"] != name]
                _refuse(place, refused, f"{PEERS[name].label}: no figures for {point.size.circuit}: {error}")
                continue
            rows.append(_row(point, number, name, repetition, int(counts[..., -1].sum()), figures))
    return rows


def _refuse(place: Place, refused: list[str], line: str) -> None:
    refused.append(line)
    place.say(line)


def _row(
    point: Point, number: int, peer: str, repetition: int, spikes: int, figures: dict[str, float]
) -> dict[str, Any]:
    size = point.size
    named = {"part": point.part, "point": number, "circuit": size.circuit, "peer": peer, "repetition": repetition}
    shape = attrs.asdict(size, filter=lambda field, _: field.name not in ("circuit", "seed"))
    timed = {name: value for name, value in figures.items() if name != "compilations"}
    return (
        named
        | shape
        | {"neurons": size.neurons, "spikes": spikes}
        | timed
        | {
            "loop_ns_per_neuron_step": figures["loop_cpu_s"] / size.neuron_steps * 1e9,
            "process_ns_per_neuron_step": figures["process_cpu_s"] / size.neuron_steps * 1e9,
        }
    )


def start(place: Place, circuits: Sequence[str], peers: Sequence[str], seed: int, refused: list[str]) -> pd.DataFrame:
    """Time to the first result of a small problem, from a cold cache and then from the warm one it left.

    The caches are new directories: biospike's of binaries, Brian2's of Cython modules. The hand-written loop is
    compiled anew. Peers that compile nothing have no cold cache, and run once.
    """
    compiled = (CEILING, REFERENCE, "brian2")
    rows = []
    for circuit in circuits:
        size = size_of(circuit, keys=KEYS, neurons=START_NEURONS, steps=START_STEPS, checkpoints=CHECKPOINTS, seed=seed)
        problem = make_problem(size)
        problem.save(place.directory / "problem")
        expected = expected_counts(place.directory, problem)
        for name in peers:
            peer = PEERS[name]
            if peer.missing() or circuit not in peer.circuits or name in VARIANTS:
                continue
            with tempfile.TemporaryDirectory(prefix="biospike-cold-") as cold:
                Path(cold, "cython").mkdir()
                options = {"problem": str(place.directory / "problem"), "directory": cold, "peer": name}
                for cache in ("cold", "warm") if name in compiled else ("none",):
                    place.say(f"start: {name}, {circuit}, cache {cache}")
                    fresh = name == CEILING and cache == "cold"
                    try:
                        found = run("peer", environment={"BIOSPIKE_CACHE": cold}, **options, compile=fresh)
                        _check(problem, found.counts, expected, peer.agreement)
                    except PeerError as error:
                        _refuse(place, refused, f"{PEERS[name].label}: no start for {circuit}, it failed: {error}")
                        break
                    rows.append({"circuit": circuit, "peer": name, "cache": cache} | _of_process(found.figures))
    return pd.DataFrame(rows)


def _check(problem: Problem, counts: Counts | None, expected: Counts, agreement: str) -> Counts:
    """Return counts that are what they should be; raise `PeerError` otherwise."""
    if counts is None:
        raise PeerError("it left no counts")
    if wrong := verify(problem, counts, expected, agreement):
        raise PeerError(wrong)
    return counts


def _of_process(figures: dict[str, float]) -> dict[str, float]:
    return {name: figures[name] for name in ("process_wall_s", "process_cpu_s", "peak_mib")}


def memory(place: Place, preset: Preset, circuit: str, seed: int) -> pd.DataFrame:
    """Peak memory of biospike against the number of neurons, and against the duration at the fewest of them."""
    fewest = min(preset.memory_neurons)
    cases = [("duration", fewest, steps) for steps in preset.durations]
    cases += [("neurons", neurons, min(preset.durations)) for neurons in preset.memory_neurons]
    rows = []
    for against, neurons, steps in cases:
        size = size_of(circuit, keys=KEYS, neurons=neurons, steps=steps, checkpoints=CHECKPOINTS, seed=seed)
        place.say(f"memory against {against}: {size.neurons} neurons, {steps} steps")
        problem = place.problem(Point("memory", size, (REFERENCE,), 1))
        found = run("memory", problem=str(place.directory / "problem"))
        counts = _check(problem, found.counts, expected_counts(place.directory, problem), IDENTICAL)
        shape = {"against": against, "circuit": circuit, "neurons": size.neurons, "steps": steps}
        rows.append(shape | {"checkpoints": counts.shape[-1]} | found.figures)
    return pd.DataFrame(rows)


def attention(place: Place, preset: Preset, seed: int) -> pd.DataFrame:
    """Cost of the streaming attention block against its tokens."""
    rows = []
    given = {"steps": preset.token_steps, "trials": preset.token_trials, "seed": seed}
    for tokens in preset.tokens:
        place.say(f"attention: {tokens} tokens, build")
        benchmark_attention.build_ahead(tokens, *given.values(), progress=place.progress)
    for repetition in range(preset.curve_repeats):
        for tokens in preset.tokens:
            place.say(f"attention: {tokens} tokens, run {repetition + 1}/{preset.curve_repeats}")
            figures = run("attention", block={"tokens": tokens} | given).figures
            per = figures["neurons"] * figures["steps"]
            costs = {
                "loop_us_per_presentation_step": figures["loop_cpu_s"] / figures["steps"] / given["trials"] * 1e6,
                "loop_ns_per_neuron_step": figures["loop_cpu_s"] / per * 1e9,
            }
            rows.append({"tokens": tokens, "repetition": repetition, "trials": given["trials"]} | figures | costs)
    return pd.DataFrame(rows)


def block(place: Place, preset: Preset, seed: int, refused: list[str]) -> pd.DataFrame:
    """Cost of a step and sample of the streaming attention block, its peers in turn; `refused` takes who has none.

    Raises
    ------
    RunError
        If target fused fails: without it nothing is compared.
    """
    rows: list[dict[str, Any]] = []
    features, heads, width = preset.block_size
    for tokens in preset.blocks:
        size = BlockSize(
            tokens=tokens, features=features, heads=heads, width=width,
            steps=preset.block_steps, trials=preset.block_trials, seed=seed,
        )  # fmt: skip
        peers = [peer for peer in BLOCK_PEERS if peer != OWN or tokens in preset.own_code_blocks]
        for peer in [peer for peer in peers if missing(peer)]:
            peers.remove(peer)
            _refuse(place, refused, f"{BLOCK_PEERS[peer]}: skipped, {peer} is not installed")
        for target in (FUSED, OWN):
            if target in peers:
                build_ahead(size, target, progress=place.progress)
        build_loop(place.directory)
        for repetition in range(preset.curve_repeats):
            expected: dict[str, float] = {}
            for peer in list(peers):
                place.say(f"block: {tokens} tokens, {BLOCK_PEERS[peer]}, run {repetition + 1}/{preset.curve_repeats}")
                try:
                    found = run("block", peer=peer, block=attrs.asdict(size), directory=str(place.directory)).figures
                    expected = expected or found
                    if wrong := disagreement(found, expected):
                        raise PeerError(wrong)
                except PeerError as error:
                    if peer == FUSED:
                        raise RunError(f"{BLOCK_PEERS[peer]}, {tokens} tokens: {error}") from None
                    peers.remove(peer)
                    _refuse(place, refused, f"{BLOCK_PEERS[peer]}: no figures for {tokens} tokens: {error}")
                    continue
                cost = found["loop_cpu_s"] / found["steps"] / size.trials * 1e6
                named = {"tokens": tokens, "peer": peer, "repetition": repetition, "trials": size.trials}
                rows.append(named | found | {"loop_us_per_presentation_step": cost})
    return pd.DataFrame(rows)


def published(place: Place, preset: Preset, seed: int, refused: list[str]) -> pd.DataFrame:
    """Cost of one sample of every published block, its peers in turn; `refused` takes who has none.

    Raises
    ------
    RunError
        If target fused fails.
    """
    rows: list[dict[str, Any]] = []
    fused.library()
    for name in preset.published:
        case = PUBLISHED[name]
        peers = [peer for peer in PUBLISHED_PEERS if not lacks(peer)]
        for peer in PUBLISHED_PEERS:
            if peer not in peers:
                _refuse(place, refused, f"{PUBLISHED_PEERS[peer]}: skipped, {lacks(peer)} is not installed")
        for repetition in range(preset.curve_repeats):
            for peer in list(peers):
                place.say(f"published: {case.label}, {PUBLISHED_PEERS[peer]}, run {repetition + 1}")
                try:
                    found = run("published", peer=peer, name=name, seed=seed).figures
                except PeerError as error:
                    if peer == FUSED:
                        raise RunError(f"{PUBLISHED_PEERS[peer]}, {case.label}: {error}") from None
                    peers.remove(peer)
                    _refuse(place, refused, f"{PUBLISHED_PEERS[peer]}: no figures for {case.label}: {error}")
                    continue
                shape = {"tokens": case.tokens, "channels": case.channels, "steps": case.steps}
                rows.append({"block": name, "peer": peer, "repetition": repetition} | shape | found)
    return pd.DataFrame(rows)


def study(place: Place, repeats: int) -> pd.DataFrame:
    """The default study of ``compare_softmax`` with a warm cache, which a run of a short window fills first.

    Counts of the circuits that the hand-written loop knows are held against it.
    """
    rows = []
    for number in range(1 + repeats):
        cache = "warm" if number else "as found"
        place.say(f"study: compare_softmax, cache {cache}")
        with tempfile.TemporaryDirectory(prefix="biospike-study-") as out:
            figures = run("study", out=out, options={} if number else FILLING).figures
            if wrong := verify_study(place.directory, Path(out, "counts.nc")):
                raise PeerError(wrong)
        rows.append({"cache": cache, "window": "default" if number else FILLING["duration"]} | figures)
    return pd.DataFrame(rows)
