"""Recordings for other tools: Neo in memory, NIX, NWB, netCDF and NumPy as files (extra ``neo``).

A recording is what `biospike.record` returns for the rows of a circuit. Its spikes are stored at the start of their
step, so that a window of whole steps [start, stop) holds the spikes of its steps. Of other tools that count them,
`elephant.conversion.BinnedSpikeTrain` counts the same; `neo.SpikeTrain.time_slice` is closed at both ends, so that two
slices that meet count a spike on their boundary twice.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.files import write_atomically
from biospike.recording import save

ABOUT = ("circuit", "parameters", "parameters_units", "dt_ms", "seed", "target", "versions", "git_revision")
"""Attributes of a recording that go with it."""
TABLE = "biospike"
"""Of an NWB file: what the recording says of itself, a name and a JSON text a row."""
PREFIX = ("keys_", "hub_")
TIME_MS = 1e-6
"""Times of whole steps are equal to within this."""


def to_neo(recording: xr.Dataset) -> Any:
    """Return a recording of rows as a `neo.Block`.

    Parameters
    ----------
    recording
        Of `biospike.record`.

    Returns
    -------
    neo.Block
        One segment a trial, with a `neo.SpikeTrain` for every unmasked key and a `neo.AnalogSignal` (time, key) for
        every variable of a row, masked keys left out. Times are those of the recording, bit for bit, in ms; t_start and
        t_stop are the window. Annotations: row, key and trial; of the block circuit, parameters, seed and versions.

    Raises
    ------
    InputError
        If it is no recording of rows, or neo is not installed.
    """
    neo, pq = _package("neo"), _package("quantities")
    check_recording(recording)
    start, stop = window_ms(recording)
    block = neo.Block(name=f"biospike {recording.attrs['circuit']}", **about(recording))
    for trial in recording["trial"].values.tolist():
        segment = neo.Segment(name=f"trial {trial}", index=trial, trial=trial)
        for row, key, times in trains(recording, trial):
            segment.spiketrains.append(
                neo.SpikeTrain(times, units=pq.ms, t_start=start * pq.ms, t_stop=stop * pq.ms, trial=trial, row=row,
                               key=key, name=f"row {row} key {key}")
            )  # fmt: skip
        for name, row, keys, values in signals(recording, trial):
            segment.analogsignals.append(
                neo.AnalogSignal(
                    values, units=_unit(pq, recording[name].attrs["units"]), t_start=start * pq.ms,
                    sampling_period=period_ms(recording) * pq.ms, name=f"row {row} {name}", trial=trial, row=row,
                    variable=name, keys=keys, long_name=recording[name].attrs["long_name"],
                )
            )  # fmt: skip
        block.segments.append(segment)
    block.check_relationships()
    return block


def write(recording: xr.Dataset, path: str | Path) -> None:
    """Write a recording in the format that the ending of `path` names.

    Parameters
    ----------
    recording
        Of `biospike.record`.
    path
        ``.nc`` (netCDF: everything), ``.npz`` (variables and spikes as arrays, attributes as JSON), ``.nix`` (Neo's own
        file: times bit for bit, units, annotations) or ``.nwb`` (seconds: times to 1e-12 s; `from_nwb` reads it).

    Raises
    ------
    InputError
        If the ending is another, it is no recording of rows, or a package is not installed.
    """
    target = Path(path)
    written = WRITERS.get(target.suffix)
    if written is None:
        raise InputError(f"{target.name}: recordings are written as {', '.join(WRITERS)}, got {target.suffix!r}")
    check_recording(recording)
    write_atomically(target, lambda place: written(recording, place))


def from_nwb(path: str | Path) -> Any:
    """Read a file that `write` made into a `neo.Block`, as `to_neo` makes it of the recording.

    Raises
    ------
    InputError
        If the file has no table of ours, or pynwb is not installed.
    """
    pynwb = _package("pynwb")
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        content = file.read()
        if TABLE not in content.analysis:
            raise InputError(f"{path} was not written by biospike.export.write: it has no table {TABLE!r}")
        told = content.analysis[TABLE].to_dataframe()
        attributes = {row.attribute: json.loads(row.value) for row in told.itertuples(index=False)}
        units = content.units.to_dataframe() if content.units is not None else None
        data = _recording(attributes, units, content.acquisition)
    return to_neo(data)


def check_recording(recording: xr.Dataset) -> None:
    """Raise `InputError` unless it is what `biospike.record` returns for rows."""
    needed = ("spike_time_ms", "spike_trial", "spike_row", "spike_key", "time_ms", "trial", "row", "key")
    known = (*getattr(recording, "variables", ()), *getattr(recording, "attrs", ()))
    missing = [name for name in (*needed, "window_stop_ms") if name not in known]
    if missing:
        raise InputError(f"this is no recording of rows by biospike.record: it has no {missing[0]!r}")
    times, start = recording["time_ms"].values, window_ms(recording)[0]
    steps = np.diff(times)
    if (times.size and abs(times[0] - start) > TIME_MS) or (steps.size and np.ptp(steps) > TIME_MS):
        raise InputError(
            f"the values of this recording begin at {times[0]:g} ms, its window at {start:g} ms, or they are not "
            "evenly spaced: other tools know a start and a period; export all of it"
        )


def about(recording: xr.Dataset) -> dict[str, Any]:
    """What a recording says of itself, by name: numbers and texts."""
    return {name: recording.attrs[name] for name in ABOUT if name in recording.attrs}


def period_ms(recording: xr.Dataset) -> float:
    """Time between two values of a variable, ms."""
    times = recording["time_ms"].values
    return float(times[1] - times[0]) if len(times) > 1 else float(recording.attrs["dt_ms"])


def window_ms(recording: xr.Dataset) -> tuple[float, float]:
    """Window that was kept, ms: its spikes are in [start, stop)."""
    return float(recording.attrs["window_start_ms"]), float(recording.attrs["window_stop_ms"])


def trains(recording: xr.Dataset, trial: int) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Row, key and spike times (ms) of every unmasked key of a trial."""
    of = {name: recording[f"spike_{name}"].values for name in ("trial", "row", "key", "time_ms")}
    for row in recording["row"].values.tolist():
        for key in unmasked(recording, row):
            mine = (of["trial"] == trial) & (of["row"] == row) & (of["key"] == key)
            yield row, key, of["time_ms"][mine]


