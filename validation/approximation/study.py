"""Order of work of ``approximate_function``: options, checks, run, and what is written."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import pandas as pd
import tyro
import xarray as xr
from numpy.typing import NDArray

from biospike.errors import InputError
from biospike.execution import choose_target
from circuits.attention import SpikingAttention
from circuits.presentation import plan_presentation, present
from circuits.softmax import COMMON_GATES
from validation.approximation import figures
from validation.approximation.claims import CLAIMS
from validation.approximation.heads import (
    CANDIDATES_PER_HEAD,
    DESIGN_ROWS,
    FEWEST_CANDIDATES,
    block,
    candidates,
    choose,
    draw_tokens,
    limit_features,
    with_constant,
)
from validation.approximation.readout import climb
from validation.approximation.report import report
from validation.approximation.tables import head_counts, limit_readout, of_heads, summarise
from validation.approximation.targets import TARGETS, Target, check_target, evaluate
from validation.study.options import member
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

import brian2 as b2

GATES = tuple(COMMON_GATES)
ROW_RATE, STEP = 100 * b2.Hz, 1 * b2.ms
WINDOWS = 6
"""Windows read, spaced evenly in the logarithm from a 64th of the duration to all of it."""
FOLDS = 5
"""Parts of the samples, each predicted by a read-out fitted to the others."""
FEWEST_SAMPLES = 12
STARTS = 8
"""Worst samples from which the box is searched, for every target and number of heads."""

SHOWN = ["target", "heads", "timesteps", "spikes_total", "sup_error", "sup_low", "sup_high", "rms_error"]
SHOWN += ["limit_sup_error", "limit_box_error", "paper_H", "paper_T"]


@attrs.frozen
class Config:
    """Options of ``approximate_function``."""

    targets: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(TARGETS)
    """Functions to approximate. One of your own: approximate() in Python."""
    heads: int = 16
    """Most heads H; the table has every power of two up to it."""
    width: int = 2
    """Units of a head, d_k."""
    tokens: int = 4
    """Tokens of a sample, n."""
    features: int = 2
    """Values of a token, d, in [0, 1]."""
    samples: int = 200
    """Sets of tokens; those of each fifth are predicted by a read-out fitted to the other four fifths."""
    duration: Annotated[str, tyro.conf.arg(metavar="TIME")] = "4 s"
    """Longest window, with its unit; a timestep of the theory is 1 ms. Five shorter ones are read as well."""
    mode: Annotated[str, tyro.conf.arg(metavar="MODE")] = "staged"
    """staged (scores of T steps, then attention of T steps, as in the theorem) or streaming (all at once)."""
    softmax: Annotated[str, tyro.conf.arg(metavar="CIRCUIT")] = "escape"
    """Softmax circuit of the attention neurons: race, escape, integrate or divisive."""
    trials: int = 1
    """Independent repetitions of every sample."""
    seed: int = 1
    """Same seed, same tokens, heads and spikes, on every target."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """Where to simulate: auto, cpp_standalone, cython or numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/approximate_function")
    """Directory for table, counts, figure and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration: what `run` needs.

    Attributes
    ----------
    config : Config
    targets : dict of str to callable
    x : ndarray (samples, tokens, features)
    circuit : circuits.attention.SpikingAttention
        All heads, the most useful first.
    """

    config: Config
    targets: dict[str, Target]
    x: NDArray[np.float64]
    circuit: SpikingAttention


