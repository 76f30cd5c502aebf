"""Two layers in one network converge to their rate-domain limit."""

import attrs
import numpy as np
import pytest

from biospike.metrics import fit_order
from circuits.attention import SpikingAttention
from circuits.presentation import present
from circuits.stack import Stack

import brian2 as b2

RNG = np.random.default_rng(0)
X = RNG.uniform(0.1, 0.9, (3, 4))
W_O = RNG.normal(size=(2, 4, 4)) * 0.3


def block(seed, **options):
    W = np.random.default_rng(seed).normal(size=(3, 4, 4))
    return SpikingAttention(W_q=W[0], W_k=W[1], W_v=W[2], **({"heads": 2, "mode": "staged"} | options))


def stack(delay=500 * b2.ms, **options):
    return Stack(blocks=(block(1, **options), block(2, encoders="shared", delay=delay, **options)), W_o=tuple(W_O))


def test_limit_is_the_composition_of_ordinary_attention():
    y = X
    for seed, out, layer in zip((1, 2), W_O, stack().fitted(X).layers(X), strict=True):
        q, k, v = (
            np.moveaxis((y @ w).reshape(3, 2, 2), 1, 0) for w in np.random.default_rng(seed).normal(size=(3, 4, 4))
        )
        z = q @ k.swapaxes(1, 2) / np.sqrt(2)
        p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
        y = y + np.moveaxis(p @ v, 0, 1).reshape(3, 4) @ out
        np.testing.assert_allclose(layer.residual.values[0], y, atol=1e-12)


def test_without_residuals_a_layer_takes_the_place_of_its_tokens():
    pure = Stack(blocks=stack().blocks, W_o=tuple(W_O), residual=False).fitted(X)
    y = X
    for seed, out, layer in zip((1, 2), W_O, pure.layers(X), strict=True):
        q, k, v = np.random.default_rng(seed).normal(size=(3, 4, 4))
        alone = SpikingAttention(W_q=q, W_k=k, W_v=v, heads=2, mode="staged")
        output = alone.fit(y[None]).limit_of(y[None]).output.values[0]
        y = np.moveaxis(output, 0, 1).reshape(3, 4) @ out
        np.testing.assert_allclose(layer.residual.values[0], y, atol=1e-12)


@pytest.mark.long
def test_pure_attention_in_one_network_is_that_of_its_limit():
    """One layer: the outputs through W_o = 1 are the routed values, to which tokens are added or not."""
    none = np.zeros((4, 4))
    flat = SpikingAttention(W_q=none, W_k=none, W_v=np.eye(4), mode="staged", scales=np.ones((3, 1)))
    one = Stack(blocks=(flat,), W_o=(np.eye(4),), residual=False).fitted(X)
    with_tokens = Stack(blocks=(flat,), W_o=(np.eye(4),)).fitted(X)
    for built, mean in ((one, X.mean(axis=0)), (with_tokens, X + X.mean(axis=0))):
        data = present(built, X, duration="0.6 s", trials=4, seed=1, windows=1, target="numpy")
        found = built.read_out(data).residual.isel(sample=0, layer=0, checkpoint=-1)
        assert int(data.attention_count.sum()) > 100
        # 60 attention spikes a row, each a coin of the token it is routed from: a standard deviation below .065, and
        # the 10 % by which the rate of a row may be off.
        np.testing.assert_allclose(found.mean("trial").transpose("query", "feature"), np.broadcast_to(mean, X.shape),
                                   atol=5 * 0.065 / 2 + 0.1 * 0.5)  # fmt: skip


@pytest.mark.long
@pytest.mark.compiles
def test_two_layers_converge_to_their_limit():
    """Order 1/sqrt(T) in both layers; the means meet the limit but for what the second layer makes of a finite T."""
    one = stack().fitted(X)
    data = present(one, X, duration="16 s", trials=24, seed=1, windows=6, target="cpp_standalone")
    limit = one.limit(X)
    error = one.read_out(data).residual - limit.residual
    rmse = np.sqrt((error**2).mean(("sample", "query", "feature"))).transpose("layer", "trial", "checkpoint").values
    assert float(np.sqrt((limit.residual**2).mean())) > 0.5
    for layer in range(2):
        fit = fit_order(data.timesteps.values, rmse[layer])
        assert -0.65 < fit.order < -0.4, f"layer {layer}"
        assert rmse[layer, :, -1].mean() < 0.05
    last = error.isel(checkpoint=-1, sample=0)
    bias, standard = np.abs(last.mean("trial")), last.std("trial") / np.sqrt(24)
    # Squares of the first layer's noise shift the second by its variance, 1/T, far below its standard deviation.
    assert float((bias - 5 * standard).max()) < 0.2 * float(last.std("trial").max())

    # Query and key of a token read one residual train: their bursts coincide, unless a delay outlasts them.
    undelayed = stack(delay=0 * b2.ms).fitted(X)
    coinciding = present(undelayed, X, duration="4 s", trials=8, seed=1, windows=1, target="cpp_standalone")
    assert diagonal_bias(undelayed, coinciding) > 10
    assert abs(diagonal_bias(one, data)) < 4


def diagonal_bias(one, data):
    """Mean excess of the second layer's diagonal logits over the limit, in standard errors."""
    last = data.coincidences.isel(layer=1, sample=0, checkpoint=-1) / data.timesteps.values[-1]
    logits = last.transpose("trial", "head", "query", "key").values * one.blocks[1].nats[:, None, None]
    limit = one.limit(X).logits.isel(layer=1, sample=0).values
    error = (logits - limit)[..., np.eye(3, dtype=bool)].mean(axis=(1, 2))
    return error.mean() / (error.std(ddof=1) / np.sqrt(error.size))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks": ()}, "one W_o for each block"),
        ({"blocks": (block(1), block(2))}, "must be 'shared'"),
        ({"blocks": (block(1), block(2, heads=1, encoders="shared"))}, "block 1 differs"),
        ({"blocks": (block(1), block(2, encoders="shared", tau_m="10 ms"))}, "must not leak"),
        ({"W_o": (W_O[0], W_O[1, :3])}, r"W_o of block 1 must be finite, of shape \(4, 4\)"),
        ({"W_o": (np.ma.masked_array(W_O[0], W_O[0] < 0), W_O[1])}, "W_o of block 0 must be finite"),
        ({"residual_scales": [0.1]}, r"residual_scales must have the shape \(2,\), got \(1,\)"),
        ({"residual_scales": [0.1, 0.0]}, "residual_scales must be above 0, got 0"),
        ({"residual_scales": [np.nan, 0.1]}, "residual_scales has nan at 0"),
        ({"peak_rate": 0}, "peak_rate must be above 0"),
    ],
)
def test_bad_parameters_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        Stack(**({"blocks": (block(1), block(2, encoders="shared")), "W_o": tuple(W_O)} | change)).fitted(X)


def test_a_layer_that_gives_nothing_has_a_scale():
    one = attrs.evolve(stack(), W_o=(0 * W_O[0], W_O[1]), residual=False).fitted(X)
    np.testing.assert_array_equal(one.residual_scales, [one.peak_rate, one.peak_rate])
