"""SpikeGPT: the recursion is a softmax that ages, states are carried on, and rows with a jump keep their law."""

import attrs
import numpy as np
import pytest

from biospike.errors import InputError
from biospike.ideal.attention.spikegpt import (
    SpikeGPTBlock,
    ageing_logits,
    lif_over_tokens,
    run_blocks,
    wkv,
)
from biospike.ideal.lif import SpikingJellyHard
from biospike.ideal.softmax import softmax
from circuits.softmax import Escape, Integrate, Race
from circuits.transformers.spikegpt import AgeingAttention, read_tokens

import brian2 as b2

DECAYS = np.array([0.02, 0.05, 0.3, 1.0, 3.0, 6.0, 20.0])


def tokens(seed, n, scale=1.0):
    rng = np.random.default_rng(seed)
    k, v = rng.normal(size=(2, n, DECAYS.size))
    return scale * k, v, rng.normal(size=DECAYS.size)


def naive(k, v, w, u):
    """The formula as it is written, in sums of exponentials."""
    out = np.empty_like(v)
    for t in range(len(k)):
        weight = [np.exp(k[i] - (t - 1 - i) * w) for i in range(t)] + [np.exp(u + k[t])]
        out[t] = sum(a * b for a, b in zip(weight, v[: t + 1], strict=True)) / sum(weight)
    return out


def test_recursion_softmax_and_formula_are_one():
    k, v, u = tokens(0, 40)
    out, _ = wkv(k, v, DECAYS, u)
    np.testing.assert_allclose(out, naive(k, v, DECAYS, u), atol=1e-12, rtol=0)
    logits = ageing_logits(k, DECAYS, u)
    p = softmax(logits.reshape(-1, 40)).reshape(logits.shape)
    np.testing.assert_allclose(np.einsum("cti,ic->tc", p, v), out, atol=1e-12, rtol=0)
    np.testing.assert_array_equal(p[:, 0, 0], 1)
    assert np.isnan(logits[:, 3, 4:]).all()


def test_long_sequences_and_large_keys_lose_nothing():
    """1024 tokens at 20 nats a token are 20,480 nats; keys of 700 nats are near the end of float64."""
    k, v, u = tokens(1, 1024, scale=200.0)
    out, _ = wkv(k, v, DECAYS, u)
    last = ageing_logits(k, DECAYS, u)[:, -1]
    np.testing.assert_allclose(np.einsum("ci,ic->c", softmax(last), v), out[-1], atol=1e-12, rtol=0)
    assert np.abs(k).max() > 700