def unmasked(recording: xr.Dataset, row: int) -> list[int]:
    """Keys of a row that have a value of a variable or a spike; of all that were kept if no variable of keys was."""
    own = [name for name in map(str, recording.data_vars) if name.startswith(PREFIX[0])]
    keys = recording["key"].values
    if not own:
        return [int(key) for key in keys]
    there = recording[own[0]].sel(row=row).notnull().any(("trial", "time")).values
    fired = np.isin(keys, recording["spike_key"].values[recording["spike_row"].values == row])
    return [int(key) for key in keys[there | fired]]


def signals(recording: xr.Dataset, trial: int) -> Iterator[tuple[str, int, list[int], NDArray[np.float64]]]:
    """Name, row, keys and values (time, key) of every variable of a trial; (time, 1) and no keys for those of hubs."""
    for name in (name for name in map(str, recording.data_vars) if name.startswith(PREFIX)):
        for row in recording["row"].values.tolist():
            one = recording[name].sel(trial=trial, row=row)
            if "key" in one.dims:
                keys = unmasked(recording, row)
                yield name, row, keys, one.sel(key=keys).transpose("time", "key").values
            else:
                yield name, row, [], one.values[:, None]


def _unit(pq: ModuleType, unit: str) -> Any:
    """Unit of a variable as quantities names it; 1 is dimensionless."""
    return pq.dimensionless if unit in ("", "1") else pq.Quantity(1, {"hertz": "Hz"}.get(unit, unit)).units


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{name} is not installed: pip install 'biospike[neo]'") from None


def _write_nix(recording: xr.Dataset, path: Path) -> None:
    block = to_neo(recording)
    _package("nixio")
    io = _package("neo.io").NixIO(str(path), mode="ow")
    try:
        io.write_block(block)
    finally:
        io.close()


def _write_npz(recording: xr.Dataset, path: Path) -> None:
    arrays = {str(name): recording[name].values for name in recording.variables}
    attributes = {name: recording[name].attrs for name in arrays} | {"": about(recording)}
    with path.open("wb") as file:  # a name without .npz would be given one
        np.savez_compressed(file, attributes=np.array(json.dumps(attributes)), **arrays)  # type: ignore[arg-type]