def approximate(
    target: Target, /, *, name: str = "user", out: str | Path | None = None, **options: Any
) -> pd.DataFrame:
    """Approximate a function of your own.

    Parameters
    ----------
    target
        From tokens in [0, 1], array (samples, tokens, features), to one number a token, array (samples, tokens). It
        must be permutation-equivariant, which is examined on random tokens, and should be continuous. The paper's
        formulas are for values that span about 1.
    name
        Its name in table and figure.
    out
        Directory for the files of the command line; None writes nothing.
    **options
        Of `Config`, such as ``heads=8, tokens=3, duration="1 s"``; ``targets`` adds shipped ones.

    Returns
    -------
    pandas.DataFrame
        The table of ``summary.csv``.

    Raises
    ------
    InputError
        If the function is no target, or an option is out of range.

    Examples
    --------
    >>> table = approximate(lambda x: x[..., 0] * x[..., 1].max(axis=1, keepdims=True), heads=8)  # doctest: +SKIP
    """
    known = [field.name for field in attrs.fields(Config) if field.name != "out"]
    for option in options:
        if option not in known:
            raise InputError(f"unknown option {option!r}; accepted: {', '.join(known)}")
    chosen: dict[str, Any] = {"targets": (), "quiet": True} | options
    study = prepare(Config(**chosen), {name: target})
    if out is None:
        return summarise(run(study))
    with Results.of(attrs.evolve(study.config, out=Path(out))) as results:
        data = run(study)
        table = summarise(data)
        write(data, table, results)
    return table


def write(data: xr.Dataset, table: pd.DataFrame, out: Results) -> None:
    """Write counts, table, figure and report."""
    out.tables(summary=table)
    out.save("counts", data)
    out.figures(approximation=figures.approximation_figure(table))
    out.report(report(data, table, CLAIMS.findings(out)))


