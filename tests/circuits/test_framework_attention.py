"""Frameworks' own attention layers, and blocks assembled from their neurons, against the references."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from biospike.ideal.attention import (
    IF,
    Affine,
    DualSpikeAttention,
    QKChannelAttention,
    QKFormerSSA,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikformerSSA,
    SpikingBertAttention,
    project,
    self_attention_current,
)
from biospike.ideal.frameworks import FRAMEWORKS, difference, framework_attention, shipped_attention
from biospike.ideal.lif import SnnTorch

BOTH = ["float32", "float64"]


@pytest.fixture(scope="module", autouse=True)
def ml() -> None:
    for package in ("torch", "spikingjelly", "snntorch"):
        pytest.importorskip(package)


def mismatches(a: np.ndarray, b: np.ndarray) -> int:
    return int((a != b).sum())


def layer(rng: np.random.Generator, features: int, units: int) -> Affine:
    """Real weights, of which no sum is exact."""
    return Affine(2 * rng.normal(0.3, 1.0, (features, units)) / np.sqrt(features), rng.normal(0.5, 0.3, units))


def dyadic_layer(rng: np.random.Generator, features: int, units: int) -> Affine:
    """Weights of which every sum is exact, also in single precision, and often a tie."""
    return Affine(rng.integers(-2, 6, (features, units)) / 8, rng.integers(-2, 5, units) / 8)


def make(kind: type, make_layer: Any, rng: np.random.Generator, **kwargs: Any) -> Any:
    """Block of 24 channels."""
    if kind is DualSpikeAttention:
        rates = {"rate_x": np.array([0.25, 0.3]), "rate_a": np.array([0.2, 0.1])}
        return kind(y=make_layer(rng, 4 * 24, 48), heads=2, p=2, size=(4, 4), **rates)
    fields = {field.name for field in attrs.fields(kind)}
    layers = {name: make_layer(rng, 24, 24) for name in ("q", "k", "v", "projection") if name in fields}
    return kind(**layers, **({"heads": 3} if "heads" in fields else {}), **kwargs)


def spikes_in(rng: np.random.Generator, rate: float = 0.3) -> np.ndarray:
    return (rng.random((5, 4, 16, 24)) < rate).astype(np.uint8)


SHIPPED = [SpikformerSSA, QKFormerSSA, QKTokenAttention, QKChannelAttention, SpikeDrivenAttention]


def test_layers_that_are_shipped() -> None:
    assert shipped_attention("spikingjelly") == tuple(kind.__name__ for kind in SHIPPED)
    assert shipped_attention("snntorch") == ()


@pytest.mark.parametrize("make_layer", [layer, dyadic_layer])
@pytest.mark.parametrize("kind", SHIPPED)
def test_shipped_layer_is_its_reference_in_every_stage(kind: type, make_layer: Any) -> None:
    rng = np.random.default_rng(4)
    block, x = make(kind, make_layer, rng), spikes_in(rng)
    expected = block.run(x)._asdict()
    # Sums of real weights are torch's, in another order: in float64 a flip needs a membrane within about 1e-15 of the
    # threshold, which one in 10^10 of these is.
    for dtype in ["float64"] if make_layer is layer else BOTH:
        found = framework_attention("spikingjelly", block, x, dtype=dtype)
        assert set(found) >= {"q", "k", "output"}
        for name, stage in found.items():
            assert stage.dtype == np.uint8
            assert stage.shape == expected[name].shape, name
            assert mismatches(stage, expected[name]) == 0, name
        assert sum(int(stage.sum()) for stage in found.values()) > 5000
        assert 0.02 < found["output"].mean() < 0.98
    assert bool(difference("spikingjelly", block)) == (kind is SpikeDrivenAttention)


def test_scale_of_the_block_is_set_in_the_layer() -> None:
    rng = np.random.default_rng(5)
    block, x = make(SpikformerSSA, layer, rng, scale=0.25), spikes_in(rng)
    found = framework_attention("spikingjelly", block, x, dtype="float64")
    assert mismatches(found["attention"], block.run(x).attention) == 0
    assert "0.25" in difference("spikingjelly", block)


def test_layer_does_not_mix_the_batch_and_says_so() -> None:
    rng = np.random.default_rng(6)
    mixing, x = make(QKFormerSSA, layer, rng, batch_mixing=True), spikes_in(rng)
    own = QKFormerSSA(q=mixing.q, k=mixing.k, v=mixing.v, projection=mixing.projection, heads=3)
    found = framework_attention("spikingjelly", mixing, x, dtype="float64")["output"]
    assert mismatches(found, own.run(x).output) == 0
    assert mismatches(found, mixing.run(x).output) > 100
    assert "batch_mixing" in difference("spikingjelly", mixing)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_assembled_self_attention_is_that_of_leaky_neurons(reset: str) -> None:
    rng = np.random.default_rng(7)
    block, x = make(SpikformerSSA, dyadic_layer, rng), spikes_in(rng)

    def leaky(currents: np.ndarray, thr: float) -> np.ndarray:
        rows = currents.reshape(len(currents), -1) / 2
        return SnnTorch(beta=0.5, thr=thr, reset=reset).run(rows).reshape(currents.shape)

    q, k, v = (leaky(project(x, affine), 1.0) for affine in (block.q, block.k, block.v))
    attention = leaky(self_attention_current(q, k, v, heads=block.heads), 0.5)
    output = leaky(project(attention, block.projection), 1.0)
    expected = {"q": q, "k": k, "v": v, "attention": attention, "output": output}
    for dtype in BOTH:
        found = framework_attention("snntorch", block, x, dtype=dtype, reset=reset)
        assert {name: mismatches(found[name], stage) for name, stage in expected.items()} == dict.fromkeys(expected, 0)
    assert sum(int(stage.sum()) for stage in expected.values()) > 5000
    published = block.run(x)
    assert mismatches(expected["q"], published.q) > 100
    assert "strict" in difference("snntorch", block)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("kind", [*SHIPPED, DualSpikeAttention, SpikingBertAttention])
def test_layers_of_real_weights_feed_equal_neurons(kind: type, framework: str) -> None:
    # No membrane of real numbers ties, so snnTorch's strict threshold does not show before integers are multiplied.
    rng = np.random.default_rng(8)
    block, x = make(kind, layer, rng), spikes_in(rng)
    expected = block.run(x)._asdict()
    found = framework_attention(framework, block, x, dtype="float64")
    for name in {"q", "k", "v"} & set(found):
        assert expected[name].sum() > 500
        assert mismatches(found[name], expected[name]) == 0, name
    if kind is DualSpikeAttention:
        assert expected["attention"].sum() > 100
        assert {name: mismatches(found[name], expected[name]) for name in found} == {"attention": 0, "output": 0}
    assert all(found[name].shape == expected[name].shape for name in found)
    shipped = framework == "spikingjelly" and kind in SHIPPED
    assert shipped or "assembled" in difference(framework, block)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_spikingbert_differs_only_where_the_softmax_adds_up_to_the_threshold(framework: str) -> None:
    rng = np.random.default_rng(9)
    block, x = make(SpikingBertAttention, layer, rng), spikes_in(rng)
    expected = block.run(x)
    found = framework_attention(framework, block, x, dtype="float64")["output"]
    _, membrane = IF.trace(expected.context.reshape(len(x), -1))
    differ = (found != expected.output).reshape(len(x), -1)
    # The first mismatch of every neuron: later ones follow from the membrane that it left behind.
    neurons = np.flatnonzero(differ.any(axis=0))
    steps = differ.argmax(axis=0)[neurons]
    assert expected.output.sum() > 1000
    assert len(neurons) > 10
    # Some tens of roundings of numbers of about 1, of 2^-53 each.
    assert np.abs(membrane[steps, neurons] - 1).max() < 100 * 2**-53
    assert "last bit" in difference(framework, block)


def test_single_precision_layers_differ_only_at_the_threshold() -> None:
    # One timestep, in which a current of 2 is the threshold; the biases put every unit's current within 1e-6 of it.
    rng = np.random.default_rng(10)
    x = np.broadcast_to((rng.random(24) < 0.5).astype(np.uint8), (1, 1, 2, 24))
    weight = rng.normal(0.0, 1.0, (24, 24))
    near = Affine(weight, 2 + rng.uniform(-1e-6, 1e-6, 24) - x[0, 0, 0] @ weight)
    block = QKChannelAttention(q=near, k=near, projection=Affine(np.eye(24), np.zeros(24)))
    found = framework_attention("spikingjelly", block, x, dtype="float32")["q"]
    differ = (found != block.run(x).q)[0, 0, 0]
    assert 0 < differ.sum() < 24
    # Weights and bias are rounded (u each), and so are up to 24 partial sums and their sum with the bias:
    # 26u times the sum of all absolute terms bounds the error to first order.
    size = x[0, 0, 0] @ np.abs(weight) + np.abs(near.bias)
    distance = np.abs(project(x, near)[0, 0, 0] - 2)
    assert np.all(distance[differ] <= 26 * 2**-24 * size[differ])


def test_inputs_that_a_layer_cannot_take_are_refused() -> None:
    rng = np.random.default_rng(11)
    counts = 2 * spikes_in(rng)
    with pytest.raises(ValueError, match="x must be 0 or 1"):
        framework_attention("spikingjelly", make(SpikeDrivenAttention, layer, rng), counts)
    with pytest.raises(ValueError, match="x must have 4 x 4 tokens, got 3"):
        framework_attention("spikingjelly", make(DualSpikeAttention, layer, rng), counts[:, :, :3])
    with pytest.raises(ValueError, match="reset must be one of"):
        framework_attention("snntorch", make(SpikformerSSA, layer, rng), counts, reset="soft")
    # Whole numbers of spikes, which residual connections make, are input like any other elsewhere.
    block = make(SpikformerSSA, dyadic_layer, rng)
    found = framework_attention("spikingjelly", block, counts)
    assert mismatches(found["output"], block.run(counts).output) == 0
