"""Hold the spiking circuits against the exact softmax: which compute it, how fast, and where does each fail.

Every circuit of `circuits.softmax` receives the same rows of attention logits. Its spike counts become shares, the
shares are held against the exact softmax in every window of one run, and the table says for each circuit its bias, its
order of convergence and the law it follows.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import tyro
import xarray as xr
from numpy.typing import NDArray

from biospike import simulate
from biospike.circuit import Circuit
from biospike.parameters import parse_quantity
from biospike.recording import save, write_atomically
from biospike.simulation import build_ahead, check_study
from circuits import SOFTMAX_CIRCUITS
from validation import command_line, softmax_sweep
from validation.data import attention_rows
from validation.logits_file import read_logits
from validation.softmax_drawing import Raster, draw_convergence, drawing
from validation.softmax_report import report
from validation.softmax_tables import converge, halving, summarise

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

WINDOWS = 24
FIRST_WINDOW = 1e-3
"""Windows are spaced evenly in the logarithm from this fraction of the duration."""
HALVED_FRACTION = 8
"""The step is halved for about one in this many of the duration, in half of the trials."""
WORTH_A_PROCESS = 2e8
"""Steps of all neurons above which figures are drawn in a process of their own, which takes seconds to start."""

SHOWN = ["circuit", "spikes_per_row", "tv", "tv_low", "tv_high", "tv_expected", "limit_tv", "bias_tv", "isi_cv"]


@attrs.frozen
class Config:
    """Options of ``compare_softmax``."""

    logits: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Rows of logits in nats: .npy, .npz (array 'logits') or .csv; NaN, -inf or an empty field masks a key.
    Default: 72 real attention rows of a trained transformer, shipped with biospike."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(SOFTMAX_CIRCUITS)
    """Circuits to run."""
    duration: Annotated[str, tyro.conf.arg(metavar="TIME")] = "2 s"
    """Longest window, with its unit; shorter windows are read from the same run."""
    trials: int = 8
    """Independent repetitions of every row."""
    seed: int = 1
    """Same seed, same spikes, on every target."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/compare_softmax")
    """Directory for tables, counts, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor tables."""
    sweep: Annotated[Path | None, tyro.conf.arg(metavar="FILE.toml")] = None
    """Run a grid of circuits, parameters, logits, seeds and durations that this file gives, in place of the options
    above except --out and --quiet; start the same command again to go on where it stopped."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes of a sweep; default all cores."""
    scheduler: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Run the sweep on the workers of this Dask scheduler, for example tcp://node:8786."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration: what `run` needs."""

    config: Config
    logits: NDArray[np.float64]
    circuits: dict[str, Circuit]
    duration: Quantity
    windows: Quantity


def prepare(config: Config) -> Study:
    """Check the whole configuration and read its input.

    Raises
    ------
    ValueError
        Naming the value and what is accepted.
    """
    logits = attention_rows() if config.logits is None else read_logits(config.logits)
    if not config.circuits:
        raise ValueError(f"--circuits needs at least one of {', '.join(SOFTMAX_CIRCUITS)}")
    circuits: dict[str, Circuit] = {}
    for name in config.circuits:
        if name not in SOFTMAX_CIRCUITS:
            near = difflib.get_close_matches(name, SOFTMAX_CIRCUITS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"--circuits {name}: unknown circuit{hint}; accepted: {', '.join(SOFTMAX_CIRCUITS)}")
        circuits[name] = SOFTMAX_CIRCUITS[name]()
    duration = parse_quantity(config.duration, like=2 * b2.second)
    grid = max(circuit.dt for circuit in circuits.values())
    if duration < 3 * grid:
        raise ValueError(f"--duration {config.duration} must be above 0 s and at least three steps of {grid}")
    # Windows on the coarsest grid, so that all circuits are read at the same times.
    steps = int(float(duration / grid) * (1 + 1e-12))  # 0.3 s are 300 steps of 1 ms, not 299.99
    marks = np.unique(np.rint(np.geomspace(max(1.0, FIRST_WINDOW * steps), steps, WINDOWS)))
    study = Study(config, logits, circuits, steps * grid, marks * grid)
    for circuit in circuits.values():
        check_study(circuit, logits, **_options(study))
    return study


def _options(study: Study) -> dict[str, Any]:
    return {
        "duration": study.duration,
        "checkpoints": study.windows,
        "trials": study.config.trials,
        "seed": study.config.seed,
        "target": study.config.target,
    }


