"""Order of work of ``spike_bounds``: options, checks, run, and what is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import joblib
import numpy as np
import pandas as pd
import tyro
import xarray as xr
from numpy.typing import NDArray

from biospike import parts
from biospike.encoding import ENCODERS
from biospike.errors import InputError
from biospike.execution import check_counts, check_jobs, count_steps
from biospike.simulation import check_study
from circuits import SOFTMAX_CIRCUITS
from validation.attention import study as compare_attention
from validation.bounds import measure as measured
from validation.bounds import sparse
from validation.bounds.claims import CLAIMS
from validation.bounds.curves import Curve, curves
from validation.bounds.figures import bounds_figure, control_figure
from validation.bounds.rate_bands import rate_bands
from validation.bounds.report import report
from validation.bounds.row_sets import rows_of, tabulate_row_sets
from validation.bounds.tables import fit, judge, not_run, rates, summarise
from validation.data import attention_rows
from validation.inputs.logits import read_logits
from validation.study.left_out import say, those_that_take
from validation.study.options import member
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

import brian2 as b2

GRID = 1 * b2.ms
"""Windows of the softmax circuits are whole steps of the coarsest of them."""
TOY_TRIALS = 4
"""Times as many trials for the toy, whose two rows average little."""
ADVICE = "here it is run as it ships"
FEWEST_SPIKES = 8
"""Spikes that would stand for x = 1 in the shortest window of an encoder."""


@attrs.frozen(kw_only=True)
class Sizes:
    """How much is simulated.

    Attributes
    ----------
    values, full
        Values a trial, and spikes that would stand for x = 1 in the longest window of an encoder.
    rows, uniform_rows
        Rows of real attention (None: all), and rows uniform on the simplex.
    duration, windows
        Of the softmax circuits.
    blocks
        Attention blocks: toy, head, block.
    block_duration, block_windows, tau_s
        Of the blocks.
    flips, repeats
        Longest run of coins, and runs a trial.
    trials
    compile_rows
        Whether "auto" may compile the softmax circuits.
    """

    values: int
    full: int
    rows: int | None
    uniform_rows: int
    duration: str
    windows: int
    blocks: tuple[str, ...]
    block_duration: str
    block_windows: int
    tau_s: str
    flips: int
    repeats: int
    trials: int
    compile_rows: bool


PRESETS = {
    "quick": Sizes(
        values=128, full=2**10, rows=5, uniform_rows=5, duration="1.5 s", windows=16, blocks=("toy", "head"),
        block_duration="2 s", block_windows=10, tau_s="200 ms", flips=2**14, repeats=512, trials=8, compile_rows=False,
    ),
    "paper": Sizes(
        values=256, full=2**12, rows=None, uniform_rows=72, duration="4 s", windows=24, blocks=("toy", "block"),
        block_duration="4 s", block_windows=12, tau_s="1 s", flips=2**16, repeats=4096, trials=16, compile_rows=True,
    ),
}  # fmt: skip


@attrs.frozen
class Config:
    """Options of ``spike_bounds``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick or paper."""
    logits: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Rows of logits in nats for the softmax circuits: .npy, .npz or .csv. Default: real attention rows, shipped."""
    no_frame: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Read all of a text file as logits, also what looks like header and index of a data frame."""
    trials: int | None = None
    """Independent repetitions, at least 2. Default: that of the preset."""
    seed: int = 1
    """Same seed, same spikes, on every target."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/spike_bounds")
    """Directory for tables, raw data, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor tables."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration: what `run` needs."""

    config: Config
    sizes: Sizes
    real: NDArray[np.float64]
    uniform: NDArray[np.float64]
    circuits: tuple[str, ...]
    """Softmax circuits that are run."""
    left_out: dict[str, str]
    """Those that cannot take a row, and why, in a line each."""
    options: dict[str, Any]
    """Of `biospike.simulate`."""
    blocks: dict[str, compare_attention.Study]


