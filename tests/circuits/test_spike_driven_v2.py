"""Spike-driven Transformer V2: five stages fold into one convolution, and a block is its formula, neuron by neuron."""

import numpy as np
import pytest

from biospike.errors import InputError
from biospike.ideal.attention import Affine
from biospike.ideal.attention.spike_driven_v2 import (
    HEADS,
    SIDE,
    STAGES,
    BatchNorm,
    Convolution,
    SpikeDrivenV2Block,
    fold_rep_conv,
)
from circuits.transformers import Membranes

import brian2 as b2


def norm(rng, channels):
    return BatchNorm(rng.normal(1, 0.3, channels), *rng.normal(size=(2, channels)), rng.uniform(0.5, 2, channels))


def stages(rng, features, channels, units):
    return (
        rng.normal(size=(channels, features)), norm(rng, channels), rng.normal(size=(channels, 3, 3)),
        rng.normal(size=(units, channels)), norm(rng, units),
    )  # fmt: skip


def normalise(of, x):
    return (x - of.mean) / np.sqrt(of.variance + of.eps) * of.gamma + of.beta


def five_stages(x, inner, first, depth_wise, outer, last):
    """Pixel by pixel, as the layers are called: the border is the first norm's value of zero."""
    height, width, _ = x.shape
    channels = len(inner)
    padded = np.tile(normalise(first, np.zeros(channels)), (height + 2, width + 2, 1))
    padded[1:-1, 1:-1] = normalise(first, x @ inner.T)
    out = np.empty((height, width, len(outer)))
    for i in range(height):
        for j in range(width):
            window = padded[i : i + 3, j : j + 3]
            spatial = np.array([(window[..., m] * depth_wise[m]).sum() for m in range(channels)])
            out[i, j] = normalise(last, outer @ spatial)
    return out


@pytest.mark.parametrize("sizes", [(3, 4, 5), (6, 6, 6)])
def test_five_stages_are_one_convolution(sizes):
    rng = np.random.default_rng(sum(sizes))
    layers = stages(rng, *sizes)
    folded = fold_rep_conv(*layers)
    x = (rng.random((5, 4, sizes[0])) < 0.3).astype(float)
    expected = five_stages(x, *layers)
    np.testing.assert_allclose(folded.apply(x), expected, atol=1e-12)
    behind = norm(rng, sizes[2])
    np.testing.assert_allclose(folded.behind(behind).apply(x), normalise(behind, expected), atol=1e-12)
    # Without the bias, the first norm's share of it included, no pixel is right.
    bare = Convolution(folded.weight, layers[4].shift)
    assert np.abs(bare.apply(x) - expected).max() > 0.5


def small(rng, channels=48, heads=HEADS):
    def convolution(gain=1.5):
        folded = fold_rep_conv(*stages(rng, channels, channels, channels))
        return Convolution(folded.weight * gain / np.sqrt(9 * channels * 20), rng.normal(2.2, 1.0, channels))

    def affine(rows, columns):
        return Affine(rng.normal(size=(rows, columns)) / np.sqrt(rows), rng.normal(0.5, 0.3, columns))

    return SpikeDrivenV2Block(
        q=convolution(), k=convolution(), v=convolution(), projection=convolution(),
        mlp_in=affine(channels, 4 * channels), mlp_out=affine(4 * channels, channels), heads=heads,
    )  # fmt: skip


def lif(currents, threshold):
    """One neuron a number, step by step: v + (x - v)/2, >=, reset to zero."""
    v, out = np.zeros(currents.shape[1:]), []
    for x in currents:
        v = v + (x - v) / 2
        out.append(v >= threshold)
        v = np.where(out[-1], 0.0, v)
    return np.array(out)


