"""What is too large for a number is refused in one line, and up to there every number is right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import rows_loop as loop

from biospike import InputError, random, runtime, simulate, standalone
from biospike.circuit import KEY_STRIDE, MOST_INDICES, MOST_KEYS, MOST_ROWS, Shape, check_rows
from biospike.encoding import Bernoulli, encode
from biospike.ideal.attention import Affine, SpikeDrivenAttention, SpikeSoftmax, SpikformerSSA, SpikingBertAttention
from biospike.ideal.lif import Paper
from biospike.packing import Packing, Plan
from biospike.random import MOST_DRAWS, MOST_STEPS, SEEDS, TRIALS
from biospike.traces import record
from circuits.exponential import TaylorExponential, VetoExponential, exponentiate
from circuits.softmax import Escape, Race, Subtractive
from circuits.transformers import SpikeDrivenCircuit, SpikeSoftmaxCircuit, SpikformerCircuit, SpikingBertCircuit
from validation.assumptions.keys.hazard_keys import HazardKeys

import brian2 as b2

ROW = np.zeros((1, 3))


def simulated(logits: Any = ROW, circuit: Any = None, **options: Any) -> Any:
    return simulate(circuit or Race(), logits, **({"duration": 2 * b2.ms, "target": "numpy"} | options))


def zeros(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.uint8(0), shape)


def flat(channels: int) -> Affine:
    return Affine(np.zeros((channels, channels)), np.zeros(channels))


def ssa(channels: int) -> SpikformerCircuit:
    own = flat(channels)
    return SpikformerCircuit(SpikformerSSA(q=own, k=own, v=own, projection=own, heads=1))


def bert(channels: int) -> SpikingBertCircuit:
    own = flat(channels)
    return SpikingBertCircuit(SpikingBertAttention(q=own, k=own, v=own, heads=1))


def driven(channels: int) -> SpikeDrivenCircuit:
    own = flat(channels)
    return SpikeDrivenCircuit(SpikeDrivenAttention(q=own, k=own, v=own))


REFUSED = {
    "keys": (lambda: simulated(zeros(1, KEY_STRIDE)), f"at most {MOST_KEYS} keys, got {KEY_STRIDE}"),
    "keys of a raster": (
        lambda: record(Race(), zeros(KEY_STRIDE), duration=1 * b2.ms),
        f"at most {MOST_KEYS} keys, got {KEY_STRIDE}",
    ),
    "rows": (lambda: check_rows(MOST_ROWS + 1, 3), f"at most {MOST_ROWS} rows, got {MOST_ROWS + 1}"),
    "trials": (lambda: simulated(trials=TRIALS), f"trials must be a whole number in [1, {TRIALS}), got {TRIALS}"),
    "seed": (lambda: simulated(seed=SEEDS), f"seed must be a whole number in [0, {SEEDS}), got {SEEDS}"),
    "seed of a raster": (lambda: record(Race(), [0, 1], duration=1 * b2.ms, seed=SEEDS), f"got {SEEDS}"),
    "seed of an encoder": (lambda: encode(Bernoulli(), [0.5], [4], seed=SEEDS), f"got {SEEDS}"),
    "steps of an encoder": (lambda: encode(Bernoulli(), [0.5], [MOST_STEPS + 1]), f"to at most {MOST_STEPS}"),
    "steps": (
        lambda: simulated(duration=(MOST_STEPS + 1) * 1e-4 * b2.second),
        f"is {MOST_STEPS + 1} steps of 100. us; at most {MOST_STEPS}",
    ),
    "regularity": (lambda: Escape(regularity=MOST_DRAWS + 1), f"from 1 to {MOST_DRAWS}, or inf"),
    "order": (lambda: TaylorExponential(order=KEY_STRIDE), f"in [1, {MOST_KEYS}], got {KEY_STRIDE}"),
    "window": (lambda: VetoExponential(window=KEY_STRIDE), f"in [1, {MOST_KEYS}], got {KEY_STRIDE}"),
    "checkpoints": (lambda: exponentiate(VetoExponential(), [0.0], [MOST_STEPS]), f"at most {MOST_STEPS - 1}"),
    "checkpoints that are not whole": (
        lambda: exponentiate(VetoExponential(), [0.0], [10.5]),  # type: ignore[list-item]
        "whole numbers",
    ),
    # Unsigned numbers have no negative differences.
    "checkpoints that fall": (
        lambda: exponentiate(VetoExponential(), [0.0], np.array([20, 10], np.uint32)),
        "that increase from at least 1",
    ),
    "synapses of a value": (
        lambda: exponentiate(TaylorExponential(order=65536), [0.0], [5]),
        f"taylor: synapses: at most {MOST_INDICES} can be numbered, got 2147516416",
    ),
    "synapses of a projection": (
        lambda: driven(64).run(zeros(1, 1, 174763, 64), "cpp_standalone"),
        f"spike_driven: synapses of one projection: at most {MOST_INDICES} can be numbered, got {3 * 64**2 * 174763}",
    ),
    "channels of a head": (
        lambda: ssa(65).run(zeros(1, 1, 2, 65), "cpp_standalone"),
        "at most 64 channels a head, got 65",
    ),
    "channels of a head of bert": (lambda: bert(65).run(zeros(1, 1, 2, 65)), "at most 64 channels a head, got 65"),
    "tokens": (lambda: bert(4).run(zeros(1, 1, 65, 4), "cpp_standalone"), "at most 64 tokens, got 65"),
    "thresholds beyond double precision": (
        lambda: SpikeSoftmax(base=1.15, steps=5100),
        "must stay within double precision, got base = 1.15 and steps = 5100",
    ),
    "stimulus": (
        lambda: Paper().build(1, SimpleNamespace(values=zeros(2**31, 1))),
        f"values of the stimulus: at most {MOST_INDICES} can be numbered, got {2**31}",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_too_large_is_refused_in_one_line(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Before anything is built, on whatever target.
    monkeypatch.setattr(standalone, "build", lambda *_: pytest.fail("built"))
    call, message = REFUSED[what]
    with pytest.raises(InputError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=40)
@given(
    st.integers(0, SEEDS - 1), st.integers(0, TRIALS - 1), st.integers(0, 2**63 - 1), st.integers(-2, MOST_STEPS),
    st.integers(0, MOST_DRAWS),
)  # fmt: skip
@example(SEEDS - 1, TRIALS - 1, 2**63 - 1, MOST_STEPS, MOST_DRAWS)
@example(SEEDS - 1, TRIALS - 1, 2**63 - 1, -2, 0)
def test_every_address_has_its_random_number(seed: int, trial: int, index: int, step: int, draw: int) -> None:
    assert random.uniform(seed, trial, index, step, draw) == loop.uniform(seed, trial, index, step, draw)


def far_away(patch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Let simulated rows have the last trials and rows that there may be."""
    packing, trials, rows = Plan.packing, TRIALS - 3, MOST_ROWS - 5

    def shifted(plan: Plan, number: int) -> Packing:
        packed = packing(plan, number)
        batch = attrs.evolve(packed.batch, trial=packed.batch.trial + trials, row=packed.batch.row + rows)
        return attrs.evolve(packed, batch=batch)

    patch.setattr(Plan, "packing", shifted)
    return trials, rows