def run(study: Study) -> xr.Dataset:
    """Simulate every circuit at its own step and at half of it.

    Returns
    -------
    xarray.Dataset
        As of `biospike.simulate`, along a new dimension `circuit`; `spike_count_halved` was counted at half the
        step, in the window `window_halved_ms`. The attributes of each circuit's run are coordinates of `circuit`.
    """
    collected = []
    options = _options(study) | {"progress": not study.config.quiet}
    build_ahead(list(study.circuits.values()), study.logits, **options)
    short = study.windows[np.argmin(np.abs(study.windows - study.duration / HALVED_FRACTION))]
    trials = max(2, study.config.trials // 2)
    halved_options = options | {"duration": short, "checkpoints": short * np.ones(1), "trials": trials}
    for circuit in study.circuits.values():
        data = simulate(circuit, study.logits, **options)
        halved = simulate(circuit, study.logits, dt=circuit.dt / 2, **halved_options)
        counts = halved["spike_count"].isel(checkpoint=-1).drop_vars(("window_ms", "timesteps"))
        data["spike_count_halved"] = counts.rename(trial="trial_halved")
        data = data.assign_coords(window_halved_ms=float(short / b2.ms))
        own = {name: data.attrs[name] for name in ("parameters", "dt_ms", "target", "target_reason")}
        common = {name: value for name, value in data.attrs.items() if name not in {*own, "circuit"}}
        coordinates = {name: ("circuit", [value]) for name, value in own.items()}
        data = data.assign_coords(coordinates | {"circuit": [circuit.name]})
        data["timesteps"] = data["timesteps"].expand_dims("circuit")
        for name in ("spike_count", "spike_count_halved", "gap_sum", "gap_square_sum", "limit"):
            data[name] = data[name].expand_dims("circuit")
        collected.append(data.assign_attrs(common))
        if not study.config.quiet:
            reason = f"{own['target']}: {own['target_reason']}"
            print(f"{circuit.name}: {int(data['spike_count'][..., -1].sum())} spikes ({reason})", file=sys.stderr)
    joined = xr.concat(collected, dim="circuit", data_vars="minimal", coords="minimal", compat="override", join="exact")
    return joined.assign_attrs(compilers=", ".join(sorted({d.attrs["compiler"] for d in collected})))


def _without_grid(config: Config) -> softmax_sweep.Options:
    """Options of a sweep; those that its file decides must not be given."""
    ours = {"sweep", "jobs", "scheduler", "out", "quiet"}
    for field in attrs.fields(Config):
        if field.name not in ours and getattr(config, field.name) != field.default:
            raise ValueError(f"--{field.name} is given by --sweep {config.sweep}; leave it out")
    return softmax_sweep.Options(config.out, config.jobs, config.scheduler, config.quiet)


def main(config: Config) -> None:
    """Check, run, summarise, plot and write."""
    if config.sweep is not None:
        softmax_sweep.main(config.sweep, _without_grid(config))
        return
    if config.jobs is not None or config.scheduler is not None:
        raise ValueError("--jobs and --scheduler belong to a sweep; give its --sweep FILE.toml")
    study = prepare(config)
    out = command_line.writable(config.out)
    neurons = config.trials * np.count_nonzero(~np.isnan(study.logits))
    steps = sum(float(study.duration / circuit.dt) for circuit in study.circuits.values())
    raster = Raster(study.circuits, study.logits, study.duration, config.seed)
    with drawing(raster, out, beside=bool(neurons * steps >= WORTH_A_PROCESS)) as draw:
        data = run(study)
        summary = summarise(data)
        convergence = converge(data, summary)
        draw(draw_convergence, summary, convergence, out)
        save(data, out / "counts.nc")
        for name, table in (("summary", summary), ("convergence", convergence)):
            write_atomically(out / f"{name}.csv", lambda file, table=table: table.to_csv(file, index=False))
        text = report(data, summary, convergence, halving(data))
        write_atomically(out / "report.md", lambda file: file.write_text(text))
    if not config.quiet:
        last = summary.groupby("circuit", sort=False).tail(1)
        fits = convergence[["circuit", "order", "order_low", "order_high", "verdict"]]
        shown = last[SHOWN].merge(fits, on="circuit")
        print(shown.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
        print(f"written to {out}: {', '.join(sorted(path.name for path in out.iterdir() if path.is_file()))}")


if __name__ == "__main__":
    command_line.run(Config, main, __doc__)
