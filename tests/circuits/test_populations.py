"""Populations in the place of keys: addresses, counts by key, spikes against a loop, and one member is the key."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import rows_loop as loop

from biospike import InputError, record, simulate, simulation
from biospike.circuit import (
    KEY_STRIDE,
    MEMBER_STRIDE,
    MOST_KEYS,
    MOST_MEMBERS,
    MOST_POPULATED_ROWS,
    Batch,
    check_rows,
)
from biospike.ideal.softmax import softmax
from biospike.metrics import total_variation
from biospike.packing import pack
from circuits.softmax import Diffusive, Populations
from validation.data import attention_rows

import brian2 as b2

SEED = 2**32 - 1
LOGITS = np.array([[0.4, np.nan, 0.0, -0.3, 0.2], [np.nan, 1.0, 0.3, np.nan, 0.9], [0.0, 0.1, 0.2, 0.3, 0.4]])
FAST = {"rate": 1200 * b2.Hz, "refractory": 0.2 * b2.ms, "w": 0.1 * b2.mV}


@settings(derandomize=True, max_examples=30)
@given(
    st.lists(st.integers(0, MOST_POPULATED_ROWS - 1), min_size=1, max_size=3, unique=True), st.integers(1, 4),
    st.integers(1, 5), st.integers(1, 4), st.integers(0, 2),
)  # fmt: skip
def test_no_two_cells_draw_the_same_numbers(
    rows: list[int], keys: int, members: int, interneurons: int, masked: int
) -> None:
    logits = np.zeros((len(rows), keys))
    logits[:, keys - min(masked, keys - 1) :] = np.nan
    trial, row = np.zeros(len(rows), dtype=np.int64), np.array(rows, dtype=np.int64)
    cells = len(rows) * keys * members
    packing = pack(logits, trial, row, SEED, sizes=(len(rows) + 1, cells, 1), members=members,
                   interneurons=interneurons)  # fmt: skip
    own = packing.index[: packing.used]
    others = packing.batch.interneuron_address(interneurons)[2][: len(rows)].ravel()
    assert packing.used == (~np.isnan(logits)).sum() * members
    every = np.concatenate([own, others])
    assert len(set(every.tolist())) == len(every)
    assert every.min() >= 0
    # What the address says: member, row and key, whichever row and key it is.
    member, rest = np.divmod(own, MEMBER_STRIDE)
    assert set(member.tolist()) == set(range(members))
    assert {divmod(int(one), KEY_STRIDE) for one in rest} == {
        (int(r), int(k)) for r, line in zip(row, logits, strict=True) for k in np.flatnonzero(~np.isnan(line))
    }
    assert {int(one) % KEY_STRIDE for one in others} == {MOST_KEYS}


def test_the_last_cell_of_all_has_an_address() -> None:
    batch = Batch(np.zeros((1, 1)), np.zeros(1, int), np.array([MOST_POPULATED_ROWS - 1]), SEED)
    last = batch.interneuron_address(MOST_MEMBERS)[2].max()
    assert int(last) == 2**63 - 1


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((MOST_POPULATED_ROWS + 1, 3, 2), f"a study of populations may have at most {MOST_POPULATED_ROWS} rows"),
        ((1, 3, 1, MOST_MEMBERS + 1), f"at most {MOST_MEMBERS} neurons"),
        ((1, MOST_KEYS + 1, 2), f"at most {MOST_KEYS} keys"),
    ],
)
def test_what_has_no_address_is_refused(sizes: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_rows(*sizes)


def test_what_memory_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "free_memory", lambda: 2**20)
    with pytest.raises(InputError, match=r"populations: 4096 neurons of a batch need 2 MiB, more than the 1 MiB"):
        simulate(Populations(), [[0.0, 1.0]], duration="10 ms", target="numpy")
    with pytest.raises(InputError, match=r"neurons of a batch: at most 2147483647 can be numbered, got 4294967296"):
        simulate(Populations(members=MOST_MEMBERS), np.zeros((1, 5000)), duration="10 ms", target="numpy")


def expected(circuit: Populations, row: int, trial: int, steps: int) -> list[tuple[int, int, int]]:
    """(step, key, member) of every spike of a row, by the loop of `diffusive` with every neuron a key."""
    keys, dt, members = np.flatnonzero(~np.isnan(LOGITS[row])), float(circuit.dt), circuit.members
    batch = Batch(LOGITS[[row]], np.array([trial]), np.array([row]), SEED)
    state = circuit.state(batch, circuit.dt)
    cells = [(int(key), member) for key in keys for member in range(members)]
    own = {name: float(getattr(circuit, name)) for name in ("tau_m", "v_rest", "v_threshold", "tau_inh")}
    cell = own | {"w": float(circuit.w) / members, "rate": float(circuit.rate) * members, "dt": dt}
    kick = float(circuit.sigma) / math.sqrt(math.tanh(dt / own["tau_m"] / 2))
    at = [(SEED, trial, row * 2**20 + key + member * 2**44) for key, member in cells]
    found, _ = loop.diffusive(
        [float(state["keys.mean"][0, key]) for key, _ in cells],
        [float(np.reshape(state["keys.v"], (*LOGITS[[row]].shape, members))[0][cell]) for cell in cells],
        float(state["hub.I"][0]), lambda one, step: kick * loop.normal(*at[one], step), cell=cell,
        refractory=round(float(circuit.refractory) / dt), delay=round(float(circuit.delay) / dt), steps=steps,
    )  # fmt: skip
    return sorted((step, *cells[one]) for one, step in found)


def spikes_of(found: Any, row: int, trial: int) -> list[tuple[int, int, int]]:
    own = (found.spike_row.values == row) & (found.spike_trial.values == trial)
    columns = (found[f"spike_{name}"].values[own].tolist() for name in ("step", "key", "member"))
    return sorted(zip(*columns, strict=True))


def test_every_spike_is_that_of_a_loop_and_counts_are_by_key() -> None:
    circuit, steps = Populations(members=2, **FAST), 60
    options = {"duration": steps * circuit.dt, "seed": SEED, "target": "numpy"}
    found = record(circuit, LOGITS, rows=[0, 1], trials=1, neurons=[0], variables=["v"], **options)
    counts = simulate(circuit, LOGITS, trials=2, checkpoints=np.array([20, steps]) * circuit.dt, **options)
    total = 0
    for row in (0, 1):
        spikes = expected(circuit, row, 1, steps)
        assert spikes_of(found, row, 1) == spikes
        total += len(spikes)
        for c, mark in enumerate((20, steps)):
            tally = np.bincount([key for step, key, _ in spikes if step < mark], minlength=LOGITS.shape[1])
            np.testing.assert_array_equal(counts.spike_count.values[1, row, :, c], tally)
    assert total > 20
    assert len(set(found.spike_member.values.tolist())) == 2
    # The membrane that is kept is that of a key's first neuron, which starts where the state says.
    assert found.keys_v.shape == (1, 2, 1, steps)
    assert np.isfinite(found.keys_v.values[:, 0]).all()
    assert np.isnan(found.keys_v.values[:, 1]).all()
    # Intervals of a neuron are not those of the key: nothing is said of them.
    assert np.isnan(counts.gap_sum.values).all()
    assert "interneuron_count" not in counts


@pytest.mark.long
def test_one_member_is_the_single_key_bit_for_bit() -> None:
    options = {"duration": "8 ms", "trials": 1, "seed": 4, "target": "numpy"}
    one, key = (simulate(kind(**own, **FAST), LOGITS, **options) for kind, own in (
        (Populations, {"members": 1}), (Diffusive, {})))  # fmt: skip
    assert int(key.spike_count[..., -1].sum()) > 20
    np.testing.assert_array_equal(one.spike_count, key.spike_count)
    np.testing.assert_array_equal(one.gap_square_sum, key.gap_square_sum)
    np.testing.assert_array_equal(one.limit, key.limit)


@pytest.mark.long
@pytest.mark.compiles
def test_compiled_populations_spike_like_numpy_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, options = Populations(members=5, **FAST), {"duration": "30 ms", "trials": 3, "seed": 2}
    compiled = simulate(circuit, LOGITS, target="cpp_standalone", **options)
    monkeypatch.setattr(simulation, "NEURONS_PER_BATCH", 32)
    cut = simulate(circuit, LOGITS, target="numpy", **options)
    assert int(cut.spike_count[..., -1].sum()) > 500
    np.testing.assert_array_equal(compiled.spike_count, cut.spike_count)


def test_bias_falls_with_the_rate_of_a_neuron() -> None:
    """TV of the mean field on the 72 shipped rows, as two independent programs found it, to the digits given."""
    logits = attention_rows()
    p = softmax(logits)
    for rate, tv, kappa in ((40, 0.115, 3.80), (5, 0.042, 2.02), (1, 0.025, 1.59)):
        circuit = Populations(rate=rate * b2.Hz, w=0.01 * b2.mV)
        assert total_variation(circuit.limit(logits), p).mean() == pytest.approx(tv, abs=0.0006)
        assert float(circuit.used_kappa() / b2.mV) == pytest.approx(kappa, abs=0.006)


@pytest.mark.long
@pytest.mark.compiles
def test_shares_are_those_of_the_mean_field() -> None:
    """Five standard errors of a pooled share, from the scatter of trials, and 1 % of a rate, which Siegert's formula
    misses on the grid: .004 of a share at most, as of `diffusive`."""
    logits, trials = np.array([[0.0, -0.7, -1.5, -2.5]]), 24
    circuit = Populations(members=128)
    counts = simulate(circuit, logits, duration="2 s", trials=trials, seed=6).spike_count.values[:, 0, :, -1]
    fired = counts.sum(axis=1, keepdims=True)
    pooled = counts.sum(axis=0) / fired.sum()
    error = (counts - pooled * fired).std(axis=0, ddof=1) / fired.mean() / np.sqrt(trials)
    assert fired.sum() > 25000
    assert np.all(np.abs(pooled - circuit.limit(logits)[0]) <= 5 * error + 0.004)
    # Inhibition holds a neuron at R, if it were alone.
    assert fired.mean() / 2 / 128 == pytest.approx(5, rel=0.01)
    # The limit is not softmax, and these spikes tell the two apart.
    assert np.any(np.abs(pooled - softmax(logits)[0]) > 5 * error + 0.02)
