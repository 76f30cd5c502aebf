"""Recorded spikes are those that a study counts, neuron by neuron, and their coordinates mean what they say."""

import attrs
import numpy as np
import pytest

from circuits.attention import SpikingAttention
from circuits.presentation import present
from circuits.spike_record import record_spikes

import brian2 as b2

RNG = np.random.default_rng(3)
X = RNG.uniform(0.1, 0.9, (3, 4))
HEADS, WIDTH, SEED = 2, 3, 5
BLOCK = SpikingAttention(
    **{name: RNG.normal(size=(4, HEADS * WIDTH)) for name in ("W_q", "W_k", "W_v")},
    heads=HEADS, mode="streaming", tau_s="20 ms",
).fitted(X)  # fmt: skip
STAGED = attrs.evolve(BLOCK, mode="staged")
WINDOW, EARLIER = 120, 50
"""Steps of 1 ms."""


def counts(data, group, axes):
    """Number of recorded spikes of every neuron."""
    found = np.zeros([data.attrs[f"{group}_{axis}"] for axis in axes], dtype=int)
    np.add.at(found, tuple(data[f"{group}_{axis}"].values for axis in axes), 1)
    return found


def study(block, windows, **options):
    data = present(
        block, X, duration=WINDOW * b2.ms, trials=2, seed=SEED, target="numpy", windows=windows * b2.ms, **options
    )
    return data.isel(trial=0, sample=0)


@pytest.fixture(scope="module")
def streaming():
    return record_spikes(BLOCK, X, duration=WINDOW * b2.ms, seed=SEED), study(BLOCK, np.array([EARLIER, WINDOW]))


@pytest.mark.parametrize("mode", ["staged", "streaming"])
def test_every_neuron_spikes_as_often_as_counted(mode, streaming):
    if mode == "streaming":
        recorded, data = streaming
    else:
        recorded = record_spikes(STAGED, X, duration=WINDOW * b2.ms, seed=SEED)
        data = study(STAGED, np.array([WINDOW]))
    last = data.isel(checkpoint=-1)
    attention = counts(recorded, "keys", ("head", "query", "key"))
    outputs = counts(recorded, "outputs", ("head", "query", "unit", "sign"))
    assert attention.sum() > 50
    assert outputs.sum() > 50
    np.testing.assert_array_equal(attention, last["attention_count"])
    np.testing.assert_array_equal(outputs, last["output_count"])


def test_input_and_projections_spike_as_often_as_counted(streaming):
    recorded, data = streaming
    for group, name in (("encoder", "spikes_encoder"), ("neurons", "spikes_qkv")):
        between = int(data[name][1] - data[name][0])
        assert between > 200
        assert np.count_nonzero(recorded[f"{group}_time_ms"] >= EARLIER) == between


def test_coordinates_of_queries_and_keys_give_the_coincidences(streaming):
    """Signed coincidences of spikes of step t are counted in t + 1."""
    recorded, data = streaming
    axes = ("token", "stream", "head", "unit", "sign")
    trains = np.zeros([*(recorded.attrs[f"neurons_{axis}"] for axis in axes), WINDOW])
    step = np.rint(recorded["neurons_time_ms"].values).astype(int)
    trains[(*(recorded[f"neurons_{axis}"].values for axis in axes), step)] = 1
    signed = trains[:, :, :, :, 0] - trains[:, :, :, :, 1]
    query, key = (signed[:, stream, ..., EARLIER - 1 : WINDOW - 1] for stream in (0, 1))
    expected = np.einsum("iheu,jheu->hij", query, key)
    assert np.abs(expected).sum() > 20
    np.testing.assert_array_equal(data["coincidences"].diff("checkpoint").isel(checkpoint=0), expected)


def test_values_spike_at_their_rates(streaming):
    """Leakless neurons with Bernoulli input stay within five standard deviations of their rates."""
    recorded, _ = streaming
    values = counts(recorded, "neurons", ("stream", "token", "head", "unit", "sign"))[2]
    off = np.abs(values / WINDOW - BLOCK.rates(X)[0, :, 2])
    assert off.max() < 5 * np.sqrt(4 * 0.25 / WINDOW)
    assert values.sum() > 100


def test_what_is_shown_is_the_beginning_of_the_window(streaming):
    whole, _ = streaming
    start = record_spikes(BLOCK, X, duration=WINDOW * b2.ms, seed=SEED, shown="30 ms")
    assert start.attrs["shown_ms"] == pytest.approx(30)
    assert start.attrs["window_ms"] == whole.attrs["window_ms"] == pytest.approx(WINDOW)
    for group, first in (("encoder", 0), ("neurons", 0), ("keys", 0), ("outputs", 1)):
        early = whole[f"{group}_time_ms"].values < first + 30
        np.testing.assert_array_equal(start[f"{group}_time_ms"], whole[f"{group}_time_ms"].values[early])
        assert start[f"{group}_time_ms"].min() >= first


def test_shared_encoders_are_one_copy_and_masks_hold():
    shared = attrs.evolve(BLOCK, encoders="shared", delay="2 ms")
    data = record_spikes(shared, X, duration="40 ms", seed=SEED, key_mask=np.array([True, False, True]))
    assert data.attrs["encoder_copy"] == 1
    assert not data["encoder_copy"].values.any()
    assert data.sizes["keys_spike"] > 10
    assert 1 not in data["keys_key"]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one sample, got 2"):
        record_spikes(BLOCK, np.stack([X, X]), duration="10 ms")
    with pytest.raises(ValueError, match="longer than the window"):
        record_spikes(BLOCK, X, duration="10 ms", shown="11 ms")
