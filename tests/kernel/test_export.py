"""Recordings in other tools: every spike, unit and annotation comes back, and windows count what ours count."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from biospike import InputError, load, record, simulate
from biospike.export import from_nwb, to_neo, write
from circuits.softmax import Escape, Subtractive

import brian2 as b2

neo = pytest.importorskip("neo")
ROWS = np.array([[0.0, 1.0, np.nan], [1.0, 2.0, 3.0], [0.0, -3.0, 0.5]])
# The packages hand each other an argument that the one below them no longer takes.
pytestmark = pytest.mark.filterwarnings("ignore:The 'copy' argument in Quantity")
CIRCUIT = Escape(dt=0.1 * b2.ms, rate=700 * b2.Hz)


@pytest.fixture(scope="module")
def recording() -> xr.Dataset:
    return record(CIRCUIT, ROWS, duration="90 ms", rows=[0, 2], trials=[0, 1], seed=3, target="numpy", every="0.2 ms")


def assert_same_block(found: Any, expected: Any, within: float = 0.0) -> None:
    """Every train, signal and annotation; times within so many seconds."""
    assert len(found.segments) == len(expected.segments) > 0
    for own, other in zip(found.segments, expected.segments, strict=True):
        trains = [sorted(segment.spiketrains, key=lambda one: str(one.name)) for segment in (own, other)]
        assert sum(map(len, trains[1])) > 20
        for one, two in zip(*trains, strict=True):
            np.testing.assert_allclose(one.rescale("s").magnitude, two.rescale("s").magnitude, rtol=0, atol=within)
            for name in ("row", "key", "trial"):
                assert one.annotations[name] == two.annotations[name]
            assert float(one.t_stop.rescale("s")) == pytest.approx(float(two.t_stop.rescale("s")), abs=within)
        signals = [sorted(segment.analogsignals, key=lambda one: str(one.name)) for segment in (own, other)]
        assert len(signals[1]) > 0
        for one, two in zip(*signals, strict=True):
            np.testing.assert_array_equal(one.magnitude, two.magnitude)
            assert one.dimensionality == two.dimensionality
            assert list(one.annotations["keys"]) == list(two.annotations["keys"])
    for name in ("circuit", "parameters", "seed", "versions"):
        assert found.annotations[name] == expected.annotations[name]


def test_neo_has_every_spike_bit_for_bit_and_says_whose(recording: xr.Dataset) -> None:
    block = to_neo(recording)
    assert [len(segment.spiketrains) for segment in block.segments] == [5, 5]  # a key of the first row is masked
    for segment in block.segments:
        for train in segment.spiketrains:
            trial, row, key = (train.annotations[name] for name in ("trial", "row", "key"))
            mine = recording["spike_time_ms"].values[
                (recording["spike_trial"] == trial) & (recording["spike_row"] == row) & (recording["spike_key"] == key)
            ]
            assert train.magnitude.tolist() == mine.tolist()
            assert (str(train.units.dimensionality), float(train.t_start)) == ("ms", 0.0)
            assert float(train.t_stop) == pytest.approx(90)
    assert sum(len(train) for segment in block.segments for train in segment.spiketrains) == recording.sizes["spike"]
    assert json.loads(block.annotations["parameters"])["rate"] == 700


def test_windows_of_whole_steps_count_what_simulate_counts(recording: xr.Dataset) -> None:
    """At every boundary, spikes on it included; slices of neo are closed at both ends."""
    windows = np.array([10.0, 30.0, 60.0, 90.0])
    counts = simulate(
        CIRCUIT, ROWS, duration="90 ms", trials=2, seed=3, target="numpy", checkpoints=windows * b2.ms
    )["spike_count"]  # fmt: skip
    bins = pytest.importorskip("elephant.conversion").BinnedSpikeTrain
    on_boundary = twice = 0
    for segment in to_neo(recording).segments:
        for train in segment.spiketrains:
            of = counts.sel(
                trial=train.annotations["trial"], row=train.annotations["row"], key=train.annotations["key"]
            )
            for stop, count in zip(windows, of.values, strict=True):
                cut = train.duplicate_with_new_data(train[train.magnitude < stop], t_stop=stop * train.units)
                assert bins(cut, bin_size=stop * train.units).to_array().sum() == count
            on_boundary += np.isin(np.rint(train.magnitude * 10), 100 * np.arange(1, 9)).sum()
            ends = np.arange(0, 100, 10) * train.units
            slices = [train.time_slice(*pair) for pair in itertools.pairwise(ends)]
            twice += sum(map(len, slices)) - len(train)
            binned = bins(train, bin_size=10 * train.units).to_array().sum()
            assert binned == len(train) == of.values[-1]
    assert on_boundary == twice > 0


def test_variables_have_units_and_masked_keys_none(recording: xr.Dataset) -> None:
    some = record(Subtractive(), ROWS, duration="50 ms", rows=[0], target="numpy", variables=["u", "hub.n_keys"])
    block = to_neo(some)
    [membrane, keys] = block.segments[0].analogsignals
    assert membrane.shape[1] == 2
    assert keys.magnitude.ravel().tolist() == [2.0] * len(keys)
    assert float(membrane.sampling_period) == pytest.approx(float(Subtractive().dt / b2.ms))


def test_a_window_begins_and_ends_where_it_was_kept() -> None:
    some = record(CIRCUIT, ROWS, duration="90 ms", window=("20 ms", "50 ms"), rows=[1], seed=3, target="numpy")
    for train in to_neo(some).segments[0].spiketrains:
        assert float(train.t_start) == 20.0
        assert (train.magnitude >= 20).all()
        assert (train.magnitude < 50).all()


@pytest.mark.parametrize("ending", ["nc", "npz"])
def test_files_of_ours_hold_everything(ending: str, recording: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / f"some.{ending}"
    write(recording, path)
    found = load(path) if ending == "nc" else np.load(path)
    for name in recording.variables:
        np.testing.assert_array_equal(found[name], recording[name])
    if ending == "npz":
        assert json.loads(str(found["attributes"]))["keys_v"]["units"] == recording["keys_v"].attrs["units"]


def test_nix_keeps_every_bit(recording: xr.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("nixio")
    write(recording, tmp_path / "some.nix")
    io = neo.io.NixIO(str(tmp_path / "some.nix"), mode="ro")
    try:
        assert_same_block(io.read_block(), to_neo(recording))
    finally:
        io.close()


def test_nwb_comes_back_to_a_billionth_of_a_millisecond(recording: xr.Dataset, tmp_path: Path) -> None:
    pytest.importorskip("pynwb")
    write(recording, tmp_path / "some.nwb")
    assert_same_block(from_nwb(tmp_path / "some.nwb"), to_neo(recording), within=1e-12)


def test_what_cannot_be_written_is_named(recording: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as .nc, .npz, .nix, .nwb, got '.csv'"):
        write(recording, tmp_path / "some.csv")
    with pytest.raises(InputError, match="no recording of rows"):
        to_neo(recording.drop_vars("spike_row"))
    steps = recording.sizes["time"]
    for kept in (range(100, steps), [*range(50), *range(100, steps)]):  # the variables would move in time
        with pytest.raises(InputError, match=r"begin at .* or they are not evenly spaced"):
            to_neo(recording.isel(time=list(kept)))
    halved = to_neo(recording.isel(time=slice(None, None, 2))).segments[0].analogsignals[0]
    assert float(halved.sampling_period) == pytest.approx(0.4)
    assert not list(tmp_path.iterdir())
