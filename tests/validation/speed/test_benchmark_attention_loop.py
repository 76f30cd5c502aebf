"""The hand-written attention loop: the counts of the network, and those of the loop over plain integers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import attention_loop as loop
from oracles.expected_block import PHASE, encoder_synapses, expect
from oracles.recorded_block import record_block

from biospike.encoding import Poisson
from biospike.errors import InputError
from circuits.attention import SpikingAttention
from circuits.softmax import Escape, Integrate
from validation.speed.peers.attention_loop import Loop, _require, build

import brian2 as b2

pytestmark = [pytest.mark.long, pytest.mark.compiles]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled loop."""
    return build(tmp_path_factory.mktemp("loop"))


def block_of(rows: Any, width: int, **options: Any) -> SpikingAttention:
    rng = np.random.default_rng([1, width])
    arrays = {f"W_{stream}": rng.integers(-16, 17, (5, 2 * width)) / 64 for stream in "qkv"}
    chosen: dict[str, Any] = {"heads": 2, "scales": np.ones((3, 2)), "score_scale": 2 / width, "softmax": rows}
    chosen |= {"tau_s": 2 * b2.ms, "start": 1.0, "release": 0.2, "first_spikes": 80, "w": 0.02, "settle": 16}
    return SpikingAttention(**(arrays | chosen | options))


def counts_of(library: Path, plan: Any) -> dict[str, Any]:
    steps = round(plan.duration(0) / plan.dt)
    return Loop(library)(plan.circuit, "fused", plan.shape(), plan.state(0), dt=plan.dt, steps=steps)


@pytest.mark.parametrize(("tokens", "width"), [(9, 3), (5, 33), (33, 4)])
@pytest.mark.parametrize(
    "rows",
    [Escape(rate=100 * b2.Hz, dt=1 * b2.ms), Integrate(rate=100 * b2.Hz, dt=1 * b2.ms)],
    ids=["escape", "integrate"],
)
def test_counts_are_those_of_the_network(library: Path, rows: Any, tokens: int, width: int) -> None:
    block = block_of(rows, width, causal=True)
    x = np.random.default_rng([1, tokens]).integers(100, 900, (1, tokens, 5)) / 1024
    plan, _, expected = record_block(block, x, 30, slots=1, seed=3, windows=2)
    found = plan.collect(0, counts_of(library, plan))
    for name, counts in expected.items():
        np.testing.assert_array_equal(found[name], counts, err_msg=name)
    assert expected["attention_count"].sum() > 20
    assert expected["output_count"].sum() > 5


def test_spikes_are_those_of_the_loop_over_integers(library: Path) -> None:
    block = block_of(Integrate(rate=100 * b2.Hz, dt=1 * b2.ms), 3, phase=PHASE)
    x = np.random.default_rng(2).integers(100, 900, (1, 7, 5)) / 1024
    plan, recorded, _ = record_block(block, x, 30, slots=1, seed=3, windows=1)
    window = int(plan.runs[0][-1])
    timing, shape = plan.circuit.timing(window, block.dt), plan.shape()
    pairs = np.ones((1, 7, 7), dtype=bool)
    spikes, _, _ = expect(
        plan.circuit, shape, timing, window, pairs, recorded["encoder"], encoder_synapses(plan.circuit), used=1
    )
    found, state, last = counts_of(library, plan), plan.state(0), shape.checkpoints - 1
    axes = {"neurons": (1, 7, 3, 2, 3, 2), "keys": (1, 2, 7, 7), "outputs": (1, 7, 2, 3, 2)}
    for group, size in axes.items():
        end = int(state[f"{group}.checkpoint_{last}"])
        expected = np.zeros(size, dtype=int)
        for place, count in loop.counts(spikes[group], 0, end).items():
            expected[place] = count
        np.testing.assert_array_equal(found[f"{group}.count_{last}"].reshape(size), expected, err_msg=group)
        assert expected.sum() > 10


def test_other_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="the loop knows Bernoulli inputs"):
        _require(block_of(Escape(), 3, encoder=Poisson()), {"neurons.tau_m": np.inf})
    with pytest.raises(InputError, match="no leak"):
        _require(block_of(Escape(), 3), {"neurons.tau_m": 0.01})