def test_state_is_carried_on():
    k, v, u = tokens(2, 30)
    whole, end = wkv(k, v, DECAYS, u)
    first, past = wkv(k[:11], v[:11], DECAYS, u)
    second, again = wkv(k[11:], v[11:], DECAYS, u, past)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    for one, other in zip(end, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_neurons_over_tokens_are_those_of_the_framework():
    currents = np.random.default_rng(3).normal(1.0, 1.5, (200, 5))
    spikes, _ = lif_over_tokens(currents)
    np.testing.assert_array_equal(spikes, SpikingJellyHard(tau=2.0, v_th=1.0).run(currents))
    assert spikes.any()
    first, membrane = lif_over_tokens(currents[:70])
    second, _ = lif_over_tokens(currents[70:], membrane)
    np.testing.assert_array_equal(np.concatenate([first, second]), spikes)


def test_a_block_passes_tokens_one_by_one_as_all_at_once():
    rng = np.random.default_rng(4)
    block = SpikeGPTBlock.random(rng, 16, gain=8.0)
    x = rng.normal(size=(25, 16))
    whole, _ = block.run(x)
    assert whole.attention.any()
    assert whole.feed.any()
    memory, parts = None, []
    for token in x:
        part, memory = block.run(token[None], memory)
        parts.append(part.x[0])
    np.testing.assert_allclose(parts, whole.x, atol=1e-9)
    assert block.decay.min() == pytest.approx(0.0067, abs=1e-4)
    assert block.decay.max() == pytest.approx(20.09, abs=1e-2)


def test_rescaling_is_exact_without_a_threshold_only():
    """Blocks 0 to 5 agree; behind the first division tokens are halved and the same threshold stays."""
    rng = np.random.default_rng(5)
    blocks = [SpikeGPTBlock.random(rng, 24, gain=8.0) for _ in range(12)]
    x = rng.normal(size=(40, 24))
    plain = run_blocks(blocks, x)
    scaled = run_blocks([attrs.evolve(one, rescale=2.0 ** (k // 6)) for k, one in enumerate(blocks)], x, halve_every=6)
    for one, other in zip(plain[:6], scaled[:6], strict=True):
        np.testing.assert_array_equal(one.attention, other.attention)
    # LayerNorm undoes the halving, up to its 1e-5: currents of block 6 are halved, and so are fewer above threshold.
    assert plain[6].attention.sum() > scaled[6].attention.sum()
    silent = run_blocks([SpikeGPTBlock.random(rng, 24, gain=0.0)], x)[0]
    assert not silent.attention.any()
    assert not silent.feed.any()


def rows(kind=Escape, jump=True, token="0.25 s"):
    return AgeingAttention(softmax=kind(rate=400 * b2.Hz, dt=0.25 * b2.ms), token=token, jump=jump)


@pytest.mark.long
@pytest.mark.parametrize("kind", [Escape, Integrate])
def test_shares_follow_their_law_at_every_decay(kind):
    k, v, _ = tokens(6, 5)
    u = np.full(DECAYS.size, np.log(0.3))
    circuit = rows(kind)
    data = read_tokens(circuit, k, v, DECAYS, u, trials=6, seed=1, target="numpy")
    spikes = data.spike_count.sum("key")
    # The servo holds 100 spikes a token, to within what a jump of the log-sum by some nats costs at .1 nat a spike.
    assert (np.abs(spikes.mean(("trial", "token")) - 100) < 15).all()
    future = np.triu(np.ones((5, 5), dtype=bool), 1)
    assert int(data.spike_count.values[..., future].sum()) == 0
    tv = np.abs(data.share - data.limit).sum("key").values / 2
    law = circuit.expected_tv(np.broadcast_to(data.limit, data.share.shape), spikes.values)
    np.testing.assert_array_equal(tv[..., 0], 0)  # the first token is alone
    found, expected = tv[..., 1:].mean(), law[..., 1:].mean()
    # 168 rows whose errors scatter by less than themselves; the regular law is a mean over window ends.
    assert found == pytest.approx(expected, rel=4 / np.sqrt(168) if kind is Escape else 0.4)
    np.testing.assert_allclose(data.wkv.mean("trial"), wkv(k, v, DECAYS, u)[0], atol=0.5)


@pytest.mark.long
def test_without_the_jump_old_keys_are_not_forgotten():
    """At 20 nats a token the servo would need 200 spikes for every token's decay before it is balanced again."""
    k, v, _ = tokens(7, 4)
    u = np.full(DECAYS.size, np.log(0.3))
    tv = {}
    for jump in (True, False):
        data = read_tokens(rows(jump=jump), k, v, DECAYS, u, trials=2, seed=1, target="numpy")
        tv[jump] = float((np.abs(data.share - data.limit).sum("key") / 2).isel(channel=-1, token=slice(1, None)).mean())
    assert tv[True] < 0.1
    assert tv[False] > 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda k, v: wkv(k, v[:2], DECAYS, 0.0), r"one shape \(tokens, channels\), got \(3, 7\) and \(2, 7\)"),
        (lambda k, v: wkv(k, v, 0.0, 0.0), "decay must be above 0 nats a token, got 0"),
        (lambda k, v: wkv(k * np.nan, v, 1.0, 0.0), "k"),
        (lambda k, v: wkv(k, v, DECAYS[:3], 0.0), r"the decay must have the shape \(7,\), one a channel, got \(3,\)"),
        (lambda k, v: ageing_logits(k, 1.0, k), r"the bonus must have the shape \(7,\), one a channel, got \(3, 7\)"),
        (lambda k, v: read_tokens(rows(), k, v, np.ma.masked_array(DECAYS, DECAYS < 1), 0.0), "above 0 .*, got nan"),
        (lambda k, v: run_blocks([], np.ma.masked_array(k, k < 0)), "x has nan at"),
        (lambda k, v: AgeingAttention(softmax=Race()), r"must be Escape\(...\) or Integrate\(...\)"),
        (lambda k, v: read_tokens(rows(), k, v, DECAYS, 0.0, trials=0), "trials"),
        (
            lambda k, v: read_tokens(rows(token="200000 s"), k, v, DECAYS, 0.0),
            r"3 tokens of \d+ steps are \d+ steps; at most 2147483647 can be counted",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    k, v, _ = tokens(8, 3)
    with pytest.raises(InputError, match=words):
        call(k, v)
