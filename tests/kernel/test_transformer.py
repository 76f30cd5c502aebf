"""The transformer of NumPy: its forward pass against one written out, its reverse pass against finite differences."""

import numpy as np
import pytest
from scipy.stats import norm as normal

from biospike.errors import InputError
from biospike.ideal.transformer import Transformer, exact

WIDTH, INNER, HEADS, TOKENS, BATCH = 6, 10, 2, 4, 3
KINDS = [
    {"pre": True, "activation": "gelu", "causal": False, "pool": "mean", "last": True},
    {"pre": False, "activation": "gelu", "causal": False, "pool": "mean", "last": False},
    {"pre": True, "activation": "relu", "causal": True, "pool": "last", "last": True},
    {"pre": False, "activation": "relu", "causal": False, "pool": "first", "last": False},
]


def weights_of(last, blocks=3, seed=1):
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(blocks):
        name = f"blocks.{number}"
        shapes |= {f"{name}.attn.{part}": (WIDTH, WIDTH) for part in "qkvo"}
        shapes |= {f"{name}.mlp.0": (INNER, WIDTH), f"{name}.mlp.2": (WIDTH, INNER)}
        shapes |= {f"{name}.norm1": (WIDTH,), f"{name}.norm2": (WIDTH,)}
    if last:
        shapes["norm"] = (WIDTH,)
    weights = {f"{name}.weight": rng.normal(size=shape) for name, shape in shapes.items()}
    return weights | {f"{name}.bias": 0.3 * rng.normal(size=shape[0]) for name, shape in shapes.items()}


def model_of(last, seed=1, **options):
    return Transformer.from_weights(weights_of(last, seed=seed), heads=HEADS, **options)


def tokens_of(seed=2):
    return np.random.default_rng(seed).normal(size=(BATCH, TOKENS, WIDTH))


def by_hand(weights, x, pre, activation, causal, pool, last):
    """One sample, head by head, query by query."""

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        return (
            centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) * weights[f"{name}.weight"]
            + weights[f"{name}.bias"]
        )

    def act(x):
        return np.maximum(x, 0) if activation == "relu" else x * normal.cdf(x)

    for number in range(3):
        name = f"blocks.{number}"
        h = norm(f"{name}.norm1", x) if pre else x
        q, k, v = (linear(f"{name}.attn.{part}", h) for part in "qkv")
        out = np.empty_like(x)
        for columns in np.split(np.arange(WIDTH), HEADS):
            for i in range(TOKENS):
                seen = i + 1 if causal else TOKENS
                drive = np.exp(q[i, columns] @ k[:seen, columns].T / np.sqrt(len(columns)))
                out[i, columns] = drive / drive.sum() @ v[:seen, columns]
        y = x + linear(f"{name}.attn.o", out)
        y = y if pre else norm(f"{name}.norm1", y)
        m = norm(f"{name}.norm2", y) if pre else y
        x = y + linear(f"{name}.mlp.2", act(linear(f"{name}.mlp.0", m)))
        x = x if pre else norm(f"{name}.norm2", x)
    x = norm("norm", x) if last else x
    return {"mean": x.mean(axis=0), "first": x[0], "last": x[-1]}[pool]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_forward(kind):
    options = {name: value for name, value in kind.items() if name != "last"}
    model, x = model_of(kind["last"], **options), tokens_of()
    expected = [by_hand(weights_of(kind["last"]), sample, **kind) for sample in x]
    np.testing.assert_allclose(model.run(x).z, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_reverse_against_finite_differences(kind):
    model = model_of(**kind)
    x, rng = tokens_of(), np.random.default_rng(5)
    dz = rng.normal(size=(2, BATCH, WIDTH))
    g = model.reverse(model.run(x), dz)
    assert len(g) == 3
    step = 1e-5
    for layer in range(3):
        do = rng.normal(size=(BATCH, HEADS, TOKENS, WIDTH // HEADS))

        def moved(by, layer=layer, do=do):
            return model.run(x, lambda given: exact(given) + (by * do if given.layer == layer else 0)).z

        change = (moved(step) - moved(-step)) / (2 * step)
        found, expected = (g[layer] * do).sum(axis=(-1, -2, -3)), (dz * change).sum(axis=-1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
        assert np.abs(expected).min() > 1e-4


def encoder_layer(torch, weights, number, pre):
    """PyTorch's own layer, in double precision, with the weights of one block."""
    parts = {"self_attn.out_proj": "attn.o", "linear1": "mlp.0", "linear2": "mlp.2", "norm1": "norm1", "norm2": "norm2"}
    state: dict[str, np.ndarray] = {}
    for end in ("weight", "bias"):
        state |= {f"{theirs}.{end}": weights[f"blocks.{number}.{ours}.{end}"] for theirs, ours in parts.items()}
        joined = [weights[f"blocks.{number}.attn.{part}.{end}"] for part in "qkv"]
        state[f"self_attn.in_proj_{end}"] = np.concatenate(joined)
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, INNER, 0.0, "gelu", batch_first=True, norm_first=pre, dtype=torch.float64
    )
    layer.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return layer


@pytest.mark.parametrize("pre", [True, False])
def test_against_torch(pre):
    torch = pytest.importorskip("torch")
    weights, x = weights_of(last=False), tokens_of()
    dz = np.random.default_rng(5).normal(size=(BATCH, WIDTH))
    outputs = []

    def keep(module, given, out):
        out[0].retain_grad()
        outputs.append(out[0])

    flow = torch.tensor(x)
    for number in range(3):
        layer = encoder_layer(torch, weights, number, pre)
        layer.self_attn.register_forward_hook(keep)
        flow = layer(flow)
    model = model_of(last=False, pre=pre)
    passed = model.run(x)
    np.testing.assert_allclose(passed.z, flow.mean(dim=1).detach().numpy(), rtol=1e-10, atol=1e-12)
    (flow.mean(dim=1) * torch.tensor(dz)).sum().backward()
    for layer, g, out in zip(model.layers, model.reverse(passed, dz), outputs, strict=True):
        theirs = (out.grad.numpy() @ layer.o.weight).reshape(BATCH, TOKENS, HEADS, -1).swapaxes(1, 2)
        np.testing.assert_allclose(g, theirs, rtol=1e-9, atol=1e-12)


def test_single_precision_stays_single():
    weights = {name: array.astype(np.float32) for name, array in weights_of(last=True).items()}
    model = Transformer.from_weights(weights, heads=HEADS)
    passed = model.run(tokens_of().astype(np.float32))
    assert passed.z.dtype == np.float32
    assert {g.dtype for g in model.reverse(passed, passed.z[None])} == {np.dtype(np.float32)}
    whole = model_of(last=True).run(tokens_of()).z
    np.testing.assert_allclose(passed.z, whole, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "heads", "says"),
    [
        (lambda weights: {}, 2, "weights have no block"),
        (
            lambda weights: weights | {"blocks.4.norm1.weight": np.ones(WIDTH)},
            2,
            "weights have no blocks.3.attn.q.weight",
        ),
        (lambda weights: weights, 4, "heads must divide the width of 6, got 4"),
    ],
)
def test_refused(change, heads, says):
    with pytest.raises(InputError, match=says):
        Transformer.from_weights(change(weights_of(last=True)), heads=heads)
