"""What is measured: the points of the comparison and of every curve, for each preset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs

from validation.speed.against import COMMANDS
from validation.speed.peers import CEILING, PEERS, REFERENCE
from validation.speed.problem import Size
from validation.speed.published import PUBLISHED

KEYS, SLOTS = 16, 625
"""The comparison: 16 keys, about the mean of real attention rows, in 25 rows and 25 trials: 10,000 neurons."""
CHECKPOINTS = 24
TARGET_NEURONS = KEYS * SLOTS
MOST_NEURONS = 10**6
LARGEST_ROWS = 25
"""Rows of a problem; what more slots are needed are trials."""
FAST = (CEILING, REFERENCE, "fused", "numba")
VARIANTS = ("loop_skipping", "biospike_cores")
"""Peers of the comparison only."""
PARTS = ("compare", "keys", "neurons", "checkpoints", "memory", "attention", "block", "published", "start", "study")


@attrs.frozen(kw_only=True)
class Preset:
    """Sizes of a run.

    Attributes
    ----------
    repeats : int
        Interleaved repetitions of the comparison.
    curve_repeats : int
        The same of the curves.
    steps : int
        Of the comparison and of the curves against keys and checkpoints. The default study of ``compare_softmax`` has
        20,000.
    neuron_steps : int
        Of the curve against neurons, which is long at its end.
    keys, neurons, checkpoints : tuple of int
        Points of the curves, run by biospike and the hand-written loop.
    slow_keys, slow_neurons : tuple of int
        Those at which the other peers run as well, on one circuit and once.
    durations : tuple of int
        Steps, for memory against duration.
    memory_neurons : tuple of int
    tokens : tuple of int
    token_steps, token_trials : int
    blocks : tuple of int
        Tokens of the blocks that torch presents too.
    block_size : tuple of int
        Their features, heads, and units of a head.
    block_steps, block_trials : int
    own_code_blocks : tuple of int
        Those that Brian2's own code presents as well, which takes minutes and gigabytes for the largest.
    published : tuple of str
        Blocks of `validation.speed.published`.
    against : tuple of str
        Studies of `validation.speed.against`, for ``--against``.
    study_duration : str
        Of ``compare_softmax``; its default is 2 s.
    """

    repeats: int
    curve_repeats: int
    steps: int
    neuron_steps: int
    keys: tuple[int, ...]
    neurons: tuple[int, ...]
    checkpoints: tuple[int, ...]
    slow_keys: tuple[int, ...] = ()
    slow_neurons: tuple[int, ...] = ()
    durations: tuple[int, ...]
    memory_neurons: tuple[int, ...]
    tokens: tuple[int, ...]
    token_steps: int
    token_trials: int
    blocks: tuple[int, ...]
    block_size: tuple[int, int, int]
    block_steps: int
    block_trials: int
    own_code_blocks: tuple[int, ...]
    published: tuple[str, ...]
    against: tuple[str, ...] = tuple(COMMANDS)


PRESETS: dict[str, Preset] = {
    "smoke": Preset(
        repeats=1,
        curve_repeats=1,
        steps=300,
        neuron_steps=200,
        keys=(8, 64),
        neurons=(100, 1000),
        checkpoints=(1, 24),
        durations=(200, 800),
        memory_neurons=(1000, 4000),
        tokens=(4,),
        token_steps=200,
        token_trials=1,
        blocks=(3,),
        block_size=(4, 2, 4),
        block_steps=100,
        block_trials=3,
        own_code_blocks=(3,),
        published=("dssa",),
        against=("calibrate_assumptions",),
    ),
    "quick": Preset(
        repeats=2,
        curve_repeats=2,
        steps=5000,
        neuron_steps=2000,
        keys=(8, 64, 512),
        neurons=(100, 1000, 10_000, 100_000),
        checkpoints=(1, 24),
        durations=(1000, 10_000),
        memory_neurons=(10_000, 100_000),
        tokens=(8, 24),
        token_steps=1000,
        token_trials=2,
        blocks=(16,),
        block_size=(64, 4, 32),
        block_steps=500,
        block_trials=4,
        own_code_blocks=(16,),
        published=("qkta", "ssa", "dssa"),
    ),
    "paper": Preset(
        repeats=3,
        curve_repeats=2,
        steps=20_000,
        neuron_steps=5000,
        keys=(8, 32, 128, 512, 4096),
        neurons=(100, 1000, 10_000, 100_000, 1_000_000),
        checkpoints=(1, 6, 24, 96),
        slow_keys=(8, 128),
        slow_neurons=(100, 1000),
        durations=(1000, 10_000, 100_000),
        memory_neurons=(10_000, 100_000, 1_000_000),
        tokens=(8, 16, 32, 64),
        token_steps=2000,
        token_trials=4,
        blocks=(16, 64, 256),
        block_size=(64, 4, 32),
        block_steps=1000,
        block_trials=8,
        own_code_blocks=(16, 64),
        published=tuple(PUBLISHED),
    ),
}


@attrs.frozen
class Point:
    """One problem that several peers run, so many times.

    `part` names the table it belongs to, `skipped` says of each peer that was asked for why it does not run.
    """

    part: str
    size: Size
    peers: tuple[str, ...]
    repeats: int
    skipped: dict[str, str] = attrs.field(factory=dict)


def size_of(circuit: str, *, keys: int, neurons: int, steps: int, checkpoints: int, seed: int) -> Size:
    """Size of about so many neurons in rows of `keys`, never fewer."""
    slots = max(1, math.ceil(neurons / keys))
    rows = min(slots, LARGEST_ROWS)
    return Size(
        circuit=circuit,
        keys=keys,
        rows=rows,
        trials=math.ceil(slots / rows),
        steps=steps,
        checkpoints=checkpoints,
        seed=seed,
    )


def points(
    preset: Preset, circuits: Sequence[str], peers: Sequence[str], parts: Sequence[str], seed: int
) -> list[Point]:
    """All points of the comparison and of the curves, in the order in which they are run."""
    return [_limited(point) for point in _points(preset, circuits, peers, parts, seed)]


def _points(
    preset: Preset, circuits: Sequence[str], peers: Sequence[str], parts: Sequence[str], seed: int
) -> Iterator[Point]:
    base = {"keys": KEYS, "neurons": TARGET_NEURONS, "checkpoints": CHECKPOINTS, "seed": seed}
    fast = tuple(name for name in peers if name in FAST)
    slow_circuit = "escape" if "escape" in circuits else circuits[0]
    curves = (
        ("keys", preset.keys, preset.slow_keys),
        ("neurons", preset.neurons, preset.slow_neurons),
        ("checkpoints", preset.checkpoints, ()),
    )
    for circuit in circuits:
        if "compare" in parts:
            fitting = tuple(name for name in peers if name not in VARIANTS or circuit in PEERS[name].circuits)
            yield Point("compare", size_of(circuit, **base | {"steps": preset.steps}), fitting, preset.repeats)
    for part, values, _ in curves:
        steps = preset.neuron_steps if part == "neurons" else preset.steps
        for circuit in circuits if part in parts else ():
            for value in values:
                size = size_of(circuit, **base | {"steps": steps, part: value})
                yield Point(part, size, fast, preset.curve_repeats)
    others = tuple(name for name in peers if name not in (*FAST, *VARIANTS))
    for part, _, values in curves:
        for value in values if part in parts else ():
            size = size_of(slow_circuit, **base | {"steps": preset.neuron_steps, part: value})
            # The reference runs again: what is compared has the same size, and the counts are held against it.
            yield Point(part, size, (REFERENCE, *others), 1)


def _limited(point: Point) -> Point:
    """Leave out peers that cannot run the point, and say why."""
    skipped = {}
    for name in point.peers:
        peer, size = PEERS[name], point.size
        if missing := peer.missing():
            skipped[name] = f"{peer.label}: skipped, {missing} is not installed"
        elif size.circuit not in peer.circuits:
            skipped[name] = f"{peer.label}: skipped for {size.circuit}, it has nothing like it"
        elif size.keys > peer.most_keys:
            skipped[name] = f"{peer.label}: skipped above {peer.most_keys} keys, synapses grow with their square"
        elif size.neuron_steps > peer.most:
            skipped[name] = f"{peer.label}: skipped above {peer.most:.0e} neurons times steps, to save time"
    kept = tuple(name for name in point.peers if name not in skipped)
    return attrs.evolve(point, peers=kept, skipped=skipped)
