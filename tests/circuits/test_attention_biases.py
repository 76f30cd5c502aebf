"""Biases of queries, keys and values: closed forms, and the lines that refuse what is none. Spikes: attention sizes."""

import itertools

import attrs
import numpy as np
import pytest
from scipy.special import softmax

from biospike.encoding import Regular
from biospike.errors import InputError
from circuits.attention import SpikingAttention
from circuits.coincidence import Coincidence
from circuits.stack import Stack

import brian2 as b2

RNG = np.random.default_rng(11)
TOKENS, FEATURES, HEADS, WIDTH = 4, 3, 2, 2
X = RNG.uniform(0.1, 0.9, (TOKENS, FEATURES))
W = RNG.normal(size=(3, FEATURES, HEADS * WIDTH))
B = RNG.normal(size=(3, HEADS * WIDTH))
BIASES = dict(zip(("b_q", "b_k", "b_v"), B, strict=True))


def block(**options):
    return SpikingAttention(*W, **({"heads": HEADS, "score_scale": 0.7} | BIASES | options))


def attended(y, w=W, b=B):
    """Attention of the projections y @ w + b, and its output (tokens, heads*width)."""
    q, k, v = (np.moveaxis((y @ one + add).reshape(TOKENS, HEADS, WIDTH), 1, 0) for one, add in zip(w, b, strict=True))
    p = softmax(0.7 * q @ k.swapaxes(1, 2), axis=-1)
    return p, np.moveaxis(p @ v, 0, 1).reshape(TOKENS, -1)


def test_limit_and_ordinary_attention_are_those_of_the_biased_projections():
    one = block().fitted(X)
    p, output = attended(X)
    for found in (one.limit(X), one.ordinary(X)):
        np.testing.assert_allclose(found.attention.values[0], p, atol=1e-12)
        np.testing.assert_allclose(np.moveaxis(found.output.values[0], 0, 1).reshape(TOKENS, -1), output, atol=1e-12)
    assert np.abs(p - attended(X, b=0 * B)[0]).max() > 0.05


def test_scales_are_fitted_to_the_biased_projections():
    one = block(peak_rate=0.75).fitted(X)
    largest = np.abs((X @ W + B[:, None]).reshape(3, TOKENS, HEADS, WIDTH)).max(axis=(1, 3))
    np.testing.assert_allclose(one.scales, 0.75 / largest)
    assert one.rates(X).max() == pytest.approx(0.75)
    with pytest.raises(InputError, match="lower its scale"):
        block(scales=0.9 / np.abs(X @ W).max() * np.ones((3, HEADS)), b_q=9 * B[0]).rates(X)


def test_rates_with_a_leak_are_those_of_every_pattern_of_input_spikes():
    """A membrane that forgets within a step spikes with the probability of a pattern that reaches the threshold."""
    one = block(tau_m=b2.ms / 50, scales=np.full((3, HEADS), 0.3))
    x = X[:2]
    expected = np.zeros((2, 3, HEADS * WIDTH, 2))
    for pattern in itertools.product((0, 1), repeat=FEATURES):
        probability = np.where(pattern, x, 1 - x).prod(axis=1)
        current = 0.3 * (np.array(pattern) @ W + B)
        expected += probability[:, None, None, None] * np.stack([current >= 1, -current >= 1], axis=-1)
    assert (expected > 0.02).sum() > 3
    np.testing.assert_allclose(one.rates(x)[0].reshape(expected.shape), expected, atol=5e-4)


@pytest.mark.long
def test_rates_with_a_leak_are_those_of_a_feature_that_always_spikes():
    options = {"tau_m": 1 * b2.ms, "scales": np.full((3, HEADS), 0.2)}
    q, k, v = np.concatenate([W, B[:, None]], axis=1)
    more = SpikingAttention(W_q=q, W_k=k, W_v=v, heads=HEADS, **options)
    x = X[:1]
    expected = more.rates(np.pad(x, ((0, 0), (0, 1)), constant_values=1.0))
    np.testing.assert_array_equal(block(**options).rates(x), expected)
    assert np.abs(expected - block(b_q=None, b_k=None, b_v=None, **options).rates(x)).max() > 0.05


def test_layers_have_biases_of_their_own():
    out = RNG.normal(size=(2, HEADS * WIDTH, FEATURES)) / 4
    one = Stack(blocks=(block(), block(encoders="shared", b_k=None)), W_o=tuple(out)).fitted(X)
    first = X + attended(X)[1] @ out[0]
    second = first + attended(first, b=B * np.array([[1], [0], [1]]))[1] @ out[1]
    np.testing.assert_allclose(one.limit(X).residual.values[:, 0], [first, second], atol=1e-12)
    np.testing.assert_array_equal(one.describe()["b_key"][1], [B[1], 0 * B[1]])


def test_results_carry_them_and_none_is_zero():
    stored = block(b_k=None).fitted(X).describe()
    np.testing.assert_array_equal(
        [stored[f"b_{name}"][1] for name in ("query", "key", "value")], [B[0], 0 * B[1], B[2]]
    )
    assert stored["b_key"][0] == ("column",)
    assert block(b_k=0 * B[1]).fitted(X).limit(X).equals(block(b_k=None).fitted(X).limit(X))


def test_the_closed_form_of_shared_input_needs_none():
    one = Coincidence(np.abs(W[0]), np.abs(W[1]), heads=HEADS, scales=np.full((2, HEADS), 0.1), encoders="shared")
    assert one.shared_input_bias(X).min() > 0
    with pytest.raises(InputError, match="no biases"):
        attrs.evolve(one, b_k=B[1]).shared_input_bias(X)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"b_q": np.ones(3)}, r"b_q must be finite, one of each of 4 columns, got shape \(3,\)"),
        ({"b_v": np.ones((1, 4))}, r"b_v .* got shape \(1, 4\)"),
        ({"b_k": [0, 1, np.nan, 2]}, "b_k .* got nan"),
        ({"b_k": [0, 1, -np.inf, 2]}, "b_k .* got -inf"),
        ({"b_k": "some"}, "biases must be numbers"),
        ({"b_k": 1.0}, r"b_k .* got shape \(\)"),
    ],
)
def test_what_is_no_bias_is_refused_in_one_line(change, words):
    with pytest.raises(InputError, match=words) as caught:
        block(**change)
    assert "\n" not in str(caught.value)


def test_rates_with_a_leak_stay_unknown_for_other_input():
    with pytest.raises(InputError, match="Bernoulli"):
        block(tau_m="5 ms", encoder=Regular(), scales=np.full((3, HEADS), 0.1)).rates(X)
