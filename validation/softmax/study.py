"""Order of work of ``compare_softmax``: options, checks, run, and what is written."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import pandas as pd
import tyro
import xarray as xr
from numpy.typing import NDArray

from biospike import plots
from biospike.circuit import Circuit
from biospike.errors import InputError
from biospike.execution import build_plans, choose_target
from biospike.packing import Plan
from biospike.parameters import parse_quantity
from biospike.recording import load_groups
from biospike.simulation import plan, simulate_each
from biospike.tables import CONVERGENCE, converge, summarise
from validation.data import attention_rows
from validation.inputs.circuits import chosen_circuits
from validation.inputs.logits import Rows, read_rows
from validation.inputs.parameters import with_parameters
from validation.softmax import row_sets
from validation.softmax import sweep as softmax_sweep
from validation.softmax.claims import CLAIMS
from validation.softmax.control_figure import CURVES, control_figure
from validation.softmax.controls import floor_curve, floor_plans, late_spikes, normalisation, perturbed
from validation.softmax.figures import Raster, draw_controls, draw_convergence, drawing
from validation.softmax.regularity import regularity_plans, regularity_table
from validation.softmax.report import report
from validation.softmax.tables import halving, not_run
from validation.study import command_line
from validation.study.left_out import say, those_that_take
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

import brian2 as b2
from brian2.units.fundamentalunits import Quantity

WINDOWS = 24
FIRST_WINDOW = 1e-3
"""Windows are spaced evenly in the logarithm from this fraction of the duration."""
HALVED_FRACTION = 8
"""The step is halved for about one in this many of the duration, in half of the trials."""
WORTH_A_PROCESS = 2e8
"""Steps of all neurons above which figures are drawn in a process of their own, which takes seconds to start."""

OWN_ATTRIBUTES = ("parameters", "dt_ms", "target", "target_reason")
OWN_VARIABLES = (
    *("timesteps", "spike_count", "spike_count_halved", "gap_sum", "gap_square_sum", "limit"),
    *("late_spikes_lowered", "late_spikes_scaled"),
)
"""What differs between circuits."""

POINTS = "points"
"""Folder of a sweep, whose results a run without one does not touch."""
FILES = (
    *(
        "summary.csv",
        "convergence.csv",
        "floor_curve.csv",
        "regularity.csv",
        "row_sets.csv",
        "counts.nc",
        "traces.nc",
        "report.md",
        "sweep.csv",
    ),
    *(f"{figure}.{kind}" for figure in ("convergence", "raster", "controls", "sweep") for kind in ("png", "pdf")),
)
"""What a run or a sweep may write: those of an older one are removed before the first is written."""

ADVICE = "--set {name}.PARAMETER=VALUE sets it, or the file of --sweep under [{name}]"

FITTED = ["order", "order_low", "order_high", "verdict", "reason"]
SHOWN = ["circuit", "spikes_per_row", "tv", "tv_low", "tv_high", "tv_expected", "limit_tv", "bias_tv", "isi_cv"]


@attrs.frozen
class Config:
    """Options of ``compare_softmax``."""

    logits: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Rows of logits in nats: .npy, .npz (array 'logits') or .csv; NaN, -inf, a fill such as -1e4 or an empty field
    masks a key. A dump (batch, heads, queries, keys) is flattened. Default: 72 real attention rows of a trained
    transformer, shipped with biospike."""
    no_frame: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Read all of a text file as logits, also what looks like header and index of a data frame."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("circuit", "control")
    """Circuits to run, by name or group: circuit for the seven, control for those that normalise nothing. One of your
    own is FILE.py:CLASS; the file is executed."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CIRCUIT.PARAMETER=VALUE ...")] = ()
    """Parameters of these circuits, such as diffusive.tau_m="10 ms" race.rate="50 Hz"; default their own."""
    duration: Annotated[str, tyro.conf.arg(metavar="TIME")] = "2 s"
    """Longest window, with its unit; shorter windows are read from the same run."""
    trials: int = 8
    """Independent repetitions of every row."""
    seed: int = 1
    """Same seed, same spikes, on every target."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython, numpy, fused (kernels that find Brian2's spikes) or continuous (without a grid)."""
    curves: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also run the circuits on rows of doubled and of quartered logits, Lemma 3 at other weights, and escape at other
    regularities: row_sets.csv, floor_curve.csv and regularity.csv, in three times the time."""
    no_check: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not replay a small batch on Brian2's numpy target of every circuit that runs on target fused."""
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
    """Those that are run."""
    left_out: dict[str, str]
    """Those that cannot take a row, and why, in a line each."""
    duration: Quantity
    plans: list[Plan]
    """Of every circuit, at its own step."""
    halved: list[Plan]
    """The same at half of it, for one short window."""
    again: list[Plan | None]
    """Some rows with shifted and with scaled logits; None where the circuit refuses them."""
    floors: list[Plan]
    """Lemma 3 at other weights, if it is among the circuits and curves are asked for."""
    family: list[Plan]
    """`escape` at other regularities, if it is among the circuits and curves are asked for."""
    sets: dict[tuple[str, str], Plan]
    """Peaked and flat rows, by their kind and the circuit."""
    row_names: list[str] | None = None
    """Of the rows of a dump, such as "b0 h3 q5"."""


