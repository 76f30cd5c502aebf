"""The controls: shares as good as a normalising circuit's, from rows that nothing normalises."""

from __future__ import annotations

import numpy as np
import pytest
from shipped import SHIPPED

from biospike import metrics, simulate
from biospike.ideal.softmax import softmax
from circuits import SOFTMAX_CIRCUITS
from circuits.softmax import GROUPS, NoInhibition, SelfInhibition, Subtractive

LOGITS = np.random.default_rng(1).normal(0, 1.5, (12, 10))
LOGITS[2, 7:] = np.nan
P = softmax(LOGITS)
DRIVE = np.where(np.isnan(LOGITS), 0, np.exp(LOGITS - np.nanmax(LOGITS, axis=1, keepdims=True)))
STEPS = 600
CONTROLS = {"none": (NoInhibition(gain=0.9), 0.9), "self_inhibition": (SelfInhibition(gain=0.9, alpha=0.5), 0.6)}


@pytest.fixture(scope="module", params=CONTROLS)
def counts(request):
    circuit, pace = CONTROLS[request.param]
    data = simulate(circuit, LOGITS, duration="600 ms", trials=12, seed=4, target="numpy", checkpoints=4)
    return circuit, pace, data["spike_count"].values[..., -1]


def test_every_key_fires_at_its_own_drive(counts):
    """A counter from a stationary phase: the whole numbers on either side of rate*T, in the long run rate*T."""
    circuit, pace, found = counts
    expected = pace * DRIVE * STEPS
    np.testing.assert_allclose(circuit.rates(LOGITS) * STEPS, expected)
    assert found.sum() > 10_000
    assert (np.abs(found - expected) < 1 + 1e-9).all()
    # The variance of a count is f*(1 - f); four standard errors of the mean over trials, of every key at once.
    f = expected % 1
    assert abs((found.mean(axis=0) - expected).sum()) < 4 * np.sqrt((f * (1 - f)).sum() / len(found))


def test_shares_are_softmax_and_rates_are_not_normalised(counts):
    circuit, _, found = counts
    np.testing.assert_allclose(circuit.limit(LOGITS), P)
    tv = metrics.total_variation(metrics.shares(found.astype(float)), P)
    law = circuit.expected_tv(np.broadcast_to(P, found.shape), found.sum(axis=-1).astype(float))
    error = np.sqrt((tv.var(axis=0, ddof=1) / len(tv)).sum()) / len(P)
    # One window end of 12 rows, whose fractional parts are not quite even: 10 %.
    assert abs(tv.mean() - law.mean()) < 4 * error + 0.1 * law.mean()
    assert tv.mean() < 0.02
    rates = found.sum(axis=-1).mean(axis=0)
    assert rates.std() / rates.mean() > 0.2


def test_without_a_weight_they_are_the_circuit_of_lemma_3_without_inhibition():
    pair = [simulate(circuit, LOGITS, duration="100 ms", seed=3, target="numpy")["spike_count"].values
            for circuit in (NoInhibition(), Subtractive(w=0), SelfInhibition(alpha=0))]  # fmt: skip
    assert pair[0].sum() > 1000
    np.testing.assert_array_equal(pair[0], pair[1])
    # The phase of self-inhibition counts down.
    assert np.abs(pair[2][..., -1] - pair[0][..., -1]).max() <= 1


def test_groups_of_the_registry():
    assert GROUPS["control"] == ("none", "self_inhibition")
    assert set().union(*GROUPS.values()) == set(SOFTMAX_CIRCUITS)
    assert len(set(GROUPS["circuit"]) & set(SHIPPED)) == 7


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (NoInhibition, {"gain": 1.5}, "gain must be at most 1, got 1.5"),
        (SelfInhibition, {"alpha": -1}, "alpha must be at least 0, got -1"),
        (Subtractive, {"feedback": "median"}, "feedback must be one of 'mean', 'sum', got 'median'"),
    ],
)
def test_bad_parameters_name_the_value(kind, options, words):
    with pytest.raises(ValueError, match=words):
        kind(**options)


def test_inhibition_by_the_sum_is_that_by_the_mean_times_the_keys(monkeypatch):
    """On rows of one length: same spikes, same fixed point; and the fixed point solves r = [drive - w*sum r]_+."""
    rows = LOGITS[:2, :8]
    by_sum, by_mean = Subtractive(w=0.125, feedback="sum"), Subtractive(w=1.0)
    spikes = [
        simulate(one, rows, duration="300 ms", seed=5, target="numpy")["spike_count"] for one in (by_sum, by_mean)
    ]
    np.testing.assert_array_equal(*spikes)
    assert spikes[0].sum() > 1000
    np.testing.assert_allclose(by_sum.limit(rows), by_mean.limit(rows))
    rates = Subtractive(w=1.0, feedback="sum").rates(LOGITS)
    np.testing.assert_allclose(rates, np.maximum(DRIVE - rates.sum(axis=1, keepdims=True), 0), atol=1e-12)
    assert (rates == 0).sum() > np.isnan(LOGITS).sum()
    monkeypatch.setattr("circuits.softmax.threshold_linear.RESPONSE_STEPS", 256)
    leaky = Subtractive(w=0.5, beta=0.99, feedback="sum").rates(LOGITS[:2, :8])
    again = Subtractive(w=4.0, beta=0.99).rates(LOGITS[:2, :8])
    np.testing.assert_allclose(leaky, again, atol=2 / 256)  # bisections of the two stop at other guesses
