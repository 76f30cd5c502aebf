"""The block from tokens to outputs: every product against recorded spikes, the whole against its limit."""

import attrs
import numpy as np
import pytest
from scipy.special import softmax

from biospike import runtime
from biospike.encoding import Regular
from biospike.theory.concentration import multinomial_tv
from circuits import SOFTMAX_CIRCUITS
from circuits.attention import SpikingAttention
from circuits.presentation import neurons, plan_presentation, present
from circuits.softmax import COMMON_GATES, Diffusive, Escape, Integrate

import brian2 as b2

TOY = np.array([[0.8, 0.2], [0.3, 0.7]])  # the paper's example
RNG = np.random.default_rng(5)
X = RNG.uniform(0.1, 0.9, (4, 3))
W = RNG.normal(size=(3, 3, 4))
MANY = np.random.default_rng(6).uniform(0.1, 0.9, (40, 3))  # more tokens than an integer of 32 bits has bits
SE = 4.5
EXACT = [pytest.param(name, marks=() if name == "escape" else pytest.mark.long) for name in COMMON_GATES]
MODES = ["streaming", pytest.param("staged", marks=pytest.mark.long)]
"""Where each mode costs many networks."""


def toy(**options):
    return SpikingAttention(W_q=np.eye(2), W_k=np.eye(2), W_v=np.eye(2), **({"score_scale": 3.0} | options))


def block(**options):
    return SpikingAttention(**({"W_q": W[0], "W_k": W[1], "W_v": W[2], "heads": 2, "score_scale": 1.5} | options))


def normaliser(name):
    return SOFTMAX_CIRCUITS[name](rate=100 * b2.Hz, dt=1 * b2.ms)


def recorded(one, x, steps, seed=3):
    """Spikes (steps, neurons) of every population, the score membranes, and the counts of the same run."""
    plan = plan_presentation(one, x, duration=steps * one.dt, seed=seed, windows=1)
    shape = plan.shape()
    with runtime.preferences("numpy", plan.dt):
        network = plan.circuit.build(shape)
        runtime.assign(network, plan.state(0))
        groups = ("encoder", "neurons", "keys", "outputs")
        monitors = {name: b2.SpikeMonitor(network[name], name=f"{name}_spikes") for name in groups}
        u = b2.StateMonitor(network["keys"], "u", record=True, when="after_groups", name="u_trace")
        network.add(*monitors.values(), u)
        network.run(plan.duration(0) * b2.second, namespace={})
        spikes = {}
        for name, monitor in monitors.items():
            spikes[name] = np.zeros((round(plan.duration(0) / plan.dt), len(network[name])), dtype=int)
            spikes[name][np.rint(np.array(monitor.t / one.dt)).astype(int), np.array(monitor.i)] = 1
        wanted = {
            name: np.array(getattr(network[name.split(".")[0]], name.split(".")[1] + "_")) for name in plan.wanted
        }
    n, h, d = shape.tokens, shape.heads, shape.width
    s = spikes["neurons"].reshape(-1, shape.slots, n, 3, h, d, 2)[:, 0]
    a = spikes["keys"].reshape(-1, shape.slots, h, n, n)[:, 0]
    membrane = np.array(u.u_).T.reshape(-1, shape.slots, h, n, n)[:, 0]
    return plan, s, a, membrane, plan.collect(0, wanted)


@pytest.mark.parametrize("mode", ["staged", "streaming"])
def test_every_product_against_the_recorded_spikes(mode):
    """Scores, the membrane they charge, and the routed values are the matrix products of the trains, step by step."""
    one = block(mode=mode, tau_s=10 * b2.ms)
    plan, s, a, u, counted = recorded(one, MANY, 80)
    fitted, timing = plan.circuit, plan.circuit.timing(80, one.dt)
    signed = s[..., 0] - s[..., 1]
    arrived = np.einsum("tihd,tjhd->thij", signed[:, :, 0], signed[:, :, 1])
    arrived = np.concatenate([np.zeros_like(arrived[:1]), arrived[:-1]])  # a step later
    step = np.arange(len(arrived))[:, None, None, None]
    arrived = arrived * ((step >= timing.score_from) & (step < timing.score_to))
    window = slice(timing.onset, timing.onset + 80)
    scored = arrived.sum(axis=0) if mode == "staged" else arrived[window].sum(axis=0)
    np.testing.assert_array_equal(counted["coincidences"][0, ..., -1], scored)
    assert np.abs(scored).sum() > 100

    keep = 1.0 if mode == "staged" else np.exp(-1 / 10)
    charge = fitted.nats[:, None, None] * (1 / 80 if mode == "staged" else 1 - keep)
    expected = np.zeros_like(u[0])
    for t in range(len(u)):
        expected = expected * keep + charge * arrived[t]
        np.testing.assert_allclose(u[t], expected, atol=1e-9)

    assert a[: timing.attend_from].sum() == 0
    np.testing.assert_array_equal(counted["attention_count"][0, ..., -1], a[window].sum(axis=0))
    assert a[window].sum() > 30
    routed = np.einsum("thij,tjhds->thids", a, s[:, :, 2])
    # The output relays what it was sent up to the step before, at most a spike a step.
    owed, relayed = np.zeros_like(routed[0]), np.zeros_like(routed)
    for t in range(1, len(routed)):
        owed = owed + routed[t - 1]
        relayed[t] = owed > 0
        owed = owed - relayed[t]
    late = slice(timing.onset + 1, timing.onset + 81)
    np.testing.assert_array_equal(counted["output_count"][0, ..., -1], relayed[late].sum(axis=0))
    assert np.einsum("thij,tjhds->j", a[window], s[window, :, 2])[32:].sum() > 20
    np.testing.assert_array_equal(counted["spikes_attention"][0], a[: timing.onset + 80].sum())
    np.testing.assert_array_equal(counted["spikes_qkv"][0], s[: timing.onset + 80].sum())