def prepare(config: Config) -> Study:
    """Check the whole configuration and read its input.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    rows = Rows(attention_rows()) if config.logits is None else read_rows(config.logits, frame=not config.no_frame)
    logits = rows.logits
    kinds = chosen_circuits("--circuits", config.circuits)
    chosen = with_parameters("--set", {name: kind() for name, kind in kinds.items()}, config.set)
    circuits, left_out = those_that_take(chosen, logits, ADVICE)
    duration = parse_quantity(config.duration, like=2 * b2.second)
    grid = max(circuit.dt for circuit in circuits.values())
    if duration < 3 * grid:
        raise InputError(f"--duration {config.duration} must be above 0 s and at least three steps of {grid}")
    # Windows on the coarsest grid, so that all circuits are read at the same times.
    steps = int(float(duration / grid) * (1 + 1e-12))  # 0.3 s are 300 steps of 1 ms, not 299.99
    marks = np.unique(np.rint(np.geomspace(max(1.0, FIRST_WINDOW * steps), steps, WINDOWS)))
    duration, windows = steps * grid, marks * grid
    short = windows[np.argmin(np.abs(windows - duration / HALVED_FRACTION))]
    full = {"duration": duration, "checkpoints": windows, "trials": config.trials, "seed": config.seed}
    less = {"duration": short, "checkpoints": short * np.ones(1), "trials": max(2, config.trials // 2)}
    plans = [plan(circuit, logits, **full) for circuit in circuits.values()]
    halved = [plan(circuit, logits, dt=circuit.dt / 2, **full | less) for circuit in circuits.values()]
    for work in plans:
        choose_target(work, config.target)
    again = [perturbed(circuit, logits, windows, config.seed) for circuit in circuits.values()]
    curves = config.curves
    floors = floor_plans(logits, duration, config.seed) if curves and "subtractive" in circuits else []
    family = regularity_plans(logits, duration, config.seed) if curves and "escape" in circuits else []
    some = {"duration": duration, "windows": windows, "trials": config.trials, "seed": config.seed}
    sets = row_sets.set_plans(circuits.values() if curves else (), logits, **some)
    return Study(config, logits, circuits, left_out, duration, plans, halved, again, floors, family, sets, rows.names)


def start(study: Study) -> Iterator[xr.Dataset]:
    """Results of all simulations of the study, one queue: what `run` and then `run_curves` take from it.

    Limits are found where they are read.
    """
    target, progress = study.config.target, not study.config.quiet
    build_plans(study.plans, target, progress=progress)
    work: list[Plan] = []
    limits: list[bool] = []
    for full, halved, again in zip(study.plans, study.halved, study.again, strict=True):
        own = [full, halved, *([] if again is None else [again])]
        work, limits = [*work, *own], [*limits, True, *[False] * (len(own) - 1)]
    work += [*study.sets.values(), *study.floors, *study.family]
    limits += [True] * (len(work) - len(limits))
    return simulate_each(work, target=target, progress=progress, check=not study.config.no_check, limit=limits)


def run(study: Study, done: Iterator[xr.Dataset] | None = None) -> Iterator[xr.Dataset]:
    """Simulate every circuit at its own step and at half of it, and yield its result while the next ones run.

    Parameters
    ----------
    done
        Of `start`, for who wants the curves as well.

    Yields
    ------
    xarray.Dataset
        As of `biospike.simulate`, with `row_name` of a dump; `spike_count_halved` was counted at half the step, in the
        window `window_halved_ms`; `late_spikes_lowered` and `late_spikes_scaled` as of `controls.late_spikes`.
    """
    progress = not study.config.quiet
    done = start(study) if done is None else done
    windows_ms = study.plans[0].marks * study.plans[0].dt * 1e3
    for again in study.again:
        data, halved = next(done), next(done)
        data = data.assign(late_spikes(None if again is None else next(done), len(study.logits)))
        counts = halved["spike_count"].isel(checkpoint=-1)
        data["spike_count_halved"] = counts.drop_vars(("window_ms", "timesteps")).rename(trial="trial_halved")
        if progress:
            spikes = int(data["spike_count"][..., -1].sum())
            print(
                f"{data.attrs['circuit']}: {spikes} spikes ({data.attrs['target']}: {data.attrs['target_reason']})",
                file=sys.stderr,
            )
        # All circuits are read at the same times, which each would round in its own steps.
        windows = data["window_ms"].copy(data=windows_ms)
        names: dict[str, Any] = {} if study.row_names is None else {"row_name": ("row", study.row_names)}
        yield data.assign_coords(window_ms=windows, window_halved_ms=float(halved["window_ms"][-1]), **names)


def run_curves(
    study: Study, done: Iterator[xr.Dataset], given: dict[str, dict[str, object]]
) -> dict[str, pd.DataFrame]:
    """Tables ``row_sets``, and ``floor_curve`` and ``regularity``, if what they are about is among the circuits.

    Parameters
    ----------
    done
        Of `start`, of which `run` has taken its own.
    given
        What is known of every circuit on the study's own rows, as of `row_sets.table`.
    """
    if not study.config.curves:
        return {}
    curves = {"row_sets": row_sets.table(given, study.sets, itertools.islice(done, len(study.sets)))}
    if study.floors:
        curves["floor_curve"] = floor_curve(itertools.islice(done, len(study.floors)))
    if study.family:
        curves["regularity"] = regularity_table(study.family, itertools.islice(done, len(study.family)))
    return curves


def join(results: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join what `run` yields along a new dimension `circuit`; what differs between circuits becomes a coordinate."""
    parts = []
    for data in results:
        own = {name: ("circuit", [data.attrs[name]]) for name in OWN_ATTRIBUTES}
        part = data.assign_coords(own | {"circuit": [data.attrs["circuit"]]})
        for variable in OWN_VARIABLES:
            part[variable] = part[variable].expand_dims("circuit")
        part.attrs = {key: value for key, value in data.attrs.items() if key not in {*own, "circuit"}}
        parts.append(part)
    joined = xr.concat(parts, dim="circuit", data_vars="minimal", coords="minimal", compat="override", join="exact")
    return joined.assign_attrs(compilers=", ".join(sorted({data.attrs["compiler"] for data in results})))


