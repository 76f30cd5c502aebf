"""Published attention blocks as networks: every spike of every stage equals the reference's, on numpy and in C++."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biospike import standalone
from biospike.ideal.attention import (
    LIF_HALF,
    Affine,
    DualSpikeAttention,
    QKChannelAttention,
    QKFormerSSA,
    QKTokenAttention,
    SpikeDrivenAttention,
    SpikeSoftmax,
    SpikformerSSA,
    SpikingBertAttention,
    split_heads,
)
from biospike.ideal.lif import SpikingJellyHard, SpikingJellySoft
from circuits.transformers import (
    DualSpikeCircuit,
    QKChannelCircuit,
    QKFormerCircuit,
    QKTokenCircuit,
    SpikeDrivenCircuit,
    SpikeSoftmaxCircuit,
    SpikformerCircuit,
    SpikingBertCircuit,
    qkformer,
    spike_driven,
    spikformer,
)
from circuits.transformers.block import BlockSize, TransformerCircuit
from circuits.transformers.tape import pack, spike_at, unpack, with_bit

import brian2 as b2


def layer(rng: np.random.Generator, features: int, units: int, gain: float = 2.0, bias: float = 0.4) -> Affine:
    """Real weights and biases, of which no sum is exact."""
    return Affine(gain * rng.normal(0.2, 1.0, (features, units)) / np.sqrt(features), rng.normal(bias, 0.3, units))


def layers(rng: np.random.Generator, names: str, channels: int, **kwargs: float) -> dict[str, Affine]:
    names_of = {"q": "q", "k": "k", "v": "v", "p": "projection"}
    return {names_of[name]: layer(rng, channels, channels, **kwargs) for name in names}


def bernoulli(rng: np.random.Generator, rate: float, *shape: int) -> np.ndarray:
    return (rng.random(shape) < rate).astype(np.uint8)


def dual(rng: np.random.Generator) -> DualSpikeAttention:
    return DualSpikeAttention(
        y=layer(rng, 4 * 12, 24),
        heads=3,
        p=2,
        size=(4, 6),
        rate_x=np.array([0.3, 0.25, 0.2]),
        rate_a=np.array([0.1, 0.2, 0.15]),
    )


def bert(rng: np.random.Generator) -> SpikingBertAttention:
    value = Affine(rng.normal(0.0, 0.2, (12, 12)), rng.normal(0.2, 0.05, 12))
    return SpikingBertAttention(**layers(rng, "qk", 12, gain=1.5, bias=0.3), v=value, heads=2)


# Model -> circuit, rate of the input, and size of the input (batch, tokens, channels).
def models(rng: np.random.Generator) -> dict[str, tuple[TransformerCircuit, float, tuple[int, int, int]]]:
    return {
        # 70 tokens are two words of spikes; the sign bit of the first is in use.
        "spikformer": (
            SpikformerCircuit(SpikformerSSA(**layers(rng, "qkvp", 12, bias=0.5), heads=3)),
            0.3,
            (2, 70, 12),
        ),
        "qkformer": (QKFormerCircuit(QKFormerSSA(**layers(rng, "qkvp", 12), heads=2)), 0.4, (2, 14, 12)),
        "qk_token": (QKTokenCircuit(QKTokenAttention(**layers(rng, "qkp", 12), heads=3)), 0.3, (2, 9, 12)),
        "qk_channel": (QKChannelCircuit(QKChannelAttention(**layers(rng, "qkp", 12))), 0.2, (2, 5, 12)),
        "spike_driven": (SpikeDrivenCircuit(SpikeDrivenAttention(**layers(rng, "qkv", 12))), 0.2, (2, 5, 12)),
        "spikingresformer": (DualSpikeCircuit(dual(rng)), 0.3, (2, 24, 12)),
        "spikingbert": (SpikingBertCircuit(bert(rng)), 0.3, (2, 9, 12)),
    }


MODELS = tuple(models(np.random.default_rng(0)))


def assert_same(found: dict[str, np.ndarray], spikes: dict[str, np.ndarray]) -> None:
    assert set(found) == set(spikes)
    for name, stage in found.items():
        assert stage.dtype == spikes[name].dtype
        np.testing.assert_array_equal(stage, spikes[name], err_msg=name)


def assert_equal_stages(circuit: TransformerCircuit, x: np.ndarray, target: str = "numpy") -> dict[str, np.ndarray]:
    """Every stage that is spikes equals the reference's, and the kernels', and none is silent or always on."""
    spikes, expected = circuit.run(x, target), circuit.block.run(x)._asdict()
    assert_same(circuit.run(x, "fused", check=False), spikes)
    assert set(spikes) == set(circuit.latency) == {k for k, stage in expected.items() if stage.dtype == np.uint8}
    for name, stage in spikes.items():
        assert 0.005 < expected[name].mean() < 0.995, name
        np.testing.assert_array_equal(stage, expected[name], err_msg=f"{circuit.name}: {name}")
    return spikes


@pytest.mark.parametrize("name", MODELS)
def test_two_hundred_steps_are_bit_exact(name: str) -> None:
    rng = np.random.default_rng(1)
    circuit, rate, size = models(rng)[name]
    x = bernoulli(rng, rate, 200, *size)
    assert_equal_stages(circuit, x)


def test_bert_membranes_keep_away_from_the_threshold() -> None:
    # For the run above: spikes do not depend on how an exponential is rounded, as long as nothing comes near a tie.
    rng = np.random.default_rng(1)
    circuit, rate, size = models(rng)["spikingbert"]
    result = circuit.block.run(bernoulli(rng, rate, 200, *size))
    before = np.cumsum(result.context, axis=0) - np.cumsum(result.output, axis=0) + result.output
    assert np.min(np.abs(before - 1)) > 1e-9
    # Probabilities add up to one: where all values of a channel spike, a fresh neuron is driven to a tie.
    everyone = SpikingBertAttention(
        q=circuit.block.q, k=circuit.block.k, v=Affine(np.zeros((12, 12)), np.ones(12)), heads=2
    )
    context = everyone.run(bernoulli(rng, rate, 1, *size)).context
    np.testing.assert_allclose(context, 1, rtol=0, atol=1e-15)


def test_masks_of_circuits_are_the_or_of_their_spikes() -> None:
    rng = np.random.default_rng(3)
    circuits = models(rng)
    x = bernoulli(rng, 0.1, 60, 1, 3, 12)
    token = circuits["qk_token"][0].run(x)
    np.testing.assert_array_equal(token["mask"], split_heads(token["q"], 3).any(axis=-1))
    channel = circuits["qk_channel"][0].run(x)
    np.testing.assert_array_equal(channel["mask"], channel["q"].any(axis=2))
    driven = circuits["spike_driven"][0].run(x)
    np.testing.assert_array_equal(driven["mask"], (driven["k"] & driven["v"]).any(axis=2))
    for stages in (token, channel, driven):
        assert 0.02 < stages["mask"].mean() < 0.98


@attrs.frozen(kw_only=True)
class Strict(SpikingJellyHard):
    """The mutant that asks for more than the threshold."""

    threshold: ClassVar[str] = "v > v_th"


@pytest.mark.parametrize("mutant", [Strict(tau=2, v_th=0.5), SpikingJellySoft(tau=2, v_th=0.5)], ids=["strict", "soft"])
@pytest.mark.parametrize(
    ("name", "module", "stage", "rate"),
    [
        ("spikformer", spikformer, "attention", 0.3),
        ("qk_token", qkformer, "mask", 0.15),
        ("qk_channel", qkformer, "mask", 0.1),
        ("spike_driven", spike_driven, "mask", 0.3),
    ],
)
def test_other_neurons_are_caught(
    monkeypatch: pytest.MonkeyPatch, name: str, module: Any, stage: str, rate: float, mutant: SpikingJellyHard
) -> None:
    rng = np.random.default_rng(4)
    circuit, _, (_, tokens, channels) = models(rng)[name]
    x = bernoulli(rng, rate, 60, 1, tokens, channels)
    monkeypatch.setattr(module, "LIF_HALF", mutant)
    assert mutant != LIF_HALF
    assert np.any(circuit.run(x)[stage] != getattr(circuit.block.run(x), stage))


@pytest.mark.parametrize("name", MODELS)
def test_another_latency_is_caught(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    rng = np.random.default_rng(5)
    circuit, rate, size = models(rng)[name]
    x = bernoulli(rng, rate, 12, *size)
    monkeypatch.setattr(type(circuit), "latency", circuit.latency | {"output": circuit.latency["output"] + 1})
    assert np.any(circuit.run(x)["output"] != circuit.block.run(x).output)


@pytest.mark.parametrize(("base", "steps"), [(1.15, 40), (1.4, 16), (1.05, 100)])
def test_spike_softmax_is_bit_exact(base: float, steps: int) -> None:
    rng = np.random.default_rng(6)
    block = SpikeSoftmax(base=base, steps=steps)
    scores = rng.normal(0, 1.5, (40, 24))
    scores[0, 3:7] = np.nan
    scores[1] = 0.25
    result, expected = SpikeSoftmaxCircuit(block).run(scores), block.run(scores)
    for got, stage in zip(result, expected, strict=True):
        np.testing.assert_array_equal(got, stage)
    assert (expected.step > 0).mean() > 0.8
    np.testing.assert_allclose(expected.shares[1], 1 / 24, rtol=1e-14)


@pytest.mark.long
@pytest.mark.compiles
def test_spikformer_of_published_size_is_bit_exact_in_cpp() -> None:
    # Spikformer 4-384 on CIFAR: 64 tokens, 12 heads of width 32, four steps; rates near those published. 28 million
    # synapses project to queries, keys and values, 786 thousand read the fast weights.
    rng = np.random.default_rng(7)

    def wide(bias: float) -> Affine:
        return Affine(rng.normal(0, 0.25, (384, 384)), rng.normal(bias, 0.3, 384))

    circuits = [
        SpikformerCircuit(SpikformerSSA(q=wide(0), k=wide(-0.3), v=wide(-0.5), projection=wide(0.3), heads=12))
        for _ in range(2)
    ]
    for circuit in circuits:
        assert_equal_stages(circuit, bernoulli(rng, 0.15, 4, 1, 64, 384), "cpp_standalone")
        # What compiled the first serves the other weights and input.
        assert standalone.is_built(circuits[1], BlockSize(batch=1, tokens=64, channels=384, heads=12, tape=1))


@given(arrays(np.uint8, (70, 5), elements=st.integers(0, 1)))
def test_tapes_hold_spikes(spikes: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack(pack(spikes, 2), 70), spikes)


def test_words_ignore_steps_that_they_do_not_hold() -> None:
    everything = np.int64(-1)
    np.testing.assert_array_equal(spike_at(everything, np.array([-1, 0, 63, 64])), [0, 1, 1, 0])
    np.testing.assert_array_equal(
        with_bit(np.zeros(4, np.int64), np.array([-1, 0, 63, 64])), [0, 1, np.iinfo(np.int64).min, 0]
    )


def test_building_runs_nothing_and_weights_are_not_compiled_in() -> None:
    first, second = (models(np.random.default_rng(seed))["qk_token"][0] for seed in (1, 2))
    shape = first.size(np.zeros((4, 1, 3, 12)))
    network = first.build(shape)
    assert network.t == 0 * b2.second
    network.run(0 * b2.second)  # Brian2 warns of objects that are in no network when they go
    assert first.structure == second.structure
    assert {k: np.shape(v) for k, v in first.state(shape).items()} == {
        k: np.shape(v) for k, v in second.state(shape).items()
    }


def test_errors_name_the_value() -> None:
    rng = np.random.default_rng(0)
    circuit = models(rng)["qk_token"][0]
    with pytest.raises(ValueError, match="one spike a step"):
        circuit.run(np.full((2, 1, 3, 12), 2))
    masked = np.ma.masked_array(np.ones((2, 1, 3, 12)), np.arange(72).reshape(2, 1, 3, 12) == 5)
    for run in (circuit.run, circuit.block.run):
        with pytest.raises(ValueError, match="x must"):
            run(masked)
    with pytest.raises(ValueError, match=r"\(T, batch, tokens, 12\), got \(2, 3\)"):
        circuit.run(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"at least one step, sample and token, got \(0, 1, 3, 12\)"):
        circuit.run(np.zeros((0, 1, 3, 12)))
    with pytest.raises(ValueError, match="batch_mixing=False"):
        QKFormerCircuit(QKFormerSSA(**layers(rng, "qkvp", 4), heads=2, batch_mixing=True))
    with pytest.raises(ValueError, match="at most 64 channels a head, got 66"):
        SpikformerCircuit(SpikformerSSA(**layers(rng, "qkvp", 66), heads=1)).run(np.zeros((1, 1, 2, 66)))
    with pytest.raises(ValueError, match="4 x 6 tokens, got 3"):
        DualSpikeCircuit(dual(rng)).run(np.zeros((2, 1, 3, 12)))
    loud = SpikingBertAttention(**layers(rng, "qkv", 4, gain=5000.0), heads=2)
    with pytest.raises(ValueError, match="exp takes at most 700"):
        SpikingBertCircuit(loud).run(np.zeros((2, 1, 3, 4)))