@pytest.mark.parametrize("name", EXACT)
def test_toy_example_within_its_intervals(name):
    """Staged: attention and output of the paper's toy input meet their limit within standard errors."""
    one = toy(mode="staged", softmax=normaliser(name)).fitted(TOY)
    data = present(one, TOY, duration="400 ms", trials=64, seed=1, windows=1, target="numpy")
    measured, limit = one.read_out(data).isel(checkpoint=-1, sample=0), one.limit(TOY).isel(sample=0)
    assert float(data.attention_count.sum("key").min()) > 20
    # exp is convex: scores of T steps with variance s^2 shift the mean attention by about p*s^2, within 0.01 here.
    for variable, slack in (("logits", 0.0), ("attention", 0.01), ("output", 0.01)):
        value = measured[variable]
        error = np.abs(value.mean("trial") - limit[variable])
        assert float((error - slack - SE * value.std("trial") / 8).max()) < 0, variable
    assert float(limit.attention.max()) > 0.7


def test_sampling_given_the_scores_is_multinomial():
    """Staged: attention is softmax of the *measured* scores, sampled with the law of the escape circuit."""
    one = toy(mode="staged").fitted(TOY)
    data = present(one, TOY, duration="300 ms", trials=100, seed=2, windows=1, target="numpy")
    measured = one.read_out(data).isel(checkpoint=-1, sample=0, head=0)
    p = softmax(measured.logits.transpose("trial", "query", "key").values, axis=-1)
    spikes = data.attention_count.isel(checkpoint=-1, sample=0, head=0).sum("key").transpose("trial", "query").values
    tv = np.abs(measured.attention.transpose("trial", "query", "key").values - p).sum(axis=-1) / 2
    law = multinomial_tv(p, spikes.astype(float))
    difference = (tv - law).ravel()
    assert abs(difference.mean()) < SE * difference.std() / np.sqrt(difference.size)
    assert tv.mean() > 0.02


@pytest.mark.parametrize("causal", [False, True])
def test_masked_keys_are_never_attended_to(causal):
    mask = np.array([True, True, False, True])
    one = block(mode="staged", causal=causal)
    data = present(one, X, duration="100 ms", trials=4, seed=1, windows=1, key_mask=mask, target="numpy")
    spikes = data.attention_count.sum(("trial", "sample", "head", "checkpoint")).values
    allowed = np.broadcast_to(mask, (4, 4)) & (np.tril(np.ones((4, 4), bool)) if causal else True)
    assert spikes[~allowed].sum() == 0
    assert (spikes.sum(axis=1) > 20).all()
    limit = one.fitted(X).limit(X, mask)
    assert np.isnan(limit.logits.values[..., ~allowed]).all()
    np.testing.assert_allclose(limit.attention.sum("key"), 1)
    if causal:
        np.testing.assert_allclose(limit.attention[..., 0, 0], 1)


def test_a_query_without_keys_is_refused():
    with pytest.raises(ValueError, match="query 0 of sample 0 may attend to no key"):
        present(block(causal=True), X, duration="50 ms", key_mask=np.array([False, True, True, True]))


def test_permuting_tokens_permutes_everything_exactly_for_the_regular_code():
    one = block(encoder=Regular(), softmax=Integrate(rate=100 * b2.Hz, dt=1 * b2.ms), phase=0.5, mode="staged").fitted(
        X
    )
    order = [2, 0, 3, 1]
    options = {"duration": "150 ms", "windows": 2, "target": "numpy"}
    a, b = present(one, X, seed=1, **options), present(one, X[order], seed=2, **options)
    np.testing.assert_array_equal(a.attention_count.values[:, :, :, order][..., order, :], b.attention_count)
    np.testing.assert_array_equal(a.output_count.values[:, :, :, order], b.output_count)
    np.testing.assert_array_equal(a.coincidences.values[:, :, :, order][..., order, :], b.coincidences)
    assert a.output_count.sum() > 60
    assert not np.array_equal(a.output_count, b.output_count)