def prepare(config: Config, own: Mapping[str, Target] | None = None) -> Study:
    """Check the whole configuration, draw tokens and choose heads.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    targets = _targets(config.targets) | dict(own or {})
    if not targets:
        raise InputError(f"--targets needs at least one of {', '.join(TARGETS)}")
    least = {"heads": 1, "width": 1, "tokens": 2, "features": 1, "samples": FEWEST_SAMPLES, "seed": 0}
    for option, minimum in least.items():
        if getattr(config, option) < minimum:
            raise InputError(f"--{option} must be at least {minimum}, got {getattr(config, option)}")
    member("--softmax", config.softmax, GATES)
    for name, target in targets.items():
        check_target(name, target, config.tokens, config.features)
    # Streams of their own, so that heads do not change with the number of samples.
    for_tokens, for_heads = (np.random.default_rng([config.seed, stream]) for stream in range(2))
    x = draw_tokens(config.samples, config.tokens, config.features, for_tokens)
    study = Study(config, targets, x, _choose_heads(config, targets, for_heads))
    plan = plan_presentation(study.circuit, with_constant(x), **_presented(config))
    choose_target(plan, config.target)  # a target that is not there is refused now
    return study


def _targets(names: tuple[str, ...]) -> dict[str, Target]:
    for name in names:
        member("--targets", name, TARGETS, otherwise="unknown target")
    return {name: TARGETS[name] for name in names}


def _presented(config: Config) -> dict[str, Any]:
    return {"duration": config.duration, "trials": config.trials, "seed": config.seed, "windows": WINDOWS}


def _choose_heads(config: Config, targets: Mapping[str, Target], rng: np.random.Generator) -> SpikingAttention:
    """Return the heads that serve all targets together, out of random ones, on tokens that serve nothing else."""
    x = draw_tokens(-(-DESIGN_ROWS // config.tokens), config.tokens, config.features, rng)
    number = max(FEWEST_CANDIDATES, CANDIDATES_PER_HEAD * config.heads)
    weights = candidates(number, config.features, config.width, rng)
    template = SpikingAttention(
        W_q=weights[0, :, 0],
        W_k=weights[1, :, 0],
        W_v=weights[2, :, 0],
        mode=config.mode,
        softmax=COMMON_GATES[config.softmax](rate=ROW_RATE, dt=STEP),
        dt=STEP,
    )
    values = np.stack([evaluate(name, target, x) for name, target in targets.items()], axis=-1)
    kept = choose(limit_features(block(weights, template), x), values, config.heads)
    return block(weights[:, :, kept], template)


def run(study: Study) -> xr.Dataset:
    """Simulate all samples, and add the targets and the limits.

    Returns
    -------
    xarray.Dataset
        As of `circuits.presentation.present`; `value` (function, sample, query), the targets; `fold` (sample);
        `limit_feature` (sample, query, head, unit, sign); `rate_of_head` (sample, head), expected spikes a step of its
        queries, keys and values; `limit_box_error` (function, head_count), the largest error that a search of the
        whole box finds for the read-out in the limit.
    """
    config, x = study.config, study.x
    options = _presented(config) | {"target": config.target, "progress": not config.quiet}
    data = present(study.circuit, with_constant(x), **options)
    values = np.stack([evaluate(name, target, x) for name, target in study.targets.items()])
    data = data.assign_coords(function=list(study.targets), head_count=head_counts(config.heads))
    data["value"] = (("function", "sample", "query"), values)
    data["fold"] = ("sample", np.arange(len(x)) % FOLDS)
    data["x"] = (("sample", "query", "coordinate"), x)
    data["limit_feature"] = (("sample", "query", "head", "unit", "sign"), limit_features(study.circuit, x))
    data["rate_of_head"] = (("sample", "head"), study.circuit.rates(with_constant(x)).sum(axis=(1, 2, 4, 5)))
    data["limit_box_error"] = (("function", "head_count"), _box_errors(study, data))
    return data.assign_attrs(mode=config.mode, softmax=config.softmax)


def _box_errors(study: Study, data: xr.Dataset) -> NDArray[np.float64]:
    """Sup-norm error over the box of the read-outs in the limit, (functions, head counts), by a search."""
    counts = head_counts(study.config.heads)
    readouts = [limit_readout(data, count) for count in counts]
    everything = of_heads(data["limit_feature"].values, study.config.heads)
    weights = np.zeros((len(study.targets), len(counts), everything.shape[-1]))
    for c, readout in enumerate(readouts):
        # Heads that a read-out does not have weigh nothing.
        weights[:, c, : len(readout.weights)] = readout.weights.T
    offset = np.array([readout.offset for readout in readouts]).T[..., None, None]

    def errors(points: NDArray[np.float64]) -> NDArray[np.float64]:
        cases = points.reshape(len(study.targets), len(counts), *points.shape[1:])
        flat = points.reshape(-1, *points.shape[2:])
        features = of_heads(limit_features(study.circuit, flat), study.config.heads)
        predicted = np.einsum("fcpnk,fck->fcpn", features.reshape(*cases.shape[:-1], -1), weights) + offset
        wanted = [
            evaluate(name, target, case.reshape(-1, *case.shape[2:]))
            for case, (name, target) in zip(cases, study.targets.items(), strict=True)
        ]
        return np.abs(predicted - np.reshape(wanted, predicted.shape)).max(axis=-1).reshape(points.shape[:2])

    predicted = np.einsum("snk,fck->fcsn", everything, weights) + offset
    worst = np.abs(predicted - data["value"].values[:, None]).max(axis=-1)
    starts = study.x[np.argsort(-worst, axis=-1)[..., :STARTS]].reshape(-1, STARTS, *study.x.shape[1:])
    found = climb(errors, starts, np.random.default_rng(study.config.seed))
    return found.reshape(len(study.targets), len(counts))


def main(config: Config) -> None:
    """Check, run, summarise, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        data = run(study)
        if not config.quiet:
            print(f"{data.attrs['target']}: {data.attrs['target_reason']}", file=sys.stderr)
        table = summarise(data)
        last = (table["heads"] == table["heads"].max()) | (table["timesteps"] == table["timesteps"].max())
        out.show(table.loc[last, SHOWN])
        write(data, table, out)


STUDY = StudyRecord(
    "approximate_function",
    Config,
    main,
    CLAIMS,
    quick=("--trials", "8", "--duration", "250 ms", "--samples", "40"),
    paper=("--trials", "8"),
    minutes=(0.7, NOT_TIMED),
)
