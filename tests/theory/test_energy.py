import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospike.theory import paper
from biospike.theory.energy import (
    ARITHMETIC,
    DEVICES,
    Device,
    activity_for_ratio,
    attention_fan_out,
    attention_macs,
    canonical_energy,
    conventional_energy,
    event_energy,
)


def test_macs_by_hand():
    """Two tokens of three features, one head of width 2: 6 products a token and stream, 2*2*2 scores."""
    assert attention_macs(2, 3, 1, 2) == {"projections": 36, "scores": 8, "routing": 8}
    assert attention_macs(64, 384, 12, 32)["scores"] == 64 * 64 * 384


def test_published_figure():
    """0.9 pJ * 0.1 * 4 against 4.6 pJ: at 10 % and T = 4 the usual estimate is 12.8 times."""
    assert conventional_energy(1e6) / canonical_energy(1e6, 0.1, 4) == pytest.approx(12.78, abs=0.01)


def test_the_claimed_ratio_is_a_claim_about_activity():
    assert [activity_for_ratio(ratio) for ratio in paper.ENERGY_RATIO] == pytest.approx([0.1345, 0.0897], abs=1e-4)


@given(st.floats(0.01, 1), st.floats(1, 1000), st.integers(1, 10**6))
def test_activity_and_ratio_are_inverse(rate, steps, macs):
    ratio = conventional_energy(macs) / canonical_energy(macs, rate, steps)
    assert activity_for_ratio(ratio) == pytest.approx(rate * steps)


def test_events_agree_with_the_canonical_estimate_where_they_count_the_same():
    """Projections alone, every input at rate r: spikes times fan-out is rate*T*MAC."""
    n, f, h, d, rate, steps = 4, 6, 2, 3, 0.25, 40
    spikes = {"encoder": 3 * n * f * rate * steps}
    events = event_energy(spikes, attention_fan_out(n, h, d), updates=0)
    assert events["total"] == pytest.approx(canonical_energy(attention_macs(n, f, h, d)["projections"], rate, steps))


def test_breakdown_by_hand():
    device = Device(name="test", source="made up", synaptic_event=2.0, neuron_update=0.5)
    found = event_energy({"query": 10, "attention": 3}, attention_fan_out(5, 1, 4), updates=100, device=device)
    assert found == {"query": 100.0, "attention": 54.0, "updates": 50.0, "total": 204.0}


def test_every_device_has_a_source():
    assert ARITHMETIC in DEVICES.values()
    assert all(device.source and device.synaptic_event > 0 for device in DEVICES.values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: attention_macs(0, 1, 1, 1), "tokens must be at least 1, got 0"),
        (lambda: canonical_energy(1, -0.1, 4), "-0.1"),
        (lambda: activity_for_ratio(0), "above 0, got 0"),
        (lambda: event_energy({"hub": 1}, {}, 0), "hub"),
        (lambda: event_energy({"query": -1}, {"query": 1}, 0), "query must be at least 0"),
        (lambda: Device(name="x", source="y", synaptic_event=-1), "synaptic_event"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
