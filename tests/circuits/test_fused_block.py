"""Target `fused` of the attention block: every count at every checkpoint is that of the Brian2 network."""

from __future__ import annotations

import ctypes
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biospike import execution, fused, runtime
from biospike.encoding import ENCODERS, Bernoulli
from biospike.errors import InputError, RunError
from biospike.fused import block, replay
from circuits import SpikingAttention
from circuits.attention import softmax_circuit
from circuits.presentation import Presentation, cut_presentation, plan_presentation, present

import brian2 as b2

PLAIN = ("-O1", "-std=c++14", "-ffp-contract=off", "-w")
"""Neither optimised nor for this processor: no vector instruction that not every x86-64 has."""
ROWS = ("escape", "race", "integrate", "divisive")
SOME = [ROWS[0], *(pytest.param(name, marks=pytest.mark.long) for name in ROWS[1:])]
"""The others are long: each costs a network."""


def block_of(
    *, features: int, heads: int, width: int, rows: str, seed: int = 1, biases: bool = False, **options: Any
) -> SpikingAttention:
    """Normal weights that give logits of about a nat; a score membrane that is soon full, in the streaming mode."""
    rng = np.random.default_rng(seed)
    shape = (features, heads * width)
    matrices = {f"W_{stream}": rng.normal(0, features**-0.5, shape) for stream in "qkv"}
    given = {f"b_{stream}": rng.normal(0, 0.3, shape[1]) for stream in "qkv"} if biases else {}
    options = {"tau_s": 20 * b2.ms, "settle": 60, "release": 0.4, "score_scale": 1.0 / width} | options
    return SpikingAttention(**matrices, **given, heads=heads, softmax=softmax_circuit(rows), **options)


def plan_of(
    attention: SpikingAttention, tokens: int, *, samples: int = 1, seed: int = 1, **options: Any
) -> Presentation:
    x = np.random.default_rng([seed, tokens]).random((samples, tokens, attention.features))
    return plan_presentation(attention, x, seed=seed, **options)


def by_kernel(plan: Presentation, state: dict[str, Any], number: int = 0, **options: Any) -> dict[str, Any]:
    circuit, steps = plan.circuit, round(plan.duration(number) / plan.dt)
    parts = [str(fused.kernel_of(part)) for part in fused.parts_of(circuit)]
    return block.run(parts, circuit.structure, plan.shape(), state, dt=plan.dt, steps=steps, **options)


def by_numpy(plan: Presentation, state: dict[str, Any], number: int = 0) -> dict[str, Any]:
    options = {"dt": plan.dt, "duration": plan.duration(number), "wanted": plan.wanted, "target": "numpy"}
    return runtime.run(plan.circuit, plan.shape(), state, **options)


def assert_equal(plan: Presentation, found: dict[str, Any], expected: dict[str, Any]) -> None:
    for variable in plan.wanted:
        np.testing.assert_array_equal(found[variable], expected[variable], err_msg=variable)


HOW: tuple[dict[str, Any], ...] = ({}, {"nearly": False}, {"flags": PLAIN})


def compare(plan: Presentation, *, every: bool = True) -> int:
    """Compare every batch, with the library's exponentials and without optimisation too; returns the routed spikes."""
    routed = 0
    for number in range(plan.batches):
        state = plan.state(number)
        expected = by_numpy(plan, state, number)
        for how in HOW if every else HOW[:1]:
            assert_equal(plan, by_kernel(plan, state, number, **how), expected)
        routed += max(int(expected[name].sum()) for name in plan.wanted if name.startswith("outputs.count"))
    return routed


BLOCKS: dict[str, Any] = {
    "features": st.integers(1, 9),
    "heads": st.integers(1, 3),
    "width": st.integers(1, 6),
    "rows": st.sampled_from(ROWS),
    "seed": st.integers(0, 2**32 - 1),
    "biases": st.booleans(),
    "mode": st.sampled_from(["streaming", "staged"]),
    "encoder": st.sampled_from([kind() for kind in ENCODERS.values()]),
    "encoders": st.sampled_from(["separate", "shared"]),
    "causal": st.booleans(),
    "delay": st.sampled_from([0, 1, 3]).map(lambda steps: steps * b2.ms),
    "phase": st.sampled_from([None, 0.25]),
}
INPUTS: dict[str, Any] = {
    "tokens": st.integers(1, 9),
    "samples": st.integers(1, 3),
    "trials": st.integers(1, 2),
    "windows": st.integers(1, 4),
}