def _without_grid(config: Config) -> softmax_sweep.Options:
    """Options of a sweep; those that its file decides must not be given."""
    ours = {"sweep", "jobs", "scheduler", "out", "quiet"}
    for field in attrs.fields(Config):
        if field.name not in ours and getattr(config, field.name) != field.default:
            option = field.name.replace("_", "-")
            raise InputError(f"--{option} is given by --sweep {config.sweep}; leave it out")
    return softmax_sweep.Options(config.out, config.jobs, config.scheduler, config.quiet)


def main(config: Config) -> None:
    """Check, run, summarise, plot and write."""
    if config.sweep is not None:
        softmax_sweep.main(config.sweep, _without_grid(config))
        return
    if config.jobs is not None or config.scheduler is not None:
        raise InputError("--jobs and --scheduler belong to a sweep; give its --sweep FILE.toml")
    study = prepare(config)
    if (config.out / POINTS).is_dir():
        raise InputError(f"--out {config.out} holds the points of a sweep; name another directory")
    say(study.left_out)
    neurons = config.trials * np.count_nonzero(~np.isnan(study.logits))
    steps = sum(work.steps for work in study.plans)
    raster = Raster(study.circuits, study.logits, study.duration, config.seed, tuple(study.left_out))
    beside = bool(neurons * steps >= WORTH_A_PROCESS)
    with Results.of(config) as out, drawing(raster, out.directory, beside=beside) as draw:
        results, summaries, fits, halvings = [], [], [], []
        given: dict[str, dict[str, object]] = {}
        done = start(study)
        for one in run(study, done):
            results.append(one)
            summary = summarise(one, study.circuits[one.attrs["circuit"]])
            summaries.append(summary.assign(**normalisation(one)))
            fits.append(converge(one, summaries[-1]))
            given[one.attrs["circuit"]] = summaries[-1].iloc[-1].to_dict() | fits[-1]
            halvings.append(halving(one))
        for name in study.left_out:
            rows, fit = not_run(name, summaries[0])
            summaries.append(rows)
            fits.append(fit)
        summary = pd.concat([table.astype(object) for table in summaries], ignore_index=True).infer_objects()
        convergence = pd.DataFrame(fits)[CONVERGENCE]
        command_line.remove(out.directory, FILES)
        draw(draw_convergence, summary, convergence, out.directory)
        data = join(results)
        out.save("counts", data)
        out.tables(summary=summary, convergence=convergence)
        for name, row in given.items():
            row["cv_law"] = row_sets.cv_law(data.sel(circuit=[name]), summary[summary["circuit"] == name])
        curves = run_curves(study, done, given)
        out.tables(**curves)
        draw(draw_controls, summary, curves, out.directory)
        verdicts = convergence[["circuit", *FITTED]]
        out.show(summary.groupby("circuit", sort=False).tail(1)[SHOWN].merge(verdicts, on="circuit"))
        # Claims name the circuits' own constants.
        findings = () if study.config.set else CLAIMS.findings(out)
        out.report(report(data, summary, convergence, pd.DataFrame(halvings), findings, study.left_out, curves))


def redraw(results: Results, out: Path) -> None:
    """Draw ``softmax_convergence``, ``softmax_controls`` and ``softmax_raster`` again."""
    summary, convergence = (results.table(name) for name in ("summary", "convergence"))
    plots.save_figure(plots.convergence_figure(summary, convergence), out, "softmax_convergence")
    there = {name: results.table(name) for name in CURVES if (results.directory / f"{name}.csv").is_file()}
    plots.save_figure(control_figure(summary, there), out, "softmax_controls")
    traces = load_groups(results.directory / "traces.nc")
    plots.save_figure(plots.raster_figure(traces), out, "softmax_raster")


STUDY = StudyRecord(
    "compare_softmax",
    Config,
    main,
    CLAIMS,
    redraw,
    quick=("--trials", "8", "--duration", "1 s", "--curves"),
    paper=("--trials", "64", "--duration", "4 s", "--curves"),
    minutes=(1.3, NOT_TIMED),
)
