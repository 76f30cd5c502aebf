"""Attention at both sides of every boundary of its representation, spike for spike against an independent loop."""

import attrs
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracles import attention_loop as loop
from oracles.expected_block import PHASE, encoder_synapses, expect
from oracles.recorded_block import record_block

from circuits.attention import SpikingAttention
from circuits.presentation import present
from circuits.softmax import Integrate, NoInhibition, SelfInhibition, Subtractive, ThresholdLinear

import brian2 as b2

SIZES = (31, 32, 33, 63, 64, 65, 127, 128, 129)
BOUNDARIES = (31, 32, 63, 64, 127, 128)
"""The places at both sides of the last bit and of the sign bit of a word."""
FEATURES = 4
STEPS = 12
LONGEST = 8 * STEPS
MASKS = ("none", "keys", "causal", "both")


def weights(rng, features, columns, exact=True):
    """Weights (3, features, columns) below 1/features: multiples of 2**-10, every second of them of 2**-4, or reals."""
    size = (3, features, columns)
    if not exact:
        return rng.uniform(-0.9, 0.9, size) / features
    fine, coarse = (
        rng.integers(-900, 900, size) // features / 1024,
        rng.integers(-16 // features, 17 // features, size) / 16,
    )
    return np.where(rng.integers(0, 2, size), fine, coarse)


def make_block(seed, *, heads=2, width=2, exact=True, biased=False, **options):
    """Block whose logits are small, so that all keys are attended to, with a short run up to the window."""
    rng = np.random.default_rng(seed)
    w = weights(rng, FEATURES, heads * width, exact)
    biases = weights(rng, 1, 3 * heads * width, exact).reshape(3, 3, -1)[0] / 8 if biased else (None,) * 3
    chosen = {
        "heads": heads,
        "scales": np.ones((3, heads)),
        "score_scale": 2 / width,
        "phase": PHASE,
        "softmax": Integrate(rate=100 * b2.Hz, dt=1 * b2.ms),
        "tau_s": 2 * b2.ms,
        # The reference falls until the row has spiked so often: most keys spike within few steps.
        "start": 1.0,
        "release": 0.2,
        "first_spikes": 80,
        "w": 0.02,
        "settle": 16,
    }
    arrays = dict(zip(("W_q", "W_k", "W_v", "b_q", "b_k", "b_v"), (*w, *biases), strict=True))
    return SpikingAttention(**(arrays | chosen | options))


def allowed(kind, samples, tokens):
    """Key mask or None, whether it is causal, and which keys each query may attend to, (samples, queries, keys)."""
    mask = np.ones((samples, tokens), dtype=bool)
    if kind in ("keys", "both"):
        mask[0, 1 : min(30, tokens - 1) : 7] = False
    causal = kind in ("causal", "both")
    pairs = np.broadcast_to(mask[:, None], (samples, tokens, tokens))
    return None if mask.all() else mask, causal, np.tril(pairs) if causal else pairs


def array(counts, size):
    filled = np.zeros(size, dtype=int)
    for place, count in counts.items():
        filled[place] = count
    return filled


def counted(plan, spikes, scores):
    """What `present` must return of the first run, (slots, ..., windows)."""
    shape, onset = plan.shape(), plan.circuit.timing(int(plan.runs[0][-1]), plan.circuit.dt).onset
    pairs = (shape.slots, shape.heads, shape.tokens, shape.tokens)
    found: dict[str, list[np.ndarray]] = {"coincidences": [], "attention_count": [], "output_count": []}
    for mark in plan.runs[0]:
        signed = loop.Counter()
        for one in scores[0 if plan.circuit.staged else onset : onset + mark]:
            signed.update(one)
        outputs = loop.counts(spikes["outputs"], onset + 1, onset + 1 + mark)
        by_query = (shape.slots, shape.tokens, shape.heads, shape.width, 2)
        found["coincidences"].append(array(signed, pairs))
        found["attention_count"].append(array(loop.counts(spikes["keys"], onset, onset + mark), pairs))
        found["output_count"].append(np.moveaxis(array(outputs, by_query), 1, 2))
    return {name: np.stack(values, axis=-1) for name, values in found.items()}


def held(block, tokens, *, kind="none", samples=1, trials=1, steps=STEPS, seed=1, windows=1):
    """Hold a run against the loop, every spike and every count; return the plan and what the loop counted."""
    mask, causal, pairs = allowed(kind, samples, tokens)
    block = attrs.evolve(block, causal=causal)
    x = np.random.default_rng([seed, tokens]).integers(100, 900, (samples, tokens, block.features)) / 1024
    used = samples * trials
    options = {"key_mask": mask, "trials": trials, "windows": windows, "seed": seed}
    plan, recorded, found = record_block(block, x, steps, slots=used, **options)
    window = int(plan.runs[0][-1])
    timing = plan.circuit.timing(window, block.dt)
    synapses = encoder_synapses(plan.circuit)
    spikes, scores, ties = expect(
        plan.circuit,
        plan.shape(),
        timing,
        window,
        pairs,
        recorded["encoder"],
        synapses,
        used=used,
        x=x if isinstance(block.softmax, ThresholdLinear) else None,
    )
    for name, trains in spikes.items():
        assert trains == recorded[name], name
    counts = counted(plan, spikes, scores)
    for name, expected in counts.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    return x, options, counts, (spikes, ties)


def silent_places(found, tokens, width):
    """Boundary places that no value passed, or that had no output, as a query and as a unit: what was not tried."""
    spikes, ties = found
    assert ties > 5
    carried = set()
    for keys, some in zip(spikes["keys"], spikes["neurons"], strict=True):
        values = {(slot, head, token) for slot, token, stream, head, _, _ in some if stream == 2}
        carried |= {key for slot, head, _, key in keys if (slot, head, key) in values}
    outputs = [place for some in spikes["outputs"] for place in some]
    queries, units = ({place[axis] for place in outputs} for axis in (1, 3))
    return [
        (name, place)
        for name, places, size in (("query", queries, tokens), ("key", carried, tokens), ("unit", units, width))
        for place in (0, *BOUNDARIES)
        if place < size and place not in places
    ]


def held_case(tokens, width, kind, mode, *, heads=2, samples=1, trials=1, exact=True, **options):
    """Hold ever longer windows against the loop, as many as are asked for: counts and spikes of each."""
    block = make_block(tokens, heads=heads, width=width, exact=exact, mode=mode, **options)
    steps = STEPS
    while steps <= LONGEST:
        windows = 1 if mode == "staged" else 2
        _, _, counts, found = held(
            block, tokens, kind=kind, samples=samples, trials=trials, windows=windows, steps=steps
        )
        yield counts, found
        steps *= 2


def held_at_boundaries(tokens, width, kind, mode, **options):
    """As `held_case`, until every place at a boundary has spoken."""
    silent = ["no window"]
    for _, found in held_case(tokens, width, kind, mode, **options):
        silent = silent_places(found, tokens, width)
        if not silent:
            return
    raise AssertionError(f"never heard: {silent}")


def held_with_attention(tokens, width, kind, mode, **options):
    """As `held_case`, until some query has attended."""
    assert any(counts["attention_count"].sum() for counts, _ in held_case(tokens, width, kind, mode, **options))


def test_a_word_and_a_bit_of_tokens_and_units_staged():
    held_at_boundaries(33, 33, "both", "staged", heads=1)


def test_two_words_of_tokens_streaming_with_biases_and_a_late_key():
    held_at_boundaries(65, 2, "keys", "streaming", delay=2 * b2.ms, biased=True)


OWN = {
    "subtractive": (Subtractive(w=0.7), 4.0),
    "sum": (Subtractive(w=0.02, feedback="sum"), 4.0),
    "none": (NoInhibition(), 2.5),
    "self": (SelfInhibition(alpha=0.7), 5.0),
}
"""Rows whose inhibition is their own, and the drive of a row, which spikes within the run and which outputs relay."""


def own_block(tokens, name, mode, **options):
    circuit, drive = OWN[name]
    return make_block(tokens, heads=1, mode=mode, softmax=attrs.evolve(circuit, gain=drive / tokens), **options)


def held_own(tokens, name, mode, kind="both", **options):
    """Hold a run whose rows no reference pins; keys at both ends, and more than half of them, spike."""
    block = own_block(tokens, name, mode, **options)
    *_, counts, (spikes, _) = held(block, tokens, kind=kind, windows=1 if mode == "staged" else 2)
    some = {key[3] for fired in spikes["keys"] for key in fired}
    assert min(some) < 4
    assert max(some) > tokens - 5
    assert len(some) > tokens / 2
    return counts["output_count"].sum()


@pytest.mark.parametrize(("tokens", "name", "mode"), [(33, "subtractive", "streaming"), (31, "self", "staged")])
def test_rows_with_their_own_inhibition(tokens, name, mode):
    assert held_own(tokens, name, mode, delay=1 * b2.ms) > 5


@pytest.mark.long
@pytest.mark.parametrize("tokens", [31, 33, 65])
@pytest.mark.parametrize("mode", ["staged", "streaming"])
@pytest.mark.parametrize("name", OWN)
def test_rows_with_their_own_inhibition_at_every_boundary(tokens, name, mode):
    for kind in ("both", "none"):
        held_own(tokens, name, mode, kind, exact=False, biased=True)


@pytest.mark.long
@pytest.mark.compiles
def test_compiled_rows_with_their_own_inhibition(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path))
    block = own_block(65, "subtractive", "streaming")
    x, options, counts, _ = held(block, 65, kind="keys", samples=2, windows=2)
    data = present(block, x, duration=STEPS * block.dt, target="cpp_standalone", **options)
    for name, expected in counts.items():
        np.testing.assert_array_equal(data[name].values[0], expected)


