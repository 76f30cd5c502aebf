"""Order of work of ``calibrate_design_rule``: options, checks, run, and what is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import pandas as pd
import tyro
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from biospike import execution
from biospike.encoding import ENCODERS
from biospike.errors import InputError
from circuits.presentation import Presentation, plan_presentation
from circuits.softmax import COMMON_GATES
from validation.rule.blocks import Padded, attention_of
from validation.rule.claims import CLAIMS
from validation.rule.constant_curve import constant_curve
from validation.rule.errors import READ_OUTS, SPLITS, attention_errors, encoding_errors
from validation.rule.figures import plot
from validation.rule.fits import fit_all
from validation.rule.inputs import InputSet, digit_set, low_rank_set, patch_set, sentence_set
from validation.rule.orders import decide_order, laws_of_values, order_table
from validation.rule.powers import power_table
from validation.rule.record import ENCODING_ONLY, coordinates, counted, raw
from validation.rule.report import report
from validation.rule.tables import crossings, with_predictions
from validation.study.options import member
from validation.study.record import NOT_TIMED, StudyRecord
from validation.study.results import Results

ENCODING_TRIALS = 4
"""Trials of the encoders alone for each of the attention."""
SHOWN = ["encoder", "circuit", "read_out", "sets", "C", "C_low", "C_high", "r_squared_rule", "r_squared_d_eff"]
SHOWN += ["r_squared_ambient", "verdict"]


@attrs.frozen(kw_only=True)
class Preset:
    """How much is measured.

    Attributes
    ----------
    patches : tuple of int
        Sizes of natural patches, pixels on a side.
    low_rank : tuple of (tokens, features, rank)
        Synthetic sets.
    samples : int
        Simulated inputs of each half of a set.
    trials : int
        Repetitions of each in the attention.
    regular_with : tuple of str
        Softmax circuits that are run with regular input too.
    encoding, attention : tuple of int
        Windows, timesteps. None is a power of two but the first three: a regular code is exact whenever T times the
        value is whole, and pixels are whole sixteenths.
    """

    patches: tuple[int, ...]
    low_rank: tuple[tuple[int, int, int], ...]
    samples: int
    trials: int
    regular_with: tuple[str, ...]
    encoding: tuple[int, ...]
    attention: tuple[int, ...]


PRESETS = {
    "quick": Preset(
        patches=(2, 3, 4),
        low_rank=((8, 8, 2), (8, 8, 16), (8, 8, 48), (2, 6, 4), (8, 12, 4)),
        samples=3,
        trials=8,
        regular_with=("integrate",),
        encoding=(1, 2, 4, 11, 23, 47, 137, 397, 797),
        attention=(47, 137, 397),
    ),
    "paper": Preset(
        patches=(2, 3, 4, 6, 8),
        low_rank=(
            *((8, 8, rank) for rank in (2, 4, 8, 16, 32, 60)),
            *((2, 6, 4), (4, 8, 4), (8, 16, 4), (8, 24, 4), (8, 24, 24), (8, 24, 96)),
        ),
        samples=8,
        trials=8,
        regular_with=tuple(COMMON_GATES),
        encoding=(1, 2, 4, 11, 23, 47, 97, 197, 397, 797, 1597, 3203),
        attention=(47, 97, 197, 397, 797, 1597),
    ),
}


@attrs.frozen
class Config:
    """Options of ``calibrate_design_rule``."""

    preset: Annotated[str, tyro.conf.arg(metavar="NAME")] = "quick"
    """quick (minutes) or paper (hours): more sets, inputs and longer windows."""
    circuits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = tuple(COMMON_GATES)
    """Softmax circuits of the attention: those under a common gate, whose limit is softmax."""
    trials: int | None = None
    """Repetitions of every input in the attention; the encoders alone have four times as many. Default: 8."""
    seed: int = 1
    """Same seed, same inputs, weights and spikes, on every target."""
    target: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    """Where the attention is simulated: auto, cpp_standalone, cython or numpy. The encoders alone run on numpy."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("results/calibrate_design_rule")
    """Directory for tables, raw data, figures and report."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show neither progress nor table."""