@pytest.mark.long
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    attention=st.builds(block_of, **BLOCKS),
    steps=st.integers(1, 60),
    masked=st.booleans(),
    leak=st.booleans(),
    **INPUTS,
)
def test_random_blocks(
    attention: SpikingAttention, tokens: int, steps: int, masked: bool, leak: bool, **options: Any
) -> None:
    mask = np.ones(tokens, dtype=bool)
    mask[1:][:: 2 if masked else tokens] = False
    if leak and isinstance(attention.encoder, Bernoulli):
        attention = attrs.evolve(attention, tau_m=15 * b2.ms)
    compare(plan_of(attention, tokens, duration=steps * b2.ms, key_mask=mask, **options))


@pytest.mark.parametrize("rows", SOME)
def test_blocks_that_spike_often(rows: str) -> None:
    attention = block_of(features=5, heads=2, width=3, rows=rows, causal=True, settle=40)
    assert compare(plan_of(attention, 4, trials=2, duration=80 * b2.ms, windows=3)) > 100


def test_keys_that_start_above_their_threshold() -> None:
    """A given phase is no fraction of a threshold that is drawn: such keys spike before they are let go."""
    attention = block_of(features=2, heads=2, width=1, rows="escape", phase=0.9, causal=True)
    plan = plan_of(attention, 4, duration=5 * b2.ms, windows=1)
    state = plan.state(0)
    state["keys.theta"] = state["keys.theta"] / 100
    expected = by_numpy(plan, state)
    assert_equal(plan, by_kernel(plan, state), expected)
    masked = state["keys.unmasked"].ravel() == 0
    assert expected["keys.spike_count"][masked].max() > 1
    assert expected["keys.spike_count"][masked].min() == 1


SIZES = (31, 32, 33, 63, 64, 65, 129)
"""About the sizes of vectors and words."""


@pytest.mark.long
@pytest.mark.parametrize(("size", "rows"), list(zip(SIZES, 2 * ROWS, strict=False)))
def test_sizes_about_those_of_words(size: int, rows: str) -> None:
    """Tokens, the units of a head, and features; the last token is attended to."""
    options: dict[str, Any] = {"duration": 40 * b2.ms, "windows": 1}
    many = plan_of(block_of(features=3, heads=1, width=2, rows=rows, tau_s=4 * b2.ms), size, **options)
    assert compare(many) > 100
    state = many.state(0)
    last = by_kernel(many, state)["keys.spike_count"].reshape(size, size)[:, -1]
    assert last.any()
    assert compare(plan_of(block_of(features=3, heads=1, width=size, rows=rows), 3, **options)) > 100
    assert compare(plan_of(block_of(features=size, heads=2, width=2, rows=rows), 3, **options)) > 20


def exactly_met() -> tuple[Presentation, dict[str, Any]]:
    """One row of regular keys that gain an eighth of a threshold a step: all sums are exact, and thresholds are met."""
    plan = plan_of(block_of(features=1, heads=1, width=1, rows="integrate"), 1, duration=64 * b2.ms, windows=1)
    never = {"keys.score_from": 0, "keys.score_to": 0, "hub.attend_from": 0, "hub.release": 0.0, "hub.fall": 0.0}
    level = {"hub.reference": 0.0, "hub.w_reference": 0.0, "keys.R0_drive": 125.0, "keys.v": 0.0}
    return plan, plan.state(0) | never | level