def _write_nwb(recording: xr.Dataset, path: Path) -> None:
    pynwb, common = _package("pynwb"), _package("hdmf.common")
    start, stop = window_ms(recording)
    content = pynwb.NWBFile(
        session_description=f"biospike.record of {recording.attrs['circuit']}",
        identifier=f"{recording.attrs['circuit']} {recording.attrs['seed']}",
        session_start_time=datetime(1970, 1, 1, tzinfo=UTC),  # a simulation begins at 0
    )
    facts = dict(recording.attrs) | {
        "trial": recording["trial"].values.tolist(),
        "row": recording["row"].values.tolist(),
        "key": recording["key"].values.tolist(),
        "time_ms": recording["time_ms"].values.tolist(),
    }
    names = [common.VectorData(name="attribute", description="attribute of the recording", data=list(facts))]
    values = [json.dumps(_plain(value)) for value in facts.values()]
    names.append(common.VectorData(name="value", description="its value, JSON", data=values))
    content.add_analysis(common.DynamicTable(name=TABLE, description="what made this", columns=names))
    for column in ("trial", "row", "key"):
        content.add_unit_column(column, f"{column} of biospike.record")
    for trial in facts["trial"]:
        for row, key, times in trains(recording, trial):
            content.add_unit(
                spike_times=times / 1e3, obs_intervals=[[start / 1e3, stop / 1e3]], trial=trial, row=row, key=key
            )
        for name, row, keys, signal in signals(recording, trial):
            content.add_acquisition(
                pynwb.TimeSeries(
                    name=f"trial {trial} row {row} {name}", data=signal, unit=recording[name].attrs["units"],
                    starting_time=start / 1e3, rate=1e3 / period_ms(recording), comments=json.dumps(keys),
                    description=recording[name].attrs["long_name"],
                )
            )  # fmt: skip
    with pynwb.NWBHDF5IO(str(path), "w") as file:
        file.write(content)


def _plain(value: Any) -> Any:
    """What JSON knows of a number of NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


def _recording(attributes: dict[str, Any], units: Any, series: Any) -> xr.Dataset:
    """Recording of what an NWB file holds; masked keys are NaN again."""
    coords = {name: attributes.pop(name) for name in ("trial", "row", "key", "time_ms")}
    spikes: dict[str, list[Any]] = {name: [] for name in ("time_ms", "trial", "row", "key")}
    for unit in () if units is None else units.itertuples():
        times = np.asarray(unit.spike_times) * 1e3
        spikes["time_ms"].append(times)
        for name in ("trial", "row", "key"):
            spikes[name].append(np.full(len(times), getattr(unit, name)))
    data = xr.Dataset(
        {f"spike_{name}": ("spike", np.concatenate(parts) if parts else []) for name, parts in spikes.items()},
        coords={"time_ms": ("time", coords["time_ms"])}
        | {name: (name, np.array(coords[name], dtype=int)) for name in ("trial", "row", "key")},
        attrs=attributes,
    )
    shape = tuple(data.sizes[name] for name in ("trial", "row", "key", "time"))
    for label, one in series.items():
        _, trial, _, row, name = label.split(" ")
        keys, values = json.loads(one.comments), np.asarray(one.data)
        place = {"trial": int(trial), "row": int(row)}
        told = {"units": one.unit, "long_name": one.description}
        if name not in data:
            of_keys = name.startswith(PREFIX[0])
            dims = ("trial", "row", "key", "time") if of_keys else ("trial", "row", "time")
            sizes = shape if of_keys else (*shape[:2], shape[3])
            data[name] = (dims, np.full(sizes, np.nan), told)
        if keys or name.startswith(PREFIX[0]):
            data[name].loc[place | {"key": keys}] = values.T
        else:
            data[name].loc[place] = values[:, 0]
    return data


WRITERS: dict[str, Callable[[xr.Dataset, Path], None]] = {
    ".nc": save,
    ".npz": _write_npz,
    ".nix": _write_nix,
    ".nwb": _write_nwb,
}