@attrs.frozen(eq=False)
class Study:
    """A checked configuration: what `run` needs."""

    config: Config
    preset: Preset
    trials: int
    inputs: list[InputSet]
    blocks: list[Padded]
    """Attention of every set."""

    @property
    def runs(self) -> list[tuple[str, str]]:
        """Encoders and circuits, by name."""
        alone = [(encoder, ENCODING_ONLY) for encoder in ENCODERS]
        bernoulli = [("bernoulli", circuit) for circuit in self.config.circuits]
        regular = [("regular", circuit) for circuit in self.config.circuits if circuit in self.preset.regular_with]
        return alone + bernoulli + regular

    @property
    def windows(self) -> NDArray[np.int64]:
        """Timesteps of any run."""
        return np.union1d(self.preset.encoding, self.preset.attention)


def prepare(config: Config) -> Study:
    """Check the whole configuration, make the input sets and their blocks.

    Raises
    ------
    InputError
        Naming the value and what is accepted.
    """
    member("--preset", config.preset, PRESETS)
    for name in config.circuits:
        member("--circuits", name, COMMON_GATES, otherwise="unknown or not a softmax")
    if len(set(config.circuits)) < len(config.circuits):
        raise InputError(f"--circuits must name each once, got {' '.join(config.circuits)}")
    preset = PRESETS[config.preset]
    trials = preset.trials if config.trials is None else config.trials
    execution.check_counts(trials, config.seed)
    member("--target", config.target, execution.OF_BRIAN2)
    inputs = input_sets(preset, config.seed)
    shape = max(one.tokens for one in inputs), max(one.features for one in inputs)
    blocks = [attention_of(one, preset.samples, shape, config.seed) for one in inputs]
    study = Study(config, preset, trials, inputs, blocks)
    if config.circuits:
        # All sets have the shape of the first; a target that is not there is refused now.
        execution.choose_target(_plans(study)[0], config.target)
    return study


def input_sets(preset: Preset, seed: int) -> list[InputSet]:
    """Make the input sets: the real ones, then those of chosen rank."""
    real = [digit_set(seed), *(patch_set(size, seed) for size in preset.patches), sentence_set(seed)]
    return real + [low_rank_set(*size, seed) for size in preset.low_rank]


def _plans(study: Study) -> list[Presentation]:
    """Work of the first set for every encoder and circuit of the attention."""
    first = study.blocks[0]
    options: dict[str, Any] = {"trials": study.trials, "seed": study.config.seed, "key_mask": first.key_mask}
    plans = []
    for encoder, circuit in study.runs:
        if circuit != ENCODING_ONLY:
            block = first.of(circuit, encoder)
            windows = np.asarray(study.preset.attention) * block.dt
            plans.append(plan_presentation(block, first.x, duration=windows[-1], windows=windows, **options))
    return plans