SHAPES = {
    "tokens": st.integers(1, 70),
    "width": st.integers(1, 70),
    "heads": st.integers(1, 2),
    "kind": st.sampled_from(MASKS),
    "mode": st.sampled_from(("staged", "streaming")),
    "samples": st.integers(1, 2),
    "exact": st.booleans(),
    "biased": st.booleans(),
    "encoders": st.sampled_from(("separate", "shared")),
    "delay": st.sampled_from((0 * b2.ms, 1 * b2.ms, 3 * b2.ms)),
    "tau_m": st.sampled_from((None, 4 * b2.ms)),
}


FEW = SHAPES | {"tokens": st.integers(33, 40), "width": st.integers(1, 3), "heads": st.just(2)}


@settings(max_examples=1, database=None, phases=[Phase.generate])
@given(st.fixed_dictionaries(FEW))
def test_any_shape(shape):
    held_with_attention(**shape)


@pytest.mark.long
@settings(max_examples=8, database=None, phases=[Phase.generate])
@given(st.fixed_dictionaries(SHAPES))
def test_many_shapes(shape):
    held_with_attention(**shape)


@pytest.mark.long
@pytest.mark.parametrize("tokens", SIZES)
@pytest.mark.parametrize("mode", ["staged", "streaming"])
def test_tokens_at_every_boundary(tokens, mode):
    # Under a causal mask the last key has the last query alone, which may take another in any window worth the wait.
    for kind in MASKS if tokens in (33, 65) else ("both",) if tokens < 100 else ("keys",):
        samples, delay = 2 if tokens < 100 else 1, (mode == "streaming") * b2.ms
        held_at_boundaries(tokens, 1, kind, mode, samples=samples, delay=delay)