def test_a_threshold_that_is_met_exactly_puts_the_slot_in_doubt() -> None:
    plan, state = exactly_met()
    found = by_kernel(plan, state)
    assert found["repeated"].tolist() == [1]
    assert found["keys.spike_count"].tolist() == [round(plan.duration(0) / plan.dt) // 8]
    # A millionth before it, it is not.
    state["keys.v"] = 2.0**-20
    assert by_kernel(plan, state)["repeated"].tolist() == [0]
    assert by_kernel(plan, state, nearly=False)["repeated"].tolist() == [0]


@pytest.mark.parametrize("flags", [None, PLAIN])
def test_the_exponential_is_as_near_as_the_bound_takes_it_to_be(flags: Any) -> None:
    """Against extended precision, at random and where the reduced argument is largest."""
    rng = np.random.default_rng(1)
    halves = (np.arange(-1000, 1000) + 0.5) * np.log(2)
    x = np.concatenate([rng.uniform(-699, 699, 40_000), rng.normal(0, 5, 40_000), halves, np.nextafter(halves, 0)])
    found = np.zeros_like(x)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, found)]
    library = fused.library() if flags is None else fused.library(flags)
    library.biospike_nearly_exp(*pointers, ctypes.c_int64(x.size // 8))
    expected = np.exp(x.astype(np.longdouble))
    assert np.finfo(np.longdouble).eps < 2.0**-60
    assert np.abs(found / expected - 1).max() < 2.0**-50
    edge = np.array([-701.0, -1e30, -700.5, -np.inf, 0.0, -0.0, -1e300, -1e308])
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (edge, found)]
    library.biospike_nearly_exp(*pointers, ctypes.c_int64(1))
    np.testing.assert_array_equal(found[:8], [0, 0, 0, 0, 1, 1, 0, 0])


def test_addresses_that_pass_the_lower_half_of_the_index() -> None:
    """Input number 8 has the first index whose upper half is another."""
    plan = plan_of(block_of(features=21, heads=1, width=1, rows="escape"), 2, duration=5 * b2.ms, windows=1)
    state = plan.state(0)
    state["encoder.index"] = state["encoder.index"] - state["encoder.index"].min() + 3 * 2**32 - 8
    expected = by_numpy(plan, state)
    assert_equal(plan, by_kernel(plan, state), expected)
    assert expected["encoder.count_1"].sum() > 100


class Other(SpikingAttention):
    """A block that is derived from one with a kernel."""


class OtherInput(Bernoulli):
    """An encoder that is derived from one with a kernel."""


def test_who_has_a_kernel() -> None:
    size: dict[str, Any] = {"features": 2, "heads": 1, "width": 1}
    for rows in ROWS:
        for encoder in ENCODERS.values():
            assert fused.kernel_of(block_of(rows=rows, encoder=encoder(), **size)) == "attention"
    lacking = [block_of(rows="subtractive", **size), block_of(rows="race", encoder=OtherInput(), **size)]
    of_class = block_of(rows="race", **size)
    lacking.append(Other(of_class.W_q, of_class.W_k, of_class.W_v))
    for attention in lacking:
        with pytest.raises(InputError, match=r"^target 'fused' has no kernel for attention \(\w+, \w+, \w+\): take"):
            present(attention, [[0.5, 0.5]], duration="10 ms", target="fused")
    with pytest.raises(InputError, match="'continuous' has no kernel for attention"):
        present(of_class, [[0.5, 0.5]], duration="10 ms", target="continuous")


def test_auto_takes_the_kernel_says_so_and_replays_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "WORTH_A_BUILD", 0.0)
    monkeypatch.setattr(execution, "WORTH_A_REPLAY", 0.0)
    monkeypatch.setattr(replay, "_replayed", set())
    replayed = []
    monkeypatch.setattr(replay, "replay", lambda plan: replayed.append(plan.circuit.softmax.name))
    options: dict[str, Any] = {"duration": "20 ms", "trials": 2, "seed": 3, "windows": 2}
    tokens = [[0.2, 0.9], [0.7, 0.4]]
    attention = block_of(features=2, heads=1, width=2, rows="escape")
    for check in (False, True, True):
        data = present(attention, tokens, check=check, **options)
        assert data.attrs["target"] == "fused"
        assert data.attrs["target_reason"].startswith("the same spikes as Brian2's")
        assert data.attrs["compiler"] != "none"
    present(attrs.evolve(attention, softmax=softmax_circuit("race")), tokens, **options)
    assert replayed == ["escape", "race"]
    expected = present(attention, tokens, target="numpy", **options)
    assert expected["attention_count"].sum() > 0
    for name in attention.dims.keys() & expected.data_vars.keys():
        np.testing.assert_array_equal(data[name], expected[name])
        assert data[name].dtype == expected[name].dtype