def run(study: Study) -> tuple[xr.Dataset, xr.Dataset, pd.DataFrame]:
    """Encode and attend.

    Returns
    -------
    errors : xarray.Dataset
        `squared_error` (run, input_set, split, sample, read_out, checkpoint), summed over the values of a sample, mean
        over trials, NaN where a window was not run; `expected`, its closed form, for encoders alone; `row_spikes` and
        `silent` (run, input_set, split, checkpoint), the attention spikes of a row and the fraction of rows without
        one; `rank` (run, input_set), axes of
        the subspace. Coordinates `encoder` and `circuit`, `timesteps`, and of the sets `kind`, `ambient`, `d_eff`,
        `logit_span` in nats and `coin_variance`, mean x(1 - x).
    counts : xarray.Dataset
        What was counted: `encoder_count`, `output_count`, `row_spikes`.
    orders : pandas.DataFrame
        Of `validation.rule.orders.order_table`.
    """
    config, windows, samples = study.config, study.windows, study.preset.samples
    size = (len(study.runs), len(study.inputs), len(SPLITS))
    squared = np.full((*size, samples, len(READ_OUTS), len(windows)), np.nan)
    expected, rank = np.full_like(squared, np.nan), np.zeros(size[:2], int)
    spikes, silent = np.full((*size, len(windows)), np.nan), np.zeros((*size, len(windows)))
    execution.build_plans(_plans(study), config.target, progress=not config.quiet)
    values = [one.simulated(samples).reshape(2 * samples, -1) for one in study.inputs]
    reference = laws_of_values(ENCODERS["bernoulli"](), ENCODERS["regular"](), values, study.preset.encoding)
    encoded, attended, decisions = [], [], []
    made = {"target": "numpy", "target_reason": "encoders alone"}
    total = len(ENCODERS) + (len(study.runs) - len(ENCODERS)) * len(study.inputs)
    with tqdm(total=total, desc="runs", unit="run", disable=config.quiet, leave=False) as bar:
        for r, (encoder, circuit) in enumerate(study.runs):
            bar.set_description(f"{encoder}, {circuit}")
            if circuit == ENCODING_ONLY:
                marks, repeats = study.preset.encoding, ENCODING_TRIALS * study.trials
                at = np.searchsorted(windows, marks)
                measured, law, counts, decoded = encoding_errors(
                    encoder, study.inputs, samples, repeats, marks, config.seed
                )
                decisions.append(decide_order(decoded, marks, reference))
                squared[r][..., at], expected[r][..., at] = measured, law
                rank[r] = [one.basis.shape[1] for one in study.inputs]
                encoded.append(counts)
                bar.update()
                continue
            at = np.searchsorted(windows, study.preset.attention)
            outputs: list[NDArray[np.float64]] = []
            for s, block in enumerate(study.blocks):
                squared[r, s][..., at], spikes[r, s][..., at], silent[r, s][..., at], data, apart = attention_errors(
                    block, circuit, encoder, study.trials, study.preset.attention, config.seed, config.target
                )
                outputs.append(apart)
                rank[r, s] = block.basis.shape[1]
                attended.append(counted(data))
                made = data.attrs
                bar.update()
            decisions.append(decide_order(outputs, study.preset.attention, None))
    dims = ("run", "input_set", "split", "sample", "read_out", "checkpoint")
    errors = xr.Dataset(
        {
            "squared_error": (dims, squared),
            "expected": (dims, expected),
            "row_spikes": (("run", "input_set", "split", "checkpoint"), spikes),
            "silent": (("run", "input_set", "split", "checkpoint"), silent),
            "rank": (("run", "input_set"), rank),
        },
        coords=coordinates(study.runs, windows, study.blocks),
        attrs=_attributes(study, made),
    )
    stored = raw(study.runs, study.preset.encoding, study.blocks, encoded, attended)
    return errors, stored.assign_attrs(errors.attrs), order_table(errors, decisions)


def _attributes(study: Study, made: dict[str, Any]) -> dict[str, Any]:
    wanted = ("target", "target_reason", "versions", "git_revision", "compiler", "dt_ms", "parameters")
    known = {name: made[name] for name in wanted if name in made}
    gate = study.blocks[0].block.gate
    known["spikes_per_step"] = float(gate.rate * gate.dt)
    return known | {"preset": study.config.preset, "seed": study.config.seed, "trials": study.trials}


def main(config: Config) -> None:
    """Check, run, summarise, plot and write."""
    study = prepare(config)
    with Results.of(config) as out:
        data, raw, orders = run(study)
        if not config.quiet:
            print(f"{data.attrs['target']}: {data.attrs['target_reason']}", file=sys.stderr)
        table, replicates = crossings(data, seed=config.seed)
        fits = fit_all(table, replicates, power_table(data, seed=config.seed))
        summary = with_predictions(table, fits)
        out.save("errors", data)
        out.save("counts", raw)
        curve = constant_curve(study, fits, data.attrs["spikes_per_step"], run)
        out.tables(summary=summary, fits=fits, orders=orders, constant_curve=curve)
        out.show(fits[fits["norm"] == "frobenius"][SHOWN])
        out.figures(**plot(data, summary, fits))
        out.report(report(data, summary, fits, orders, CLAIMS.findings(out), curve))


STUDY = StudyRecord(
    "calibrate_design_rule",
    Config,
    main,
    CLAIMS,
    quick=("--preset", "quick"),
    paper=("--preset", "paper"),
    minutes=(3.0, NOT_TIMED),
)
