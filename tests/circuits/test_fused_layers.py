"""Target `fused` of the published blocks: its layers against formulas in NumPy, its choice, and what it refuses.

Whole blocks are held against their networks in test_transformers.py and test_transformer_sizes.py.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biospike import execution, fused
from biospike.errors import InputError, RunError
from biospike.fused import layers
from biospike.ideal.attention import (
    IF,
    LIF,
    LIF_HALF,
    Affine,
    DualSpikeAttention,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
    fire,
    ordered_matmul,
    project,
)
from biospike.ideal.lif import DiscreteLIF, Paper, SpikingJellyHard, SpikingJellySoft
from biospike.translation_unit import FLAGS
from circuits.transformers import (
    DualSpikeCircuit,
    QKTokenCircuit,
    SpikeDrivenCircuit,
    SpikformerCircuit,
    replay,
)
from circuits.transformers.block import TransformerCircuit, Work

PLAIN = ("-O1", "-std=c++14", "-ffp-contract=off", "-w")
"""Neither optimised nor for this processor: no vector instruction that not every x86-64 has."""
HOW = [FLAGS, pytest.param(PLAIN, marks=pytest.mark.long)]
NEURONS = (LIF, LIF_HALF, IF, SpikingJellyHard(tau=4.0, v_th=0.75, v_reset=-0.5))


def layer_of(rng: np.random.Generator, features: int, units: int, *, exact: bool) -> Affine:
    """Real weights of which no sum is exact, or multiples of 1/4 whose sums meet thresholds."""
    weight = rng.integers(-2, 4, (features, units)) / 4 if exact else rng.normal(0.2, 1, (features, units))
    return Affine(weight, rng.integers(-2, 3, units) / 4 if exact else rng.normal(0.2, 0.3, units))


@pytest.mark.parametrize("flags", HOW, ids=["fast", "plain"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    steps=st.integers(1, 70),
    rows=st.integers(1, 9),
    features=st.sampled_from([1, 2, 63, 64, 65, 129]),
    units=st.sampled_from([1, 7, 31, 32, 33, 70]),
    neuron=st.sampled_from(NEURONS),
    exact=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_layers_of_any_size(
    flags: Any, steps: int, rows: int, features: int, units: int, neuron: DiscreteLIF, exact: bool, seed: int
) -> None:
    """Sums in the order of the features, bit for bit, and neurons that fire where they are met."""
    rng = np.random.default_rng(seed)
    x = (rng.random((steps, rows, features)) < rng.random()).astype(np.uint8)
    layer = layer_of(rng, features, units, exact=exact)
    currents = project(x, layer)
    np.testing.assert_array_equal(layers.weigh(x, layer, flags=flags), currents)
    np.testing.assert_array_equal(layers.fire(x, layer, neuron, flags=flags), fire(neuron, currents))


@pytest.mark.parametrize("flags", HOW, ids=["fast", "plain"])
def test_products_of_spikes_and_values(flags: Any) -> None:
    rng = np.random.default_rng(3)
    for n, k, m in ((1, 1, 1), (5, 64, 33), (9, 70, 64), (3, 130, 7)):
        spikes, values = rng.integers(0, 2, (4, 2, n, k), dtype=np.uint8), rng.normal(size=(4, 2, k, m))
        np.testing.assert_array_equal(layers.multiply(spikes, values, flags=flags), ordered_matmul(spikes, values))


def test_neurons_and_numbers_without_a_kernel() -> None:
    layer = layer_of(np.random.default_rng(1), 3, 2, exact=True)
    x = np.ones((2, 1, 3), np.uint8)
    for neuron in (Paper(), SpikingJellySoft(), SpikingJellyHard(tau=3.0), SpikingJellyHard(decay_input=False)):
        with pytest.raises(RunError, match="no kernel for neurons"):
            layers.fire(x, layer, neuron)
    huge = Affine(np.full((3, 2), 1e308), np.zeros(2))
    with pytest.raises(RunError, match="a current is not finite"):
        layers.weigh(x, huge)
    with pytest.raises(RunError, match="a membrane is not finite"):
        layers.fire(x, Affine(-huge.weight, huge.bias), LIF)
    with pytest.raises(RunError, match="do not fit"):
        layers.weigh(x[..., :2], layer)


def spikformer(channels: int = 24, heads: int = 3) -> SpikformerCircuit:
    rng = np.random.default_rng(1)
    own = {name: layer_of(rng, channels, channels, exact=False) for name in ("q", "k", "v", "projection")}
    return SpikformerCircuit(SpikformerSSA(**own, heads=heads))


def test_auto_takes_kernels_where_numpy_would_take_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = spikformer()
    small, large = (Work(circuit, circuit.size(np.zeros((4, 1, tokens, 24))), 4) for tokens in (4, 2**14))
    monkeypatch.setattr(execution.fused, "is_built", lambda: True)
    assert execution.choose_target(small, "auto")[0] == "numpy"
    chosen, reason = execution.choose_target(large, "auto")
    assert (chosen, reason[:10]) == ("fused", "the same s")

    class Own(SpikformerCircuit):
        """Other equations, perhaps."""

    assert fused.kernel_of(circuit)
    assert fused.kernel_of(Own(circuit.block)) is None
    with pytest.raises(InputError, match="target 'fused' has no kernel for spikformer"):
        Own(circuit.block).run(np.zeros((1, 1, 2, 24)), "fused")
    with pytest.raises(InputError, match="target must be one of"):
        circuit.run(np.zeros((1, 1, 2, 24)), "fast")


def test_a_wrong_kernel_is_caught_by_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = spikformer()
    x = np.random.default_rng(2).integers(0, 2, (12, 2, 9, 24), dtype=np.uint8)
    small, given = attrs.evolve(circuit, block=replay.cut_block(circuit.block)), replay.cut_input(circuit.block, x)
    assert given.shape == (8, 1, 8, 16)
    assert small.block.heads == 2
    stages = replay.replay(small, given)
    assert all(0 < stage.mean() < 1 for stage in stages.values())
    monkeypatch.setattr(replay, "_replayed", set())
    monkeypatch.setattr(SpikformerCircuit, "by_network", lambda *_: stages | {"k": 1 - stages["k"]})
    for _ in range(2):  # what failed is asked again
        with pytest.raises(RunError, match="differ in k of a small block"):
            circuit.run(x, "fused")
    monkeypatch.setattr(SpikformerCircuit, "by_network", lambda *_: stages)
    assert circuit.run(x, "fused")["q"].shape == x.shape
    assert replay._replayed == {SpikformerCircuit}


def cuttable() -> list[TransformerCircuit]:
    rng = np.random.default_rng(5)

    def layer(features: int, units: int) -> Affine:
        return layer_of(rng, features, units, exact=True)

    token = QKTokenAttention(q=layer(6, 6), k=layer(6, 6), projection=layer(6, 6), heads=3)
    driven = SpikeDrivenAttention(q=layer(20, 20), k=layer(20, 20), v=layer(20, 20))
    rates = np.array([0.25, 0.5, 0.125])
    dual = DualSpikeAttention(y=layer(4 * 30, 60), heads=3, p=2, size=(4, 6), rate_x=rates, rate_a=rates)
    return [QKTokenCircuit(token), SpikeDrivenCircuit(driven), DualSpikeCircuit(dual)]


@pytest.mark.parametrize(("circuit", "shape"), list(zip(cuttable(), [(3, 4), (7, 8), (8, 16)], strict=True)))
def test_cut_blocks_take_cut_inputs(circuit: TransformerCircuit, shape: tuple[int, int]) -> None:
    """The channels of a cut block are those of the input that is left: it fires like a formula of the whole says."""
    block: Any = circuit.block
    tokens = 24 if isinstance(block, DualSpikeAttention) else shape[0]
    x = np.random.default_rng(1).integers(0, 2, (3, 2, tokens, block.channels), dtype=np.uint8)
    small, given = replay.cut_block(block), replay.cut_input(block, x)
    assert given.shape == (3, 1, *shape)
    assert small.channels == shape[1]
    # Whole blocks whose other inputs are silent: their layers answer as those of the small one do, but for its gain.
    _, width, kept = replay._kept(block)
    silent = np.zeros_like(x)
    silent[..., kept] = x[..., kept]
    gain = block.channels / kept.size
    if isinstance(block, DualSpikeAttention):
        y1 = block.run(silent).y1[:, :1, :2, :2, :width]
        np.testing.assert_allclose(gain * (y1 - _bias(block, width)), small.run(given).y1 - _bias(small, width))
    else:
        whole = project(silent, block.k)[:, :1, : shape[0], kept]
        np.testing.assert_allclose(gain * (whole - block.k.bias[kept]) + block.k.bias[kept], project(given, small.k))


def _bias(block: DualSpikeAttention, width: int) -> np.ndarray:
    return block.y.bias.reshape(block.heads, 2, -1)[:2, None, None, 0, :width].swapaxes(1, 2)[:, 0]