def prepare(config: Config) -> Study:
    """Check the whole configuration and read its input.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--preset", config.preset, PRESETS)
    sizes = PRESETS[config.preset]
    if config.trials is not None:
        sizes = attrs.evolve(sizes, trials=config.trials)
    if sizes.trials < 2:
        raise InputError(f"--trials must be at least 2, since intervals come from their spread; got {sizes.trials}")
    check_counts(sizes.trials, config.seed)
    real = attention_rows() if config.logits is None else read_logits(config.logits, frame=not config.no_frame)
    if config.logits is None and sizes.rows is not None:
        real = real[np.linspace(0, len(real) - 1, sizes.rows).astype(int)]
    if (~np.isnan(real)).sum(axis=1).max() < 2:
        raise InputError(f"--logits {config.logits}: no row has two keys, so there is nothing to share")
    steps = count_steps(sizes.duration, GRID, like=GRID)
    marks = np.unique(np.rint(np.geomspace(max(1.0, 2e-3 * steps), steps, sizes.windows)))
    options = {
        "duration": sizes.duration,
        "checkpoints": marks * GRID,
        "trials": sizes.trials,
        "target": "numpy" if config.target == "auto" and not sizes.compile_rows else config.target,
    }
    uniform = measured.uniform_rows(sizes.uniform_rows, measured.UNIFORM_KEYS, config.seed)
    circuits, left_out = those_that_take(
        {name: SOFTMAX_CIRCUITS[name]() for name in _measured_circuits()}, real, ADVICE
    )
    for circuit in circuits.values():
        check_study(circuit, real, seed=config.seed, **options)
    settings = {
        "duration": sizes.block_duration, "windows": sizes.block_windows, "tau_s": sizes.tau_s,
        "trials": sizes.trials, "seed": config.seed, "target": config.target,
    }  # fmt: skip
    own = {"toy": settings | {"trials": TOY_TRIALS * sizes.trials}}
    blocks = {
        f"block_{source}_{'_'.join(code)}": measured.prepare_block(source, code, **own.get(source, settings))
        for source in sizes.blocks
        for code in measured.CODES
    }
    return Study(config, sizes, real, uniform, tuple(circuits), left_out, options, blocks)


def _measured_circuits() -> list[str]:
    return [name for name, kind in SOFTMAX_CIRCUITS.items() if kind.group == "circuit"]


def run(study: Study) -> dict[str, xr.Dataset]:
    """Measure every code; the results are independent, and are computed side by side.

    Returns
    -------
    dict
        ``encoder_NAME``, ``softmax_NAME``, ``block_SOURCE_ENCODER_SOFTMAX`` and ``coins``, each a dataset.
    """
    config, sizes = study.config, study.sizes
    full = 2 ** np.arange(int(np.log2(FEWEST_SPIKES)), int(np.log2(sizes.full)) + 1)
    x = measured.uniform_values(sizes.values, sizes.trials, config.seed)
    tasks = {name: joblib.delayed(measured.measure_block)(of, name.split("_")[1]) for name, of in study.blocks.items()}
    for name in study.circuits:
        options = study.options | {"jobs": 1}
        tasks[f"softmax_{name}"] = joblib.delayed(measured.measure_softmax)(
            name, rows_of(SOFTMAX_CIRCUITS[name](), study.real, study.uniform), config.seed, **options
        )
    for name in (*ENCODERS, measured.TRIANGULAR):
        key = "encoder_" + name.replace(", ", "-")
        tasks[key] = joblib.delayed(measured.measure_encoder)(name, x, full, config.seed)
    workers = joblib.Parallel(n_jobs=check_jobs(None), return_as="generator")
    place = parts.place()
    kept = [joblib.delayed(_keeping)(place, *task) for task in tasks.values()]
    raw = {}
    for name, data in zip(tasks, workers(kept), strict=True):
        raw[name] = data
        if not config.quiet:
            print(f"{name}: done", file=sys.stderr)
    flips = 2 ** np.arange(int(np.log2(FEWEST_SPIKES)), int(np.log2(sizes.flips)) + 1)
    raw["coins"] = measured.flip_coins(flips, sizes.trials, sizes.repeats, config.seed)
    return raw


def _keeping(place: Path | None, work: Callable[..., xr.Dataset], args: Sequence[Any], options: Any) -> xr.Dataset:
    """Do a task in a process of its own, which does not know where parts of the study are kept."""
    with parts.used(place):
        return work(*args, **options)


def tabulate(found: list[Curve], left_out: Iterable[str] = ()) -> dict[str, pd.DataFrame]:
    """Every table that is written, by the name of its file."""
    fits = fit(found)
    every = pd.concat([fits.astype(object), not_run(left_out)], ignore_index=True).infer_objects()
    return {"summary": summarise(found), "fits": every, "bounds": judge(found, fits)}


def main(config: Config) -> None:
    """Check, run, summarise, plot and write."""
    study = prepare(config)
    say(study.left_out)
    with Results.of(config) as out:
        raw = run(study)
        found = curves(raw)
        tables = tabulate(found, study.left_out) | {
            "rates": rates(raw),
            "row_sets": tabulate_row_sets(raw),
            "rate_bands": rate_bands(raw),
        }
        target = str(study.options["target"])
        tables["sparse"] = sparse.measure(study.real, study.sizes.trials, config.seed, target)
        out.save("raw", raw)
        out.tables(**tables)
        shown = ["family", "code", "metric", "exponent", "exponent_low", "exponent_high", "r_squared", "verdict"]
        out.show(tables["fits"][shown])
        out.figures(spikes=bounds_figure(found, tables["fits"]), control=control_figure(found, tables["fits"]))
        out.report(report(raw, found, tables, CLAIMS.findings(out), study.left_out))


STUDY = StudyRecord(
    "spike_bounds",
    Config,
    main,
    CLAIMS,
    quick=("--preset", "quick"),
    paper=("--preset", "paper"),
    minutes=(1.5, NOT_TIMED),
)