@pytest.mark.parametrize("T", [1, 4])
def test_a_block_is_its_formula(T):
    rng = np.random.default_rng(T)
    block = small(rng)
    x = rng.normal(0.8, 1.0, (T, 2, 3, 4, 48))
    found = block.run(x)
    s = lif(x, 1.0)
    np.testing.assert_array_equal(found.s, s)
    q, k, v = (lif(one.apply(s), 1.0) for one in (block.q, block.k, block.v))
    for mine, expected in ((found.q, q), (found.k, k), (found.v, v)):
        np.testing.assert_array_equal(mine, expected)
        assert 0 < mine.mean() < 1
    split = [one.reshape(T, 2, 12, HEADS, 6).astype(float) for one in (q, k, v)]
    product = 0.125 * np.einsum("tbihd,tbjhd,tbjhe->tbihe", *split)
    attention = lif(product.reshape(x.shape), 0.5)
    np.testing.assert_array_equal(found.attention, attention)
    assert attention.any()
    attended = x + block.projection.apply(attention)
    np.testing.assert_array_equal(found.attended, attended)
    hidden = lif(lif(attended, 1.0) @ block.mlp_in.weight + block.mlp_in.bias, 1.0)
    # Sums in another order may differ in the last bit, which no threshold here sees.
    np.testing.assert_array_equal(found.hidden, hidden)
    np.testing.assert_allclose(found.x, attended + hidden @ block.mlp_out.weight + block.mlp_out.bias, atol=1e-12)


def test_membranes_in_the_place_of_the_neurons_give_the_same_spikes():
    """Brian2 neurons of 1 ms steps are the discrete ones, of every population."""
    rng = np.random.default_rng(4)
    block = small(rng)
    x = rng.normal(0.8, 1.0, (4, 1, 3, 3, 48))
    ideal, membranes = block.run(x), block.run(x, neurons=Membranes(dt=1 * b2.ms))
    for name in ("s", "q", "k", "v", "attention", "hidden"):
        np.testing.assert_array_equal(getattr(membranes, name), getattr(ideal, name), err_msg=name)
        assert getattr(ideal, name).any()


@pytest.mark.long
@pytest.mark.parametrize("channels", STAGES[1])
@pytest.mark.parametrize("T", [1, 4])
def test_blocks_of_published_size(channels, T):
    """196 tokens, heads of 48 and 60 channels: spikes of Brian2 neurons are the formula's, all of them."""
    rng = np.random.default_rng(channels + T)

    def convolution():
        return Convolution(
            rng.normal(size=(channels, channels, 3, 3)) / np.sqrt(9 * channels), rng.normal(1.5, 1, channels)
        )

    def affine(rows, columns):
        return Affine(rng.normal(size=(rows, columns)) / np.sqrt(rows), rng.normal(0.5, 0.3, columns))

    block = SpikeDrivenV2Block(
        q=convolution(), k=convolution(), v=convolution(), projection=convolution(),
        mlp_in=affine(channels, 2 * channels), mlp_out=affine(2 * channels, channels),
    )  # fmt: skip
    x = rng.normal(0.8, 1.0, (T, 1, SIDE, SIDE, channels))
    ideal, membranes = block.run(x), block.run(x, neurons=Membranes(dt=1 * b2.ms))
    for name in ("s", "q", "k", "v", "attention", "hidden"):
        np.testing.assert_array_equal(getattr(membranes, name), getattr(ideal, name), err_msg=name)
        assert 0.01 < getattr(ideal, name).mean() < 1, name


def test_heads_of_any_width():
    """45, 60 and 120 channels a head occur: no limit of a word of 64 bits is in the formula."""
    assert {c // HEADS for pair in STAGES for c in pair} == {32, 45, 48, 60, 64, 80, 96, 120}
    assert SIDE**2 == 196
    block = small(np.random.default_rng(0), channels=240, heads=2)
    found = block.run(np.random.default_rng(1).normal(0.8, 1.0, (1, 1, 2, 2, 240)))
    assert found.attention.shape == (1, 1, 2, 2, 240)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Convolution(np.ones((2, 3, 1, 1)), np.ones(2)), r"shape \(units, features, 3, 3\)"),
        (lambda: Convolution(np.ones((2, 3, 3, 3)), np.ones(2)).apply(np.ones((4, 4, 2))), "has 3 features"),
        (lambda: small(np.random.default_rng(0)).run(np.ones((1, 1, 2, 48))), r"\(T, batch, height, width, 48\)"),
        (lambda: small(np.random.default_rng(0), heads=7), "48 channels do not divide into 7 heads"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