@pytest.mark.parametrize("rows", SOME)
def test_the_batch_that_is_replayed_says_something(rows: str) -> None:
    attention = block_of(features=40, heads=3, width=2, rows=rows, tau_s=1 * b2.second, biases=True)
    plan = plan_of(attention, 5, samples=2, duration="1 s", trials=9, windows=20)
    small = cut_presentation(plan)
    assert small.shape().sizes == (2, 3, 32, 2, 2, 5)
    assert 500 < small.duration(0) / small.dt < 1000
    np.testing.assert_array_equal(small.unmasked, [[[1, 1, 0], [1, 1, 0], [1, 1, 1]]])
    assert replay.replay(small) > 50


def test_cutting_leaves_every_query_a_key() -> None:
    attention = block_of(features=2, heads=1, width=2, rows="race", mode="staged", causal=True)
    mask = [0, 1, 1]
    plan = plan_of(attrs.evolve(attention, causal=False), 3, duration="20 ms", key_mask=mask)
    np.testing.assert_array_equal(cut_presentation(plan).unmasked, [[[1, 1, 0], [0, 1, 0], [0, 1, 1]]])
    plan = plan_of(attention, 1, duration="20 ms")
    np.testing.assert_array_equal(cut_presentation(plan).unmasked, [[[1]]])
    assert cut_presentation(plan).batches == 1


def test_a_kernel_of_other_numbers_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_replayed", set())
    whole = block.run

    def wrong(*arguments: Any, **options: Any) -> dict[str, Any]:
        found = whole(*arguments, **options)
        found["outputs.count_2"][0] += 1
        return found

    monkeypatch.setattr(block, "run", wrong)
    attention = block_of(features=2, heads=1, width=2, rows="escape")
    with pytest.raises(RunError, match=r"target 'fused' and Brian2 differ in outputs.count_2 of a small batch"):
        present(attention, [[0.2, 0.9], [0.7, 0.4]], duration="20 ms", target="fused")


def test_what_the_kernel_takes_for_granted_is_asked_for() -> None:
    plan = plan_of(block_of(features=2, heads=1, width=2, rows="escape"), 2, duration="5 ms")
    state = plan.state(0)
    uneven = {
        "weights.w": np.array(state["weights.w"]) * np.arange(1, 3).reshape(2, 1, 1, 1),
        "encoder.index": state["encoder.index"] * 2,
        "keys.charge": np.arange(4.0),
        "hub.w": 0.1,
    }
    for name, value in uneven.items():
        with pytest.raises(RunError, match="target 'fused' needs"):
            by_kernel(plan, state | {name: value})
    with pytest.raises(RunError, match="is not finite"):
        by_kernel(plan, state | {"keys.R0_drive": 1e308, "hub.reference": -100.0})


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize("mode", ["streaming", "staged"])
def test_a_full_batch_equals_the_compiled_network(mode: str) -> None:
    """Eleven tokens of the toy's size in four heads, for a second, with everything that is returned."""
    attention = block_of(features=11, heads=4, width=8, rows="escape", mode=mode, tau_s=100 * b2.ms)
    x = np.random.default_rng(5).random((2, 11, 11))
    options: dict[str, Any] = {"duration": "1 s", "trials": 2, "seed": 7, "windows": 4}
    kernel, network = (present(attention, x, target=target, **options) for target in ("fused", "cpp_standalone"))
    assert network["output_count"][..., -1].sum() > 1e4
    assert set(attention.dims) - {"driven"} <= set(network.data_vars)
    for name in network.data_vars:
        np.testing.assert_array_equal(kernel[name], network[name], err_msg=name)