@pytest.mark.long
@pytest.mark.parametrize("width", SIZES)
def test_units_at_every_boundary(width):
    held_at_boundaries(5, width, "keys", "staged", samples=2, trials=2, delay=2 * b2.ms, biased=True)


@pytest.mark.long
@pytest.mark.compiles
@pytest.mark.parametrize("tokens", [33, 65, 129])
def test_compiled_counts_are_those_of_the_loop(tokens, tmp_path, monkeypatch):
    """One binary serves all masks of a size."""
    monkeypatch.setenv("BIOSPIKE_CACHE", str(tmp_path))
    block = make_block(tokens, width=2, mode="streaming", biased=True)
    for kind in MASKS:
        x, options, counts, _ = held(block, tokens, kind=kind, samples=1 + (tokens < 100), windows=2, steps=4 * STEPS)
        assert counts["attention_count"].sum() > 0
        one = attrs.evolve(block, causal=kind in ("causal", "both"))
        data = present(one, x, duration=4 * STEPS * block.dt, target="cpp_standalone", **options)
        for name, expected in counts.items():
            np.testing.assert_array_equal(data[name].values[0], expected)
    assert len(list((tmp_path / "binaries").iterdir())) == 1


def later_tokens():
    """A feature that is .5 everywhere and one of tokens from 32 on, whose share of the attention is the output."""
    x = np.full((48, 2), 0.5)
    x[:, 1] = np.arange(48) >= 32
    query = [[0.1, 0], [0, 0]]
    return SpikingAttention(query, query, [[0, 0], [1, 0]]), x, np.arange(48) != 31


@pytest.mark.long
def test_output_is_attention_times_value_spike_for_spike():
    block, x, mask = later_tokens()
    block = attrs.evolve(block, tau_s=20 * b2.ms)
    plan, spikes, found = record_block(block, x, 200, key_mask=mask, windows=1)
    routed = loop.routed(spikes["keys"], spikes["neurons"])
    assert loop.relayed(routed) == spikes["outputs"]
    onset = plan.circuit.timing(200, block.dt).onset
    expected = array(loop.counts(spikes["outputs"], onset + 1, onset + 201), (1, 48, 1, 2, 2))
    np.testing.assert_array_equal(np.moveaxis(found["output_count"][..., 0], 1, 2), expected)
    values = [{token for _, token, stream, *_ in some if stream == 2} for some in spikes["neurons"]]
    assert set().union(*values) == set(range(32, 48))
    assert expected.sum() > 100


@pytest.mark.long
@pytest.mark.compiles
def test_output_of_later_tokens_is_their_attention():
    """Attention to tokens from 32 on, and output, are 16/47 within 3 standard errors of 16 trials."""
    block, x, mask = later_tokens()
    data = present(block, x, duration="2 s", trials=16, windows=1, key_mask=mask, seed=1, target="cpp_standalone")
    found = block.fitted(x).read_out(data).isel(checkpoint=-1, sample=0, head=0)
    limit = block.fitted(x).limit(x, mask).isel(sample=0, head=0)
    np.testing.assert_allclose(limit.output.isel(unit=0), 16 / 47, atol=1e-12)
    for measured in (found.attention.isel(key=slice(32, None)).sum("key"), found.output.isel(unit=0)):
        means = measured.mean("query")
        error = float(means.std("trial", ddof=1)) / np.sqrt(16)
        assert abs(float(means.mean()) - 16 / 47) < 3 * error
        assert error < 0.01
