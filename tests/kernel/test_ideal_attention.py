"""Attention of published spiking transformers as formulas: identities, masks, scales, and what they are far from."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biospike.ideal.attention import (
    IF,
    LIF,
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
    fire,
    fold_batch_norm,
    merge_heads,
    ordered_matmul,
    project,
    rate_scale,
    self_attention_current,
    split_heads,
)
from biospike.ideal.attention.qkformer import channel_mask, token_mask
from biospike.ideal.attention.spike_driven import key_value_mask
from biospike.ideal.attention.spikingresformer import patch_weight, token_patches
from biospike.ideal.lif import SnnTorch, SpikingJellySoft
from biospike.ideal.softmax import softmax

STRICT_HALF = SnnTorch(beta=0.5, thr=0.5, reset="zero")
SPIKES = arrays(np.uint8, (4, 2, 5, 6), elements=st.integers(0, 1))


def layer(rng: np.random.Generator, features: int, units: int, gain: float = 1.0) -> Affine:
    """Random layer whose neurons spike at rates of some ten percent for such input."""
    return Affine(gain * rng.normal(0.3, 1.0, (features, units)) / np.sqrt(features), rng.normal(0.5, 0.3, units))


def layers(rng: np.random.Generator, channels: int, names: str) -> dict[str, Affine]:
    names_of = {"q": "q", "k": "k", "v": "v", "p": "projection"}
    return {names_of[name]: layer(rng, channels, channels, gain=2.0) for name in names}


def bernoulli(rng: np.random.Generator, rate: float, *shape: int) -> np.ndarray:
    return (rng.random(shape) < rate).astype(np.uint8)


def assert_active(*stages: np.ndarray) -> None:
    for stage in stages:
        assert 0.01 < stage.mean() < 0.99


# Layers


def test_batch_norm_folds_into_the_layer() -> None:
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(7, 3)), rng.normal(size=3)
    mean, variance, gamma, beta = rng.normal(size=3), rng.uniform(0.1, 2, 3), rng.normal(size=3), rng.normal(size=3)
    x = rng.integers(0, 2, (4, 7))
    expected = gamma * (x @ W + b - mean) / np.sqrt(variance + 1e-5) + beta
    folded = fold_batch_norm(W, b, mean, variance, gamma, beta)
    np.testing.assert_allclose(project(x, folded), expected, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=r"variance \+ eps must be above 0, got a minimum of -1"):
        fold_batch_norm(W, b, mean, [-1, 1, 1], gamma, beta, eps=0)


def test_ordered_product_is_the_sequential_sum_and_a_library_product_is_not() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 5, 200)), rng.normal(size=(200, 4))
    expected = np.zeros((3, 5, 4))
    for index in np.ndindex(expected.shape):
        total = 0.0
        for left, right in zip(a[index[:2]], b[:, index[2]], strict=True):
            total += left * right
        expected[index] = total
    product = ordered_matmul(a, b)
    np.testing.assert_array_equal(product, expected)
    np.testing.assert_allclose(product, a @ b, rtol=0, atol=1e-12)
    assert not np.array_equal(product, a @ b)
    integers = rng.integers(-9, 9, (5, 200)), rng.integers(-9, 9, (200, 4)) / 8
    np.testing.assert_array_equal(ordered_matmul(*integers), integers[0] @ integers[1])


def test_heads_are_contiguous_channels() -> None:
    x = np.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    assert split_heads(x, 2).shape == (2, 3, 2, 4, 3)
    np.testing.assert_array_equal(split_heads(x, 2)[0, 0, 1, 0], [3, 4, 5])
    np.testing.assert_array_equal(merge_heads(split_heads(x, 2)), x)


def test_neurons_are_those_of_the_frameworks() -> None:
    rng = np.random.default_rng(2)
    X = rng.integers(0, 17, (50, 100)) / 8
    V, U = np.zeros(100), np.zeros(100)
    lif, integrate = fire(LIF, X), fire(IF, X)
    for t, x in enumerate(X):
        H = V + (x - V) / 2
        np.testing.assert_array_equal(lif[t], H >= 1)
        V = np.where(H >= 1, 0, H)
        U = U + x
        np.testing.assert_array_equal(integrate[t], U >= 1)
        U = U - (U >= 1)
    assert_active(lif, integrate)


# Spikformer


@given(SPIKES, SPIKES, SPIKES, st.sampled_from([1, 2, 3, 6]))
def test_orders_of_association_are_equal_exactly(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int) -> None:
    first = self_attention_current(q, k, v, heads=heads, order="(QK)V")
    second = self_attention_current(q, k, v, heads=heads, order="Q(KV)")
    np.testing.assert_array_equal(first, second)
    d = 6 // heads
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        expected = np.einsum("tbid,tbjd,tbje->tbie", *(x[..., part].astype(int) for x in (q, k, v)), optimize=True)
        np.testing.assert_array_equal(first[..., part], expected / 8)


def test_spikformer_block_in_both_orders() -> None:
    rng = np.random.default_rng(3)
    block = SpikformerSSA(**layers(rng, 24, "qkvp"), heads=3)
    x = bernoulli(rng, 0.3, 4, 2, 16, 24)
    result = block.run(x)
    other = attrs.evolve(block, order="(QK)V").run(x)
    for stage, same in zip(result, other, strict=True):
        np.testing.assert_array_equal(stage, same)
    assert_active(result.q, result.k, result.v, result.attention, result.output)
    np.testing.assert_array_equal(result.q, fire(LIF, project(x, block.q)))


def test_self_attention_needs_eight_coincidences_from_rest() -> None:
    coincidences = np.arange(1, 13)
    first = fire(LIF_HALF, coincidences[None] / 8)[0]
    np.testing.assert_array_equal(first, coincidences >= 8)
    # With the same number in every step: five to seven accumulate to a spike within T = 4; four approach the threshold
    # from below, and reach it by rounding, after as many steps as a double has bits.
    steady = fire(LIF_HALF, np.broadcast_to(coincidences / 8, (50, 12)))
    np.testing.assert_array_equal(steady.any(axis=0), coincidences >= 5)
    np.testing.assert_array_equal(steady[:4].any(axis=0), coincidences >= 5)


@pytest.mark.parametrize(
    ("rates", "low", "high"),
    [
        ((0.144, 0.104, 0.081), 0.04, 0.07),
        ((0.096, 0.080, 0.077), 0.002, 0.006),
        ((0.079, 0.074, 0.068), 2e-4, 2e-3),
        ((0.050, 0.050, 0.050), 0, 2e-5),
    ],
)
def test_self_attention_dies_with_the_rates(rates: tuple[float, float, float], low: float, high: float) -> None:
    # The published size, 64 tokens and 12 heads of width 32, and the published rates of the first three blocks. Trains
    # are independent here: 64*32*r_q*r_k*r_v coincidences a step on average, 2.5, 1.2, 0.8 and 0.3, but 8 are needed.
    rng = np.random.default_rng(4)
    q, k, v = (bernoulli(rng, rate, 4, 4, 64, 384) for rate in rates)
    assert min(q.mean(), k.mean(), v.mean()) > 0.045
    spiking = fire(LIF_HALF, self_attention_current(q, k, v, heads=12)).mean()
    assert low <= spiking < high


# Masks


@given(SPIKES, SPIKES, st.sampled_from([1, 2, 3, 6]))
def test_masks_are_the_or_of_their_spikes(q: np.ndarray, k: np.ndarray, heads: int) -> None:
    np.testing.assert_array_equal(token_mask(q, heads), split_heads(q, heads).any(axis=-1))
    np.testing.assert_array_equal(channel_mask(q), q.any(axis=2))
    np.testing.assert_array_equal(key_value_mask(q, k), (q & k).any(axis=2))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.9), st.integers(1, 40))
def test_masks_have_no_memory(seed: int, rate: float, tokens: int) -> None:
    q, k = bernoulli(np.random.default_rng(seed), rate, 2, 50, 1, tokens, 8)
    np.testing.assert_array_equal(token_mask(q, 2), split_heads(q, 2).any(axis=-1))
    np.testing.assert_array_equal(channel_mask(q), q.any(axis=2))
    np.testing.assert_array_equal(key_value_mask(q, k), (q & k).any(axis=2))


def test_strict_threshold_is_another_mask() -> None:
    rng = np.random.default_rng(5)
    q = bernoulli(rng, 0.043, 4, 8, 64, 96)
    X = split_heads(q, 8).sum(axis=-1, dtype=float)
    # mem = beta*mem + I with the input halved is the same membrane, H = V + (X - V)/2.
    strict = fire(STRICT_HALF, X / 2)
    mask = token_mask(q, 8)
    assert_active(mask, strict)
    assert np.mean(strict != mask) > 0.1
    assert np.all(strict <= mask)


def test_soft_reset_is_another_mask() -> None:
    q = bernoulli(np.random.default_rng(6), 0.1, 4, 8, 64, 96)
    soft = fire(SpikingJellySoft(tau=2, v_th=0.5), split_heads(q, 8).sum(axis=-1, dtype=float))
    mask = token_mask(q, 8)
    assert np.mean(soft != mask) > 0.01
    assert np.all(soft >= mask)


@pytest.mark.parametrize("heads", [1, 4])
def test_token_attention_passes_keys_of_tokens_with_a_query_spike(heads: int) -> None:
    rng = np.random.default_rng(7)
    block = QKTokenAttention(**layers(rng, 16, "qkp"), heads=heads)
    result = block.run(bernoulli(rng, 0.2, 4, 3, 10, 16))
    expected = merge_heads(split_heads(result.k, heads) * split_heads(result.q, heads).any(axis=-1, keepdims=True))
    np.testing.assert_array_equal(result.masked, expected)
    np.testing.assert_array_equal(result.output, fire(LIF, project(expected, block.projection)))
    assert result.mask.shape == (4, 3, heads, 10)
    assert_active(result.q, result.k, result.masked, result.output)


def test_channel_attention_passes_keys_of_channels_with_a_query_spike() -> None:
    rng = np.random.default_rng(8)
    block = QKChannelAttention(**layers(rng, 16, "qkp"))
    result = block.run(bernoulli(rng, 0.05, 4, 3, 3, 16))
    np.testing.assert_array_equal(result.masked, result.k * result.q.any(axis=2, keepdims=True))
    assert_active(result.q, result.mask, result.masked, result.output)


def test_spike_driven_attention_passes_queries_of_channels_with_a_coincidence() -> None:
    rng = np.random.default_rng(9)
    result = SpikeDrivenAttention(**layers(rng, 16, "qkv")).run(bernoulli(rng, 0.15, 4, 3, 3, 16))
    np.testing.assert_array_equal(result.output, result.q * (result.k & result.v).any(axis=2, keepdims=True))
    assert_active(result.q, result.kv, result.mask, result.output)


def test_batch_mixing_is_off_and_carries_membranes_from_sample_to_sample() -> None:
    rng = np.random.default_rng(10)
    own = QKFormerSSA(**layers(rng, 16, "qkvp"), heads=2)
    mixing = attrs.evolve(own, batch_mixing=True)
    x = bernoulli(rng, 0.4, 4, 3, 12, 16)
    result, published = own.run(x), mixing.run(x)
    assert not own.batch_mixing
    assert_active(result.output, published.output)
    np.testing.assert_array_equal(result.attention, published.attention)
    assert not np.array_equal(result.output, published.output)
    # On its own, each sample gives the same spikes; only in the published order do they depend on company.
    alone = np.concatenate([own.run(x[:, [b]]).output for b in range(3)], axis=1)
    np.testing.assert_array_equal(result.output, alone)
    np.testing.assert_array_equal(mixing.run(x[:, :1]).output, own.run(x[:, :1]).output)
    # Written out: one membrane, which sees sample after sample within a step.
    currents = project(result.attention, own.projection)
    V = np.zeros((12, 16))
    for t in range(4):
        for b in range(3):
            H = V + (currents[t, b] - V) / 2
            np.testing.assert_array_equal(published.output[t, b], H >= 1)
            V = np.where(H >= 1, 0, H)


# SpikingResformer


def dual(rng: np.random.Generator, p: int = 2, heads: int = 2, channels: int = 8) -> DualSpikeAttention:
    return DualSpikeAttention(
        y=layer(rng, p * p * channels, 2 * channels),
        heads=heads,
        p=p,
        size=(4, 6),
        rate_x=np.full(heads, 0.3),
        rate_a=np.linspace(0.1, 0.2, heads),
    )


def test_dual_spike_attention_against_a_convolution_and_einsum() -> None:
    rng = np.random.default_rng(11)
    block = dual(rng)
    kernel = rng.normal(size=(16, 8, 2, 2))
    block = attrs.evolve(block, y=Affine(patch_weight(kernel), block.y.bias))
    x = bernoulli(rng, 0.3, 4, 2, 24, 8)
    image = x.reshape(4, 2, 2, 2, 3, 2, 8)  # T, batch, patch row, row, patch column, column, channel
    conv = np.einsum("tbyixjc,ocij->tbyxo", image, kernel).reshape(4, 2, 6, 16) + block.y.bias
    per_head = conv.reshape(4, 2, 6, 2, 2, 4)  # ..., patch, head, which, channel
    result = block.run(x)
    np.testing.assert_allclose(np.swapaxes(result.y1, 2, 3), per_head[..., 0, :], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.swapaxes(result.y2, 2, 3), per_head[..., 1, :], rtol=0, atol=1e-12)
    drive = np.einsum("tbhpd,tbnhd->tbhpn", result.y1, x.reshape(4, 2, 24, 2, 4)) / np.sqrt(0.3 * 4)
    np.testing.assert_array_equal(result.attention, fire(LIF, drive))
    drive = np.einsum("tbhpn,tbhpd->tbhnd", result.attention, result.y2)
    drive = drive / np.sqrt(np.array([0.1, 0.2])[:, None, None] * 6)
    np.testing.assert_array_equal(result.output, merge_heads(fire(LIF, drive)))
    assert_active(result.attention, result.output)


def test_scales_give_the_products_unit_variance() -> None:
    # Weights of variance 1 and spikes of rate f: a sum of d terms has the second moment f*d.
    rng = np.random.default_rng(12)
    d, rate = 64, 0.2
    sums = rng.normal(size=(4000, d)) * (rng.random((4000, d)) < rate)
    scaled = rate_scale(rate, d) * sums.sum(axis=1)
    # The variance of a variance from 4000 samples with a kurtosis near 3: 4 standard errors are 9 %.
    assert np.var(scaled) == pytest.approx(1, abs=0.09)
    assert rate_scale(0.25, 64) == 0.25


def test_silent_heads_have_no_scale() -> None:
    with pytest.raises(ValueError, match=r"firing rates must be in \(0, 1\], got \[0\.0, 0\.2\].*infinite"):
        attrs.evolve(dual(np.random.default_rng(0)), rate_x=np.array([0, 0.2]))
    with pytest.raises(ValueError, match=r"1\.5"):
        rate_scale(1.5, 3)


def test_patches_tile_the_image() -> None:
    np.testing.assert_array_equal(token_patches((2, 4), 2), [[0, 1, 4, 5], [2, 3, 6, 7]])
    np.testing.assert_array_equal(np.sort(token_patches((8, 8), 4).ravel()), np.arange(64))
    with pytest.raises(ValueError, match="3 x 4 tokens does not divide into patches of 2 x 2"):
        token_patches((3, 4), 2)


# SpikingBERT


def test_softmax_in_every_step_is_not_the_softmax_of_the_average() -> None:
    rng = np.random.default_rng(13)
    block = SpikingBertAttention(q=layer(rng, 16, 16, 12.0), k=layer(rng, 16, 16), v=layer(rng, 16, 16), heads=2)
    result = block.run(bernoulli(rng, 0.3, 100, 1, 8, 16))
    assert_active(result.k, result.v, result.output)
    inside = result.probabilities.mean(axis=0)
    outside = softmax(result.scores.mean(axis=0))
    distance = np.abs(inside - outside).sum(axis=-1).mean() / 2
    assert distance > 0.04
    np.testing.assert_allclose(inside.sum(axis=-1), 1, rtol=0, atol=1e-12)
    # Output rates: IF neurons without leak stay within one spike of the integral of their input.
    counts, charge = np.cumsum(result.output, axis=0, dtype=int), np.cumsum(result.context, axis=0)
    assert np.all(charge - counts < 1 + 1e-9)
    assert np.all(charge - counts > -1e-9)


def test_masked_keys_are_not_attended_to() -> None:
    rng = np.random.default_rng(14)
    block = SpikingBertAttention(q=layer(rng, 8, 8), k=layer(rng, 8, 8), v=layer(rng, 8, 8), heads=2)
    x = bernoulli(rng, 0.3, 20, 2, 5, 8)
    attend = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    result = block.run(x, attend)
    assert np.all(result.probabilities[:, 0, ..., 3:] == 0)
    np.testing.assert_array_equal(result.output[:, 0, :3], block.run(x[:, :1, :3]).output[:, 0])
    assert_active(result.output)


# Errors


def test_errors_name_the_value() -> None:
    rng = np.random.default_rng(0)
    block = SpikeDrivenAttention(**layers(rng, 4, "qkv"))
    with pytest.raises(ValueError, match=r"\(T, batch, tokens, 4\), got \(2, 3\)"):
        block.run(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="whole numbers"):
        block.run(np.full((2, 1, 3, 4), 0.5))
    with pytest.raises(ValueError, match="6 channels do not divide into 4 heads"):
        SpikformerSSA(**layers(rng, 6, "qkvp"), heads=4)
    with pytest.raises(ValueError, match="order must be one of"):
        self_attention_current(*np.zeros((3, 1, 1, 2, 2)), heads=1, order="QKV")
    with pytest.raises(ValueError, match=r"bias \(units,\), got \(2, 3\) and \(2,\)"):
        Affine(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        Affine(np.full((2, 3), np.nan), np.zeros(3))
    with pytest.raises(ValueError, match="base must be above 1, got 1"):
        SpikeSoftmax(base=1)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        SpikeSoftmax(steps=1)
    with pytest.raises(ValueError, match="4 features, the input has 3"):
        project(np.zeros(3), block.q)