@pytest.mark.parametrize(
    "target", ["numpy", pytest.param("cpp_standalone", marks=[pytest.mark.long, pytest.mark.compiles])]
)
def test_the_last_trials_and_rows(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of trial 2^31 - 2 and of index 2^63 - 1 - 2^20 + keys are those of these addresses."""
    trials, rows = far_away(monkeypatch)
    steps, keys, rate = 60, 9, 0.09
    circuit = Race(rate=rate / 1e-4 * b2.Hz, t_inh=0 * b2.ms)
    data = simulate(
        circuit, np.zeros((5, keys)), duration=steps * circuit.dt, trials=2, seed=SEEDS - 1, checkpoints=1,
        target=target,
    )  # fmt: skip
    for trial, row in np.ndindex(2, 5):
        at = [(SEEDS - 1, trials + trial, (rows + row) * KEY_STRIDE + key) for key in range(keys)]
        spikes = loop.race(
            [float(circuit.rate) * 1e-4] * keys, lambda key, step, at=at: loop.uniform(*at[key], step), 0, steps
        )
        assert data.spike_count[trial, row, :, 0].values.tolist() == [
            own.total for own in loop.tally(spikes, keys, [steps])
        ]
    assert data.spike_count.sum() > 200


# 2^32 steps of 0.1 ms: longer than any window.
LONG = 2**32 * 0.1 * b2.ms


@pytest.mark.parametrize(
    "circuit",
    [
        Race(rate=1000 * b2.Hz, t_inh=LONG),
        pytest.param(HazardKeys(rate=1000 * b2.Hz, refractory=LONG, gated=False), marks=pytest.mark.long),
    ],
    ids=["row of race", "hazard key"],
)
def test_what_is_closed_for_longer_than_any_window_stays_closed(circuit: Any) -> None:
    # A key expects ten spikes if nothing closes.
    data = simulated(circuit=circuit, duration=10 * b2.ms, trials=3, checkpoints=1)
    counts = data.spike_count.values[..., 0]
    assert counts.max() == 1
    # Of race the first step with a spike of the row is the last one, and it rarely has two.
    assert all(1 <= row.sum() <= (2 if isinstance(circuit, Race) else 3) for row in counts[:, 0])


def intervals(target: str, before: int) -> dict[str, np.ndarray]:
    """One step in which both keys of a row spike that had spiked `before` times, the second at its first spike only."""
    circuit = Subtractive(w=0, gain=1)
    shape = Shape(1, 2, 1, hub_index=None if target == "cpp_standalone" else np.zeros(2, dtype=np.int64))
    state = {
        "keys.u": 0.5, "keys.s": 0.0, "keys.drive": 1.0, "keys.beta": 1.0, "keys.w": 0.0, "hub.n_keys": 2.0,
        "hub.arriving": 0.0, "keys.seed": 1, "keys.trial": 0, "keys.index": [0, 1], "keys.hub_index": 0,
        "keys.checkpoint_0": 1, "keys.occupied": 2, "keys.spike_count": 1,
        "keys.last_spike_at": [before, 1], "hub.row_spikes": before,
    }  # fmt: skip
    wanted = ["keys.gap_sum", "keys.gap_square_sum", "hub.row_spikes", "keys.last_spike_at"]
    if target == "cpp_standalone":
        return standalone.run(standalone.build(circuit, shape), state, 1e-3, 1e-3, wanted)
    return runtime.run(circuit, shape, state, dt=1e-3, duration=1e-3, wanted=wanted, target=target)


# 46,341 squared is the first square beyond 32 bits; the counts themselves pass 32 bits too.
BEFORE = [46341, 2**31 - 1, 2**33 + 5]


@pytest.mark.parametrize(
    ("target", "before"),
    [pytest.param("numpy", before, marks=() if before == BEFORE[0] else pytest.mark.long) for before in BEFORE]
    + [
        pytest.param("cpp_standalone", before, marks=[pytest.mark.long, pytest.mark.compiles]) for before in BEFORE
    ],
)  # fmt: skip
def test_long_intervals_and_many_spikes_of_a_row(target: str, before: int) -> None:
    found = intervals(target, before)
    assert found["hub.row_spikes"].tolist() == [before + 2]
    assert found["keys.last_spike_at"].tolist() == [before + 2] * 2
    assert found["keys.gap_sum"].tolist() == [2, before + 1]
    # The square of a whole number rounds once beyond 2^53.
    assert found["keys.gap_square_sum"].tolist() == [4, float(before + 1) ** 2]


@pytest.mark.long
@pytest.mark.compiles
def test_moments_of_a_long_window() -> None:
    """A key that spikes every step and one that spikes every 2^16 steps: intervals of 2^16 + 1 spikes of the row."""
    period = 2**16
    logits = np.array([[0.0, -np.log(period)]])
    data = simulate(
        Subtractive(w=0, gain=1), logits, duration=3.5 * period * b2.ms, checkpoints=1, target="cpp_standalone"
    )
    often, seldom = data.spike_count.values[0, 0, :, 0].tolist()
    assert often == 3.5 * period
    assert seldom in (3, 4)
    gaps = seldom - 1
    # exp rounds: its period may be a step longer or shorter.
    assert data.gap_sum.values[0, 0, 1] == pytest.approx(gaps * (period + 1), abs=gaps)
    assert data.gap_square_sum.values[0, 0, 1] == pytest.approx(gaps * (period + 1) ** 2, rel=1e-4)
    assert data.gap_square_sum.values[0, 0, 1] > 2**31


@pytest.mark.long
def test_the_longest_row() -> None:
    """2^20 - 1 keys, of which the last few can fire."""
    steps, rate = 12, 45 * b2.Hz  # as fast as 200 equal keys may race
    logits = np.full((1, MOST_KEYS), -60.0)
    logits[0, -200:] = 0
    data = simulate(
        Race(rate=rate, t_inh=0 * b2.ms), logits, duration=steps * 0.1 * b2.ms, seed=SEEDS - 1, checkpoints=1,
        target="numpy",
    )  # fmt: skip
    last = range(MOST_KEYS - 200, MOST_KEYS)
    p = float(rate) * 1e-4
    expected = [sum(loop.uniform(SEEDS - 1, 0, key, step) < p for step in range(steps)) for key in last]
    assert data.spike_count[0, 0, -200:, 0].values.tolist() == expected
    assert sum(expected) > 4
    assert int(data.spike_count.sum()) == sum(expected)


def test_a_threshold_never_falls_to_infinity() -> None:
    """The most steps that are accepted: a masked key stays silent to the end."""
    block = SpikeSoftmax(base=2.0, steps=1013)
    assert np.isfinite(block.thresholds).all()
    with pytest.raises(InputError, match="double precision"):
        SpikeSoftmax(base=2.0, steps=1020)
    found = SpikeSoftmaxCircuit(block).run(np.array([[0.0, -3.0, np.nan]]))
    assert found.step[0].tolist() == [1, 5, -1]
