"""Rows that arrays give, without a model: the guard, spikes for an error, and the circuit that is held against them."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import biospike
from biospike import InputError
from biospike.auditing import Attention
from biospike.auditing.laws import circuits_of, spikes_for
from biospike.auditing.measure import COLUMNS
from biospike.auditing.records import check_outputs
from biospike.auditing.rows import Rows, joined
from biospike.theory.concentration import multinomial_tv, spikes_for_tv
from circuits.softmax import Escape, Race, Subtractive

RNG = np.random.default_rng(5)
BATCH, HEADS, TOKENS, WIDTH = 2, 3, 6, 4


def softmax(logits):
    with np.errstate(invalid="ignore"):  # a row without a key
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def call(bias=None, real=None, *, normalised=True, seed=5):
    """Attention of random arrays, and its output by loops over samples and heads."""
    rng = np.random.default_rng(seed)
    q, k, v = rng.normal(size=(3, BATCH, HEADS, TOKENS, WIDTH))
    W, b = rng.normal(size=(HEADS * WIDTH, 5)), rng.normal(size=5)
    bias = np.zeros((1, 1, TOKENS, TOKENS)) if bias is None else bias
    output = np.zeros((BATCH, TOKENS, 5))
    for sample in range(BATCH):
        heads = []
        for head in range(HEADS):
            logits = q[sample, head] @ k[sample, head].T / 2
            full = np.broadcast_to(bias, (BATCH, HEADS, TOKENS, TOKENS))[sample, head]
            heads.append((softmax(logits + full) if normalised else logits) @ v[sample, head])
        output[sample] = np.concatenate(heads, axis=1) @ W + b
    real = np.ones((BATCH, TOKENS), dtype=bool) if real is None else real
    return Attention(layer="one", kind="arrays", q=q, k=k, v=v, scale=0.5, bias=bias, real=real, output=output,
                     W_out=W, b_out=b)  # fmt: skip


CAUSAL = np.where(np.tri(TOKENS, dtype=bool), 0.0, -np.inf)[None, None]


@pytest.mark.parametrize("bias", [None, CAUSAL, RNG.normal(size=(BATCH, HEADS, TOKENS, TOKENS))])
def test_output_is_recomputed_from_shares_and_values(bias):
    one = call(bias)
    assert one.deviation() < 1e-14
    assert check_outputs(one) == ""
    # In parts of one query each it is the same.
    assert attrs.evolve(one).deviation() == one.deviation()


def test_any_other_attention_is_refused():
    one = call()
    for wrong in (
        attrs.evolve(one, scale=1.0),
        attrs.evolve(one, k=one.k + one.q[:, ::-1]),
        attrs.evolve(one, bias=CAUSAL),
        attrs.evolve(one, output=one.output * (1 + 2e-5)),
    ):
        with pytest.raises(InputError, match=r"one \(arrays\): its own output differs by .*1e-05 is accepted"):
            check_outputs(wrong)


def test_attention_without_softmax_is_said_and_has_no_rows():
    one = call(normalised=False)
    assert one.deviation() > 0.1
    found = biospike.audit(one, circuits=[Escape()], check_rows=0)
    assert list(found.table["note"]) == ["attention without softmax: no rows, no S"]
    assert found.table["spikes_tv_05"].isna().all()


def test_padded_and_wholly_masked_queries_are_left_out():
    bias = np.zeros((BATCH, 1, TOKENS, TOKENS))
    bias[0, 0, 2] = -np.inf  # a query that may attend to nothing
    real = np.ones((BATCH, TOKENS), dtype=bool)
    real[1, 4:] = False
    one = call(bias, real)
    one.output[1, 4:] = np.nan  # whatever a model makes of padding
    rows = Rows.of(one, None, 100)
    assert rows.number == BATCH * TOKENS - 3
    assert np.isfinite(rows.outputs).all()
    table = biospike.audit(one, circuits=[Escape()], check_rows=0).table
    assert list(table["rows"]) == [9] * HEADS
    assert table["note"].str.contains("3 padded or wholly masked queries left out").all()


def test_a_row_of_one_key_needs_no_spike():
    bias = np.where(np.eye(TOKENS, dtype=bool), 0.0, -np.inf)[None, None]
    table = biospike.audit(call(bias), circuits=[Escape()], check_rows=2).table
    assert (table[["spikes_tv_10", "spikes_tv_05", "spikes_tv_01", "high"]] == 0).all(axis=None)
    assert table["simulated_tv"].isna().all()


def test_rows_that_memory_cannot_hold_are_refused(monkeypatch):
    monkeypatch.setattr("biospike.auditing.rows.free_memory", lambda: 5000)
    with pytest.raises(InputError, match=r"one: 12 rows of 6 keys in 3 heads need .* MiB: lower max_rows"):
        biospike.audit(call(), circuits=[Escape()], check_rows=0)
    assert len(biospike.audit(call(), circuits=[Escape()], check_rows=0, max_rows=5).table) == HEADS


def test_at_most_so_many_rows_through_all_samples():
    one = call()
    few = Rows.of(one, None, 5)
    assert few.logits.shape == (HEADS, 5, TOKENS)
    assert few.number == BATCH * TOKENS
    every = Rows.of(one, None, 100)
    assert np.array_equal(few.logits[:, [0, -1]], every.logits[:, [0, -1]])
    both = joined([every, every], 7)
    assert both.logits.shape[1] == 7
    assert both.number == 2 * BATCH * TOKENS
    assert both.notes == ("7 of 24 rows",)


def test_spikes_for_an_error_invert_the_law_of_the_circuit():
    logits = RNG.normal(size=(20, 9)) * 2
    p = softmax(logits)
    for tv in (0.1, 0.05, 0.01):
        spikes = spikes_for(Escape(), logits, tv)
        np.testing.assert_allclose(multinomial_tv(p, spikes), tv, rtol=1e-6)
    # The closed form is its limit for many spikes.
    np.testing.assert_allclose(spikes_for(Escape(), logits, 1e-3), spikes_for_tv(p, 1e-3), rtol=0.01)
    # A row that one spike tells well enough takes one.
    assert spikes_for(Escape(), np.array([[30.0, 0.0]]), 0.05) == 1


def test_a_circuit_with_a_bias_never_comes_near():
    logits = np.array([[2.0, 1.0, 0.5, -1.0]])
    spikes = spikes_for(Subtractive(), logits, 0.01)
    assert np.isinf(spikes).all() or np.isnan(spikes).all()


@pytest.mark.long
def test_neurons_agree_with_the_law_within_the_interval_of_their_trials():
    found = biospike.audit(call(), circuits=[Escape(), Race()], max_rows=8, check_rows=2, trials=32, target="numpy")
    table = found.table
    assert list(table["circuit"]) == ["escape"] * HEADS + ["race"] * HEADS
    # About the error that was asked for, and the law within 4 standard errors (95 % are 2.04).
    assert table["law_tv"].between(0.045, 0.055).all()
    half = (table["simulated_high"] - table["simulated_low"]) / 2
    assert (half > 0).all()
    assert ((table["simulated_tv"] - table["law_tv"]).abs() < 4 / 2.04 * half).all()


def test_table_has_all_columns_and_each_is_explained():
    found = biospike.audit([call(), call(seed=6)], circuits=[Escape()], check_rows=0)
    assert list(found.table.columns) == list(COLUMNS)
    assert len(found.table) == 2 * HEADS
    assert (found.table["low"] <= found.table["spikes_tv_05"]).all()
    assert (found.table["spikes_tv_05"] <= found.table["high"]).all()
    assert (found.table["energy_low"] < found.table["energy_high"]).all()
    assert found.table["d_eff"].between(1, WIDTH).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_rows": 0}, "max_rows must be a whole number of at least 1, got 0"),
        ({"trials": 1.5}, "trials must be a whole number"),
        ({"input_rates": (0.5, 0.1)}, "input_rates must be two numbers"),
        ({"seed": 2**32}, "seed must be below"),
        ({"circuits": ["rac"]}, "'rac' is not registered as biospike.circuits; registered are .*"),
        ({"circuits": [3]}, "circuits must be names or circuits such as Race"),
        ({"circuits": []}, "at least one"),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(InputError, match=said):
        biospike.audit(call(), **({"circuits": [Escape()]} | options))


def test_circuits_by_their_registered_names():
    pytest.importorskip("importlib.metadata")
    try:
        found = circuits_of(None)
    except InputError:
        pytest.skip("run from a checkout that is not installed")
    assert found == {"escape": Escape()}
