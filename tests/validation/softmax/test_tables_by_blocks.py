"""Tables of many rows, windows and keys are made a block of counts at a time: the blocks never show."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from biospike import order, share_verdicts, tables
from biospike.errors import InputError
from biospike.ideal.softmax import softmax
from circuits.softmax import Divisive, Race, Subtractive


@pytest.fixture
def data():
    rng = np.random.default_rng(6)
    logits = rng.normal(0, 1.5, (5, 7))
    logits[1, 4:] = np.nan
    p = softmax(logits)
    steps = rng.poisson(np.diff(np.geomspace(1, 900, 9)) * p[None, :, :, None], size=(3, 5, 7, 8))
    counts = np.cumsum(steps, axis=-1).astype(np.int32)
    assert counts[..., -1].sum(axis=-1).min() > 500
    counts[0, 2, :, :2] = 0  # a silent row
    dims = ("trial", "row", "key")
    gaps = rng.uniform(5, 50, counts.shape[:3]) * counts[..., -1]
    variables = {
        "spike_count": ((*dims, "checkpoint"), counts),
        "gap_sum": (dims, gaps),
        "gap_square_sum": (dims, gaps**2),
        "logits": (("row", "key"), logits),
        "limit": (("row", "key"), p),
    }
    window = ("checkpoint", np.arange(1.0, 9.0))
    return xr.Dataset(variables, coords={"window_ms": window, "timesteps": window})


@pytest.mark.parametrize("circuit", [Race(), Divisive(), Subtractive()])
@pytest.mark.parametrize("block", [1, 3 * 7, 8 * 3 * 7, 2 * 8 * 3 * 7])
def test_every_block_gives_the_same_tables(data, monkeypatch, circuit, block):
    """One window of one row at a time, one row, two rows: as all at once."""
    whole = tables.summarise(data, circuit)
    fit = tables.converge(data, whole)
    sizes = []
    shares = tables.metrics.shares

    def spy(counts):
        sizes.append(counts.size)
        return shares(counts)

    monkeypatch.setattr(tables.metrics, "shares", spy)
    for module in (tables, share_verdicts, order):
        monkeypatch.setattr(module, "BLOCK", block)
    parts = tables.summarise(data, circuit)
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-13)
    again = tables.converge(data, parts)
    pd.testing.assert_frame_equal(pd.DataFrame([again]), pd.DataFrame([fit]), rtol=1e-9)
    assert max(sizes) == max(block, 3 * 7)


def test_kl_floor_is_what_smoothing_makes_of_a_perfect_code(data):
    """Key by key: N*p_i and half a spike, over N and half a spike a key; the mean over what fired."""
    found = tables.summarise(data, Divisive())["kl_floor"]
    counts, p = data["spike_count"].values, softmax(data["logits"].values)
    for window in (0, 7):
        floors = []
        for trial, row in np.ndindex(3, 5):
            n, own = int(counts[trial, row, :, window].sum()), p[row][p[row] > 0]
            if n:
                floors.append(sum(x * math.log(x * (n + len(own) / 2) / (n * x + 0.5)) for x in own))
        assert found[window] == pytest.approx(np.mean(floors))
        assert found[window] > 0
    assert len(floors) == 15
    assert found[7] < found[0] / 10


def test_counts_of_another_circuit_are_refused(data):
    assert len(tables.summarise(data.assign_attrs(circuit="race"), Race())) == 8
    with pytest.raises(InputError, match="those of the circuit 'race', and not of 'divisive'"):
        tables.summarise(data.assign_attrs(circuit="race"), Divisive())