@pytest.mark.long
def test_permuting_tokens_permutes_the_distribution_otherwise():
    one = block(mode="staged").fitted(X)
    order = [2, 0, 3, 1]
    trials = 32  # one batch
    options = {"duration": "320 ms", "windows": 1, "trials": trials, "target": "numpy"}
    a, b = (one.read_out(present(one, x, seed=seed, **options)) for seed, x in ((1, X), (2, X[order])))
    first, second = a.output.values[:, 0, :, order][..., 0], np.moveaxis(b.output.values[:, 0, ..., 0], 2, 0)
    difference = first.mean(axis=1) - second.mean(axis=1)
    standard = np.sqrt((first.var(axis=1) + second.var(axis=1)) / trials)
    assert np.abs(difference / standard).max() < SE
    unpermuted = np.moveaxis(a.output.values[:, 0, ..., 0], 2, 0).mean(axis=1) - second.mean(axis=1)
    assert np.abs(unpermuted / standard).max() > SE


def test_limit_is_ordinary_attention_without_a_leak_and_not_with_one():
    one = block().fitted(X)
    limit, ordinary = one.limit(X), one.ordinary(X)
    q, k, v = (np.moveaxis((X @ w).reshape(4, 2, 2), 1, 0) for w in W)
    p = softmax(1.5 * q @ k.swapaxes(1, 2), axis=-1)
    for found in (limit, ordinary):
        np.testing.assert_allclose(found.attention.values[0], p, atol=1e-12)
        np.testing.assert_allclose(found.output.values[0], p @ v, atol=1e-12)
    leaky = attrs.evolve(one, tau_m=5 * b2.ms).limit(X)
    assert np.abs(leaky.attention - ordinary.attention).max() > 0.01
    default = attrs.evolve(one, score_scale=None).ordinary(X)
    np.testing.assert_allclose(default.logits.values[0], q @ k.swapaxes(1, 2) / np.sqrt(2), atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_batches_never_show(monkeypatch, mode):
    # Three trials of two samples in one batch, and cut into a batch of four and one that is half empty.
    options = {"duration": "60 ms", "seed": 6, "target": "numpy", "windows": 2, "trials": 3}
    one = block(mode=mode, tau_s=10 * b2.ms)
    whole = present(one, np.stack([X, 1 - X]), **options)
    size = neurons(plan_presentation(one, np.stack([X, 1 - X]), duration="60 ms").shape())
    monkeypatch.setattr("circuits.presentation.NEURONS_PER_BATCH", 4 * size)
    cut = present(one, np.stack([X, 1 - X]), **options)
    for name in ("attention_count", "output_count", "coincidences", "spikes_encoder"):
        np.testing.assert_array_equal(whole[name], cut[name])
    assert whole.attention_count.sum() > 100


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize("mode", ["streaming", "staged"])
def test_compiled_and_numpy_agree_spike_for_spike(tmp_path, monkeypatch, mode):
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path))
    one = block(mode=mode, tau_s=50 * b2.ms, encoders="shared", delay=2 * b2.ms).fitted(X)
    options = {"duration": "300 ms", "trials": 2, "seed": 9, "windows": 3}
    a, b = (present(one, X, target=target, **options) for target in ("numpy", "cpp_standalone"))
    for name in ("attention_count", "output_count", "coincidences", "spikes_encoder", "spikes_qkv"):
        np.testing.assert_array_equal(a[name], b[name])
    assert a.attention_count.sum() > 400


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"W_v": np.ones((3, 2))}, "one shape"),
        ({"mode": "both"}, "'staged', 'streaming'"),
        ({"softmax": Diffusive()}, "common gate"),
        ({"softmax": "escape"}, "common gate"),
        ({"tau_s": "0 ms"}, "above"),
        ({"release": 0}, "above"),
    ],
)
def test_bad_parameters_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        block(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score_scale": 100.0}, "largest logits of the rows"),
        ({"softmax": Escape(dt=1 * b2.ms)}, "too coarse"),
        ({"delay": "0.3 ms"}, "multiple of dt"),
        ({"w": 5.0}, r"falls by w\*rate\*dt \+ release = 0.7 nats a step, which must be at most log\(2\)"),
        ({"release": 0.7}, r"\+ release = 0.71 nats a step, .*: w at most 0 at rate"),
        ({"first_spikes": 10**9}, r"start - settle\*release \+ first_spikes\*w = 1e\+08 and start = 12"),
        ({"scales": np.ones((2, 2))}, r"\(3, 2\)"),
        ({"scales": -np.ones((3, 2))}, "scales must be above 0, got -1"),
        ({"scales": np.full((3, 2), np.nan)}, r"scales has nan at \(0, 0\), and 5 more"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(change, words, monkeypatch):
    monkeypatch.setattr("biospike.execution.execute", None)
    with pytest.raises(ValueError, match=words):
        present(block(**change), X, duration="50 ms")
